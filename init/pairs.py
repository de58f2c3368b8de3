#!/usr/bin/env python3
"""Makes pairs.in from the messages: the commonest pairs of bytes, one after the
other, each of which src/pack.rs replaces by a byte of its own. Run it when the messages
have changed a lot; any table is right, a fresh one is the shortest."""
import collections, glob, os, re

HERE = os.path.dirname(os.path.abspath(__file__))
# What the printing code looks for must stay itself.
KEEP = set(b"%#&^\n=0123456789")

texts = []
for name in glob.glob(HERE + "/src/*.rs"):
    for text in re.findall(r't!\(\s*"((?:[^"\\]|\\.|\\\n)*)"', open(name).read(), re.S):
        text = re.sub(r"\\\n\s*", "", text)
        for escape, byte in (("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ("\\\\", "\\")):
            text = text.replace(escape, byte)
        texts.append(list(text.encode()))

pairs = []
while len(pairs) < 127:
    count = collections.Counter()
    for text in texts:
        for pair in zip(text, text[1:]):
            if not KEEP & set(pair):
                count[pair] += 1
    pair, times = max(count.items(), key=lambda item: (item[1], item[0]))
    if times < 3:
        break
    for text in texts:
        i, out = 0, []
        while i < len(text):
            same = tuple(text[i : i + 2]) == pair
            out.append(128 + len(pairs) if same else text[i])
            i += 2 if same else 1
        text[:] = out
    pairs.append(pair)

with open(HERE + "/pairs.in", "w") as out:
    out.write("[\n" + "".join(f"    [{a}, {b}],\n" for a, b in pairs) + "]\n")
print(len(pairs), "pairs,", sum(len(t) + 1 for t in texts), "bytes of text left")

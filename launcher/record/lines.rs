//! The text of a record: a line for each thing, `KIND DETAILS`; in the user's words a
//! backslash stands before a backslash, and `\n` for the end of a line.

use super::{Ended, Entry, Facts, Process, RecordItem};
use crate::idmap::taken;
use crate::net::state::decode_port;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// 128 + SIGKILL, the one end of which process 1 cannot tell.
const KILLED: u64 = 137;

/// None for a path that a line cannot hold. `parent` gives an inode number.
pub fn encode(items: &[RecordItem], parent: impl Fn(&Path) -> u64) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for item in items {
        let (head, path) = match item {
            RecordItem::Network { namespace, id } => {
                text.extend_from_slice(format!("network {namespace} {id}\n").as_bytes());
                continue;
            }
            RecordItem::Cgroup(dir) => (format!("cgroup {} ", parent(dir)), dir),
            RecordItem::Subtree { file, value } => {
                (format!("subtree {} {value} ", parent(file)), file)
            }
            RecordItem::Port(port) => {
                text.extend(format!("port 0 {port}\n").into_bytes());
                continue;
            }
            RecordItem::Ids { users, ids } => {
                text.extend(format!("ids 0 {}\n", taken::encode(*users, ids)).into_bytes());
                continue;
            }
        };
        let path = path.as_os_str().as_bytes();
        if path.contains(&b'\n') {
            return None;
        }
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(path);
        text.push(b'\n');
    }
    Some(text)
}

pub fn facts(facts: &Facts) -> Vec<u8> {
    let mut text = format!("started {}\n", facts.started);
    if facts.detached {
        text += &detached(facts.keep, facts.log_size);
    }
    if !facts.image_id.is_empty() {
        text += &format!("image-id {}\n", facts.image_id);
    }
    let mut text = text.into_bytes();
    words(&mut text, "argv", &facts.argv);
    if facts.command > 0 {
        text.extend(format!("command {}\n", facts.command).into_bytes());
    }
    if let Some(signal) = facts.stop_signal {
        text.extend(format!("stop-signal {signal}\n").into_bytes());
    }
    if !facts.image.is_empty() {
        words(&mut text, "image", &facts.image);
    }
    words(&mut text, "cwd", &[facts.cwd.clone().into_os_string()]);
    words(&mut text, "env", &facts.env);
    text
}

pub fn detached(keep: bool, log_size: u64) -> String {
    format!("detached {} {log_size}\n", if keep { "keep" } else { "rm" })
}

pub fn process(p: &Process) -> String {
    format!("process {} {} {}\n", p.pid, p.start, p.namespace)
}

/// Of a detached one, whose process 1 is noted before it runs.
pub const RUNNING: &str = "running\n";

/// When the log was how long.
pub fn mark(time: u64, length: u64) -> String {
    format!("mark {time} {length}\n")
}

pub fn ended(e: &Ended) -> String {
    let code = if e.known { e.code.to_string() } else { "?".into() };
    format!("ended {code} {} {}\n", e.at, if e.out_of_memory { "oom" } else { "-" })
}

fn words(text: &mut Vec<u8>, kind: &str, words: &[OsString]) {
    text.extend_from_slice(kind.as_bytes());
    for (index, word) in words.iter().enumerate() {
        text.push(if index == 0 { b' ' } else { 0 });
        for byte in word.as_bytes() {
            match byte {
                b'\n' => text.extend_from_slice(b"\\n"),
                b'\\' => text.extend_from_slice(b"\\\\"),
                byte => text.push(*byte),
            }
        }
    }
    text.push(b'\n');
}

fn unwords(text: &[u8]) -> Option<Vec<OsString>> {
    let unescape = |word: &[u8]| {
        let mut out = Vec::with_capacity(word.len());
        let mut bytes = word.iter();
        while let Some(byte) = bytes.next() {
            out.push(match byte {
                b'\\' => match bytes.next()? {
                    b'n' => b'\n',
                    b'\\' => b'\\',
                    _ => return None,
                },
                byte => *byte,
            });
        }
        Some(OsString::from_vec(out))
    };
    text.split(|b| *b == 0).map(unescape).collect()
}

/// What a record says, and whether all of it was understood. A last line without its end
/// was cut off while being written: nothing of it had been made.
pub fn decode(text: &[u8]) -> Entry {
    let mut entry = Entry { understood: true, ..Entry::default() };
    for line in text.split_inclusive(|&b| b == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        if decode_line(line, &mut entry).is_none() {
            entry.understood = false;
        }
    }
    entry.running |= !entry.facts.detached && entry.process.is_some();
    entry
}

/// Paths are only believed in the form in which we write them.
fn decode_line(line: &[u8], entry: &mut Entry) -> Option<()> {
    let kind = line.split(|b| *b == b' ').next()?;
    let rest = line.get(kind.len() + 1..);
    match kind {
        b"cgroup" | b"subtree" | b"ids" | b"network" | b"port" => {
            let item = decode_item(kind, rest?)?;
            entry.items.push(item);
        }
        b"started" => entry.facts.started = numbers::<1>(rest?)?[0],
        b"image-id" => entry.facts.image_id = String::from_utf8(rest?.to_vec()).ok()?,
        b"argv" => entry.facts.argv = rest.map_or(Some(Vec::new()), unwords)?,
        b"command" => entry.facts.command = numbers::<1>(rest?)?[0] as usize,
        b"stop-signal" => {
            let signal = numbers::<1>(rest?)?[0];
            entry.facts.stop_signal = Some(i32::try_from(signal).ok().filter(|n| *n <= 64)?);
        }
        b"image" => entry.facts.image = unwords(rest?)?,
        b"cwd" => entry.facts.cwd = unwords(rest?)?.pop()?.into(),
        b"env" => entry.facts.env = rest.map_or(Some(Vec::new()), unwords)?,
        b"detached" => {
            entry.facts.detached = true;
            let (keep, size) = std::str::from_utf8(rest?).ok()?.split_once(' ')?;
            entry.facts.keep = keep == "keep";
            entry.facts.log_size = size.parse().ok()?;
        }
        b"process" => {
            let [pid, start, namespace] = numbers(rest?)?;
            let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0)?;
            entry.process = Some(Process { pid, start, namespace });
        }
        b"running" => entry.running = true,
        b"mark" => {
            let [time, length] = numbers(rest?)?;
            entry.marks.push((time, length));
        }
        b"ended" => {
            let rest = rest?;
            let memory = rest.strip_suffix(b" oom");
            let out_of_memory = memory.is_some();
            let numbers_of = memory.or_else(|| rest.strip_suffix(b" -"))?;
            let unknown = numbers_of.strip_prefix(b"? ");
            let (code, at) = match unknown {
                Some(at) => (KILLED, numbers::<1>(at)?[0]),
                None => numbers::<2>(numbers_of).map(|[code, at]| (code, at))?,
            };
            let code = i32::try_from(code).ok().filter(|code| *code < 256)?;
            entry.ended = Some(Ended { code, at, out_of_memory, known: unknown.is_none() });
        }
        _ => return None,
    }
    Some(())
}

/// So many whole numbers and nothing else.
fn numbers<const N: usize>(text: &[u8]) -> Option<[u64; N]> {
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let mut out = [0; N];
    for place in &mut out {
        *place = words.next()?.parse().ok()?;
    }
    words.next().is_none().then_some(out)
}

fn decode_item(kind: &[u8], rest: &[u8]) -> Option<(RecordItem, u64)> {
    let word = |text: &[u8]| {
        let at = text.iter().position(|&b| b == b' ')?;
        Some((std::str::from_utf8(&text[..at]).ok()?.to_owned(), text[at + 1..].to_vec()))
    };
    let path = |bytes: Vec<u8>| {
        let path = PathBuf::from(OsString::from_vec(bytes));
        let plain = |c: Component| matches!(c, Component::RootDir | Component::Normal(_));
        (path.is_absolute() && path.components().all(plain)).then_some(path)
    };
    let (parent, rest) = word(rest)?;
    let parent = parent.parse().ok()?;
    if kind == b"cgroup" {
        let named = |p: &PathBuf| p.file_name().is_some_and(|n| starts(n, b"launch-"));
        return Some((RecordItem::Cgroup(path(rest).filter(named)?), parent));
    }
    if kind == b"network" {
        let id = String::from_utf8(rest).ok().filter(|id| !id.contains(['/', ' ']))?;
        return Some((RecordItem::Network { namespace: parent, id }, parent));
    }
    if kind == b"port" {
        let port = decode_port(std::str::from_utf8(&rest).ok()?)?;
        return Some((RecordItem::Port(port), parent));
    }
    if kind == b"ids" {
        let (users, ids) = taken::decode(std::str::from_utf8(&rest).ok()?)?;
        return Some((RecordItem::Ids { users, ids }, parent));
    }
    let (value, rest) = word(&rest)?;
    let file = path(rest).filter(|p| p.ends_with("cgroup.subtree_control"))?;
    value.starts_with('-').then_some((RecordItem::Subtree { file, value }, parent))
}

fn starts(name: &OsStr, with: &[u8]) -> bool {
    name.as_bytes().starts_with(with)
}

//! Foreign input of the init, made from examples: its words and numbers as its own source
//! reads them, and command lines and tables given to the program itself.

use super::*;
use crate::fuzz::bytes;
use crate::sys::{Str, z};
use crate::text;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;

/// The text as Rust has it, and as the init does: up to the first NUL.
fn texts(examples: &[&[u8]], check: impl Fn(&[u8], Str)) {
    bytes(examples, 256, |text| {
        let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
        let text = [&text[..end], b"\0"].concat();
        check(&text[..end], Str::from_buffer(&text));
    });
}

fn rest(text: Str) -> Vec<u8> {
    let (mut text, mut out) = (text, Vec::new());
    while !text.is_empty() {
        out.push(text.first());
        text = text.rest();
    }
    out
}

#[test]
fn numbers_and_words() {
    texts(&[b"1000:100", b"4294967295", b"007 x", b"SIGTERM", b"9", b"65"], |bytes, text| {
        let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        let want = std::str::from_utf8(&bytes[..digits]).unwrap().parse().ok();
        let mut left = text;
        assert_eq!(text::number(&mut left), want);
        assert_eq!(rest(left), &bytes[digits..]);
        let ends = |b: &&u8| b" :=,\n".contains(b);
        let alone = bytes.get(digits).is_none_or(|b| ends(&b));
        assert_eq!(text::whole_number(text), want.filter(|_| alone));
        assert!(text::signal(text).is_none_or(|n| n <= 64));
        let word: Vec<u8> = bytes.iter().take_while(|b| !ends(b)).copied().collect();
        let list = ["KILL", "TERM", "SIGTERM", "9"];
        let want = list.iter().position(|w| w.as_bytes() == word).map_or(0, |at| at + 1);
        assert_eq!(usize::from(text::place(z(c"KILL TERM SIGTERM 9"), text)), want);
    });
}

#[test]
fn lines_and_fields() {
    let passwd = b"root:x:0:0:root:/root:/bin/sh\na:b::\n\n::sysinit:/bin/echo a:b\n";
    texts(&[passwd, b"tty1::respawn:/bin/x\n", b"1 a\n22 b\n"], |bytes, text| {
        let line = bytes.split(|b| *b == b'\n').next().unwrap();
        for index in 0..5 {
            let want = line.splitn(index + 1, |b| *b == b':').nth(index).map(<[u8]>::len);
            let found = rest(text::field(text, index));
            let found = found.split(|b| *b == b'\n').next().unwrap().len();
            assert_eq!(found, want.unwrap_or(0), "field {index}");
        }
        let after = bytes.get(line.len() + 1..).unwrap_or_default();
        assert_eq!(rest(text::next_line(text)), after);
    });
}

/// The same, by another way: words with their quotes, the end of the line, and what the kernel
/// has made of them.
fn kernel_line(bytes: &[u8], first: &[u8], argc: usize) -> (usize, Vec<Vec<u8>>) {
    let (mut words, mut quoted, mut closed) = (vec![Vec::new()], false, false);
    for (at, byte) in bytes.iter().enumerate() {
        closed = *byte == b' ' && !quoted;
        if closed {
            if at + 1 < bytes.len() && bytes[at + 1] != b' ' {
                // A newline where a word would begin ends it all.
                if bytes[at + 1] == b'\n' {
                    break;
                }
                words.push(Vec::new());
            }
            continue;
        }
        quoted ^= *byte == b'"';
        words.last_mut().unwrap().push(*byte);
    }
    if matches!(bytes.first(), None | Some(b'\n')) {
        words.clear();
    }
    let blank_follows = |n: usize| n + 1 < words.len() || closed;
    let dashes = (0..words.len()).find(|n| words[*n] == b"--" && blank_follows(*n));
    let before = &words[..dashes.unwrap_or(words.len())];
    let name = |w: &[u8]| -> Vec<u8> {
        w.iter().take_while(|b| !b" :=,\n".contains(b)).copied().collect()
    };
    let ends = before.iter().filter_map(|w| w.strip_prefix(b"init.end=")).map(name).collect();
    let set = |w: &&Vec<u8>| !w.starts_with(b"init.end=") && !w.starts_with(b"-- ");
    let known = argc < 2 || before.iter().filter(set).any(|w| name(w) == name(first));
    let at = match dashes {
        Some(n) => argc.saturating_sub(words.len() - n - 1),
        None if known => argc,
        None => 1,
    };
    (at, ends)
}

#[test]
fn kernel_command_lines() {
    let examples: [&[u8]; 6] = [
        b"BOOT=/vmlinuz root=/dev/vda1 ro quiet init.end=halt -- sh -c \"echo a b\"\n",
        b"console=ttyS0 init=/sbin/init init.end=reboot:now single\n",
        b"a=\"-- b\" -- c -- d\n",
        b"  ro  --\n",
        b"-- /bin/app",
        b"init.end=poweroff init.end= -- x\n",
    ];
    texts(&examples, |bytes, text| {
        for (first, argc) in [(c"", 0), (c"ro", 1), (c"ro", 2), (c"single", 5), (c"sh", 300)] {
            let mut ends = Vec::new();
            let at = text::kernel_line(text, z(first), argc, |name| {
                let name = rest(name);
                let len = name.iter().take_while(|b| !b" :=,\n".contains(b)).count();
                ends.push(name[..len].to_vec());
            });
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!((at, ends), kernel_line(bytes, first.to_bytes(), argc), "{shown:?} {argc}");
        }
    });
}

/// What it says to such an input is its own affair; that it dies of it is not.
fn assert_sane(input: &[u8], code: i32, err: &str) {
    let crashes = [libc::SIGSEGV, libc::SIGILL, libc::SIGBUS, libc::SIGFPE, libc::SIGTRAP];
    let shown = String::from_utf8_lossy(input);
    assert!(crashes.iter().all(|signal| code != 128 + signal), "{code}: {shown:?}\n{err}");
}

/// A word a line. Only programs with a slash in their names are found.
#[test]
fn command_lines() {
    let examples: [&[u8]; 6] = [
        b"-g\n-r\n15:2\n-e\n143\n--\n/bin/true",
        b"-p\nSIGTERM\n-vvws\n--grace=1\n/bin/true\na\nb",
        b"--user\nnobody:nogroup\n--workdir=/\n-u65534\n/bin/true",
        b"--rewrite=TERM:INT\n--single-child\n--end\nhalt\n-O2\n/bin/false",
        b"-h",
        b"--version",
    ];
    bytes(&examples, 128, |input| {
        let clean: Vec<u8> = input.iter().copied().filter(|b| *b != 0).collect();
        let words = clean.split(|b| *b == b'\n').map(|w| std::ffi::OsString::from_vec(w.to_vec()));
        let mut command = Command::new(INIT);
        command.args(words).env("PATH", "/nonexistent").process_group(0);
        let child = start(&mut command);
        let pid = child.id() as i32;
        // `-P` waits, and what is started again is without end.
        let waits = clean.contains(&b'P') || clean.windows(7).any(|w| w == b"restart");
        if waits {
            std::thread::sleep(Duration::from_millis(50));
            kill(pid, libc::SIGKILL);
        }
        let outcome = finish(child);
        assert_sane(&clean, outcome.code, &outcome.err);
    });
}

/// None of its programs is there, so that every entry is read, tried and told of.
#[test]
fn tables() {
    let Some(()) = need_namespaces() else { return };
    let dir = Dir::new("tables");
    dir.file("program-under-test", &fs::read(INIT).unwrap(), 0o755);
    let table = b"# comment\n\n::sysinit:/x first\n::wait:/x -c \"a; b\"\ntty1::once:/x\n\
        ::respawn:-/x\nbroken\n::bogus:/x\n::ctrlaltdel:/x\n::shutdown:/x 'a b' c\n";
    let many = b"::respawn:/x\n".repeat(40);
    let words = [&b"::once:/x"[..], &b" a".repeat(60), b"\n::askfirst:", &[b'y'; 3000]].concat();
    bytes(&[table, &many, &words], 48, |input| {
        dir.file("etc/inittab", input, 0o644);
        let mut child = start(namespaced(&[], "chroot").arg(&dir.0).arg("/program-under-test"));
        let begun = Instant::now();
        let init = eventually("the init", || {
            let list = format!("/proc/{0}/task/{0}/children", child.id());
            // It may have ended before anybody looked.
            if child.try_wait().unwrap().is_some() {
                return Some(0);
            }
            fs::read_to_string(list).ok()?.split_whitespace().next()?.parse().ok()
        });
        while child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(10) {
            if init > 0 {
                // SAFETY: numbers only. It may be gone, or not yet be there for signals.
                unsafe { libc::kill(init, libc::SIGTERM) };
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let outcome = finish(child);
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not end: {outcome:?}");
        assert_sane(input, outcome.code, &outcome.err);
        assert!(matches!(outcome.code, 0 | 125), "{outcome:?}");
    });
}

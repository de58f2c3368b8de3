//! Parsers of foreign input do not panic, whatever it is. Those that are private to their
//! modules have such tests there.

use crate::fuzz::{fuzz, fuzz_text};
use crate::{binfmt, cli, size};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

#[test]
fn sizes() {
    fuzz_text(&["200M", "1.5g", "0x100", "99999999999g", "12", ".5k", "1b"], |text| {
        if let Ok(bytes) = size::parse(text) {
            // What is shown can be read again, and is nearly the same.
            let shown = size::human(bytes);
            let again = size::parse(&shown).expect(&shown);
            assert!(again.abs_diff(bytes) <= bytes / 10, "{text:?} is {bytes}, shown as {shown}");
        }
    });
}

/// A word of the command line a line.
#[test]
fn command_lines() {
    let examples: [&[u8]; 12] = [
        b"--mem\n200M\n--cpus\n1.5\n--pids-limit=60\n--cpuset-cpus\n0-3,5\n./rootfs\n/app\n-x",
        b"-v\n/a:/b:ro\n-v=./c:/d\n--tmpfs\n/cache:size=1m,mode=700\n--read-only\n/\nsh",
        b"-u\n1000:users\n-w\n/tmp\n-e\nA=b\n--env-file\nx\n--hostname\nbox\n-t\nroot\n--\nid",
        b"--cap-add\nALL\n--cap-drop\nnet_raw,CAP_KILL\n--privileged\nroot\nid",
        b"--userns=auto:size=65536\n--uidmap\n0:100000:65536\n--gidmap=0:1:2\nroot\nid",
        b"--memory-swap\n-1\n--memory\n1g\n--cpu-shares\n512\n--cpu-weight=10\nroot\nid",
        b"--stop-timeout\n5\n--no-init\n-T\n--net=host\n--explain\n--json\nroot\nid",
        b"--ulimit\nnofile=1024:4096\n--security-opt\nseccomp=unconfined\nroot\nid",
        b"inject\nroot",
        b"stage\n--output\nx\nsh",
        b"help\n--mem",
        b"stop\n-t\n5\nname",
    ];
    fuzz(&examples, |bytes| {
        let words = bytes.split(|b| *b == b'\n').map(|w| OsString::from_vec(w.to_vec()));
        match cli::parse(words) {
            Ok(_) => {}
            Err(e) => assert!(!e.to_string().is_empty()),
        }
    });
}

#[test]
fn headers_of_programs() {
    let elf = std::fs::read("/proc/self/exe").expect("our own program");
    let script = b"#!/usr/bin/env -S sh -e\r\necho\n";
    fuzz(&[&elf[..4096], &elf[..200], script, b"#! \t/bin/sh", b"\x7fELF\x01\x02"], |bytes| {
        let mut head = [0; binfmt::HEAD];
        let len = bytes.len().min(head.len());
        head[..len].copy_from_slice(&bytes[..len]);
        for length in [bytes.len() as u64, u64::MAX, 0] {
            if let binfmt::Format::Needs { at, len, .. } = binfmt::identify(&head, length) {
                assert!(at.saturating_add(len) <= length.max(bytes.len() as u64));
            }
        }
    });
}

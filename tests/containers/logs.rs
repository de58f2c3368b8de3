//! The log of a detached container, when nobody looks after it.

use crate::common::*;
use crate::detached::detached;
use crate::living::verb;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// No command of ours comes by.
#[test]
fn the_init_keeps_the_log_short() {
    let Some(s) = Sandbox::new() else { return };
    let script = "while [ ! -e /go ]; do sleep 0.01; done; \
                  head -c 500000 /dev/zero | tr '\\0' x; echo; echo last; exec sleep 60";
    detached(&s, "log", &["--log-opt", "max-size=64k"], script).expect(0);
    let all: serde_json::Value = serde_json::from_str(&verb(&["inspect", "log"]).ok()).unwrap();
    let log = Path::new(all[0]["record"].as_str().unwrap()).with_file_name(".log.log");
    std::fs::write(s.rootfs().join("go"), "").unwrap();
    let written = || std::fs::metadata(&log).unwrap();
    wait_until("all is written", || written().len() == 500_006);
    wait_until("the beginning is gone", || written().blocks() * 512 <= 65_536);
    assert_eq!(verb(&["logs", "-n", "1", "log"]).ok(), "last");
    verb(&["rm", "-f", "log"]).expect(0);
    // Not where a filter of the user's would kill it for that.
    let profile = s.dir.join("profile");
    let deadly = r#"{"names": ["fallocate"], "action": "SCMP_ACT_KILL_PROCESS"}"#;
    let text = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{deadly}]}}"#);
    std::fs::write(&profile, text).unwrap();
    let option = format!("seccomp={}", profile.display());
    for (options, looks) in [(&["--security-opt", &option][..], false), (&[], true)] {
        detached(&s, "log", options, "exec sleep 60").expect(0);
        let words = verb(&["exec", "log", "cat", "/proc/1/cmdline"]).ok();
        assert_eq!(words.contains("--log"), looks, "{words:?}");
        verb(&["rm", "-f", "log"]).expect(0);
    }
}

/// The log and init's report are files that the container can reach: it may make them as
/// long and as old as it likes.
#[test]
fn files_of_the_records_that_the_container_has_changed() {
    let Some(s) = Sandbox::new() else { return };
    let script = "echo first; truncate -s 8000000000000 /proc/self/fd/1; \
                  for f in /proc/1/fd/*; do touch -d @-5000000000 $f; done; \
                  n=/tmp/$(printf 'a\\033\\377'); printf '#!/bin/sh\\nsleep 60; true\\n' >$n; \
                  chmod 755 $n; echo >/ready; exec $n";
    detached(&s, "odd", &["--rm=false"], script).expect(0);
    wait_until("it is ready", || s.rootfs().join("ready").exists());
    for words in [&["logs", "odd"][..], &["logs", "-n", "1", "odd"]] {
        let mut c = std::process::Command::new("timeout");
        c.arg("5").arg(launch()).args(words);
        let run = Run::of(c).expect(0);
        assert!(
            (words.len() > 3 || run.out.starts_with("first\n")) && run.out.len() < 100_000,
            "{:.200}",
            run.out
        );
    }
    for verb_of in [&["ps", "-a"][..], &["inspect", "odd"], &["top", "odd"]] {
        assert_eq!(verb(verb_of).expect(0).err, "", "{verb_of:?}");
    }
    let top = verb(&["top", "odd"]).ok();
    assert!(top.contains("/bin/sh /tmp/a?") && !top.contains('\x1b'), "{top}");
    verb(&["rm", "-f", "odd"]).expect(0);
}

/// From one note of its length to another.
#[test]
fn since_and_until() {
    let Some(s) = Sandbox::new() else { return };
    let script = "echo one; echo two; echo three; exec sleep 60";
    detached(&s, "times", &[], script).expect(0);
    wait_until("all is written", || verb(&["logs", "times"]).out.ends_with("three\n"));
    let all: serde_json::Value = serde_json::from_str(&verb(&["inspect", "times"]).ok()).unwrap();
    let mut record = std::fs::OpenOptions::new();
    let mut record = record.append(true).open(all[0]["record"].as_str().unwrap()).unwrap();
    // 2033, 2034: as if it had been looked at then.
    std::io::Write::write_all(&mut record, b"mark 2000000000000 4\nmark 2030000000000 8\n")
        .unwrap();
    let logs = |words: &[&str]| verb(&[&["logs"], words, &["times"]].concat()).ok();
    assert_eq!(logs(&["--until", "2033-05-18T00:00:00Z"]), "one");
    assert_eq!(logs(&["--until", "2034-01-01T00:00:00Z"]), "one\ntwo");
    assert_eq!(logs(&["--until", "2034-01-01T00:00:00Z", "--tail", "1"]), "two");
    let since = ["--since", "2033-06-01T00:00:00Z"];
    assert_eq!(logs(&[&since[..], &["--until", "2034-01-01T00:00:00Z"]].concat()), "two");
    assert_eq!(logs(&["--until", "2036-01-01T00:00:00Z"]), "one\ntwo\nthree");
    assert_eq!(logs(&["-f", "--until", "2033-05-18T00:00:00Z"]), "one");
    verb(&["rm", "-f", "times"]).expect(0);
}

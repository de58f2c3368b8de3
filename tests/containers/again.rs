//! `launch start` and `launch restart`.

use super::living::{facts, started, state, verb};
use crate::common::*;
use std::process::Command;

#[test]
fn the_same_once_more() {
    let Some(s) = Sandbox::new() else { return };
    // Each start is one more line; the last word is the environment's.
    let script = "echo $A $(pwd) >>/starts; echo out $A; [ -e /end ] && exit 4; exec sleep 60";
    let mut first = Command::new(launch());
    first.args(["-d", "--name", "s", "-e", "A", "-w", "/bin", "rootfs", "sh", "-c", script]);
    Run::of({
        first.env("A", "a b").current_dir(&s.dir);
        first
    })
    .ok();
    let starts = || std::fs::read_to_string(s.rootfs().join("starts")).unwrap_or_default();
    wait_until("it has started", || starts() == "a b /bin\n");
    let pid = facts("s")["pid"].clone();
    assert_eq!(verb(&["start", "s"]).ok(), "s");
    assert_eq!(facts("s")["pid"], pid);
    assert_eq!(verb(&["restart", "-t", "5", "s"]).ok(), "s");
    wait_until("it has started again", || starts().lines().count() == 2);
    assert_ne!(facts("s")["pid"], pid);
    assert_eq!(facts("s")["exit_code"], serde_json::Value::Null);
    verb(&["stop", "s"]).ok();
    std::fs::write(s.rootfs().join("end"), "").unwrap();
    assert_eq!(verb(&["start", "s"]).ok(), "s");
    assert_eq!(verb(&["wait", "s"]).out, "4\n");
    assert_eq!(
        (starts().as_str(), verb(&["logs", "s"]).ok().as_str()),
        ("a b /bin\na b /bin\na b /bin\n", "out a b")
    );
    // What was started again can be that once more.
    std::fs::remove_file(s.rootfs().join("end")).unwrap();
    assert_eq!(verb(&["restart", "s"]).ok(), "s");
    assert_eq!(state("s"), "running");
    verb(&["rm", "-f", "s"]).ok();
}

#[test]
fn several_and_such_as_cannot() {
    let Some(s) = Sandbox::new() else { return };
    for name in ["r1", "r2", "r3"] {
        s.run(&["-d", "--name", name, "--rm"], &["sleep", "60"]).ok();
    }
    let pids = || ["r1", "r2", "r3"].map(|n| facts(n)["pid"].as_i64().unwrap());
    let before = pids();
    let run = verb(&["restart", "-s", "KILL", "r1", "nobody", "r2", "r3"]);
    assert_eq!(run.out, "r1\nr2\nr3\n");
    run.fails(125, &["no container 'nobody'"]);
    assert!(pids().iter().all(|pid| !before.contains(pid)));
    verb(&["rm", "-f", "r1", "r2", "r3"]).ok();
    let mut child = started(&s, "front", &[], &["sleep", "60"]);
    verb(&["restart", "front"]).fails(125, &["'front' is not detached", "hint: "]);
    verb(&["stop", "front"]).ok();
    child.wait().unwrap();
    verb(&["start", "front"]).fails(125, &["no container 'front'"]);
    // What cannot be started leaves the record of the last time.
    s.run(&["-d", "--name", "gone"], &["sh", "-c", "exit 3"]).ok();
    wait_until("it has ended", || state("gone") == "ended");
    std::fs::remove_file(s.rootfs().join("bin/sh")).unwrap();
    verb(&["start", "gone"]).fails(127, &["sh: not found"]);
    assert_eq!(facts("gone")["exit_code"], 3);
    verb(&["rm", "gone"]).ok();
}

/// Started by one launcher, one after the other.
#[test]
fn one_that_fails_has_not_failed_for_the_next() {
    let Some(s) = Sandbox::new() else { return };
    // Its /tmp is no directory the second time, which its own child finds out.
    let other = s.copy("other");
    for (name, root) in [("bad", other.as_path()), ("good", &s.rootfs())] {
        let mut c = Command::new(launch());
        c.args(["-d", "--name", name]).arg(root).args(["sh", "-c", "exit 3"]);
        Run::of(c).ok();
        wait_until("it has ended", || state(name) == "ended");
    }
    std::fs::remove_dir(other.join("tmp")).unwrap();
    std::fs::write(other.join("tmp"), "").unwrap();
    let run = verb(&["start", "bad", "good"]);
    assert_eq!(run.out, "good\n", "{run:#?}");
    run.fails(125, &["launch: mount", "/tmp"]);
    verb(&["rm", "-f", "bad", "good"]).ok();
}

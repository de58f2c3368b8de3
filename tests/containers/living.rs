//! Containers that are there: their names and records, and the commands about them.

use crate::common::*;
use rustix::process::{Pid, Signal, kill_process};
use std::io::BufRead;
use std::process::{Child, Command, Stdio};

/// `launch VERB...`
pub fn verb(words: &[&str]) -> Run {
    let mut command = Command::new(launch());
    command.args(words).stdin(Stdio::null());
    Run::of(command)
}

/// A container that is seen by `launch ps`.
pub fn started(s: &Sandbox, name: &str, options: &[&str], command: &[&str]) -> Child {
    let options: Vec<&str> = [&["--name", name], options].concat();
    let mut command = s.command(&options, command);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the container runs", || state(name) == "running");
    child
}

pub fn facts(name: &str) -> serde_json::Value {
    let run = verb(&["ps", "-a", "--json"]).expect(0);
    let list: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    list.as_array().unwrap().iter().find(|c| c["name"] == name).cloned().unwrap_or_default()
}

pub fn state(name: &str) -> String {
    facts(name)["status"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn names_are_held_by_one_and_the_others_are_told() {
    let Some(s) = Sandbox::new() else { return };
    let mut first = started(&s, "web", &[], &["sleep", "60"]);
    let pid = facts("web")["pid"].to_string();
    let words = ["name 'web' is in use by process ", &pid, "started ", " ago", "launch stop web"];
    s.run(&["--name", "web"], &["true"]).fails(125, &words);
    assert_eq!(s.run(&["--name", "web2"], &["hostname"]).ok(), "web2");
    assert_eq!(verb(&["stop", "web"]).ok(), "web");
    assert_eq!(status_code(first.wait().unwrap()), 143);
    assert_eq!(s.run(&["--name", "web"], &["echo", "again"]).ok(), "again");
}

/// One of them wins, and nothing is left of the others.
#[test]
fn sixteen_at_once_with_one_name() {
    let Some(s) = Sandbox::new() else { return };
    let children: Vec<Child> = (0..16)
        .map(|_| {
            let mut command = s.command(&["--name", "one"], &["sleep", "1"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let ends: Vec<Run> =
        children.into_iter().map(|c| Run::from(c.wait_with_output().unwrap())).collect();
    let (won, lost): (Vec<_>, Vec<_>) = ends.into_iter().partition(|r| r.code == 0);
    assert_eq!((won.len(), lost.len()), (1, 15), "{lost:#?}");
    for run in lost {
        run.fails(125, &["name 'one' is in use"]);
    }
}

#[test]
fn the_dead_give_their_name_away() {
    let Some(s) = Sandbox::new() else { return };
    let mut child = started(&s, "gone", &[], &["sleep", "60"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(s.run(&["--name", "gone"], &["echo", "next"]).ok(), "next");
}

/// What only a later version understands is left to that one, and said.
#[test]
fn records_of_a_later_version() {
    let Some(s) = Sandbox::new() else { return };
    s.run(&["-d", "--name", "later"], &["sleep", "60"]).ok();
    let all: serde_json::Value = serde_json::from_str(&verb(&["inspect", "later"]).ok()).unwrap();
    let mut record = std::fs::OpenOptions::new();
    let mut record = record.append(true).open(all[0]["record"].as_str().unwrap()).unwrap();
    std::io::Write::write_all(&mut record, b"hologram 3\n").unwrap();
    assert_eq!(state("later"), "running");
    let before = std::time::Instant::now();
    assert_eq!(verb(&["stop", "later"]).ok(), "later");
    assert!(before.elapsed().as_secs() < 4);
    for words in [&["wait", "later"][..], &["exec", "later", "true"]] {
        verb(words).fails(125, &["'later' has a record of a later version", "launch rm later"]);
    }
    assert_eq!(verb(&["rm", "later"]).ok(), "later");
}

#[test]
fn bad_and_unknown_names() {
    let Some(s) = Sandbox::new() else { return };
    let long = "a".repeat(5000);
    for bad in ["", ".", "..", "a/b", "../x", "a b", "a\nb", "-x", ".x", &long] {
        s.run(&["--name", bad], &["true"]).fails(125, &["name '", "only [a-zA-Z0-9_.-]"]);
    }
    for name in ["x/y", "..", "a b"] {
        verb(&["stop", name]).fails(125, &["only [a-zA-Z0-9_.-]"]);
    }
    for words in [["stop", "x"], ["kill", "x"], ["rm", "x"], ["wait", "x"], ["inspect", "x"]] {
        verb(&words).fails(125, &["no container 'x'"]);
        verb(&words[..1]).fails(125, &["which container?", "launch "]);
    }
    verb(&["rm", "-f", "x"]).expect(0);
    let both = verb(&["stop", "x", "y"]).fails(125, &["no container 'x'"]);
    assert!(both.err.contains("\nlaunch: no container 'y'\n"), "{}", both.err);
    for signal in ["SIGFOO", "0", "99", "", "-9"] {
        verb(&["kill", "-s", signal, "x"]).fails(125, &["no such signal", "1 to 64"]);
    }
    verb(&["ps", "--al"]).fails(125, &["did you mean --all?"]);
    verb(&["stop", "--time", "-1", "x"]).fails(125, &["--time '-1'"]);
}

#[test]
fn ps_and_inspect_tell_what_was_asked_for() {
    let Some(s) = Sandbox::new() else { return };
    let command = ["sh", "-c", "exec sleep 60 # it's\nme"];
    let mut child = started(&s, "told", &["-e", "A=1 2", "--read-only"], &command);
    let seen = facts("told");
    assert_eq!(seen["command"][2], command[2]);
    assert_eq!(seen["rootfs"], s.rootfs().display().to_string());
    assert!(seen["uptime_seconds"].as_f64().unwrap() < 60.0);
    let table = verb(&["ps"]).ok();
    let line = table.lines().find(|l| l.starts_with("told ")).unwrap();
    assert!(line.contains("running") && line.contains("sh -c 'exec sleep 60 # it"), "{line}");
    assert_eq!(verb(&["ps", "-q"]).ok().lines().filter(|l| *l == "told").count(), 1);
    let all: serde_json::Value = serde_json::from_str(&verb(&["inspect", "told"]).ok()).unwrap();
    let all = &all[0];
    assert_eq!(all["spec"]["read_only"], true);
    assert!(all["environment"].as_array().unwrap().iter().any(|e| e == "A=1 2"), "{all:#}");
    let pid = seen["pid"].to_string();
    let own = std::fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap();
    assert_eq!(own.display().to_string(), format!("pid:[{}]", all["namespaces"]["pid"]));
    verb(&["rm", "told"]).fails(125, &["'told' runs as process", &pid, "rm -f told"]);
    assert_eq!(verb(&["rm", "-f", "told"]).ok(), "told");
    assert_eq!(status_code(child.wait().unwrap()), 137);
    assert_eq!(state("told"), "none");
}

#[test]
fn stop_gives_time_and_then_none() {
    let Some(s) = Sandbox::new() else { return };
    // Ready when the trap is set.
    let looping = |trap: &str| format!("{trap}; touch /ready; while :; do sleep 0.01; done");
    let ready = |name: &str, trap: &str| {
        let _ = std::fs::remove_file(s.rootfs().join("ready"));
        let child = started(&s, name, &[], &["sh", "-c", &looping(trap)]);
        wait_until("the trap is set", || s.rootfs().join("ready").exists());
        child
    };
    let mut child = ready("good", "trap 'exit 5' TERM");
    assert_eq!(verb(&["stop", "good"]).ok(), "good");
    assert_eq!(status_code(child.wait().unwrap()), 5);
    let mut deaf = ready("deaf", "trap '' TERM");
    verb(&["kill", "-s", "USR2", "deaf", "nobody"]).fails(125, &["no container 'nobody'"]);
    // USR2 killed it, as it is not process 1.
    assert_eq!(status_code(deaf.wait().unwrap()), 140);
    let mut deaf = ready("deaf", "trap '' TERM");
    let before = std::time::Instant::now();
    assert_eq!(verb(&["stop", "-t", "1", "deaf"]).ok(), "deaf");
    let took = before.elapsed().as_millis();
    assert!((900..5000).contains(&took), "{took} ms");
    assert_eq!(status_code(deaf.wait().unwrap()), 137);
}

#[test]
fn wait_tells_the_status() {
    let Some(s) = Sandbox::new() else { return };
    let mut child = started(&s, "w", &[], &["sh", "-c", "sleep 0.5; exit 9"]);
    let mut wait = Command::new(launch());
    let wait = wait.args(["wait", "w"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(status_code(child.wait().unwrap()), 9);
    let run = Run::from(wait.wait_with_output().unwrap());
    if run.code == 125 {
        return skip("the kernel does not tell how a process ended");
    }
    assert_eq!((run.code, run.out.as_str()), (9, "9\n"));
}

/// What nobody has asked for by name is written down a little later, if it lives.
#[test]
fn one_without_a_name_is_found_a_little_later() {
    let Some(s) = Sandbox::new() else { return };
    let start = || {
        let mut command = s.command(&["-T"], &["sh", "-c", "hostname; exec sleep 60"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut name = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut name).unwrap();
        (child, name.trim_end().to_owned())
    };
    let (mut child, name) = start();
    wait_until("it is listed", || state(&name) == "running");
    assert_eq!(verb(&["exec", &name, "hostname"]).ok(), name);
    assert_eq!(verb(&["stop", "-t", "0", &name]).ok(), name);
    child.wait().unwrap();
    assert_eq!(state(&name), "none");
    // Signals count before that, too.
    for signal in [Signal::TERM, Signal::KILL] {
        let (mut child, _) = start();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "{status}");
    }
    // After a kill it is the next start that clears up.
    s.run(&["-T"], &["true"]).ok();
}

//! Limits of containers that run.

use super::living::{facts, started, state, verb};
use crate::common::*;

/// Waits for /go, then wants 60 MB and many processes.
const WANTS: &str = "while [ ! -e /go ]; do sleep 0.01; done
    dd if=/dev/zero of=/dev/null bs=60M count=1 2>/dev/null; echo $? >/memory
    i=0; while [ $i -lt 30 ] && sleep 60 & do i=$((i+1)); done; exec sleep 60";

#[test]
fn of_kinds_that_it_was_started_without() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    s.run(&["-d", "--name", "u"], &["sh", "-c", WANTS]).ok();
    assert_eq!(facts("u")["memory_limit"], serde_json::Value::Null);
    verb(&["update", "--mem", "30M", "u"]).ok();
    verb(&["update", "--mem", "32M", "--cpus", "0.5", "--pids-limit", "9", "u"]).ok();
    let seen: serde_json::Value =
        serde_json::from_str(&verb(&["stats", "--json", "u"]).ok()).unwrap();
    assert_eq!(
        (&seen[0]["memory_limit"], &seen[0]["processes_limit"]),
        (&(32 << 20).into(), &9.into())
    );
    // Whoever comes later is in it, too, and nobody is in two.
    let own = verb(&["exec", "u", "cat", "/proc/self/cgroup"]).ok();
    assert_eq!(own, verb(&["exec", "u", "cat", "/proc/1/cgroup"]).ok());
    std::fs::write(s.rootfs().join("go"), "").unwrap();
    let memory = s.rootfs().join("memory");
    wait_until("it has wanted memory", || std::fs::read(&memory).is_ok_and(|t| !t.is_empty()));
    assert_eq!(std::fs::read_to_string(memory).unwrap(), "137\n");
    wait_until("no process more is made", || {
        verb(&["logs", "u"]).out.contains("can't fork") || state("u") == "ended"
    });
    verb(&["rm", "-f", "u"]).ok();
}

/// What has made a pid namespace of its own inside is not outside of it.
#[test]
fn of_pid_namespaces_inside() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let script = "unshare -pf sh -c 'unshare -pf sleep 1234' & exec sleep 60";
    s.run(&["-d", "--privileged", "--name", "u"], &["sh", "-c", script]).ok();
    let nested = || verb(&["top", "u"]).out.lines().filter(|l| l.ends_with("sleep 1234")).count();
    // Both unshares wait, one level further out each.
    wait_until("the nested one is seen", || nested() > 0);
    verb(&["update", "--pids-limit", "20", "--mem", "64M", "u"]).ok();
    let pid = verb(&["top", "u"]).out;
    let line = pid.lines().rfind(|l| l.ends_with(" sleep 1234")).unwrap();
    let pid = line.split_whitespace().next().unwrap();
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(groups.lines().any(|l| l.ends_with("/launch-u")), "{groups}");
    verb(&["pause", "u"]).ok();
    assert_eq!(state("u"), "paused");
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let frozen = |l: &&str| l.contains(":freezer:") || l.starts_with("0:");
    assert!(groups.lines().filter(frozen).any(|l| l.ends_with("/launch-u")), "{groups}");
    verb(&["rm", "-f", "u"]).ok();
}

/// What was added goes with its launcher, also that of launch pause.
#[test]
fn of_one_with_a_launcher() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let mut child = started(&s, "u", &[], &["sleep", "60"]);
    verb(&["update", "--mem", "30M", "--cpus", "1", "u"]).ok();
    assert_eq!(facts("u")["memory_limit"], 30 << 20);
    verb(&["update", "--mem", "20M", "u"]).ok();
    assert_eq!(facts("u")["memory_limit"], 20 << 20);
    verb(&["pause", "u"]).ok();
    assert_eq!(state("u"), "paused");
    verb(&["stop", "u"]).ok();
    assert_eq!(status_code(child.wait().unwrap()), 143);
}

/// As at its start, but an error there and then.
#[test]
fn an_ordinary_user_may_set_what_a_start_may() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let mut command = s.as_user(&["-d", "--name", "mine"], &["sleep", "60"]);
    Run::of(std::mem::replace(&mut command, s.as_user(&["--mem", "30M"], &["true"]))).ok();
    let allowed = Run::of(command).err.is_empty();
    let words = |words: &[&str]| {
        let mut c = std::process::Command::new(s.dir.join("launch"));
        as_user(c.args(words).current_dir("/"), USER, USER);
        Run::of(c)
    };
    let run = words(&["update", "--mem", "30M", "mine"]);
    match allowed {
        true => drop(run.ok()),
        false => drop(run.fails(125, &["--mem 30M: ", "hint: "])),
    }
    words(&["rm", "-f", "mine"]).ok();
}

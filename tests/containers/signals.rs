//! Signals to the launcher: to the payload, or the end; never lost, nothing left.

use super::living::{started, verb};
use crate::common::*;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NONE: &[&str] = &[];
const PATIENCE: Duration = Duration::from_secs(20);
const LOOP: &str = "echo ready; while :; do sleep 0.02; done";

/// A container whose script has said `ready`.
fn ready(mut c: Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "{}", finish(PATIENCE, child).status);
    (child, out)
}

fn send(child: &Child, signal: i32) {
    // Real-time signals have no name in rustix.
    let status =
        Command::new("/bin/sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status();
    assert!(status.unwrap().success());
}

fn rest(mut out: BufReader<std::process::ChildStdout>) -> String {
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn every_signal_reaches_the_payload_and_its_status_is_ours() {
    let Some(s) = Sandbox::new() else { return };
    for init in [NONE, &["--no-init"]] {
        for signal in [1, 2, 3, 10, 12, 15, 28, 34, 40, 64] {
            let script = format!("trap 'echo got; exit 77' {signal}; {LOOP}");
            let (child, out) = ready(s.command(init, &["sh", "-c", &script]));
            send(&child, signal);
            let end = finish(PATIENCE, child);
            assert_eq!(
                (end.status.code(), rest(out).as_str()),
                (Some(77), "got\n"),
                "{signal} {end:?}"
            );
            assert!(end.stderr.is_empty(), "{end:?}");
        }
    }
}

#[test]
fn the_usual_signals_end_an_ordinary_payload() {
    let Some(s) = Sandbox::new() else { return };
    for (signal, code) in [(15, 143), (2, 130), (1, 129)] {
        let mut c = s.command(NONE, &["sleep", "100"]);
        let child = c.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        send(&child, signal);
        assert_eq!(status_code(finish(PATIENCE, child).status), code);
    }
}

#[test]
fn a_payload_that_ignores_term_is_killed_after_the_stop_timeout() {
    let Some(s) = Sandbox::new() else { return };
    let stubborn = format!("trap '' TERM HUP; {LOOP}");
    // A payload that is process 1 without a handler ignores them, too.
    for (options, script) in
        [(NONE, stubborn.as_str()), (&["--no-init"], stubborn.as_str()), (&["--no-init"], LOOP)]
    {
        for signal in [15, 1] {
            let mut all = vec!["--stop-timeout", "1"];
            all.extend(options);
            let (child, _out) = ready(s.command(&all, &["sh", "-c", script]));
            let start = Instant::now();
            send(&child, signal);
            assert_eq!(status_code(finish(PATIENCE, child).status), 137);
            let took = start.elapsed();
            assert!(
                took >= Duration::from_millis(950) && took < Duration::from_secs(4),
                "{took:?}"
            );
            s.check_leaks();
        }
    }
}

#[test]
fn a_third_interrupt_kills() {
    let Some(s) = Sandbox::new() else { return };
    let (child, _out) = ready(s.command(NONE, &["sh", "-c", &format!("trap '' INT; {LOOP}")]));
    for _ in 0..3 {
        send(&child, 2);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(status_code(finish(PATIENCE, child).status), 137);
}

/// However early it comes, before the launcher's first line or between clone and exec.
#[test]
fn an_early_term_is_never_lost() {
    let Some(s) = Sandbox::new() else { return };
    let tries = rounds(150);
    for n in (0..tries).map(|n| u64::from(n * 150 / tries)) {
        let child = s.command(NONE, &["sleep", "100"]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(n * 40));
        kill_process(pid_of(&child), Signal::TERM).unwrap();
        let end = finish(Duration::from_secs(8), child);
        assert_eq!(status_code(end.status), 143, "after {} us", n * 40);
    }
    s.check_leaks();
}

#[test]
fn a_killed_launcher_takes_everything_along() {
    let Some(s) = Sandbox::new() else { return };
    let beat = s.dir.join("vol");
    std::fs::create_dir(&beat).unwrap();
    let volume = format!("{}:/vol", beat.display());
    let script = "echo x >>/vol/beat; echo ready; (setsid sh -c 'while :; do echo x >>/vol/beat; sleep 0.01; done' &); while :; do echo x >>/vol/beat; sleep 0.01; done";
    let limited = s.run(&["--mem", "50M", "--explain"], &["true"]).err.is_empty();
    for init in [None, Some("--no-init")] {
        let mut options = vec!["-v", volume.as_str()];
        options.extend(init);
        if limited {
            options.extend(["--mem", "50M", "--pids-limit", "50"]);
        }
        let (child, _out) = ready(s.command(&options, &["sh", "-c", script]));
        kill_process(pid_of(&child), Signal::KILL).unwrap();
        assert_eq!(status_code(finish(PATIENCE, child).status), 137);
        std::thread::sleep(Duration::from_millis(300));
        let size = || std::fs::metadata(beat.join("beat")).unwrap().len();
        let then = size();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(then, size(), "something still runs");
        // The next start clears the rest.
        s.run(NONE, &["true"]).ok();
        s.check_leaks();
    }
}

/// The child of process `pid`.
fn child_of(pid: Pid) -> Option<Pid> {
    let pid = pid.as_raw_nonzero();
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Pid::from_raw(list.split_whitespace().next()?.parse().ok()?)
}

fn state(pid: Pid) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[test]
fn stopped_and_continued() {
    let Some(s) = Sandbox::new() else { return };
    let (child, out) =
        ready(s.command(NONE, &["sh", "-c", &format!("trap 'echo got; exit 4' USR1; {LOOP}")]));
    let launcher = pid_of(&child);
    let payload = child_of(launcher).and_then(child_of).expect("init and its child");
    // 20 is TSTP: it reaches the payload, which stops as it would without us.
    send(&child, 20);
    wait_until("the payload stops", || state(payload) == 'T');
    send(&child, 18);
    wait_until("the payload goes on", || state(payload) != 'T');
    send(&child, 10);
    assert_eq!((status_code(finish(PATIENCE, child).status), rest(out).as_str()), (4, "got\n"));
}

/// The launcher itself stopped and continued, as `kill -STOP` by hand does.
#[test]
fn a_stopped_launcher_loses_no_end() {
    let Some(s) = Sandbox::new() else { return };
    let (child, _out) = ready(s.command(NONE, &["sh", "-c", "echo ready; sleep 0.2; exit 6"]));
    kill_process(pid_of(&child), Signal::STOP).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    kill_process(pid_of(&child), Signal::CONT).unwrap();
    assert_eq!(status_code(finish(PATIENCE, child).status), 6);
}

#[test]
fn what_the_payload_leaves_running_ends_with_it() {
    let Some(s) = Sandbox::new() else { return };
    for init in [NONE, &["--no-init"]] {
        let start = Instant::now();
        s.sh(init, "(setsid sleep 100 &); sleep 100 & sleep 0.1; exit 3").expect(3);
        assert!(start.elapsed() < Duration::from_secs(5));
        s.check_leaks();
    }
}

/// Nor does what came in later stay behind without the one who sent it in.
#[test]
fn a_killed_exec_takes_its_process_along() {
    let Some(s) = Sandbox::new() else { return };
    let mut container = started(&s, "stays", &[], &["sleep", "60"]);
    let inside = |command: &str| verb(&["top", "stays"]).out.matches(command).count();
    for options in [&[][..], &["-t"], &["-u", "5:6"]] {
        if !is_root() && options.contains(&"-u") {
            continue;
        }
        let mut c = Command::new(launch());
        c.arg("exec").args(options).args(["stays", "sleep", "77"]);
        let mut child = c.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        wait_until("it is inside", || inside("sleep 77") == 1);
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("it is gone", || inside("sleep 77") == 0);
        // It has become a child of ours, and a namespace ends when all in it have been reaped.
        while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
    }
    assert!(inside("sleep 60") > 0);
    verb(&["rm", "-f", "stays"]).expect(0);
    container.wait().unwrap();
}

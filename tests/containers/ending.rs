//! Which signal arrives: of stop, of kill, of the launcher's own.

use super::living::{facts, started, state, verb};
use crate::common::*;
use std::process::Child;

/// Tells which signals come, and ends by each but USR2.
const TELLS: &str = "for s in TERM QUIT USR1 HUP; do trap \"echo $s >>/told; exit 7\" $s; done
    trap 'echo USR2 >>/told' USR2; : >/up; while :; do sleep 0.01; done";

fn begin(s: &Sandbox, options: &[&str]) {
    for file in ["up", "told"] {
        let _ = std::fs::remove_file(s.rootfs().join(file));
    }
    s.run(&[&["-d", "--name", "told"], options].concat(), &["sh", "-c", TELLS]).ok();
    wait_until("it is up", || s.rootfs().join("up").exists());
}

fn told(s: &Sandbox) -> String {
    std::fs::read_to_string(s.rootfs().join("told")).unwrap_or_default().replace('\n', " ")
}

#[test]
fn kill_sends_what_it_is_told_and_stop_the_stop_signal() {
    let Some(s) = Sandbox::new() else { return };
    for init in [&["--stop-signal", "QUIT"][..], &["--stop-signal", "QUIT", "--no-init"]] {
        begin(&s, init);
        verb(&["kill", "--signal", "USR2", "told"]).ok();
        wait_until("USR2 is told", || told(&s) == "USR2 ");
        verb(&["kill", "-s", "TERM", "told"]).ok();
        wait_until("it has ended", || state("told") == "ended");
        assert_eq!(told(&s), "USR2 TERM ");
        begin(&s, init);
        verb(&["stop", "told"]).ok();
        assert_eq!((told(&s).as_str(), state("told").as_str()), ("QUIT ", "ended"));
    }
    verb(&["rm", "told"]).ok();
}

/// The same with a launcher, whose own TERM is a stop.
#[test]
fn attached_too() {
    let Some(s) = Sandbox::new() else { return };
    let begin = || -> Child {
        for file in ["up", "told"] {
            let _ = std::fs::remove_file(s.rootfs().join(file));
        }
        let child = started(&s, "told", &["--stop-signal", "USR1"], &["sh", "-c", TELLS]);
        wait_until("it is up", || s.rootfs().join("up").exists());
        child
    };
    let mut child = begin();
    verb(&["kill", "-s", "TERM", "told"]).ok();
    assert_eq!((status_code(child.wait().unwrap()), told(&s).as_str()), (7, "TERM "));
    let mut child = begin();
    verb(&["stop", "told"]).ok();
    assert_eq!((status_code(child.wait().unwrap()), told(&s).as_str()), (7, "USR1 "));
    let mut child = begin();
    rustix::process::kill_process(pid_of(&child), rustix::process::Signal::TERM).unwrap();
    assert_eq!((status_code(child.wait().unwrap()), told(&s).as_str()), (7, "USR1 "));
}

/// No start follows a stop, whatever the signal; one follows any other end.
#[test]
fn what_is_stopped_is_not_started_again() {
    let Some(s) = Sandbox::new() else { return };
    let always = ["--restart", "always"];
    for (options, words, told_of) in [
        (&["--stop-signal", "USR1"][..], &[][..], "USR1 "),
        (&["--stop-signal", "QUIT"], &[], "QUIT "),
        (&[], &["-s", "HUP"], "HUP "),
        (&[], &[], "TERM "),
    ] {
        begin(&s, &[&always, options].concat());
        let before = std::time::Instant::now();
        verb(&[&["stop"], words, &["told"]].concat()).ok();
        assert!(before.elapsed().as_secs() < 5, "{options:?} {words:?}");
        assert_eq!(told(&s), told_of, "{options:?} {words:?}");
        assert_eq!(facts("told")["exit_code"], 7, "{options:?} {words:?}");
    }
    begin(&s, &always);
    std::fs::remove_file(s.rootfs().join("up")).unwrap();
    verb(&["kill", "-s", "HUP", "told"]).ok();
    wait_until("it is up again", || s.rootfs().join("up").exists());
    if is_root() {
        verb(&["pause", "told"]).ok();
    }
    verb(&["stop", "told"]).ok();
    verb(&["rm", "told"]).ok();
}

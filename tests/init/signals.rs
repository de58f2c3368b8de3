//! Every signal reaches the payload, from the first moment on, once.

use super::*;
use std::os::unix::process::CommandExt;

/// Without 9 and 19, which nobody can catch, and, below unshare, without 32 and 33,
/// which its libc never leaves blocked.
fn catchable(mode: Mode) -> impl Iterator<Item = i32> {
    // The kernel drops a pending CONT for TSTP, TTIN and TTOU: it has a test of its own.
    (1..=64).filter(move |s| {
        ![9, 18, 19].contains(s) && (mode == Mode::Reaper || ![32, 33].contains(s))
    })
}

/// All but KILL and STOP are caught or ignored once the kernel reaps.
const SETTLED: u64 = !(1 << 8 | 1 << 18);

/// Starts with this kernel signal mask.
fn with_mask(command: &mut Command, mask: u64) -> &mut Command {
    // SAFETY: one system call between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let how = libc::SIG_SETMASK;
            libc::syscall(libc::SYS_rt_sigprocmask, how, &mask, std::ptr::null::<u64>(), 8);
            Ok(())
        })
    }
}

/// A payload that blocks everything shows what it got as pending.
#[test]
fn every_signal_is_forwarded() {
    let Some(()) = need_namespaces() else { return };
    for mode in MODES {
        for (options, orphans) in
            [(&[][..], 0), (&["-g"], 0), (&["-w"], 0), (&["-c"], 0), (&[], 100), (&["-g"], 100)]
        {
            let mut command = command(mode);
            with_mask(&mut command, u64::MAX);
            let text = format!(
                "i=0; while [ $i -lt {orphans} ]; do (true &); i=$((i+1)); done; exec sleep 100"
            );
            let child = start(command.args(options).args(["sh", "-c", &text]));
            let init = init_pid(mode, &child);
            let payload = only_child(init);
            eventually("sleep", || (comm(payload)? == "sleep").then_some(()));
            if orphans > 0 && kernel_reaps() {
                // Ignoring CHLD, for the kernel to reap, forgets those already sent.
                eventually("the kernel's reaping", || {
                    ((mask(init, "SigIgn") | mask(init, "SigCgt")) == SETTLED).then_some(())
                });
            }
            for signal in catchable(mode) {
                kill(init, signal);
            }
            let wanted = catchable(mode).fold(0, |mask, signal| mask | 1 << (signal - 1));
            let mut seen = 0;
            for _ in 0..2000 {
                seen = mask(payload, "ShdPnd");
                if seen == wanted {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(
                seen,
                wanted,
                "{mode:?} {options:?}: missing {:#x}, more {:#x}",
                wanted & !seen,
                seen & !wanted
            );
            kill(payload, libc::SIGKILL);
            assert_eq!(finish(child).code, 137);
        }
    }
}

#[test]
fn each_real_time_signal_arrives() {
    let mut command = Command::new(INIT);
    with_mask(&mut command, 1 << 39);
    let child = start(command.args(["sleep", "100"]));
    let init = child.id() as i32;
    let payload = only_child(init);
    eventually("sleep", || (comm(payload)? == "sleep").then_some(()));
    let queued =
        || status(payload, "SigQ").unwrap().split('/').next().unwrap().parse::<u32>().unwrap();
    let before = queued();
    for _ in 0..50 {
        kill(init, 40);
    }
    // The count is the user's, so others may add to it.
    eventually("50 signals", || (queued() >= before + 50).then_some(()));
    kill(payload, libc::SIGKILL);
    finish(child);
}

#[test]
fn none_is_lost_at_the_start() {
    let Some(busybox) = common::busybox() else { return };
    for options in [&[][..], &["-g"]] {
        for i in 0..500 {
            let child = start(Command::new(INIT).args(options).arg(&busybox).args(["sleep", "3"]));
            let moment = Instant::now() + Duration::from_micros(i * 4);
            while Instant::now() < moment {}
            kill(child.id() as i32, libc::SIGTERM);
            let outcome = finish(child);
            assert_eq!(outcome.code, 143, "TERM after {} us: {outcome:?}", i * 4);
        }
    }
}

#[test]
fn payload_finds_mask_and_dispositions_as_we_did() {
    let Some(()) = need_namespaces() else { return };
    for mode in MODES {
        let mut command = command(mode);
        // SAFETY: system calls between fork and exec.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGUSR1, libc::SIGPIPE, libc::SIGHUP, libc::SIGCHLD] {
                    libc::signal(signal, libc::SIG_IGN);
                }
                Ok(())
            })
        };
        with_mask(&mut command, 1 << 9 | 1 << 20 | 1 << 50);
        let outcome = run(command.args(["--", "cat", "/proc/self/status"]));
        // Bits 1, 10, 13 and 17; unshare itself changes what it does with CHLD.
        let lines: Vec<&str> = outcome
            .out
            .lines()
            .filter(|l| l.starts_with("Sig") && !l.starts_with("SigQ"))
            .collect();
        let lines = &lines[1..];
        assert!(lines[0].ends_with("0004000000100200"), "{mode:?} {outcome:?}");
        assert!(lines[1].ends_with("1201") || lines[1].ends_with("11201"), "{mode:?} {outcome:?}");
        assert!(lines[2].ends_with("0000000000000000"), "{mode:?} {outcome:?}");
    }
}

/// The launcher blocks them all until init runs; its payload begins with none blocked.
#[test]
fn launched_payload_begins_with_no_signal_blocked() {
    let mut command = Command::new(INIT);
    with_mask(&mut command, u64::MAX);
    let outcome = run(command.args(["--launched", "--", "cat", "/proc/self/status"]));
    assert!(outcome.out.contains("SigBlk:\t0000000000000000\n"), "{outcome:?}");
}

#[test]
fn rewriting() {
    for (rule, code) in [("TERM:INT", 130), ("15:1", 129), ("SIGTERM:USR1", 138)] {
        let child = start(Command::new(INIT).args(["-r", rule, "sleep", "100"]));
        let payload = only_child(child.id() as i32);
        eventually("sleep", || (comm(payload)? == "sleep").then_some(()));
        kill(child.id() as i32, libc::SIGTERM);
        assert_eq!(finish(child).code, code, "{rule}");
    }
    let child = start(Command::new(INIT).args(["-r", "TERM:0", "sleep", "0.5"]));
    only_child(child.id() as i32);
    kill(child.id() as i32, libc::SIGTERM);
    assert_eq!(finish(child).code, 0);
}

/// The group gets it in group mode, and dumb-init's default is that.
#[test]
fn group_mode() {
    for (name, options, reached) in [
        ("init", &["-g"][..], true),
        ("init", &[], false),
        ("dumb-init", &[], true),
        ("dumb-init", &["-c"], false),
    ] {
        let mut command = Command::new(INIT);
        with_mask(&mut command, u64::MAX);
        let child = start(command.arg0(name).args(options).args(["sh", "-c", "sleep 100 & wait"]));
        let payload = only_child(child.id() as i32);
        let inner = only_child(payload);
        eventually("sleep", || (comm(inner)? == "sleep").then_some(()));
        kill(child.id() as i32, libc::SIGUSR1);
        let has = |pid| mask(pid, "ShdPnd") & 1 << 9 != 0;
        eventually("the signal", || has(payload).then_some(()));
        assert_eq!(has(inner), reached, "{name} {options:?}");
        kill(inner, libc::SIGKILL);
        kill(payload, libc::SIGKILL);
        finish(child);
    }
}

/// dumb-init's own session cannot be stopped by TSTP, so it gets STOP.
#[test]
fn session_of_dumb_init() {
    let child = start(Command::new(INIT).arg0("dumb-init").args(["sleep", "100"]));
    let payload = only_child(child.id() as i32);
    eventually("sleep", || (comm(payload)? == "sleep").then_some(()));
    // SAFETY: a number.
    assert_eq!(unsafe { libc::getsid(payload) }, payload);
    kill(child.id() as i32, libc::SIGTSTP);
    eventually("a stop", || status(payload, "State")?.starts_with('T').then_some(()));
    kill(child.id() as i32, libc::SIGCONT);
    eventually("going on", || status(payload, "State")?.starts_with('S').then_some(()));
    kill(child.id() as i32, libc::SIGTERM);
    assert_eq!(finish(child).code, 143);
}

#[test]
fn pause() {
    let Some(()) = need_namespaces() else { return };
    for mode in MODES {
        for signal in [libc::SIGTERM, libc::SIGINT] {
            let child = start(command(mode).arg("-P"));
            let init = init_pid(mode, &child);
            eventually("the wait", || (mask(init, "SigIgn") & 1 << 16 != 0).then_some(()));
            kill(init, libc::SIGUSR1);
            kill(init, signal);
            assert_eq!(finish(child).code, 0);
        }
    }
}

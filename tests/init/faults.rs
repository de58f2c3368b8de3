//! A system call that fails where it never does: init stays alive, and right.

use super::*;

/// Those of the steady state, and of settling into it.
const CALLS: [&str; 17] = [
    "ppoll",
    "rt_sigqueueinfo",
    "pidfd_open",
    "wait4",
    "ioctl",
    "kill",
    "rt_sigaction",
    "signalfd4",
    "close_range",
    "dup3",
    "chdir",
    "uname",
    "clock_gettime",
    "read",
    "prctl",
    "getpgid",
    "rt_sigtimedwait",
];

fn injected(call: &str, fault: &str, options: &[&str], text: &str) -> Outcome {
    let mut command = Command::new("strace");
    command.args([
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={call}"),
        "-e",
        &format!("inject={call}:{fault}"),
    ]);
    run(command.arg(INIT).args(options).args(["--", "sh", "-c", text]))
}

fn need_strace() -> Option<()> {
    need_program("strace")?;
    let works = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|s| s.success());
    common::need(works.then_some(()), "needs the right to trace")
}

#[test]
fn a_failing_call_never_changes_the_result() {
    let Some(()) = need_strace() else { return };
    // The payload has orphans, enough for the kernel to be told to reap, signals us and
    // leaves something behind.
    let text = "i=0; while [ $i -lt 40 ]; do (true &); i=$((i+1)); done; kill -USR2 $PPID; trap '' USR1; kill -USR1 $PPID; sleep 0.02; sleep 100 >&- 2>&- & exit 7";
    let try_one = |call: &str, fault: &str, options: &[&str]| {
        let outcome = injected(call, fault, options, text);
        assert_eq!(outcome.code, 7, "{call} {fault} {options:?}: {outcome:?}");
        assert!(outcome.took < Duration::from_secs(10), "{call} {fault}: {outcome:?}");
    };
    // Each one mostly waits.
    std::thread::scope(|scope| {
        for call in CALLS {
            scope.spawn(move || {
                for fault in ["error=ENOMEM:when=1", "error=EPERM:when=2+2"] {
                    try_one(call, fault, &["--grace", "1", "-r", "USR2:0"]);
                    try_one(call, fault, &["--grace", "1", "-r", "USR2:0", "-w"]);
                }
            });
        }
    });
}

#[test]
fn a_call_that_always_fails() {
    let Some(()) = need_strace() else { return };
    for call in [
        "rt_sigqueueinfo",
        "rt_sigtimedwait",
        "pidfd_open",
        "kill",
        "signalfd4",
        "uname",
        "close_range",
        "dup3",
        "chdir",
        "prctl",
        "ppoll",
    ] {
        let outcome = injected(call, "error=EPERM", &["--grace", "1"], "sleep 0.05; exit 7");
        assert_eq!(outcome.code, 7, "{call}: {outcome:?}");
    }
}

/// Without what Linux 6.15 has the wait loop does it, with the same result.
#[test]
fn old_kernels() {
    let Some(()) = need_strace() else { return };
    for (call, fault) in
        [("ioctl", "error=ENOTTY"), ("uname", "error=ENOSYS"), ("pidfd_open", "error=ENOSYS")]
    {
        let child =
            {
                let mut command = Command::new("strace");
                command.args([
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    &format!("inject={call}:{fault}"),
                    INIT,
                    "sh",
                    "-c",
                ]);
                start(command.arg(
                    "trap 'exit 9' USR1; echo up; (sleep 0.01 &); while :; do sleep 0.01; done",
                ))
            };
        // strace itself has other children for a moment.
        let init = eventually("init", || {
            let pid = only_child(child.id() as i32);
            (comm(pid)? == "init").then_some(pid)
        });
        let payload = only_child(init);
        eventually("the trap", || (mask(payload, "SigCgt") & 1 << 9 != 0).then_some(()));
        kill(init, libc::SIGUSR1);
        assert_eq!(finish(child).code, 9, "{call}");
    }
}

/// At most two system calls for a signal passed on, in the end none for an orphan.
#[test]
fn system_calls_per_event() {
    let Some(()) = need_strace() else { return };
    let dir = Dir::new("calls");
    let count = |text: &str| -> usize {
        let log = dir.0.join("log");
        let mut command = Command::new("strace");
        command.arg("-qq").arg("-o").arg(&log).args([INIT, "sh", "-c", text]);
        assert_eq!(run(&mut command).code, 0);
        fs::read_to_string(&log).unwrap().lines().filter(|l| !l.starts_with("---")).count()
    };
    let none = count("sleep 0.05; :");
    let signals = count(
        "trap : USR1; i=0; while [ $i -lt 50 ]; do kill -USR1 $PPID; sleep 0.005; i=$((i+1)); done",
    );
    assert!(signals <= none + 2 * 50 + 4, "{signals} calls, {none} without signals");
    // The first ones are waited for; then the kernel is told to reap, which takes a
    // call for each signal.
    let orphans = count("i=0; while [ $i -lt 300 ]; do (true &); i=$((i+1)); done; sleep 0.1");
    let most = if kernel_reaps() { 200 } else { 3 * 300 + 10 };
    assert!(orphans <= none + most, "{orphans} calls, {none} without orphans");
}

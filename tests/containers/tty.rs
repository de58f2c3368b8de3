//! The container's own terminal: size, keys, job control, and the caller's terminal left
//! as it was and out of reach.

use super::living::{started, verb};
use crate::common::*;
use crate::terminal::{Terminal, lines};
use rustix::termios::{LocalModes, Termios};
use std::process::Command;
use std::time::Duration;

const NONE: &[&str] = &[];

fn start(s: &Sandbox, options: &[&str], script: &str) -> Option<Terminal> {
    Terminal::start(&s.command(options, &["sh", "-c", script]), 30, 100)
}

fn same(a: &Termios, b: &Termios) -> bool {
    a.input_modes == b.input_modes
        && a.output_modes == b.output_modes
        && a.control_modes == b.control_modes
        && a.local_modes == b.local_modes
}

#[test]
fn a_pty_of_its_own_with_the_callers_size() {
    let Some(s) = Sandbox::new() else { return };
    for init in [NONE, &["--no-init"], &["-t"]] {
        let script = "tty; stty size; echo $TERM; test -t 0 -a -t 1 -a -t 2 && echo all; (: </dev/tty) && echo own; ls /dev/pts";
        let Some(mut t) = start(&s, init, script) else { return };
        let (code, out) = t.end();
        assert_eq!(
            lines(&out),
            ["/dev/pts/0", "30 100", "xterm", "all", "own", "0     ptmx"],
            "{out}"
        );
        assert_eq!(code, 0);
    }
}

#[test]
fn a_change_of_size_arrives() {
    let Some(s) = Sandbox::new() else { return };
    let Some(mut t) = start(
        &s,
        NONE,
        "trap 'trap \"\" WINCH; stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done",
    ) else {
        return;
    };
    t.expect("ready");
    t.resize(41, 132);
    let (code, out) = t.end();
    assert_eq!((code, lines(&out)), (3, vec!["41 132"]));
}

#[test]
fn an_interrupt_key_reaches_the_payload_once() {
    let Some(s) = Sandbox::new() else { return };
    for init in [NONE, &["--no-init"]] {
        let script = "n=0; trap 'n=$((n+1)); echo got $n' INT; echo ready; while [ $n -lt 1 ]; do sleep 0.05; done; sleep 0.3; echo end $n";
        let Some(mut t) = start(&s, init, script) else { return };
        t.expect("ready");
        t.type_in("\x03");
        let (code, out) = t.end();
        assert!(
            code == 0 && out.contains("got 1") && out.contains("end 1") && !out.contains("got 2"),
            "{out}"
        );
    }
}

#[test]
fn keys_arrive_as_typed_and_output_is_copied_whole() {
    let Some(s) = Sandbox::new() else { return };
    let lines = rounds(20000) as usize;
    let script = format!(
        "stty -echo; echo ready; read x; echo \"<$x>\"; yes 0123456789abcdef | head -{lines}; echo end"
    );
    let Some(mut t) = start(&s, NONE, &script) else { return };
    t.expect("ready\r\n");
    t.type_in("h\u{e4}llo w\n");
    t.expect("<h\u{e4}llo w>\r\n");
    let all = t.expect("end\r\n");
    assert_eq!(all.matches("0123456789abcdef\r\n").count(), lines);
    assert_eq!(t.end().0, 0);
}

#[test]
fn a_shell_has_job_control() {
    let Some(s) = Sandbox::new() else { return };
    for init in [NONE, &["--no-init"]] {
        let command = s.command(init, &["sh", "-i"]);
        let Some(mut t) = Terminal::start(&command, 24, 80) else { return };
        let banner = t.expect("# ");
        assert!(
            !banner.contains("can't access tty") && !banner.contains("job control"),
            "{banner}"
        );
        t.type_in("sleep 77\n");
        t.expect("sleep 77");
        std::thread::sleep(Duration::from_millis(200));
        t.type_in("\x1a");
        t.expect("Stopped");
        t.type_in("jobs\n");
        t.expect("sleep 77");
        t.type_in("bg\n");
        t.expect("sleep 77");
        t.type_in("kill %1; wait; echo $((40+2))\n");
        t.expect("42");
        t.type_in("sleep 77\n");
        std::thread::sleep(Duration::from_millis(200));
        t.type_in("\x03");
        t.type_in("exit 9\n");
        assert_eq!(t.end().0, 9);
    }
}

#[test]
fn a_closed_terminal_ends_the_container() {
    let Some(s) = Sandbox::new() else { return };
    for (script, options, code) in [
        ("echo ready; sleep 100", NONE, 129),
        ("trap '' HUP; echo ready; while :; do sleep 0.05; done", &["--stop-timeout", "1"], 137),
        ("trap 'exit 44' HUP; echo ready; while :; do sleep 0.05; done", NONE, 44),
    ] {
        let Some(mut t) = start(&s, options, script) else { return };
        t.expect("ready");
        t.close();
        let end = finish(Duration::from_secs(15), t.take_child());
        assert_eq!(status_code(end.status), code, "{script}");
        s.check_leaks();
    }
}

#[test]
fn the_callers_settings_are_restored_however_it_ends() {
    let Some(s) = Sandbox::new() else { return };
    for (script, signal) in [
        ("stty raw -echo; echo ready; read x", None),
        ("echo ready; sleep 100", Some("TERM")),
        ("echo ready; sleep 100", Some("INT")),
    ] {
        let Some(mut t) = start(&s, NONE, script) else { return };
        t.expect("ready");
        let during = t.settings();
        assert!(
            !during
                .local_modes
                .intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
        );
        match signal {
            None => t.type_in("x\n"),
            Some(name) => {
                let line = format!("kill -{name} {}", t.id());
                assert!(
                    std::process::Command::new("/bin/sh")
                        .args(["-c", &line])
                        .status()
                        .unwrap()
                        .success()
                );
            }
        }
        t.end();
        let after = t.settings();
        assert!(
            after.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
        );
        let Some(fresh) = Terminal::start(&std::process::Command::new("true"), 1, 1) else {
            return;
        };
        assert!(same(&after, &fresh.settings()), "{after:?}");
    }
}

#[test]
fn after_a_failed_start_the_settings_are_restored() {
    let Some(s) = Sandbox::new() else { return };
    for command in ["/none", "/bin/sh"] {
        let Some(mut t) = Terminal::start(&s.command(&["-w", "/none"], &[command]), 24, 80) else {
            return;
        };
        let (code, out) = t.end();
        assert!(code == 125 || code == 127, "{code} {out}");
        assert!(t.settings().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
        // Shown as lines: the terminal was not raw when it was written.
        assert!(out.starts_with("launch: ") && out.ends_with("\r\n"), "{out:?}");
    }
}

/// ioctl(0, TIOCSTI, "x"), then exits with the errno.
fn typist() -> Vec<u8> {
    let mut text = vec![0xb8, 16, 0, 0, 0, 0x31, 0xff, 0xbe, 0x12, 0x54, 0, 0];
    text.extend([0x48, 0x8d, 0x15, 13, 0, 0, 0, 0x0f, 0x05]);
    text.extend([0xf7, 0xd8, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05, b'x']);
    elf(62, &text)
}

#[test]
fn nothing_can_be_typed_into_the_callers_terminal() {
    let Some(s) = Sandbox::new() else { return };
    if need((std::env::consts::ARCH == "x86_64").then_some(()), "has x86_64 code").is_none() {
        return;
    }
    let program = s.file("/typist", typist(), 0o755);
    // It works where nobody prevents it; newer kernels do (EIO).
    let Some(mut t) = Terminal::start(&std::process::Command::new(&program), 24, 80) else {
        return;
    };
    assert!([0, 5].contains(&t.end().0));
    for init in [&["-T"][..], &["-T", "--no-init"], &["-T", "--cap-drop", "ALL"]] {
        let Some(mut t) = Terminal::start(&s.command(init, &["/typist"]), 24, 80) else { return };
        let (code, out) = t.end();
        assert!([1, 5, 25].contains(&code), "{code} {out}");
        assert_eq!(out, "", "typed into the caller's terminal");
    }
    // Descriptors 0 to 2 are the caller's, but it is nobody's controlling terminal inside.
    let Some(mut t) =
        start(&s, &["-T"], "tty >/dev/null; cut -d' ' -f7 /proc/self/stat; (: </dev/tty) 2>&1")
    else {
        return;
    };
    let (_, out) = t.end();
    assert!(lines(&out)[0] == "0" && out.contains("No such device or address"), "{out}");
}

/// Nor by a second process, which comes in with the caller's as its standard input.
#[test]
fn nor_by_exec() {
    let Some(s) = Sandbox::new() else { return };
    let mut child = started(&s, "typist", &[], &["sleep", "60"]);
    let mut c = Command::new(launch());
    c.args(["exec", "-T", "typist", "sh", "-c"]);
    c.arg("test -t 0 && cut -d' ' -f7 /proc/self/stat; (: </dev/tty) 2>&1");
    if let Some(mut t) = Terminal::start(&c, 24, 80) {
        let (_, out) = t.end();
        assert!(lines(&out)[0] == "0" && out.contains("No such device or address"), "{out}");
    }
    verb(&["rm", "-f", "typist"]).expect(0);
    child.wait().unwrap();
}

#[test]
fn a_terminal_where_the_caller_has_none() {
    let Some(s) = Sandbox::new() else { return };
    assert_eq!(s.run(&["-t"], &["tty"]).ok(), "/dev/pts/0\r");
    // The end of input is the end of a file, typed.
    let mut c = s.command(&["-t"], &["sh", "-c", "stty -echo; cat; echo end"]);
    let mut child =
        c.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"line\n").unwrap();
    let out = finish(Duration::from_secs(10), child);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("line\r\n") && text.ends_with("end\r\n"), "{text:?}");
}

/// In the background it must not take the terminal from the shell in front.
#[test]
fn in_the_background_the_terminal_is_left_alone() {
    let Some(s) = Sandbox::new() else { return };
    let line = format!(
        "set -m; {} {} sh -c 'tty; echo inside; sleep 0.5' & sleep 0.3; stty -a | grep -o ' icanon'; wait; echo end",
        launch().display(),
        s.rootfs().display()
    );
    let mut c = std::process::Command::new("/bin/sh");
    c.args(["-c", &line]);
    let Some(mut t) = Terminal::start(&c, 24, 80) else { return };
    let (code, out) = t.end();
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("inside") && out.contains(" icanon") && out.contains("end\r\n"), "{out}");
    assert!(!out.contains("/dev/pts/0\r\n/dev"), "{out}");
}

/// Nor may it take what is typed there; with -t it stops, as any job that wants the terminal.
#[test]
fn in_the_background_nothing_typed_is_taken() {
    let Some(s) = Sandbox::new() else { return };
    let (program, rootfs) = (launch(), s.rootfs());
    let (program, rootfs) = (program.display(), rootfs.display());
    let line = format!(
        "set -m; {program} {rootfs} sh -c 'cat; echo none; sleep 0.3' & sleep 0.4; echo ready; \
         read x; echo shell got $x; wait; {program} -t {rootfs} echo late & sleep 0.4; jobs; fg; echo end"
    );
    let mut c = std::process::Command::new("/bin/sh");
    c.args(["-c", &line]);
    let Some(mut t) = Terminal::start(&c, 24, 80) else { return };
    t.expect("ready");
    t.type_in("words\n");
    let (code, out) = t.end();
    assert_eq!(code, 0, "{out}");
    for words in ["shell got words", "Stopped", "late", "end\r\n"] {
        assert!(out.contains(words), "no {words} in {out}");
    }
}

/// ^Z typed into a payload without job control of its own stops nothing for good.
#[test]
fn a_stop_from_outside_and_a_continue_keep_the_terminal() {
    let Some(s) = Sandbox::new() else { return };
    let Some(mut t) = start(&s, NONE, "echo ready; read x; echo got $x") else { return };
    t.expect("ready");
    let signal = |name: &str, id: u32| {
        let line = format!("kill -{name} {id}");
        assert!(
            std::process::Command::new("/bin/sh").args(["-c", &line]).status().unwrap().success()
        );
    };
    signal("STOP", t.id());
    signal("CONT", t.id());
    std::thread::sleep(Duration::from_millis(100));
    assert!(!t.settings().local_modes.contains(LocalModes::ICANON), "raw again");
    t.type_in("word\r");
    t.expect("got word");
    assert_eq!(t.end().0, 0);
}

/// Nobody reads any more, or nothing can be written: as when a terminal is closed.
#[test]
fn output_that_goes_nowhere_ends_it() {
    let Some(s) = Sandbox::new() else { return };
    let call = |behind: &str| {
        let mut c = Command::new("sh");
        let (launch, rootfs) = (launch(), s.rootfs());
        c.arg("-c").arg(format!("{} -t {} yes {behind}", launch.display(), rootfs.display()));
        c.stdin(std::process::Stdio::null());
        Run::within(std::time::Duration::from_secs(9), c)
    };
    assert_eq!(call("| head -1").expect(0).out.trim_end(), "y");
    call(">/dev/full").expect(129);
}

#[test]
fn exec_has_a_terminal_like_a_start() {
    let Some(s) = Sandbox::new() else { return };
    let mut child = super::living::started(&s, "tt", &[], &["sleep", "60"]);
    let mut c = Command::new(launch());
    c.args(["exec", "tt", "sh", "-c", "tty; stty size; read x; echo got $x; stty size; exit 6"]);
    let mut t = Terminal::start(&c, 31, 99).expect("busybox is there");
    assert!(t.expect("31 99").contains("/dev/pts/"));
    t.resize(20, 50);
    t.type_in("word\n");
    t.expect("got word");
    t.expect("20 50");
    assert_eq!(t.end().0, 6);
    super::living::verb(&["stop", "tt"]).expect(0);
    child.wait().unwrap();
}

//! Standard input, output and error: the caller's own, byte for byte, and nothing else.

use crate::common::*;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const NONE: &[&str] = &[];

#[test]
fn bytes_pass_unchanged_in_and_out() {
    let Some(s) = Sandbox::new() else { return };
    let data: Vec<u8> =
        (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for init in [NONE, &["--no-init"]] {
        let mut c = s.command(init, &["sh", "-c", "tee /dev/stderr"]);
        let mut child =
            c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let copy = data.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&copy));
        let out = finish(Duration::from_secs(30), child);
        writer.join().unwrap().unwrap();
        assert!(out.status.success());
        assert!(
            out.stdout == data && out.stderr == data,
            "{} {}",
            out.stdout.len(),
            out.stderr.len()
        );
    }
}

#[test]
fn the_end_of_input_is_seen_and_a_closed_output_is_sigpipe() {
    let Some(s) = Sandbox::new() else { return };
    assert_eq!(s.run(NONE, &["wc", "-c"]).ok(), "0");
    let line = format!("{} {} yes | head -2", launch().display(), s.rootfs().display());
    let mut c = Command::new("/bin/sh");
    c.args(["-c", &line]);
    assert_eq!(Run::of(c).ok(), "y\ny");
}

#[test]
fn a_full_disk_is_the_payloads_to_see() {
    let Some(s) = Sandbox::new() else { return };
    let mut c = s.command(NONE, &["sh", "-c", "echo text"]);
    c.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
        .stderr(Stdio::piped());
    let out = finish(Duration::from_secs(20), c.spawn().unwrap());
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("No space left"), "{out:?}");
}

fn shell(s: &Sandbox, before: &str, options: &str, script: &str, after: &str) -> Run {
    let line = format!(
        "{before} {} {options} {} sh -c '{script}' {after}",
        launch().display(),
        s.rootfs().display()
    );
    let mut c = Command::new("/bin/sh");
    c.args(["-c", &line]);
    Run::of(c)
}

/// Whatever the caller had open: inside are 0, 1, 2 and nothing more, in no process.
#[test]
fn descriptors_0_to_2_only() {
    let Some(s) = Sandbox::new() else { return };
    // The `ls` that lists has the directory open as 3.
    let script = "ls /proc/self/fd | tr \"\\n\" \" \"";
    for init in ["", "--no-init"] {
        let out = shell(&s, "exec 6</etc 7</ 8</dev/null 9>/dev/null;", init, script, "").ok();
        assert_eq!(out, "0 1 2 3 ");
    }
    // What init has to wait with has no name.
    let script = "cd /proc/1/fd; for n in *; do test $n -lt 3 || readlink $n; done";
    let out = shell(&s, "exec 6</etc 7</ 8</dev/null 9>/dev/null;", "", script, "").ok();
    assert!(out.lines().all(|l| l.starts_with("anon_inode:[")), "{out}");
    let script =
        "ls -l /proc/self/fd /proc/1/fd 2>/dev/null | grep -e /etc -e /tmp -e socket; echo end";
    assert_eq!(shell(&s, "exec 7</etc 8</tmp 9</;", "", script, "").ok(), "end");
}

#[test]
fn closed_descriptors_are_never_a_file_of_ours() {
    let Some(s) = Sandbox::new() else { return };
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        for options in ["", "--no-init", "--mem 50M"] {
            // `--mem` needs root (or a delegated cgroup), and warns where it has neither.
            if options == "--mem 50M" && !is_root() {
                continue;
            }
            let script =
                "x=$(for f in 0 1 2; do readlink /proc/$$/fd/$f; done); echo \"$x\" >/out; exit 7";
            let _ = std::fs::remove_file(s.rootfs().join("out"));
            shell(&s, "exec", options, script, closed).expect(7);
            let out = std::fs::read_to_string(s.rootfs().join("out")).unwrap();
            let fine = |l: &str| l == "/dev/null" || l.starts_with("pipe:");
            assert!(out.lines().count() == 3 && out.lines().all(fine), "{closed} {options}: {out}");
        }
    }
}

//! The environment inside: what was asked for, and nothing of the caller's.

use crate::common::*;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_defaults_are_all_there_is() {
    let Some(s) = Sandbox::new() else { return };
    for init in [&["--hostname", "box"][..], &["--hostname", "box", "--no-init"]] {
        let mut c = s.command(init, &["env"]);
        c.env("HOSTSECRET", "s3cret").env("TERM", "vt100").env("LD_PRELOAD", "/x.so");
        assert_eq!(lines(&Run::of(c).ok()), ["HOME=/root", "HOSTNAME=box", PATH]);
    }
}

#[test]
fn nothing_of_the_callers_is_in_any_environ_or_auxiliary_place() {
    let Some(s) = Sandbox::new() else { return };
    let script = "cat /proc/[0-9]*/environ | tr '\\0' '\\n'; cat /proc/1/cmdline | tr '\\0' ' '";
    let mut c = s.command(&["-e", "MINE=1"], &["sh", "-c", script]);
    c.env("HOSTSECRET", "s3cret");
    let out = Run::of(c).ok();
    assert!(!out.contains("s3cret") && !out.contains("HOSTSECRET"), "{out}");
    assert!(out.contains("MINE=1"), "{out}");
}

#[test]
fn options_set_pass_on_and_replace_in_order() {
    let Some(s) = Sandbox::new() else { return };
    let file = s.dir.join("vars");
    std::fs::write(&file, "# comment\nA=file\n\nPASSED\nD=a=b\"c\"\r\nE=\n").unwrap();
    let file = file.to_str().unwrap();
    let mut c = s.command(
        &[
            "-e",
            "A=1",
            "-e",
            "B=2",
            "--env-file",
            file,
            "-e",
            "B=3",
            "-e",
            "HOME=/h",
            "-e",
            "UNSET_HERE",
        ],
        &["env"],
    );
    c.env("PASSED", "yes").env_remove("UNSET_HERE");
    let out = Run::of(c).ok();
    let found: Vec<&str> = lines(&out).into_iter().filter(|l| !l.starts_with("HOSTNAME")).collect();
    assert_eq!(found, ["A=file", "B=3", "D=a=b\"c\"", "E=", "HOME=/h", "PASSED=yes", PATH]);
}

#[test]
fn values_are_bytes() {
    let Some(s) = Sandbox::new() else { return };
    let mut c = std::process::Command::new(launch());
    c.arg("-e").arg(OsStr::from_bytes(b"X=\xff\n\xc3 y")).arg(s.rootfs());
    c.args(["sh", "-c", "printf %s \"$X\" | od -An -tx1"]);
    assert_eq!(Run::of(c).ok().trim(), "ff 0a c3 20 79");
}

#[test]
fn home_is_the_users_and_the_path_given_is_searched() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/etc/passwd", "root:x:0:0::/var/root:/bin/sh\n", 0o644);
    assert_eq!(s.sh(&["-u", "root"], "echo $HOME").ok(), "/var/root");
    s.file("/opt/x/tool", "#!/bin/sh\necho tool", 0o755);
    assert_eq!(s.run(&["-e", "PATH=/opt/x"], &["tool"]).ok(), "tool");
}

#[test]
fn a_large_environment_reaches_the_payload() {
    let Some(s) = Sandbox::new() else { return };
    let big = format!("BIG={}", "x".repeat(100_000));
    assert_eq!(s.sh(&["-e", &big], "echo ${#BIG}").ok(), "100000");
}

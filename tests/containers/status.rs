//! Exit codes and arguments.

use crate::common::*;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

#[test]
fn the_status_is_the_payloads() {
    let Some(s) = Sandbox::new() else { return };
    for init in [&[][..], &["--no-init"]] {
        for code in [0, 1, 2, 42, 124, 125, 126, 127, 128, 137, 200, 255] {
            let run = s.sh(init, &format!("exit {code}")).expect(code);
            assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
        }
    }
}

#[test]
fn a_payload_killed_by_signal_n_gives_128_and_n() {
    let Some(s) = Sandbox::new() else { return };
    for signal in [1, 2, 6, 9, 11, 13, 14, 15, 31, 34, 64] {
        let run =
            s.sh(&[] as &[&str], &format!("ulimit -c 0; kill -{signal} $$")).expect(128 + signal);
        assert_eq!(run.err, "");
    }
}

#[test]
fn not_found_is_127_and_not_executable_126_with_and_without_init() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/plain", "x", 0o644);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for init in [&[][..], &["--no-init"]] {
        s.run(init, &["/nope"]).fails(127, &["launch: /nope: not found in the rootfs\n"]);
        let words = format!("launch: nope: not found in the rootfs (PATH {path})\n");
        s.run(init, &["nope"]).fails(127, &[&words]);
        s.run(init, &["/plain"]).fails(126, &["launch: /plain: not executable (mode 0644)\n"]);
        s.run(init, &["/bin"]).fails(126, &["launch: /bin: is a directory\n"]);
    }
}

#[test]
fn the_first_of_path_that_can_be_executed_is_run() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/one/tool", "#!/bin/sh\necho one", 0o644);
    s.file("/two/tool", "#!/bin/sh\necho two", 0o755);
    s.file("/three/tool", "#!/bin/sh\necho three", 0o755);
    let path = "PATH=/none:/one:/two:/three:/bin";
    for init in [&["-e", path][..], &["--no-init", "-e", path]] {
        assert_eq!(s.run(init, &["tool"]).ok(), "two");
        assert_eq!(s.run(init, &["/three/tool"]).ok(), "three");
    }
    // Relative to the working directory.
    assert_eq!(s.run(&["-w", "/three"], &["./tool"]).ok(), "three");
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let Some(s) = Sandbox::new() else { return };
    for init in [None, Some("--no-init")] {
        let mut c = s.command(&init.into_iter().collect::<Vec<_>>(), &["printf", "<%s>"]);
        c.args(["a b", "", "-x", "--", "--mem", "$HOME", "new\nline"]);
        c.arg(OsStr::from_bytes(b"\xff\xfe\xc3"));
        let out = finish(
            std::time::Duration::from_secs(20),
            c.stdout(std::process::Stdio::piped()).spawn().unwrap(),
        );
        let want = b"<a b><><-x><--><--mem><$HOME><new\nline><\xff\xfe\xc3>";
        assert_eq!(out.stdout.as_bstr(), want.as_bstr());
        assert!(out.status.success());
    }
}

#[test]
fn names_that_are_not_utf8_are_names() {
    let Some(s) = Sandbox::new() else { return };
    let name = OsStr::from_bytes(b"d\xff\xfe");
    let rootfs = s.dir.join(name);
    std::fs::rename(s.rootfs(), &rootfs).unwrap();
    std::fs::create_dir(rootfs.join(name)).unwrap();
    std::fs::write(rootfs.join(name).join("f"), "inside").unwrap();
    let mut c = std::process::Command::new(launch());
    c.arg("-w").arg(OsStr::from_bytes(b"/d\xff\xfe")).arg(&rootfs).args(["cat", "f"]);
    assert_eq!(Run::of(c).ok(), "inside");
}

#[test]
fn a_double_dash_ends_the_options() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/bin/-odd", "#!/bin/sh\necho odd \"$@\"", 0o755);
    assert_eq!(s.run(&[] as &[&str], &["--", "-odd", "--", "x"]).ok(), "odd -- x");
    assert_eq!(s.run(&[] as &[&str], &["--", "echo", "x"]).ok(), "x");
}

#[test]
fn a_relative_rootfs_is_where_the_user_stands() {
    let Some(s) = Sandbox::new() else { return };
    std::os::unix::fs::symlink("rootfs", s.dir.join("link")).unwrap();
    for options in [&[][..], &["--ephemeral"], &["--read-only"]] {
        for name in ["rootfs", "./rootfs", "rootfs/", "link", "../../tmp/x/..", "."] {
            let mut c = std::process::Command::new(launch());
            let name = match name {
                "../../tmp/x/.." => format!("../{}/rootfs", s.dir.file_name().unwrap().display()),
                other => other.to_owned(),
            };
            c.current_dir(if name == "." { s.rootfs() } else { s.dir.clone() });
            c.args(options).arg(&name).args(["echo", "ran"]);
            assert_eq!(Run::of(c).ok(), "ran", "{name}");
        }
    }
}

#[test]
fn many_arguments_reach_the_payload() {
    let Some(s) = Sandbox::new() else { return };
    let many: Vec<String> = (0..5000).map(|n| format!("{n:0>100}")).collect();
    let mut c = s.command(&[] as &[&str], &["sh", "-c", "echo $#", "sh"]);
    c.args(&many);
    assert_eq!(Run::of(c).ok(), "5000");
}

#[test]
fn help_and_version_need_nothing() {
    let _s = Sandbox::empty();
    let call = |args: &[&str]| {
        let mut c = std::process::Command::new(launch());
        c.args(args);
        Run::of(c)
    };
    assert!(call(&["--help"]).ok().starts_with("launch runs a program in a container"));
    assert_eq!(call(&["--version"]).ok(), concat!("launch ", env!("CARGO_PKG_VERSION")));
    assert_eq!(call(&["version"]).ok(), concat!("launch ", env!("CARGO_PKG_VERSION")));
    assert!(call(&["help", "mem"]).ok().contains("--memory"));
    call(&[]).fails(125, &["launch: ROOTFS and COMMAND are missing\nhint: launch [OPTIONS]"]);
}

trait Show {
    fn as_bstr(&self) -> String;
}

impl Show for [u8] {
    fn as_bstr(&self) -> String {
        self.escape_ascii().to_string()
    }
}

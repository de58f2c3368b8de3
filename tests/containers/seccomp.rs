//! The system call filter from inside: docker's profile, one of the user's, none.

use crate::common::*;

const NONE: &[&str] = &[];

fn mode(run: Run) -> String {
    let out = run.ok();
    let line = out.lines().find_map(|l| l.strip_prefix("Seccomp:"));
    line.expect("Seccomp:").trim().to_owned()
}

#[test]
fn there_is_one_unless_asked_otherwise() {
    let Some(s) = Sandbox::new() else { return };
    let status = ["cat", "/proc/self/status"];
    for options in [
        NONE,
        &["--no-init"],
        &["-u", "0:0"],
        &["--cap-drop", "ALL"],
        &["--cap-add", "SYS_ADMIN"],
        &["--security-opt", "no-new-privileges=false"],
    ] {
        assert_eq!(mode(s.run(options, &status)), "2", "{options:?}");
    }
    for options in [&["--security-opt", "seccomp=unconfined"][..], &["--privileged"]] {
        assert_eq!(mode(s.run(options, &status)), "0", "{options:?}");
    }
    if is_root() {
        let odd = ["-u", "7", "--security-opt", "no-new-privileges=false"];
        assert_eq!(mode(s.run(&odd, &status)), "2");
        assert_eq!(mode(Run::of(s.as_user(NONE, &status))), "2");
    }
    // The init, too.
    assert_eq!(mode(s.run(NONE, &["cat", "/proc/1/status"])), "2");
}

/// CVE-2022-0492 and many others begin with a namespace or a mount of one's own.
#[test]
fn namespaces_and_mounts_need_a_capability() {
    let Some(s) = Sandbox::new() else { return };
    for script in
        ["unshare -U true", "unshare -m true", "mount -t tmpfs x /tmp", "umount /tmp", "dmesg"]
    {
        let run = s.sh(NONE, script);
        let said = run.err.to_lowercase();
        let refused = said.contains("not permitted") || said.contains("permission denied");
        assert!(run.code != 0 && refused, "{script}: {run:#?}");
    }
    let admin = ["--cap-add", "SYS_ADMIN"];
    s.sh(
        &admin,
        "mount -t tmpfs x /mnt 2>&1 || mkdir /tmp/m && mount -t tmpfs x /tmp/m && unshare -m true",
    )
    .ok();
}

#[test]
fn a_profile_of_the_users() {
    let Some(s) = Sandbox::new() else { return };
    let file = s.dir.join("profile.json");
    let option = format!("seccomp={}", file.display());
    let options = ["--security-opt", &option];
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28},
        {"names":["sethostname"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#,
    );
    let out = s.sh(&options, "mkdir /tmp/x; echo $?; grep Seccomp: /proc/self/status");
    assert!(out.err.contains("No space left on device") && out.out.starts_with("1\n"), "{out:#?}");
    assert!(out.out.ends_with("2\n"), "{out:#?}");
    // SIGSYS is 31.
    s.run(&options, &["hostname", "x"]).expect(159);
    write(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["opne"],"action":"SCMP_ACT_ALLOW"}]}"#,
    );
    let said = format!(
        "launch: seccomp profile {}: syscalls[0].names: no system call is called 'opne'\n",
        file.display()
    );
    assert_eq!(s.run(&options, &["true"]).fails(125, &[]).err, said);
    write(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_PERMIT"}]}"#,
    );
    s.run(&options, &["true"])
        .fails(125, &["syscalls[0].action: unknown action 'SCMP_ACT_PERMIT'"]);
    let text = "does not allow execveat\nhint: without it launch cannot start a program";
    // The least of all actions, although its number is the highest.
    for action in ["ERRNO", "KILL_PROCESS"] {
        write(&format!(
            r#"{{"defaultAction":"SCMP_ACT_{action}","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW"}}]}}"#
        ));
        s.run(&options, &["true"]).fails(125, &[text]);
    }
    // Enough to start, not to tell of a failure: it is told all the same.
    let start = r#"["execve","exit_group","rt_sigprocmask"]"#;
    write(&format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":{start},"action":"SCMP_ACT_ALLOW"}}]}}"#
    ));
    s.file("/text", "no program", 0o755);
    let bare = ["--no-init", "--security-opt", &option];
    s.run(&bare, &["/text"]).fails(126, &["launch: execute /text: Exec format error (ENOEXEC)"]);
}

/// Docker's own profile by file is the default, but for 32-bit programs.
#[test]
fn the_default_profile_by_file() {
    let Some(s) = Sandbox::new() else { return };
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/launcher/seccomp/default.json");
    if need(std::path::Path::new(file).exists().then_some(()), "needs the source tree").is_none() {
        return;
    }
    let option = format!("seccomp={file}");
    let run =
        s.sh(&["--security-opt", &option], "unshare -m true; mount -t tmpfs x /tmp; ls / | wc -l");
    let refused = ["Operation not permitted", "permission denied"].map(|w| run.err.contains(w));
    assert!(refused == [true; 2] && run.code == 0, "{run:#?}");
}

/// Whoever speaks i386 or x32 ends, or is told that there is no such thing: the numbers mean
/// other calls there.
#[test]
fn other_languages_are_not_spoken() {
    let Some(s) = Sandbox::new() else { return };
    if cfg!(not(target_arch = "x86_64")) {
        return skip("needs x86_64");
    }
    // getpid by int 0x80; getpid of x32, whose result becomes the exit status.
    s.file("/i386", elf(&[0xb8, 20, 0, 0, 0, 0xcd, 0x80]), 0o755);
    s.file("/x32", elf(&[0xb8, 39, 0, 0, 0x40, 0x0f, 0x05, 0xf7, 0xd8]), 0o755);
    s.run(NONE, &["/i386"]).expect(128 + 31);
    const ENOSYS: i32 = 38;
    s.run(NONE, &["/x32"]).expect(ENOSYS);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/launcher/seccomp/default.json");
    if std::path::Path::new(file).exists() {
        let option = format!("seccomp={file}");
        let code = s.run(&["--security-opt", &option], &["/i386"]).code;
        // A kernel without IA32 emulation ends it by itself.
        assert!([2, 3, 128 + 11].contains(&code), "{code}");
    }
}

/// A static program that does this and exits with what is then in eax.
fn elf(code: &[u8]) -> Vec<u8> {
    let mut image = vec![0u8; 120];
    let base = 0x40_0000u64;
    let exit = [0x89, 0xc7, 0xb8, 231, 0, 0, 0, 0x0f, 0x05];
    let size = (120 + code.len() + exit.len()) as u64;
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &[2, 0, 62, 0, 1]);
    put(24, &(base + 120).to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &[64, 0, 56, 0, 1]);
    put(64, &[1, 0, 0, 0, 5]);
    put(80, &base.to_le_bytes());
    put(96, &size.to_le_bytes());
    put(104, &size.to_le_bytes());
    put(112, &4096u64.to_le_bytes());
    image.extend(code);
    image.extend(exit);
    image
}

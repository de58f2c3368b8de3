//! Command line, exit codes and what is said about a program that cannot be run.

use super::*;
use std::os::unix::process::CommandExt;

/// The budget.
const LIMIT: usize = 16384;

#[test]
fn static_and_small() {
    let elf = fs::read(INIT).unwrap();
    let word =
        |at: usize, n: usize| elf[at..at + n].iter().rev().fold(0, |v, b| v << 8 | usize::from(*b));
    let (table, size, count) = (word(32, 8), word(54, 2), word(56, 2));
    for i in 0..count {
        let kind = word(table + i * size, 4);
        assert!(kind != 2 && kind != 3, "PT_DYNAMIC or PT_INTERP");
        let flags = word(table + i * size + 4, 4);
        assert!(kind != 1 || flags & 3 != 3, "a segment that is writable and executable");
    }
    assert!(elf.len() <= LIMIT, "{} bytes", elf.len());
}

#[test]
fn exit_codes() {
    let Some(()) = need_namespaces() else { return };
    for mode in MODES {
        for (options, payload, code) in [
            (&[][..], "exit 0", 0),
            (&[], "exit 7", 7),
            (&[], "exit 255", 255),
            (&[], "kill -TERM $$", 143),
            (&[], "kill -KILL $$", 137),
            (&[], "kill -40 $$", 168),
            (&["-e", "7"], "exit 7", 0),
            (&["-e", "7", "-e", "143"], "kill -TERM $$", 0),
            (&["-e", "7"], "exit 8", 8),
            (&["-g", "-v", "-s", "-w"], "exit 9", 9),
            (&["-vvg"], "exit 9", 9),
            (&["-p", "SIGTERM", "--grace=1"], "exit 9", 9),
        ] {
            let outcome = script(mode, options, payload);
            assert_eq!(outcome.code, code, "{mode:?} {options:?} {payload}: {outcome:?}");
        }
    }
}

#[test]
fn usage_errors_are_one_line_and_125() {
    for (args, words) in [
        (&["--bogus"][..], "unknown option '--bogus'"),
        (&["-y", "true"], "unknown option '-y'"),
        (&["-e", "256", "true"], "bad value '256'"),
        (&["-e"], "option '-e' wants a value"),
        (&["-p", "SIGFOO", "true"], "bad value 'SIGFOO'"),
        (&["-r", "1:99", "true"], "bad value '1:99'"),
        (&["--grace", "-1", "true"], "bad value '-1'"),
        (&["--grace=99999999999", "true"], "bad value"),
        (&["--end=explode", "true"], "bad value 'explode'"),
        (&["-u", "nobody-here", "true"], "-u 'nobody-here': not in /etc/passwd"),
        (&["-u", "4294967295", "true"], "-u '4294967295'"),
        (&["-u", "root:nogroup-here", "true"], "-u 'nogroup-here': not in /etc/group"),
        (&["--workdir", "/nowhere", "true"], "chdir /nowhere: No such file or directory (ENOENT)"),
    ] {
        let outcome = run(Command::new(INIT).args(args));
        assert_eq!(outcome.code, 125, "{args:?} {outcome:?}");
        assert!(
            outcome.err.starts_with("init: ") && outcome.err.contains(words),
            "{args:?} {outcome:?}"
        );
        assert!(outcome.err.lines().skip(1).all(|l| l.starts_with("hint: ")), "{outcome:?}");
    }
}

#[test]
fn help_and_version() {
    let help = run(Command::new(INIT).arg("--help"));
    assert!(help.code == 0 && help.out.lines().count() <= 24, "{help:?}");
    assert!(help.out.lines().all(|l| l.replace('\t', "        ").len() <= 90));
    for option in [
        "--user",
        "--workdir",
        "--grace",
        "-g",
        "--single-child",
        "--rewrite",
        "-e",
        "-p",
        "--end",
        "--restart",
        "--report",
    ] {
        assert!(help.out.contains(option), "{option}");
    }
    assert_eq!(
        run(Command::new(INIT).arg("--version")).out,
        concat!("init version ", env!("CARGO_PKG_VERSION"), " - Apache License 2.0\n")
    );
    // `docker info` reads the version so.
    let docker = run(Command::new(INIT).arg0("docker-init").arg("--version"));
    assert!(docker.out.starts_with("tini version "), "{docker:?}");
}

#[test]
fn non_utf8_arguments_pass() {
    use std::os::unix::ffi::OsStrExt;
    let odd = OsStr::from_bytes(b"a\xff\xfe b");
    let mut command = Command::new(INIT);
    let child = start(command.args(["printf", "%s"]).arg(odd));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, odd.as_bytes());
}

#[test]
fn environment_and_default_path() {
    let outcome = run(Command::new(INIT).env_clear().env("A", "b").arg("env"));
    assert_eq!(
        outcome.out,
        "A=b\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    );
    let outcome = run(Command::new(INIT).env_clear().env("PATH", "/bin").arg("env"));
    assert_eq!(outcome.out, "PATH=/bin\n");
    let outcome = run(Command::new(INIT)
        .env("TINI_VERBOSITY", "3")
        .env("TINI_SUBREAPER", "")
        .env("TINI_KILL_PROCESS_GROUP", "")
        .arg("true"));
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
}

#[test]
fn what_cannot_be_run_is_explained() {
    let dir = Dir::new("explain");
    let shebang = dir.file("script", b"#!/nowhere/python9 -u\n", 0o755);
    let crlf = dir.file("crlf", b"#!/bin/sh\r\necho\r\n", 0o755);
    let empty = dir.file("empty", b"", 0o755);
    let mode = dir.file("mode", b"x", 0o644);
    let elf = fs::read(INIT).unwrap();
    let truncated = dir.file("truncated", &elf[..100], 0o755);
    let mut foreign = elf.clone();
    foreign[18..20].copy_from_slice(if cfg!(target_arch = "x86_64") {
        &[183, 0]
    } else {
        &[62, 0]
    });
    let foreign = dir.file("foreign", &foreign, 0o755);
    let loader = dir.file("loader", &with_interpreter("/nowhere/ld.so"), 0o755);
    std::os::unix::fs::symlink("/nowhere/at/all", dir.0.join("dangling")).unwrap();
    let built = if cfg!(target_arch = "x86_64") {
        "built for aarch64, this machine is x86_64"
    } else {
        "built for"
    };
    for (program, code, words) in [
        (dir.0.join("missing"), 127, "No such file or directory (ENOENT)"),
        (dir.0.join("mode/x"), 127, "Not a directory (ENOTDIR)"),
        (dir.0.join("dangling"), 127, "symbolic link that leads nowhere"),
        (dir.0.clone(), 126, "is a directory"),
        (mode, 126, "not executable (mode 0644)"),
        (empty, 126, "empty file"),
        (truncated, 126, "truncated ELF file"),
        (foreign, 126, built),
        (shebang, 127, "exists, but needs /nowhere/python9, which is not in the rootfs"),
        (crlf, 127, "its interpreter is '/bin/sh\\r': the file has CRLF line ends"),
        (loader, 127, "exists, but needs /nowhere/ld.so, which is not in the rootfs"),
    ] {
        let outcome = run(Command::new(INIT).arg(&program));
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert!(outcome.err.contains(words), "{outcome:?}");
        assert!(
            outcome.err.starts_with(&format!("init: exec {}", program.display())),
            "{outcome:?}"
        );
    }
    let outcome = run(Command::new(INIT).env("PATH", "/a:/b").arg("nosuch"));
    assert_eq!(
        (outcome.code, outcome.err.as_str()),
        (127, "init: exec 'nosuch': not found in PATH /a:/b\n")
    );
    // The same for the launcher's users, in its name.
    let outcome = run(Command::new(INIT).args(["--launched", "--", "nosuch"]).env("PATH", "/a"));
    assert_eq!(
        (outcome.code, outcome.err.as_str()),
        (127, "launch: exec 'nosuch': not found in PATH /a\n")
    );
}

/// A minimal dynamic executable that names this loader.
fn with_interpreter(loader: &str) -> Vec<u8> {
    let mut elf = fs::read(INIT).unwrap()[..64].to_vec();
    let mut header = vec![0; 56];
    header[0] = 3;
    header[8..16].copy_from_slice(&120u64.to_le_bytes());
    header[32..40].copy_from_slice(&(loader.len() as u64 + 1).to_le_bytes());
    elf[32..40].copy_from_slice(&64u64.to_le_bytes());
    elf[56..58].copy_from_slice(&1u16.to_le_bytes());
    elf.extend(header);
    elf.extend(loader.as_bytes());
    elf.push(0);
    elf
}

#[test]
fn script_without_interpreter_line_goes_to_the_shell() {
    let dir = Dir::new("enoexec");
    dir.file("plain", b"echo \"$0 $1\"; exit 5\n", 0o755);
    let outcome = run(Command::new(INIT).env("PATH", &dir.0).args(["plain", "word"]));
    assert_eq!(outcome.code, 5, "{outcome:?}");
    assert_eq!(outcome.out, format!("{}/plain word\n", dir.0.display()));
}

#[test]
fn workdir_is_the_payloads_and_ours_is_the_root() {
    let dir = Dir::new("workdir");
    dir.file(
        "here",
        b"#!/bin/sh\npwd; sleep 0.2; readlink /proc/$PPID/cwd; ls /proc/$PPID/fd | wc -l\n",
        0o755,
    );
    let outcome = run(Command::new(INIT).arg("--workdir").arg(&dir.0).arg("./here"));
    let lines: Vec<&str> = outcome.out.lines().collect();
    assert_eq!(lines[..2], [dir.0.to_str().unwrap(), "/"], "{outcome:?}");
    assert!(lines[2].trim().parse::<u32>().unwrap() <= 5, "{outcome:?}");
}

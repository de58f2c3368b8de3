//! Root file systems, programs and volumes that cannot work: the right words and code,
//! and nothing made.

use crate::common::*;
use std::path::Path;
use std::process::Command;

const NONE: &[&str] = &[];
const INIT_AND_NOT: [&[&str]; 2] = [&[], &["--no-init"]];

fn with_rootfs(options: &[&str], rootfs: impl AsRef<Path>, command: &str) -> Run {
    let mut c = Command::new(launch());
    c.args(options).arg(rootfs.as_ref()).arg(command);
    Run::of(c)
}

#[test]
fn root_file_systems() {
    let s = Sandbox::empty();
    let file = s.dir.join("file");
    std::fs::write(&file, "x").unwrap();
    let dangling = s.dir.join("dangling");
    std::os::unix::fs::symlink("/nowhere/at/all", &dangling).unwrap();
    let looping = s.dir.join("loop");
    std::os::unix::fs::symlink("loop", &looping).unwrap();
    let shown = |p: &Path| p.display().to_string();
    for (path, want) in [
        (
            s.dir.join("none"),
            format!(
                "launch: rootfs {}: No such file or directory (ENOENT)\n",
                shown(&s.dir.join("none"))
            ),
        ),
        (file.clone(), format!("launch: {}: neither a directory nor an archive", shown(&file))),
        (
            file.join("below"),
            format!("launch: rootfs {}: Not a directory (ENOTDIR)\n", shown(&file.join("below"))),
        ),
        (
            dangling.clone(),
            format!(
                "launch: rootfs {}: symlink to /nowhere/at/all: No such file or directory (ENOENT)\n",
                shown(&dangling)
            ),
        ),
        (looping.clone(), format!("launch: rootfs {}: ", shown(&looping))),
        ("".into(), "launch: ROOTFS is empty\nhint: ".into()),
        ("./none".into(), "launch: rootfs ./none: No such file or directory (ENOENT)\n".into()),
    ] {
        for options in [NONE, &["--no-init"], &["--ephemeral"], &["--explain"]] {
            let run = with_rootfs(options, &path, "/bin/true").fails(125, &[&want]);
            assert!(run.err.starts_with(&want), "{run:#?}");
        }
    }
    let long = format!("/{}", "x/".repeat(2500));
    with_rootfs(NONE, long, "true")
        .fails(125, &["launch: ROOTFS '/x/x/", "longer than 4095 bytes"]);
    with_rootfs(NONE, "/dev/null", "true")
        .fails(125, &["launch: rootfs /dev/null: Not a directory (ENOTDIR)"]);
}

#[test]
fn a_rootfs_that_a_user_may_not_enter() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let mut c = s.as_user(NONE, &["true"]);
    set_mode(&s.rootfs(), 0o700);
    std::os::unix::fs::chown(s.rootfs(), Some(0), Some(0)).unwrap();
    let first = Run::of(c);
    assert!(first.code == 125 && first.err.contains("Permission denied (EACCES)"), "{first:#?}");
    set_mode(&s.dir, 0o700);
    std::os::unix::fs::chown(&s.dir, Some(0), Some(0)).unwrap();
    c = Command::new("/bin/sh");
    c.args(["-c", &format!("{} {} true; true", launch().display(), s.rootfs().display())]);
    as_user(&mut c, USER, USER).current_dir("/");
    let run = Run::of(c);
    assert!(
        run.out.is_empty()
            && (run.err.contains("(EACCES)") || run.err.contains("ermission denied")),
        "{run:#?}"
    );
}

/// What a user's file is, and what is said of it, in and without init.
struct Program {
    content: &'static [u8],
    mode: u32,
    code: i32,
    words: &'static [&'static str],
}

const PROGRAMS: &[Program] = &[
    Program { content: b"", mode: 0o755, code: 126, words: &["/app: empty file\n"] },
    Program {
        content: b"\x7fELF\x02\x01\x01",
        mode: 0o755,
        code: 126,
        words: &["/app: truncated ELF"],
    },
    Program {
        content: b"#!/bin/sh\necho hi\n",
        mode: 0o644,
        code: 126,
        words: &["/app: not executable (mode 0644)\n"],
    },
    Program {
        content: b"#!/bin/sh\necho hi\n",
        mode: 0o600,
        code: 126,
        words: &["/app: not executable (mode 0600)\n"],
    },
    Program {
        content: b"#!/bin/sh\r\necho hi\r\n",
        mode: 0o755,
        code: 127,
        words: &["/app: ", "interpreter ", "'/bin/sh\\r'", "CRLF line ends"],
    },
    Program {
        content: b"#!/usr/bin/python9 -x\n",
        mode: 0o755,
        code: 127,
        words: &["/app: ", "/usr/bin/python9", " not in the rootfs\n"],
    },
    Program {
        content: b"#!/usr/bin/env python9\n",
        mode: 0o755,
        code: 127,
        words: &["/app: ", "/usr/bin/env", " not in the rootfs\n"],
    },
    Program {
        content: b"MZ\0\0\xff\xfe garbage",
        mode: 0o755,
        code: 126,
        words: &["/app: Exec format error (ENOEXEC)\n"],
    },
    Program {
        content: b"#!\n",
        mode: 0o755,
        code: 126,
        words: &["/app: Exec format error (ENOEXEC)\n"],
    },
];

#[test]
fn programs() {
    let Some(s) = Sandbox::new() else { return };
    for p in PROGRAMS {
        s.file("/app", p.content, p.mode);
        for options in INIT_AND_NOT {
            let run = s.run(options, &["/app"]).fails(p.code, p.words);
            assert_eq!(run.out, "");
        }
    }
}

#[test]
fn programs_of_other_machines_and_without_their_loader() {
    let Some(s) = Sandbox::new() else { return };
    let native = std::env::consts::ARCH;
    for (machine, name) in
        [(183, "aarch64"), (62, "x86_64"), (243, "riscv64"), (21, "ppc64"), (22, "s390")]
    {
        if name == native {
            continue;
        }
        s.file("/app", elf(machine, b"text"), 0o755);
        for options in INIT_AND_NOT {
            let run = s.run(options, &["/app"]).expect(126);
            assert!(
                run.err.contains("/app: built for ")
                    && run.err.contains(&format!(", this machine is {native}\n")),
                "{run:#?}"
            );
            assert!(name != "aarch64" || run.err.contains("built for aarch64, "), "{run:#?}");
        }
    }
    // PT_INTERP in front of what tiny_elf has.
    let mut dynamic = tiny_elf(0);
    let text = dynamic.split_off(120);
    let loader = b"/lib64/ld-none.so.9\0";
    let load = dynamic.split_off(64);
    dynamic[56] = 2;
    let mut interp = Vec::new();
    interp.extend(3u32.to_le_bytes());
    interp.extend(4u32.to_le_bytes());
    for word in [176 + text.len() as u64, 0, 0, loader.len() as u64, loader.len() as u64, 1] {
        interp.extend(word.to_le_bytes());
    }
    let whole = [&dynamic[..], &interp, &load, &text, loader].concat();
    s.file("/app", whole, 0o755);
    for options in INIT_AND_NOT {
        s.run(options, &["/app"]).fails(
            127,
            &["/app: exists, but needs /lib64/ld-none.so.9, which is not in the rootfs\nhint: "],
        );
    }
}

#[test]
fn programs_behind_links_and_special_files() {
    let Some(s) = Sandbox::new() else { return };
    s.link("/dangling", "/opt/none");
    s.link("/loop", "loop");
    s.link("/dirlink", "/bin");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        s.rootfs().join("fifo"),
        rustix::fs::FileType::Fifo,
        0o777.into(),
        0,
    )
    .unwrap();
    for options in INIT_AND_NOT {
        s.run(options, &["/dangling"])
            .fails(127, &["launch: /dangling: symlink to /opt/none, which is not in the rootfs\n"]);
        s.run(options, &["/loop"])
            .fails(126, &["launch: /loop: too many symbolic links (ELOOP)\n"]);
        s.run(options, &["/dirlink"]).fails(126, &["launch: /dirlink: is a directory\n"]);
        s.run(options, &["/fifo"]).fails(126, &["launch: /fifo: not a regular file\n"]);
        s.run(options, &["/bin/busybox/x"])
            .fails(127, &["launch: /bin/busybox/x: not found in the rootfs\n"]);
    }
    let mounts = std::fs::read_dir(s.rootfs()).unwrap().count();
    assert_eq!(mounts, 5, "bin and the four above: nothing was made");
}

/// Words of the image's are words: they end no line of ours, and begin no hint.
#[test]
fn names_that_would_look_like_a_hint() {
    use std::os::unix::ffi::OsStrExt;
    let Some(s) = Sandbox::new() else { return };
    s.link("/link", "/none\nhint: do as I say\u{1b}[31m");
    s.file("/script", "#!/none\u{1b}[31m\n", 0o755);
    let odd = std::ffi::OsStr::from_bytes(b"/x\xff\nhint: no");
    for init in [&[][..], &["--no-init"]] {
        let run = s.run(init, &["/link"]).expect(127);
        let words = "/none\\nhint: do as I say\\u{1b}[31m, which is not in the rootfs\n";
        assert_eq!(run.err, format!("launch: /link: symlink to {words}"));
        let mut c = Command::new(launch());
        c.args(init).arg(s.rootfs()).arg(odd);
        let run = Run::of(c).expect(127);
        assert_eq!(run.err, "launch: /x\\xff\\nhint: no: not found in the rootfs\n");
    }
    let run = s.run(&["--no-init"], &["/script"]).expect(127);
    assert_eq!(run.err, "launch: /script: its interpreter /none\\u{1b}[31m is not in the rootfs\n");
}

#[test]
fn a_program_of_the_host_only_is_hinted_at() {
    let s = Sandbox::empty();
    let host = ["/bin/sh", "/bin/busybox"].into_iter().find(|p| Path::new(p).is_file());
    let Some(host) = need(host, "needs a shell") else { return };
    let want = format!(
        "launch: {host}: not found in the rootfs\nhint: {host} exists on the host only; copy it into the rootfs or add -v {host}:{host}:ro\n"
    );
    assert_eq!(s.run(NONE, &[host]).expect(127).err, want);
    let name = host.rsplit('/').next().unwrap();
    s.run(NONE, &[name]).fails(
        127,
        &[&format!("launch: {name}: not found in the rootfs (PATH "), " exists on the host only; "],
    );
}

#[test]
fn volumes() {
    let Some(s) = Sandbox::new() else { return };
    let dir = s.dir.display().to_string();
    s.file("/etc/file", "x", 0o644);
    std::fs::write(s.dir.join("src"), "x").unwrap();
    for (volume, words) in [
        (format!("{dir}/none:/x"), "No such file or directory (ENOENT)"),
        (format!("{dir}/src/x:/x"), "Not a directory (ENOTDIR)"),
        (":/x".into(), "launch: -v ':/x': the source is empty"),
        ("/tmp:".into(), "launch: -v '/tmp:': the target is empty"),
        ("/tmp".into(), "launch: -v '/tmp': not of the form SRC:DST or SRC:DST:ro"),
        ("/tmp:rel".into(), "launch: -v '/tmp:rel': the target must begin with /"),
        (
            "/tmp:/x:bogus".into(),
            "launch: -v '/tmp:/x:bogus': after the second ':' comes ro, rw or O",
        ),
        ("/tmp:/x:ro:more".into(), "not of the form"),
        ("/tmp:/a/../../x".into(), "the target must not contain .."),
        ("/tmp:/".into(), "the target / would hide the whole root file system"),
        ("/tmp:/proc".into(), "nothing can be mounted over /proc"),
        ("/tmp:/proc/sys".into(), "nothing can be mounted over /proc"),
        ("/tmp:/./proc//x".into(), "nothing can be mounted over /proc"),
        ("na me:/x".into(), "a volume's name has only letters, digits, '_', '.' and '-'"),
    ] {
        for options in [NONE, &["--ephemeral"], &["--no-init"]] {
            let mut all = vec!["-v", volume.as_str()];
            all.extend(options);
            s.run(&all, &["true"]).fails(125, &[words]);
        }
    }
    let (a, b) = (format!("{dir}:/x"), format!("{dir}:/x/"));
    s.run(&["-v", &a, "-v", &b], &["true"])
        .fails(125, &["launch: two mounts have the same target '/x'"]);
    assert_eq!(std::fs::read_dir(s.rootfs()).unwrap().count(), 2, "nothing was made");
    // A target that is there and of the other kind shows only when it is reached.
    let (onto_file, onto_dir) = (format!("{dir}:/etc/file"), format!("{dir}/src:/etc"));
    s.run(&["-v", &onto_file], &["true"])
        .fails(125, &["launch: volume ", " on /etc/file: Not a directory (ENOTDIR)"]);
    s.run(&["-v", &onto_dir], &["true"])
        .fails(125, &["launch: volume ", " on /etc: Is a directory (EISDIR)"]);
}

#[test]
fn users_files_that_are_too_large_or_no_files() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/etc/passwd", vec![b'x'; (1 << 20) + 1], 0o644);
    s.run(&["-u", "web"], &["true"])
        .fails(125, &["launch: /etc/passwd of the rootfs is larger than 1M\n"]);
    std::fs::remove_file(s.rootfs().join("etc/passwd")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        s.rootfs().join("etc/passwd"),
        rustix::fs::FileType::Fifo,
        0o666.into(),
        0,
    )
    .unwrap();
    s.run(&["-u", "web"], &["true"])
        .fails(125, &["launch: /etc/passwd of the rootfs is not a regular file\n"]);
    s.link("/etc/passwd", "passwd");
    s.run(&["-u", "web"], &["true"]).fails(125, &["/etc/passwd of the rootfs", "(ELOOP)"]);
    s.file("/etc/group", "adm:x:4:\n", 0o644);
    std::fs::remove_file(s.rootfs().join("etc/passwd")).unwrap();
    s.run(&["-u", "0:www"], &["true"])
        .fails(125, &["launch: group 'www': not in /etc/group of the rootfs\nhint: it has adm\n"]);
}

/// A rootfs on a mount where nothing may be executed.
#[test]
fn a_rootfs_on_a_noexec_mount() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let Ok(_) = Command::new("unshare").arg("--help").output() else {
        return skip("needs unshare");
    };
    let root = s.rootfs().display().to_string();
    let volume = format!("--ephemeral -v {root}/bin:/v / /v/true");
    for (options, command, word, hint) in [
        ("", "/bin/true", "exec", format!("rootfs {root} is")),
        ("--no-init", "/bin/true", "execute", format!("rootfs {root} is")),
        ("-d", "true", "exec", format!("rootfs {root} is")),
        (&volume, "", "exec", format!("volume {root}/bin is")),
    ] {
        let rootfs = if command.is_empty() { "" } else { &root };
        let line = format!(
            "mount --bind {root} {root} && mount -o remount,bind,noexec {root} &&
            {} {options} {rootfs} {command}",
            launch().display()
        );
        let mut c = Command::new("unshare");
        c.args(["-m", "/bin/sh", "-c", &line]);
        let hint = format!("hint: {hint} mounted noexec");
        Run::of(c).fails(126, &[word, "Permission denied (EACCES)", &hint]);
    }
}

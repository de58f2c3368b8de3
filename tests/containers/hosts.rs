//! Hosts that lack something, are full or are set up oddly: an error that names it, or a
//! container as always; never half of one.

use crate::common::*;
use std::path::Path;
use std::process::Command;

const NONE: &[&str] = &[];

/// As root in a mount namespace of its own that `before` has changed.
struct Changed<'a>(&'a Sandbox);

impl Changed<'_> {
    fn run(&self, before: &str, options: &str) -> Run {
        let (launch, rootfs) = (launch(), self.0.rootfs());
        let line =
            format!("{before}\n{} {options} {} echo ran", launch.display(), rootfs.display());
        let mut c = Command::new("unshare");
        c.args(["-m", "/bin/sh", "-c", &line]);
        Run::of(c)
    }
}

fn root_with_unshare() -> Option<Sandbox> {
    need_root()?;
    // Nothing is started before there is a sandbox: another test's would take its status.
    let found = ["/usr/bin/unshare", "/bin/unshare"].iter().any(|p| Path::new(p).exists());
    need(found.then_some(()), "needs unshare")?;
    Sandbox::new()
}

#[test]
fn without_proc_sys_or_dev() {
    let Some(s) = root_with_unshare() else { return };
    let host = Changed(&s);
    for gone in ["umount -l /proc", "umount -l /sys", "umount -l /dev", "umount -l /run; true"] {
        let run = host.run(&format!("({gone}) 2>/dev/null"), "");
        assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "ran\n", ""), "{gone}");
    }
    let run = host.run("umount -l /proc", "--mem 50M");
    let text = "launch: read /proc/self/cgroup: No such file or directory (ENOENT)\nhint: limits need /proc mounted on the host\n";
    assert_eq!(run.fails(125, &[]).err, text);
}

/// A container that makes nothing outside needs no record; one with limits does.
#[test]
fn a_place_for_records_that_cannot_be_trusted_or_used() {
    let Some(s) = root_with_unshare() else { return };
    if need(
        s.run(&["--mem", "50M", "--explain"], &["true"]).err.is_empty().then_some(()),
        "needs cgroups",
    )
    .is_none()
    {
        return;
    }
    let host = Changed(&s);
    let new = "mount -t tmpfs run /run";
    for (before, words) in [
        (
            format!("{new}; touch /run/launch"),
            "launch: open /run/launch for records: Not a directory (ENOTDIR)\nhint: it must be a directory, not a link to one\n",
        ),
        (
            format!("{new}; ln -s /tmp /run/launch"),
            "launch: open /run/launch for records: Not a directory (ENOTDIR)\nhint: ",
        ),
        (
            format!("{new}; mkdir -m 777 /run/launch"),
            "launch: /run/launch: owned by user 0, mode 0777: others could forge records in it\nhint: remove /run/launch\n",
        ),
        (
            format!("{new}; mkdir -m 700 /run/launch; chown 5 /run/launch"),
            "launch: /run/launch: owned by user 5, mode 0700: others could forge",
        ),
        (
            "mount -t tmpfs -o nr_inodes=1 run /run".into(),
            "launch: make /run/launch for the container's record: No space left on device (ENOSPC)\nhint: ",
        ),
    ] {
        host.run(&before, "--mem 50M").fails(125, &[words]);
        s.check_leaks();
        assert_eq!(host.run(&before, "").ok(), "ran", "{before}");
    }
    let junk = format!(
        "{new}; mkdir /run/launch; mkfifo /run/launch/abcdefgh; mkdir /run/launch/d; echo junk >/run/launch/12345678; ln -s /etc/passwd /run/launch/ln"
    );
    assert_eq!(host.run(&junk, "--mem 50M").ok(), "ran");
}

/// Records that name what is not ours: nothing of it is touched.
#[test]
fn a_forged_record_removes_nothing_but_our_cgroups() {
    let Some(s) = root_with_unshare() else { return };
    let (victim, other) = (s.dir.join("launch-victim"), s.dir.join("other"));
    std::fs::create_dir(&victim).unwrap();
    std::fs::create_dir(&other).unwrap();
    let control = other.join("cgroup.subtree_control");
    std::fs::write(&control, "").unwrap();
    let (v, c) = (victim.display(), control.display());
    // What lies in another namespace is left alone anyway: these are where they are said to be.
    let inode = |dir: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(dir).unwrap());
    let (above, beside) = (inode(&s.dir), inode(&other));
    let lines = format!(
        "cgroup {above} {v}\\ncgroup 0 /sys/fs/cgroup\\ncgroup {above} /sys/fs/cgroup/../../../{v}\\nsubtree {beside} -memory {c}\\n"
    );
    let before = format!(
        "mount -t tmpfs run /run; mkdir -m 700 /run/launch; printf '{lines}' >/run/launch/aaaaaaaa"
    );
    let run = Changed(&s).run(&before, "").expect(0);
    assert_eq!(run.out, "ran\n");
    assert!(victim.is_dir());
    assert_eq!(std::fs::read(&control).unwrap(), b"");
}

#[test]
fn too_few_descriptors() {
    let Some(s) = Sandbox::new() else { return };
    let mapped = s.run(&["--userns=auto"], &["true"]).code == 0;
    let mut ran = 0;
    for n in 3..16 {
        for options in ["", "--no-init", "--ephemeral", "--userns=auto"] {
            if options.contains("userns") && !mapped {
                continue;
            }
            let line = format!(
                "ulimit -n {n}; exec {} {options} {} echo ran",
                launch().display(),
                s.rootfs().display()
            );
            let mut c = Command::new("/bin/sh");
            c.args(["-c", &line]);
            let run = Run::of(c);
            match run.code {
                0 => ran += u32::from(run.out == "ran\n"),
                _ => drop(run.fails(125, &["(EMFILE)"])),
            }
            s.check_leaks();
        }
    }
    assert!(ran > 0, "some of these are enough");
}

#[test]
fn output_that_cannot_be_written_is_an_error_of_ours() {
    let s = Sandbox::empty();
    let shell = |line: &str| {
        let mut c = Command::new("/bin/sh");
        c.args(["-c", line]);
        Run::of(c)
    };
    let launch = launch().display().to_string();
    shell(&format!("{launch} --help >/dev/full"))
        .fails(125, &["launch: write to standard output: No space left on device (ENOSPC)\n"]);
    assert_eq!(
        shell(&format!("{launch} --help | true; {launch} --help | head -1 | wc -l")).ok(),
        "1"
    );
    drop(s);
}

/// A container in a container, with privileges and without.
#[test]
fn inside_another_container() {
    let Some(s) = Sandbox::new() else { return };
    let inner = s.copy("inner");
    let volume = format!("{}:/inner", inner.display());
    let program = format!("{}:/launch:ro", launch().display());
    let base = ["-v", volume.as_str(), "-v", program.as_str()];
    let call = |options: &[&str], script: &str| {
        let all: Vec<&str> = base.iter().copied().chain(options.iter().copied()).collect();
        s.sh(&all, script)
    };
    let script = "/launch /inner sh -c 'echo $$; hostname' && echo again; ls /sys/fs/cgroup";
    if is_root() {
        let out = call(&["--privileged"], script).ok();
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines.len() == 3 && lines[0] == "2" && lines[2] == "again", "{out}");
        let run = call(&["--privileged", "--ephemeral"], "/launch --ephemeral /inner echo deep");
        assert_eq!(run.ok(), "deep");
    }
    let run = call(NONE, "/launch /inner true");
    run.fails(125, &["launch: make new namespaces: Operation not permitted (EPERM)\nhint: a seccomp filter, as containers have it, forbids this"]);
}

/// The same where root is an ordinary user's: with one id, or with those of root's choice.
#[test]
fn inside_a_container_of_an_ordinary_user() {
    let Some(s) = Sandbox::new() else { return };
    let inner = s.copy("inner");
    // The program goes where the user can reach it.
    let program = s.as_user(NONE, &[]).get_program().to_owned();
    let volume = format!("{}:/inner", inner.display());
    let program = format!("{}:/launch:ro", std::path::Path::new(&program).display());
    let base = ["--privileged", "-v", volume.as_str(), "-v", program.as_str()];
    let state = "id -u; ls /dev | wc -l; echo x >/dev/null; grep -c . /proc/net/dev; ls -d /sys/class/net/lo; stat -c %t:%T /dev/null";
    for options in ["", "--ephemeral", "--net host", "--no-init", "-t"] {
        let script = format!("/launch {options} /inner sh -c '{state}'");
        let run = Run::of(s.as_user(&base, &["sh", "-c", &script]));
        if run.code == 125 && run.err.contains("make new namespaces") {
            return skip("needs user namespaces for ordinary users");
        }
        let out = run.ok().replace('\r', "");
        assert!(
            out.starts_with("0\n15\n") && out.ends_with("/sys/class/net/lo\n1:3"),
            "{options} {out}"
        );
        if is_root() && s.run(&["--userns=auto"], &["true"]).code == 0 {
            let all: Vec<&str> = base.iter().copied().chain(["--userns=auto"]).collect();
            let run = s.sh(&all, &script);
            assert!(run.code == 0 && run.out.starts_with("0"), "{options} {run:#?}");
        }
    }
}

/// Directories above the rootfs that the caller may enter but not list, and a place that
/// has been removed under the caller's feet.
#[test]
fn odd_places_to_stand_in() {
    let Some(s) = Sandbox::new() else { return };
    let deep = s.dir.join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    let line = format!(
        "cd {0} && rmdir {0} && exec {1} {2} pwd",
        deep.display(),
        launch().display(),
        s.rootfs().display()
    );
    let mut c = Command::new("/bin/sh");
    c.args(["-c", &line]);
    assert_eq!(Run::of(c).ok(), "/");
    let mut c = Command::new(launch());
    c.arg(s.rootfs()).arg("pwd").current_dir("/proc/self/fd");
    assert_eq!(Run::of(c).ok(), "/");
}

/// That a process cannot be looked at does not mean that it has ended.
#[test]
fn a_container_that_cannot_be_looked_at_lives_on() {
    let Some(s) = root_with_unshare() else { return };
    crate::detached::detached(&s, "seen", &["--rm=false"], "exec sleep 60").expect(0);
    let shell = |before: &str, words: &str| {
        let mut c = Command::new("unshare");
        let line = format!("{before}; {} {words}", launch().display());
        c.args(["-m", "/bin/sh", "-c", &line]);
        Run::of(c)
    };
    let no_proc = "umount -l /proc";
    // Each start clears up after the dead.
    assert_eq!(Changed(&s).run(no_proc, "").ok(), "ran");
    for words in ["stop seen", "rm -f seen", "exec seen true", "restart seen"] {
        let run = shell(no_proc, words);
        assert!(run.code == 125 && run.err.contains("launch: "), "{words}: {run:#?}");
    }
    for n in 3..12 {
        shell(&format!("ulimit -n {n}"), "ps -a");
        shell(&format!("ulimit -n {n}"), "rm seen").fails(125, &[]);
    }
    assert_eq!(
        crate::living::verb(&["ps", "--format", "{{.Names}} {{.State}}"]).ok(),
        "seen running"
    );
    // One of which nobody could tell is not let go.
    let run = Changed(&s).run(no_proc, "-d --name unseen");
    run.fails(125, &["launch: note process 1 of unseen: "]);
    assert!(!Path::new("/run/launch/unseen").exists());
    crate::living::verb(&["rm", "-f", "seen"]).expect(0);
}

/// How it ended was noted where its process could be seen: that is what counts elsewhere, too.
#[test]
fn what_ended_in_another_pid_namespace_can_be_removed() {
    let Some(s) = root_with_unshare() else { return };
    let Some(()) = need_util_linux() else { return };
    let inside = |words: &str, then: &str| {
        let (launch, rootfs) = (launch(), s.rootfs());
        let start = format!("{0} -d --rm=false {words} {1}", launch.display(), rootfs.display());
        let line = format!("{start} {then}; {} ps -a", launch.display());
        let mut c = Command::new("unshare");
        c.args(["--pid", "--fork", "--kill-child", "-m", "--mount-proc", "/bin/sh", "-c", &line]);
        Run::of(c).expect(0)
    };
    let ended = inside("--name was", "sh -c 'exit 3'; sleep 0.5");
    assert!(ended.out.contains("ended 3"), "{ended:#?}");
    let lives = inside("--name is", "sleep 60");
    assert!(lives.out.contains(" running "), "{lives:#?}");
    // Of that one nothing was noted, although it went with its namespace.
    crate::living::verb(&["rm", "is"]).fails(125, &["launch: container 'is' "]);
    assert_eq!(crate::living::verb(&["rm", "was"]).ok(), "was");
    let left = Path::new("/run/launch/is");
    assert!(left.exists() && !Path::new("/run/launch/was").exists());
    for file in ["is", ".is.log", ".is.exit"] {
        std::fs::remove_file(left.with_file_name(file)).unwrap();
    }
}

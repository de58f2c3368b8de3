//! As an ordinary user: a user namespace, with the caller's own id alone or with
//! subordinate ids.

use crate::common::*;
use std::path::PathBuf;
use std::process::Command;

const NONE: &[&str] = &[];

/// Where user namespaces are allowed.
fn rootless() -> Option<Sandbox> {
    let s = Sandbox::new()?;
    let run = Run::of(s.as_user(NONE, &["true"]));
    let forbidden = run.code == 125 && run.err.contains("make new namespaces");
    need((!forbidden).then_some(s), "needs user namespaces for ordinary users")
}

fn uid() -> u32 {
    if is_root() { USER } else { rustix::process::geteuid().as_raw() }
}

/// With one id: as root we become a user without subordinate ids.
fn single() -> Option<Sandbox> {
    let s = rootless()?;
    let map = Run::of(s.as_user(NONE, &["cat", "/proc/self/uid_map"])).ok();
    need((map.lines().count() == 1).then_some(s), "this user has subordinate ids")
}

#[test]
fn the_caller_is_root_inside_and_nothing_more_outside() {
    let Some(s) = single() else { return };
    let script = "echo $(id -u) $(id -g); cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups | tr -s ' '; touch /mine";
    let out = Run::of(s.as_user(NONE, &["sh", "-c", script])).ok();
    let (uid, gid) = (uid(), if is_root() { USER } else { rustix::process::getegid().as_raw() });
    assert_eq!(out, format!("0 0\n 0 {uid} 1\n 0 {gid} 1\ndeny"));
    let made =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(s.rootfs().join("mine")).unwrap());
    assert_eq!(made, uid);
}

#[test]
fn the_main_job_on_the_hosts_own_root() {
    let Some(s) = rootless() else { return };
    let mut c = s.as_user(&["--mem", "200M", "--ephemeral"], &[]);
    // The rootfs is the last word; the host's goes in its place.
    let mut again = Command::new(c.get_program());
    again.args(["--mem", "200M", "--ephemeral", "/", "sh", "-c"]);
    let mark = format!("launch-test-{}", std::process::id());
    again.arg(format!("echo x >/etc/{mark}; echo x >/tmp/{mark}; id -u; ls -d /proc/[0-9]* | wc -l; test -d /usr -o -d /bin && echo host"));
    std::mem::swap(&mut c, &mut again);
    if is_root() {
        as_user(&mut c, USER, USER);
    }
    c.current_dir("/").stdin(std::process::Stdio::null());
    let run = Run::of(c).expect(0);
    assert_eq!(run.out.split_whitespace().next(), Some("0"), "{run:#?}");
    assert!(run.out.ends_with("host\n"), "{run:#?}");
    assert!(
        run.err.lines().all(|l| l.starts_with("launch: warning: --mem 200M is not enforced: ")
            || l.starts_with("hint: ")),
        "{run:#?}"
    );
    for dir in ["/etc", "/tmp"] {
        assert!(!std::path::Path::new(dir).join(&mark).exists());
    }
}

#[test]
fn a_limit_that_cannot_be_had_is_a_warning() {
    let Some(()) = need_root() else { return };
    let Some(s) = rootless() else { return };
    let run =
        Run::of(s.as_user(&["--mem", "50M", "--pids-limit", "20"], &["echo", "ran"])).expect(0);
    assert_eq!(run.out, "ran\n");
    assert!(run.err.starts_with("launch: warning: --mem 50M"), "{run:#?}");
    assert!(run.err.contains("not enforced: ") && run.err.contains("hint: "), "{run:#?}");
}

#[test]
fn what_cannot_be_frozen_is_told_so() {
    let Some(()) = need_root() else { return };
    let Some(s) = rootless() else { return };
    Run::of(s.as_user(&["-d", "--name", "warm"], &["sleep", "60"])).ok();
    let verb = |words: &[&str]| {
        let mut c = Command::new(s.dir.join("launch"));
        as_user(c.args(words), USER, USER);
        Run::of(c)
    };
    let run = verb(&["pause", "warm"]).expect(125);
    assert!(run.err.contains("cgroup") && run.err.contains("\nhint: "), "{run:#?}");
    assert!(verb(&["ps"]).ok().contains("running"));
    verb(&["rm", "-f", "warm"]).ok();
}

#[test]
fn another_user_needs_subordinate_ids_and_is_told_so() {
    let Some(s) = single() else { return };
    for user in ["1000", "0:5", "5:0"] {
        let run = Run::of(s.as_user(&["-u", user], &["true"]));
        run.fails(125, &["launch: user ", ": only user 0 exists in this user namespace\nhint: "]);
    }
    assert_eq!(Run::of(s.as_user(&["-u", "0:0"], &["id", "-u"])).ok(), "0");
}

#[test]
fn volumes_layers_devices_and_loopback() {
    let Some(s) = rootless() else { return };
    let dir = s.dir.join("vol");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "host").unwrap();
    if is_root() {
        s.give_to(USER, USER);
    }
    let volume = format!("{}:/data", dir.display());
    let script = "cat /data/file; echo x >/data/new; echo y >/etc-not; echo gone >/dev/null; head -c3 /dev/zero | wc -c; ifconfig lo | grep -c 'inet addr:127.0.0.1'; ls /dev/pts; mkdir /dev/shm/x";
    for options in
        [&["-v", &volume][..], &["-v", &volume, "--ephemeral"], &["-v", &volume, "--no-init"]]
    {
        assert_eq!(
            Run::of(s.as_user(options, &["sh", "-c", script])).ok(),
            "host3\n1\nptmx",
            "{options:?}"
        );
        assert!(dir.join("new").exists());
        let made = std::fs::remove_file(s.rootfs().join("etc-not"));
        assert_eq!(made.is_ok(), !options.contains(&"--ephemeral"));
    }
    let read_only = format!("{}:/data:ro", dir.display());
    let script = "echo x >/data/y || echo refused";
    assert_eq!(
        Run::of(s.as_user(&["-v", &read_only], &["sh", "-c", script])).expect(0).out,
        "refused\n"
    );
}

#[test]
fn process_state_is_as_for_root() {
    let Some(s) = rootless() else { return };
    let out = Run::of(s.as_user(NONE, &["cat", "/proc/self/status"])).ok();
    for line in [
        "NoNewPrivs:\t1",
        "SigBlk:\t0000000000000000",
        "CapEff:\t00000000a00425fb",
        "CapInh:\t0000000000000000",
        "CapBnd:\t00000000a00425fb",
    ] {
        assert!(out.contains(line), "no {line} in {out}");
    }
}

#[test]
fn files_of_others_stay_theirs() {
    let Some(()) = need_root() else { return };
    let Some(s) = rootless() else { return };
    let secret = s.dir.join("secret");
    std::fs::write(&secret, "secret").unwrap();
    set_mode(&secret, 0o600);
    // The copy of the launcher was given to the user, this file belongs to root.
    let volume = format!("{}:/secret", secret.display());
    let run = Run::of(s.as_user(&["-v", &volume], &["cat", "/secret"]));
    assert!(run.code == 1 && run.err.contains("Permission denied"), "{run:#?}");
}

#[test]
fn network_and_terminal_options_work_here_too() {
    let Some(s) = rootless() else { return };
    assert_eq!(Run::of(s.as_user(&["-t"], &["tty"])).ok(), "/dev/pts/0\r");
    let out = Run::of(s.as_user(&["--net", "host"], &["readlink", "/proc/self/ns/net"])).ok();
    assert_eq!(out, std::fs::read_link("/proc/self/ns/net").unwrap().to_str().unwrap());
    assert_eq!(
        Run::of(s.as_user(&["--read-only"], &["sh", "-c", "echo x >/x || echo refused"])).out,
        "refused\n"
    );
}

/// cgroup v1 as an administrator delegates it: a directory of the user's, who starts inside.
#[test]
fn a_delegated_cgroup_enforces_the_limit() {
    let Some(()) = need_root() else { return };
    let Some(s) = rootless() else { return };
    let Some(own) = need(own_v1_memory(), "needs a cgroup v1 memory hierarchy") else { return };
    let dir = own.join(format!("lt-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    for file in ["", "tasks", "cgroup.procs"] {
        std::os::unix::fs::chown(dir.join(file), Some(USER), Some(USER)).unwrap();
    }
    let call = s.as_user(NONE, &[]);
    let line = format!(
        "echo $$ >{0}/tasks && exec {1} --mem 20M {2} sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes; exec dd if=/dev/zero of=/dev/null bs=100M count=1'",
        dir.display(),
        call.get_program().display(),
        s.rootfs().display()
    );
    let mut c = Command::new("/bin/sh");
    c.args(["-c", &line]).current_dir("/");
    as_user(&mut c, USER, USER);
    let run = Run::of(c);
    wait_until("the delegated cgroup is empty", || std::fs::remove_dir(&dir).is_ok());
    assert_eq!(run.out, "20971520\n", "{run:#?}");
    run.fails(137, &["launch: killed: out of memory (limit 20M"]);
}

/// Our own cgroup in the memory hierarchy of version 1.
fn own_v1_memory() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts.lines().find(|l| l.contains(" - cgroup ") && l.ends_with(",memory"))?;
    let point = PathBuf::from(line.split(' ').nth(4)?);
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|l| l.split_once(":memory:"))?.1;
    Some(point.join(path.trim_start_matches('/')))
}

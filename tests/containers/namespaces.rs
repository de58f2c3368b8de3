//! What is the container's own: namespaces, loopback, mounts.

use crate::common::*;
use std::collections::BTreeMap;

const NONE: &[&str] = &[];
const KINDS: [&str; 7] = ["pid", "mnt", "uts", "ipc", "net", "cgroup", "user"];

fn namespaces(text: &str) -> BTreeMap<String, String> {
    let pair = |l: &str| l.split_once(':').map(|(k, v)| (k.to_owned(), v.to_owned()));
    text.lines().filter_map(pair).collect()
}

#[test]
fn all_namespaces_are_new_and_the_same_for_init_and_payload() {
    let Some(s) = Sandbox::new() else { return };
    let kinds = KINDS.join(" ");
    let script = format!("for n in {kinds}; do readlink /proc/$$/ns/$n; done");
    let of_init = format!("for n in {kinds}; do readlink /proc/1/ns/$n; done");
    for init in [NONE, &["--no-init"]] {
        let inside = namespaces(&s.sh(init, &format!("{script}; {of_init}")).ok());
        for kind in KINDS {
            let outside = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            let outside = outside.to_str().unwrap().split_once(':').unwrap().1.to_owned();
            // Without user namespace root is root; an ordinary user has one.
            let same = kind == "user" && is_root();
            assert_eq!(inside[kind] == outside, same, "{kind}: {inside:?}");
        }
    }
    let both = s
        .sh(NONE, &format!("{script} >/tmp/a; {of_init} >/tmp/b; cmp /tmp/a /tmp/b && echo same"))
        .ok();
    assert_eq!(both, "same");
}

#[test]
fn two_containers_share_nothing() {
    let Some(s) = Sandbox::new() else { return };
    let script = "for n in pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$n; done; sleep 1";
    let start = || {
        s.command(NONE, &["sh", "-c", script]).stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let (a, b) = (start(), start());
    let patience = std::time::Duration::from_secs(20);
    let (a, b) = (finish(patience, a).stdout, finish(patience, b).stdout);
    let (a, b) = (String::from_utf8(a).unwrap(), String::from_utf8(b).unwrap());
    assert_eq!(a.lines().count(), 6);
    assert!(a.lines().zip(b.lines()).all(|(a, b)| a != b), "{a}{b}");
}

/// Root inside may write these by their modes, and through them change the host.
#[test]
fn settings_of_the_kernel_are_read_only() {
    let Some(s) = Sandbox::new() else { return };
    let script = "echo x >/proc/sys/kernel/core_pattern; echo h >/proc/sysrq-trigger; true";
    let run = s.sh(NONE, script);
    assert!(run.expect(0).err.contains("core_pattern: Read-only file system"));
    let mounts = s.sh(NONE, "grep ' /proc/sys ' /proc/mounts").ok();
    assert!(mounts.contains(" ro,"), "{mounts}");
    let free = s.run(&["--privileged"], &["grep", "-c", " /proc/sys ", "/proc/mounts"]);
    assert_eq!(free.out, "0\n");
}

#[test]
fn no_process_of_the_host_is_seen() {
    let Some(s) = Sandbox::new() else { return };
    let pids = s.sh(NONE, "cd /proc; ls -d [0-9]*; cat /proc/1/status | grep ^NSpid").ok();
    assert_eq!(pids.split_whitespace().collect::<Vec<_>>(), ["1", "2", "NSpid:", "1"]);
}

#[test]
fn loopback_is_up_and_the_only_link() {
    let Some(s) = Sandbox::new() else { return };
    let script = "ls /sys/class/net
        ifconfig lo | grep -c 'UP LOOPBACK RUNNING'
        nc -l -p 4711 -e cat &
        for i in 1 2 3 4 5 6 7 8 9; do
            (echo hello; sleep 0.3) | nc 127.0.0.1 4711 2>/dev/null && break; sleep 0.1; done
        ping -c1 -W1 192.0.2.1 2>&1 | grep -c unreachable
        cat /proc/net/unix | tail -n +2 | wc -l";
    assert_eq!(s.sh(NONE, script).ok(), "lo\n1\nhello\n1\n0");
}

#[test]
fn the_hosts_network_on_request() {
    let Some(s) = Sandbox::new() else { return };
    for net in ["--net=host", "--network=host"] {
        let inside = s.sh(&[net], "readlink /proc/self/ns/net").ok();
        assert_eq!(inside, std::fs::read_link("/proc/self/ns/net").unwrap().to_str().unwrap());
    }
    let links = s.sh(&["--net", "host"], "ls /sys/class/net").ok();
    let own = std::fs::read_dir("/sys/class/net").unwrap().count();
    assert_eq!(links.lines().count(), own);
}

/// `target type options` of the mounts inside, options sorted and reduced to what we set.
fn mounts(text: &str) -> BTreeMap<String, String> {
    let wanted = ["ro", "rw", "nosuid", "nodev", "noexec"];
    let line = |l: &str| {
        let fields: Vec<&str> = l.split(' ').collect();
        let mut options: Vec<&str> = fields[3].split(',').filter(|o| wanted.contains(o)).collect();
        options.sort_unstable();
        (fields[1].to_owned(), format!("{} {}", fields[2], options.join(",")))
    };
    text.lines().map(line).collect()
}

#[test]
fn the_standard_mounts_are_there_with_their_flags() {
    let Some(s) = Sandbox::new() else { return };
    let found = mounts(&s.run(NONE, &["cat", "/proc/mounts"]).ok());
    let mut want = vec![
        ("/proc", "proc nodev,noexec,nosuid,rw"),
        ("/sys", "sysfs nodev,noexec,nosuid,ro"),
        ("/dev", "tmpfs nosuid,rw"),
        ("/dev/pts", "devpts noexec,nosuid,rw"),
        ("/dev/shm", "tmpfs nodev,noexec,nosuid,rw"),
        ("/dev/mqueue", "mqueue nodev,noexec,nosuid,rw"),
        ("/run", "tmpfs nodev,nosuid,rw"),
        ("/tmp", "tmpfs nodev,nosuid,rw"),
    ];
    for path in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"] {
        if std::path::Path::new(path).exists() {
            want.push((path, "proc nodev,noexec,nosuid,ro"));
        }
    }
    for (target, mount) in &want {
        assert_eq!(found.get(*target).map(String::as_str), Some(*mount), "{target}");
    }
    want.push(("/", ""));
    let devices = |t: &str| !is_root() && t.starts_with("/dev/");
    // What is hidden: tests/containers/hidden.rs.
    let below = |t: &str| t.starts_with("/proc/") || t.starts_with("/sys/");
    let others = found.keys().filter(|t| !devices(t) && !below(t));
    let odd: Vec<_> = others.filter(|t| !want.iter().any(|(w, _)| w == t)).collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert!(found["/"].split([' ', ',']).any(|o| o == "nodev"), "{}", found["/"]);
}

#[test]
fn temporary_directories_are_for_everyone_and_empty() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/tmp/old", "x", 0o644);
    s.file("/run/old", "x", 0o644);
    let script = "stat -c '%a %n' /tmp /run /dev/shm /dev/mqueue; ls /tmp /run; echo ok >/dev/shm/x && cat /dev/shm/x";
    assert_eq!(
        s.sh(NONE, script).ok(),
        "1777 /tmp\n755 /run\n1777 /dev/shm\n1777 /dev/mqueue\n/run:\n\n/tmp:\nok"
    );
    assert!(s.rootfs().join("tmp/old").exists());
}

/// Nothing inside reaches the host's mounts; also where the host shares them.
#[test]
fn mounts_do_not_leave_the_container() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let script = format!(
        "mount --make-rshared / && exec {} --cap-add sys_admin -v {}:/v {} sh -c 'mount -t tmpfs x /v; mount -t tmpfs y /bin; mount | grep -c \" /v \"; sleep 0.3'; cat /proc/self/mountinfo >{}/after",
        launch().display(), s.dir.display(), s.rootfs().display(), s.dir.display(),
    ).replace("exec ", "");
    let mut c = std::process::Command::new("unshare");
    let Ok(_) = std::process::Command::new("unshare").arg("--help").output() else {
        return skip("needs unshare");
    };
    c.args(["-m", "--propagation", "slave", "/bin/sh", "-c", &script]);
    assert_eq!(Run::of(c).ok(), "2");
    let after = std::fs::read_to_string(s.dir.join("after")).unwrap();
    assert!(!after.contains("tmpfs x") && !after.contains("tmpfs y"), "{after}");
}

#[test]
fn nothing_of_the_host_stays_mounted_inside() {
    let Some(s) = Sandbox::new() else { return };
    let out = s.run(NONE, &["cat", "/proc/self/mountinfo"]).ok();
    let root = out.lines().filter(|l| l.split(' ').nth(4) == Some("/")).count();
    assert_eq!(root, 1, "the old root is gone: {out}");
    // Of the host's disk the rootfs is visible, nothing above it.
    for line in out.lines().filter(|l| l.split(' ').nth(4) == Some("/")) {
        assert!(
            line.split(' ').nth(3).unwrap().ends_with("/rootfs")
                || line.contains(" - tmpfs ")
                || line.contains(" - rootfs "),
            "{line}"
        );
    }
    assert_eq!(s.sh(NONE, "cd /; cd ../../..; pwd; ls -a | grep -c busybox").code, 1);
}

#[test]
fn shared_memory_and_message_queues_are_the_containers() {
    let Some(s) = Sandbox::new() else { return };
    s.sh(NONE, "echo x >/dev/shm/one; mkdir /dev/mqueue/d 2>/dev/null; >/dev/mqueue/q; ls /dev/shm /dev/mqueue")
        .expect(0);
    assert_eq!(s.sh(NONE, "ls /dev/shm /dev/mqueue").ok(), "/dev/mqueue:\n\n/dev/shm:");
    let full = "dd if=/dev/zero of=/dev/shm/x bs=1M 2>/dev/null; stat -c %s /dev/shm/x";
    assert_eq!(s.sh(&["--shm-size", "2m"], full).ok(), "2097152");
}

/// A launcher may put the child on another processor than its own while both work.
#[test]
fn processors_are_the_callers() {
    let Some(s) = Sandbox::new() else { return };
    let allowed = |text: &str| {
        let line = text.lines().find(|l| l.starts_with("Cpus_allowed_list:"));
        line.and_then(|l| l.split_whitespace().nth(1)).unwrap().to_owned()
    };
    let status = &["cat", "/proc/1/status", "/proc/self/status"];
    let ours = allowed(&std::fs::read_to_string("/proc/self/status").unwrap());
    // Nor may it depend on how much else there is to do.
    for _ in 0..5 {
        for init in [NONE, &["--no-init"]] {
            for text in s.run(init, status).ok().split("Name:").skip(1) {
                assert_eq!(allowed(text), ours);
            }
        }
    }
    // Of one's own choice, which is another one where there are several.
    let one = ours.split(['-', ',']).next().unwrap();
    let mut chosen = rustix::thread::CpuSet::new();
    chosen.set(one.parse().unwrap());
    // This thread's, and with it that of what it starts.
    let before = rustix::thread::sched_getaffinity(None).unwrap();
    rustix::thread::sched_setaffinity(None, &chosen).unwrap();
    let run = s.run(NONE, status);
    rustix::thread::sched_setaffinity(None, &before).unwrap();
    for text in run.ok().split("Name:").skip(1) {
        assert_eq!(allowed(text), one);
    }
}

//! /dev: the standard nodes and links, and no other device.

use crate::common::*;

const NONE: &[&str] = &[];

#[test]
fn the_standard_nodes_and_links() {
    let Some(s) = Sandbox::new() else { return };
    let out =
        s.sh(NONE, "cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty").ok();
    let nodes = [
        ("null", "1:3"),
        ("zero", "1:5"),
        ("full", "1:7"),
        ("random", "1:8"),
        ("urandom", "1:9"),
        ("tty", "5:0"),
    ];
    let want: Vec<String> =
        nodes.iter().map(|(n, d)| format!("{n} character special file {d} 666")).collect();
    assert_eq!(out.lines().collect::<Vec<_>>(), want);
    let out = s
        .sh(
            NONE,
            "cd /dev; for l in fd stdin stdout stderr ptmx core; do echo $l $(readlink $l); done",
        )
        .ok();
    let want = "fd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\nstderr /proc/self/fd/2\nptmx pts/ptmx\ncore /proc/kcore";
    assert_eq!(out, want);
    let names = s.run(NONE, &["ls", "/dev"]).ok();
    let want = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(names.split_whitespace().collect::<Vec<_>>().join(" "), want);
}

#[test]
fn the_nodes_work() {
    let Some(s) = Sandbox::new() else { return };
    let script = "echo gone >/dev/null
        head -c 4 /dev/zero | od -An -tx1
        head -c 100 /dev/urandom | wc -c
        head -c 1 /dev/random | wc -c
        (echo x >/dev/full) 2>&1 | grep -c 'No space left'
        echo out >/dev/stdout; echo in | cat /dev/stdin; cat /dev/fd/0 </dev/null";
    let out = s.sh(NONE, script).ok();
    assert_eq!(
        out.split_whitespace().collect::<Vec<_>>(),
        ["00", "00", "00", "00", "100", "1", "1", "out", "in"]
    );
}

#[test]
fn the_payload_has_no_terminal_it_was_not_given() {
    let Some(s) = Sandbox::new() else { return };
    let run = s.sh(NONE, "tty; (: </dev/tty) 2>&1; cut -d' ' -f7 /proc/self/stat");
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines[0], "not a tty", "{run:#?}");
    assert!(lines[1].contains("No such device or address"), "{run:#?}");
    assert_eq!(lines[2], "0", "{run:#?}");
}

#[test]
fn no_other_device_can_be_made_or_used() {
    let Some(s) = Sandbox::new() else { return };
    let run = s.sh(NONE, "mknod /tmp/d b 254 0; echo $?; mknod /d c 1 3; echo $?; ls /dev/kmsg /dev/mem /dev/console 2>/dev/null; echo end");
    assert_eq!(run.out, "1\n1\nend\n", "{run:#?}");
}

#[test]
fn a_device_that_lies_in_the_rootfs_cannot_be_used() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let kind = rustix::fs::FileType::CharacterDevice;
    let path = s.rootfs().join("zero");
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, 0o666.into(), rustix::fs::makedev(1, 5))
        .unwrap();
    for options in [NONE, &["--ephemeral"], &["--read-only"]] {
        let run = s.sh(options, "head -c1 /zero");
        assert!(run.code == 1 && run.err.contains("Permission denied"), "{run:#?}");
    }
}

#[test]
fn the_kernels_log_and_settings_are_out_of_reach() {
    let Some(s) = Sandbox::new() else { return };
    for (script, words) in [
        ("dmesg", &["not permitted"][..]),
        ("cat /proc/kmsg", &["not permitted", "Permission denied"]),
        ("echo 0 >/sys/kernel/uevent_seqnum", &["Read-only", "Permission denied"]),
        ("mount -t tmpfs x /tmp", &["permission denied", "not permitted"]),
        ("mount -o remount,rw /sys", &["permission denied", "not permitted"]),
        ("chroot / true && mount -t proc p /tmp", &["permission denied", "not permitted"]),
    ] {
        let run = s.sh(NONE, &format!("echo started; {script}"));
        let refused = run.code != 0 && words.iter().any(|word| run.err.contains(word));
        assert!(run.out == "started\n" && refused, "{script}: {run:#?}");
    }
    assert_eq!(s.sh(NONE, "ls /dev/kmsg /dev/mem /dev/port 2>/dev/null; true").ok(), "");
}

/// A device of the host's that is none of the usual ones, and can be opened there.
fn some_device() -> Option<&'static str> {
    let all = ["/dev/fuse", "/dev/net/tun", "/dev/loop-control"];
    let found = all.into_iter().find(|d| std::fs::File::open(d).is_ok());
    need(found, "needs a device that can be opened")
}

#[test]
fn a_device_of_the_hosts_by_name_place_and_use() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let Some(device) = some_device() else { return };
    let numbers = s.sh(NONE, &format!("ls {device} 2>/dev/null")).out;
    assert_eq!(numbers, "", "{device} is there anyway");
    let opens = |options: &[&str], path: &str| {
        let run = s.sh(options, &format!("(: <{path}) && echo read; (: >>{path}) && echo written"));
        run.out.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let at = format!("{device}:/dev/sub/here");
    let read = format!("{device}:/srv/deep/here:r");
    assert!(opens(&["--device", device], device).contains("read"));
    assert!(opens(&["--device", &at], "/dev/sub/here").contains("read"));
    // Outside of /dev, on a root without devices, and for reading only.
    assert_eq!(opens(&["--device", &read], "/srv/deep/here"), "read");
    assert_eq!(s.sh(&["--device", &read], "ls -A /dev | grep -c '^\\.'").out, "0\n");
    // A node of its own: its mode is not the host's.
    let mode = || std::fs::metadata(device).unwrap().permissions();
    let before = mode();
    s.sh(&["--device", device], &format!("chmod 700 {device}")).ok();
    assert_eq!(mode(), before);
    // A directory of devices.
    let out = s.sh(&["--device", "/dev/net:/dev/n"], "ls /dev/n");
    if std::path::Path::new("/dev/net/tun").exists() {
        assert_eq!(out.ok(), "tun");
    }
    for no in ["/etc/passwd", "/none", "/dev/shm"] {
        s.run(&["--device", no], &["true"]).fails(125, &[&format!("launch: --device {no}: ")]);
    }
}

/// With the right to make nodes and to mount there is a filter, or any disk would be open.
#[test]
fn what_could_open_any_device_comes_with_a_filter() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let script = "mknod /dev/a c 1 5 && head -c1 /dev/a | wc -c
        for d in 'b 254 0' 'b 7 0' 'c 1 1' 'c 1 11' 'c 10 229'; do
            mknod /dev/d $d || echo no node; (: </dev/d) 2>&1 | grep -c 'not permitted'; rm /dev/d
        done; echo x >/dev/null; head -c2 /dev/urandom | wc -c";
    for options in [
        &["--cap-add", "MKNOD"][..],
        &["--cap-add", "ALL"],
        &["--cap-add", "MKNOD", "--mem", "50M"],
    ] {
        assert_eq!(s.sh(options, script).ok(), "1\n1\n1\n1\n1\n1\n2", "{options:?}");
    }
    let mount = "mkdir /tmp/d; mount -t devtmpfs d /tmp/d || exit 3; (: </tmp/d/kmsg) 2>&1 | grep -c 'not permitted'";
    let run = s.sh(&["--cap-add", "SYS_ADMIN"], mount);
    assert!(run.code == 3 || run.out == "1\n", "{run:#?}");
    // Named by number.
    let Some(device) = some_device() else { return };
    let number = rustix::fs::stat(device).unwrap().st_rdev;
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let script = format!("mknod /dev/d c {major} {minor}; (: </dev/d) && echo open");
    let rule = format!("c {major}:* r");
    let options = ["--cap-add", "MKNOD", "--device-cgroup-rule", &rule];
    assert_eq!(s.sh(&options, &script).ok(), "open");
    assert_eq!(s.sh(&options[..2], &script).out, "");
    // Nothing is filtered, and nothing made, where nothing opens the door.
    let text = s.run(&["--explain"], &["true"]).ok();
    assert!(!text.contains("devices.allow") && !text.contains("eBPF"), "{text}");
}

#[test]
fn an_ordinary_users_device() {
    let Some(s) = Sandbox::new() else { return };
    let run = Run::of(s.as_user(&["--device", "/dev/full:/dev/mine"], &["ls", "/dev/mine"]));
    if need((run.code != 125).then_some(()), "needs user namespaces for ordinary users").is_none() {
        return;
    }
    assert_eq!(run.ok(), "/dev/mine");
    Run::of(s.as_user(&["--device", "/dev/full:/dev/mine:r"], &["true"]))
        .fails(125, &["an ordinary user cannot restrict its use"]);
}

//! What of /proc and /sys is hidden or read-only, by what, and what options make of it.

use crate::common::*;

const NONE: &[&str] = &[];

const FILES: [&str; 7] = [
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
];
const DIRECTORIES: [&str; 5] =
    ["/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/devices/virtual/powercap", "/sys/firmware"];
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// As root and as an ordinary user.
fn everywhere(check: impl Fn(&dyn Fn(&[&str], &str) -> Run)) {
    let Some(s) = Sandbox::new() else { return };
    check(&|options, script| s.sh(options, script));
    let user = |options: &[&str], script: &str| Run::of(s.as_user(options, &["sh", "-c", script]));
    if is_root()
        && need((user(NONE, "true").code == 0).then_some(()), "needs user namespaces").is_some()
    {
        check(&user);
    }
}

#[test]
fn what_tells_of_the_host_is_empty() {
    everywhere(|run| {
        for path in FILES {
            // The same device as null, so nothing can be read or changed.
            let out = run(
                NONE,
                &format!(
                    "[ -e {path} ] || exit 0; stat -c '%t:%T' {path}; cat {path}; echo x >{path}"
                ),
            );
            assert!(["", "1:3"].contains(&out.ok().as_str()), "{path}");
        }
        for path in DIRECTORIES {
            let script = format!(
                "[ -e {path} ] || exit 7; ls -A {path}; mkdir {path}/x 2>/dev/null || touch {path}/y 2>/dev/null || echo refused"
            );
            let out = run(NONE, &script);
            assert!(out.code == 7 || out.out == "refused\n", "{path}: {out:#?}");
        }
        // The empty directory itself is nowhere to be found.
        assert_eq!(
            run(
                NONE,
                "ls -A /dev | grep -c empty; umount /proc/keys 2>/dev/null; wc -c </proc/keys"
            )
            .out,
            "0\n0\n"
        );
    });
}

#[test]
fn what_would_change_the_host_is_read_only() {
    everywhere(|run| {
        let script = format!(
            "for p in {}; do grep -q \" $p .*[ ,]ro\" /proc/mounts || [ ! -e $p ] || echo $p; done
            for f in kernel/core_pattern vm/swappiness kernel/hostname; do
                (: >>/proc/sys/$f) 2>&1 | grep -q -e Read-only -e denied || echo $f
            done
            (: >>/proc/self/comm) || echo comm",
            READ_ONLY.join(" ")
        );
        assert_eq!(run(NONE, &script).ok(), "");
    });
}

#[test]
fn options_hide_less_or_more() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/secret/key", "abc\n", 0o644);
    s.file("/etc/passwd", "root:x:0:0::/:/bin/sh\n", 0o644);
    let covered = |options: &[&str]| {
        let out = s.sh(options, "cut -d' ' -f2 /proc/mounts").ok();
        let below = |l: &&str| l.starts_with("/proc/") || l.starts_with("/sys/");
        out.lines().filter(below).map(str::to_owned).collect::<Vec<_>>()
    };
    let all = covered(NONE);
    assert!(
        all.iter().any(|p| p == "/proc/keys") && all.iter().any(|p| p == "/proc/sys"),
        "{all:?}"
    );
    for options in [
        &["--security-opt", "unmask=ALL"][..],
        &["--security-opt", "systempaths=unconfined"],
        &["--privileged"],
    ] {
        assert_eq!(covered(options), [""; 0], "{options:?}");
    }
    let some = covered(&["--security-opt", "unmask=/proc/keys:/proc/sys"]);
    let want: Vec<_> =
        all.iter().filter(|p| !["/proc/keys", "/proc/sys"].contains(&p.as_str())).collect();
    assert_eq!(some.iter().collect::<Vec<_>>(), want);
    let some = covered(&["--security-opt", "unmask=/proc/*"]);
    assert!(some.iter().all(|p| p.starts_with("/sys/")), "{some:?}");
    let mask = [
        "--security-opt",
        "mask=/proc/meminfo:/secret:/none",
        "--security-opt",
        "mask=/etc/passwd",
    ];
    let script =
        "cat /proc/meminfo /secret/* 2>/dev/null; cat /etc/passwd; [ -d /secret ] && echo end";
    assert_eq!(s.sh(&mask, script).ok(), "end");
    assert_eq!(std::fs::read(s.rootfs().join("secret/key")).unwrap(), b"abc\n");
}

/// CVE-2025-31133: the image's /dev/null is not what things are covered with.
#[test]
fn the_images_null_is_not_used() {
    let Some(s) = Sandbox::new() else { return };
    let canary = s.canary();
    std::fs::create_dir_all(s.rootfs().join("dev")).unwrap();
    s.link("/dev/null", "/proc/sys/kernel/core_pattern");
    s.link("/dev/.empty", canary.path());
    // Whoever is not the host's root is told first that the file is not his.
    let write = "(: >>/proc/sys/kernel/core_pattern) 2>&1 | grep -c -e Read-only -e denied";
    let mounted = "grep -c '^proc /proc/sys proc ro' /proc/mounts";
    let out = s.sh(NONE, &format!("stat -c '%F %t:%T' /proc/keys; {write}; {mounted}"));
    assert_eq!(out.ok(), "character special file 1:3\n1\n1");
    canary.check();
    assert!(s.rootfs().join("dev/null").is_symlink());
}

/// A volume over /dev does not lend its null either, nor is anything removed from it.
#[test]
fn a_volume_over_dev_changes_nothing() {
    let Some(s) = Sandbox::new() else { return };
    let dir = s.dir.join("dev");
    std::fs::create_dir_all(dir.join(".empty")).unwrap();
    std::fs::write(dir.join("null"), "text").unwrap();
    let volume = format!("{}:/dev", dir.display());
    let out =
        s.sh(&["-v", &volume], "stat -c '%t:%T' /proc/keys; cat /dev/null; ls -A /sys/firmware");
    assert_eq!(out.ok(), "1:3\ntext");
    assert!(dir.join(".empty").is_dir());
}

/// The session keyring is a new one: the caller's keys are nobody's inside.
#[test]
fn the_callers_keys_stay_outside() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let unconfined =
        ["--security-opt", "seccomp=unconfined", "--security-opt", "unmask=/proc/keys"];
    let serials = |text: &str| -> Vec<String> {
        let sessions = text.lines().filter(|l| l.contains("keyring") && l.contains("_ses"));
        sessions.map(|l| l.split(' ').next().unwrap().to_owned()).collect()
    };
    // Root sees all there are: of its own it has one, which the host had not before.
    let host = serials(&std::fs::read_to_string("/proc/keys").unwrap());
    let inside = serials(&s.run(&unconfined, &["cat", "/proc/keys"]).ok());
    let own: Vec<_> = inside.iter().filter(|s| !host.contains(s)).collect();
    // Other containers of this machine may begin meanwhile.
    assert!(!own.is_empty(), "{inside:?} {host:?}");
}

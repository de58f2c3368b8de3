//! The root file system: what is written to it, and what is not.

use crate::common::*;
use std::process::Command;

const NONE: &[&str] = &[];
const POINTS: [&str; 5] = ["proc", "sys", "dev", "run", "tmp"];

#[test]
fn nothing_is_written_but_mount_points() {
    let Some(s) = Sandbox::new() else { return };
    let before = snapshot(&s.rootfs());
    for options in [&[][..], &["--no-init"], &["--tmpfs", "/cache/deep"]] {
        s.run(options, &["true"]).ok();
    }
    let mut after = snapshot(&s.rootfs());
    for made in POINTS.iter().chain(&["cache", "cache/deep"]) {
        let entry = after.remove(&s.rootfs().join(made)).expect(made);
        let end = std::fs::read_dir(s.rootfs().join(made)).unwrap().count();
        assert!(entry.starts_with("40755 ") && (end == 0 || *made == "cache"), "{made}: {entry}");
    }
    assert!(before == after);
    // The second time there is nothing left to make.
    let before = snapshot(&s.rootfs());
    s.run(&["--tmpfs", "/cache/deep"], &["true"]).ok();
    assert!(before == snapshot(&s.rootfs()));
}

#[test]
fn the_payload_may_write_to_it_and_it_stays() {
    let Some(s) = Sandbox::new() else { return };
    s.sh(NONE, "echo kept >/kept; mkdir /dir; ln -s kept /link").expect(0);
    assert_eq!(std::fs::read_to_string(s.rootfs().join("link")).unwrap(), "kept\n");
}

#[test]
fn one_static_program_and_nothing_else() {
    let s = Sandbox::empty();
    s.file("/app", tiny_elf(42), 0o755);
    for options in [&[][..], &["--no-init"], &["--ephemeral"]] {
        let run = s.run(options, &["/app"]).expect(42);
        assert_eq!(run.err, "");
    }
    let names: Vec<_> =
        std::fs::read_dir(s.rootfs()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 1 + POINTS.len(), "{names:?}");
}

/// The first starts of a new rootfs, at the same time, all make its mount points.
#[test]
fn several_may_make_the_mount_points_at_once() {
    let Some(s) = Sandbox::new() else { return };
    let volume = s.dir.join("volume");
    std::fs::create_dir(&volume).unwrap();
    let volume = format!("{}:/a/b", volume.display());
    for round in 0..rounds(20) {
        for name in ["proc", "sys", "dev", "run", "tmp", "a"] {
            let _ = std::fs::remove_dir_all(s.rootfs().join(name));
        }
        let starts: Vec<_> =
            (0..8).map(|_| s.command(&["-v", &volume], &["true"]).spawn().unwrap()).collect();
        for start in starts {
            let status = finish(std::time::Duration::from_secs(60), start).status;
            assert!(status.success(), "round {round}: {status}");
        }
    }
}

#[test]
fn a_read_only_rootfs_with_its_mount_points_in_place() {
    let Some(s) = Sandbox::new() else { return };
    for point in POINTS {
        std::fs::create_dir_all(s.rootfs().join(point)).unwrap();
    }
    let before = snapshot(&s.rootfs());
    let script = "echo x 2>/dev/null >/x || echo refused
        rm -f /bin/true 2>/dev/null || echo kept
        echo ok >/tmp/x && echo ok >/run/x && echo ok >/dev/shm/x && cat /tmp/x";
    assert_eq!(s.sh(&["--read-only"], script).ok(), "refused\nkept\nok");
    let remount = s.sh(&["--read-only"], "mount -o remount,bind,rw / 2>/dev/null; echo x >/x");
    assert_ne!(remount.code, 0);
    assert!(before == snapshot(&s.rootfs()));
}

#[test]
fn ephemeral_writes_vanish() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/etc/conf", "old", 0o644);
    let before = snapshot(&s.rootfs());
    let script = "echo new >/etc/conf; rm /bin/true; mkdir /made; echo x >/made/file; chmod 700 /bin; cat /etc/conf /made/file";
    let run = s.sh(&["--ephemeral"], script);
    assert_eq!(run.ok(), "new\nx");
    assert!(before == snapshot(&s.rootfs()));
    // Two at once do not see each other.
    assert_eq!(s.sh(&["--ephemeral"], "ls /made 2>/dev/null; cat /etc/conf").ok(), "old");
}

/// Not for a user: before Linux 6.6 a tmpfs keeps no attributes of users, with which the
/// overlay marks a directory as gone.
#[test]
fn ephemeral_directories_can_be_moved_and_removed() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    s.file("/etc/conf", "old", 0o644);
    s.file("/var/x", "x", 0o644);
    let before = snapshot(&s.rootfs());
    let script = "mv /etc /etc2; cat /etc2/conf; rm -r /var; mkdir /var; ls /var";
    assert_eq!(s.sh(&["--ephemeral"], script).ok(), "old");
    assert!(before == snapshot(&s.rootfs()));
}

#[test]
fn ephemeral_keeps_the_roots_own_mode_and_owner() {
    let Some(s) = Sandbox::new() else { return };
    set_mode(&s.rootfs(), 0o711);
    assert_eq!(s.sh(&["--ephemeral"], "stat -c '%a %u:%g' /").ok(), "711 0:0");
}

#[test]
fn ephemeral_and_read_only_together() {
    let Some(s) = Sandbox::new() else { return };
    let before = snapshot(&s.rootfs());
    assert_ne!(s.sh(&["--ephemeral", "--read-only"], "echo x >/x").code, 0);
    assert!(before == snapshot(&s.rootfs()));
}

#[test]
fn a_rootfs_that_cannot_be_written_needs_ephemeral() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let Ok(_) = Command::new("unshare").arg("--help").output() else {
        return skip("needs unshare");
    };
    let inside = |options: &str| {
        let line = format!(
            "mount --bind {0} {0} && mount -o remount,bind,ro {0} && {1} {options} {0} echo ran",
            s.rootfs().display(),
            launch().display()
        );
        let mut c = Command::new("unshare");
        c.args(["-m", "/bin/sh", "-c", &line]);
        Run::of(c)
    };
    assert_eq!(inside("--ephemeral").ok(), "ran");
    inside("").fails(
        125,
        &[
            "launch: mount proc on /proc: ",
            "hint: the rootfs has no /proc, and it cannot be made there; add --ephemeral\n",
        ],
    );
}

/// The main job: this machine's own root as a throw-away.
#[test]
fn the_hosts_root_as_a_throw_away() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let mark = format!("launch-test-{}", std::process::id());
    let had_users = std::path::Path::new("/etc/passwd").exists();
    let script = format!(
        "for d in / /etc /usr /var /tmp /home /root; do test -d $d || continue; echo x >$d/{mark} || echo cannot $d; done
         rm -rf /etc/passwd; ls /etc/passwd 2>/dev/null; test -e /bin/sh && echo shell; ls -d /proc/[0-9]* | wc -l"
    );
    let mut c = Command::new(launch());
    c.args(["--ephemeral", "/", "sh", "-c", &script]);
    let out = Run::of(c).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "shell", "{out}");
    for dir in ["/", "/etc", "/usr", "/var", "/tmp", "/home", "/root"] {
        assert!(!std::path::Path::new(dir).join(&mark).exists(), "{dir}");
    }
    assert_eq!(std::path::Path::new("/etc/passwd").exists(), had_users);
    s.check_leaks();
}

#[test]
fn the_hosts_root_is_never_writable() {
    let mut c = Command::new(launch());
    let _s = Sandbox::empty();
    c.args(["/", "true"]);
    let text = "launch: rootfs /: refusing to use the host's own root writable\nhint: add --ephemeral (changes vanish with the container) or --read-only\n";
    assert_eq!(Run::of(c).fails(125, &[]).err, text);
    // By another name, too.
    let mut c = Command::new(launch());
    c.args(["/proc/self/root/", "true"]);
    Run::of(c).fails(125, &["refusing to use the host's own root writable"]);
}

#[test]
fn the_hosts_root_read_only() {
    let Some(()) = need_root() else { return };
    let _s = Sandbox::empty();
    let mut c = Command::new(launch());
    c.args(["--read-only", "/", "sh", "-c", "echo x >/etc/launch-test || echo refused; echo ok >/tmp/launch-test && cat /tmp/launch-test"]);
    let run = Run::of(c).expect(0);
    assert_eq!(run.out, "refused\nok\n");
    assert!(
        !std::path::Path::new("/etc/launch-test").exists()
            && !std::path::Path::new("/tmp/launch-test").exists()
    );
}

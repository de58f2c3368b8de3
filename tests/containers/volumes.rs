//! Volumes and tmpfs: what appears where, and never outside.

use crate::common::*;
use std::path::PathBuf;

/// A directory of the host with a file in it.
fn source(s: &Sandbox) -> PathBuf {
    let dir = s.dir.join("vol");
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    std::fs::write(dir.join("file"), "host").unwrap();
    std::fs::write(dir.join("sub/deep"), "deep").unwrap();
    dir
}

fn volume(from: &std::path::Path, to: &str) -> String {
    format!("{}:{to}", from.display())
}

#[test]
fn a_directory_is_shared_both_ways() {
    let Some(s) = Sandbox::new() else { return };
    let dir = source(&s);
    for init in [None, Some("--no-init")] {
        let v = volume(&dir, "/data");
        let mut options = vec!["-v", &v];
        options.extend(init);
        assert_eq!(
            s.sh(&options, "cat /data/file /data/sub/deep; echo new >/data/new").ok(),
            "hostdeep"
        );
        assert_eq!(std::fs::read_to_string(dir.join("new")).unwrap(), "new\n");
    }
}

#[test]
fn a_file_is_a_file() {
    let Some(s) = Sandbox::new() else { return };
    let dir = source(&s);
    let v = volume(&dir.join("file"), "/etc/deep/conf");
    assert_eq!(s.sh(&["-v", &v], "cat /etc/deep/conf; echo changed >/etc/deep/conf").ok(), "host");
    assert_eq!(std::fs::read_to_string(dir.join("file")).unwrap(), "changed\n");
    // Its mount point is an empty file.
    assert_eq!(std::fs::read_to_string(s.rootfs().join("etc/deep/conf")).unwrap(), "");
}

#[test]
fn read_only_means_with_everything_below() {
    let Some(s) = Sandbox::new() else { return };
    let dir = source(&s);
    let before = snapshot(&dir);
    let v = volume(&dir, "/data:ro");
    let script = "for f in /data/x /data/file /data/sub/deep; do echo x 2>/dev/null >$f && echo wrote $f; done; cat /data/file; chmod 777 /data 2>/dev/null && echo changed; true";
    assert_eq!(s.sh(&["-v", &v], script).ok(), "host");
    let v = volume(&dir.join("file"), "/one:ro");
    assert_ne!(s.sh(&["-v", &v], "echo x >/one").code, 0);
    let v = volume(&dir, "/data:rw");
    assert_eq!(s.sh(&["-v", &v], "test -w /data/file && echo writable").ok(), "writable");
    assert!(before == snapshot(&dir));
    let v = volume(&dir, "/data:ro");
    assert_ne!(
        s.sh(
            &["-v", &v, "--cap-add", "sys_admin"],
            "mount -o remount,rw,bind /data && echo x >/data/x"
        )
        .code,
        2
    );
}

#[test]
fn a_mount_below_a_read_only_volume_is_read_only() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let dir = source(&s);
    let Ok(_) = std::process::Command::new("unshare").arg("--help").output() else {
        return skip("needs unshare");
    };
    let line = format!(
        "mount -t tmpfs below {0}/sub && echo b >{0}/sub/b && {1} -v {0}:/data:ro {2} sh -c 'cat /data/sub/b; echo x >/data/sub/x || echo refused'",
        dir.display(),
        launch().display(),
        s.rootfs().display()
    );
    let mut c = std::process::Command::new("unshare");
    c.args(["-m", "/bin/sh", "-c", &line]);
    assert_eq!(Run::of(c).expect(0).out, "b\nrefused\n");
}

#[test]
fn nested_volumes_in_the_users_order() {
    let Some(s) = Sandbox::new() else { return };
    let dir = source(&s);
    let inner = s.dir.join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("here"), "inner").unwrap();
    let (a, b) = (volume(&dir, "/data"), volume(&inner, "/data/sub"));
    assert_eq!(
        s.sh(&["-v", &a, "-v", &b], "cat /data/file /data/sub/here; ls /data/sub").ok(),
        "hostinnerhere"
    );
    // The other way round the outer one covers the inner one.
    assert_eq!(s.sh(&["-v", &b, "-v", &a], "ls /data/sub").ok(), "deep");
    let out = s.sh(&["--tmpfs", "/data", "-v", &b], "ls /data; cat /data/sub/here").ok();
    assert_eq!(out, "sub\ninner");
}

#[test]
fn relative_sources_are_the_callers() {
    let Some(s) = Sandbox::new() else { return };
    source(&s);
    for (dir, name) in
        [(s.dir.clone(), "./vol"), (s.dir.join("vol"), "."), (s.dir.join("vol/sub"), "..")]
    {
        for kind in ["--ephemeral", "--no-init"] {
            let mut c = s.command(&[kind, "-v", &format!("{name}:/data")], &["cat", "/data/file"]);
            c.current_dir(dir.clone());
            assert_eq!(Run::of(c).ok(), "host", "{name}");
        }
    }
}

#[test]
fn a_source_by_symlink_is_what_it_leads_to() {
    let Some(s) = Sandbox::new() else { return };
    let dir = source(&s);
    std::os::unix::fs::symlink(dir.join("file"), s.dir.join("ln")).unwrap();
    let v = volume(&s.dir.join("ln"), "/one");
    assert_eq!(s.run(&["-v", &v], &["cat", "/one"]).ok(), "host");
}

#[test]
fn a_missing_target_is_made_inside() {
    let Some(s) = Sandbox::new() else { return };
    let v = volume(&source(&s), "/a/b/c");
    assert_eq!(s.run(&["-v", &v], &["cat", "/a/b/c/file"]).ok(), "host");
    assert_eq!(std::fs::read_dir(s.rootfs().join("a/b/c")).unwrap().count(), 0);
    // On a tmpfs of ours nothing is left of it.
    let v = volume(&source(&s), "/run/x/y");
    assert_eq!(s.run(&["-v", &v], &["cat", "/run/x/y/file"]).ok(), "host");
    assert_eq!(std::fs::read_dir(s.rootfs().join("run")).unwrap().count(), 0);
    let v = volume(&source(&s), "/e/f");
    assert_eq!(s.run(&["--ephemeral", "-v", &v], &["cat", "/e/f/file"]).ok(), "host");
    assert!(!s.rootfs().join("e").exists());
}

#[test]
fn volumes_over_the_standard_mounts() {
    let Some(s) = Sandbox::new() else { return };
    let v = volume(&source(&s), "/tmp");
    assert_eq!(s.sh(&["-v", &v], "cat /tmp/file; echo x >/tmp/x").ok(), "host");
    assert!(s.dir.join("vol/x").exists());
    let v = volume(&s.dir.join("vol/file"), "/dev/shm/one");
    assert_eq!(s.run(&["-v", &v], &["cat", "/dev/shm/one"]).ok(), "host");
}

#[test]
fn a_program_may_come_from_a_volume() {
    let Some(s) = Sandbox::new() else { return };
    let tools = s.dir.join("tools");
    std::fs::create_dir(&tools).unwrap();
    std::fs::write(tools.join("app"), "#!/bin/sh\necho from a volume").unwrap();
    set_mode(&tools.join("app"), 0o755);
    let v = volume(&tools, "/opt/tools:ro");
    for init in [&["-v", &v][..], &["--no-init", "-v", &v]] {
        assert_eq!(s.run(init, &["/opt/tools/app"]).ok(), "from a volume");
        s.run(init, &["/opt/tools/none"]).fails(127, &["/opt/tools/none"]);
    }
}

#[test]
fn a_tmpfs_has_its_size_mode_and_flags() {
    let Some(s) = Sandbox::new() else { return };
    let option = "/cache:size=1m,mode=0750";
    let script = "stat -c %a /cache; grep ' /cache ' /proc/mounts | cut -d' ' -f3,4 | tr , '\\n' | grep -c -e nosuid -e nodev -e noexec -e size=1024k
        dd if=/dev/zero of=/cache/x bs=1k count=2000 2>/dev/null; stat -c %s /cache/x";
    assert_eq!(s.sh(&["--tmpfs", option], script).ok(), "750\n4\n1048576");
    let out = s
        .sh(
            &["--tmpfs", "/t:exec,ro"],
            "grep ' /t ' /proc/mounts | cut -d' ' -f4; echo x >/t/x || echo refused",
        )
        .expect(0)
        .out;
    assert!(
        out.starts_with("ro,") && !out.contains("noexec") && out.ends_with("refused\n"),
        "{out}"
    );
    // What lies there in the rootfs is hidden and unharmed.
    s.file("/etc/x", "x", 0o644);
    assert_eq!(s.run(&["--tmpfs", "/etc"], &["ls", "/etc"]).ok(), "");
    assert!(s.rootfs().join("etc/x").exists());
}

//! As an engine runs it: podman --init, which calls it as docker does.

use super::*;

/// podman with its own storage and no network; `words` are options, rootfs and command.
fn podman(dir: &Dir, words: &str) -> Outcome {
    let text = format!(
        "mount -t tmpfs none /var/lib && mount -t tmpfs none /run || exit 99
         # crun 1.8 refuses a mixture of both versions.
         umount /sys/fs/cgroup/unified 2>/dev/null
         podman() {{ command podman --root /var/lib/s --runroot /run/p --storage-driver vfs \
             --cgroup-manager cgroupfs --log-level error \"$@\"; }}
         options='--network none --cgroups=disabled --ulimit nofile=256:256 --ulimit nproc=256:256'
         options=\"$options --init --init-path {INIT}\" root={}/root
         {words}",
        dir.0.display()
    );
    run(Command::new("unshare").args(["--mount", "sh", "-c", &text]).env_remove("RUST_BACKTRACE"))
}

fn need_podman() -> Option<Dir> {
    common::need(common::is_root().then_some(()), "podman in a mount namespace needs root")?;
    need_program("podman")?;
    need_program("crun")?;
    let busybox = common::busybox()?;
    let dir = Dir::new("podman");
    dir.file("root/bin/busybox", &fs::read(busybox).unwrap(), 0o755);
    for name in ["sh", "cat", "sleep", "id", "grep", "tr"] {
        std::os::unix::fs::symlink("busybox", dir.0.join("root/bin").join(name)).unwrap();
    }
    for name in ["etc", "proc", "sys", "dev", "tmp", "run"] {
        fs::create_dir_all(dir.0.join("root").join(name)).unwrap();
    }
    let works = podman(&dir, "podman run --rm $options --rootfs $root /bin/sh -c 'exit 7'");
    common::need((works.code == 7).then_some(()), &format!("podman does not work: {works:?}"))?;
    Some(dir)
}

#[test]
fn podman_runs_it() {
    let Some(dir) = need_podman() else { return };
    // As nobody in particular, without any capability: it can mount nothing and does not care.
    let outcome = podman(
        &dir,
        "podman run --rm $options --user 1000:1000 --cap-drop all --rootfs $root /bin/sh -c \
         'cat /proc/1/cmdline | tr \"\\0\" \" \"; id; grep CapEff /proc/1/status; exit 3'",
    );
    assert_eq!(outcome.code, 3, "{outcome:?}");
    for words in ["/run/podman-init -- /bin/sh", "uid=1000 gid=1000", "0000000000000000"] {
        assert!(outcome.out.contains(words), "{outcome:?}");
    }
    let outcome = podman(&dir, "podman run --rm $options --rootfs $root /bin/nosuch");
    assert_eq!(outcome.code, 127, "{outcome:?}");
    // A payload with another user, and no right to signal it.
    let outcome = podman(
        &dir,
        "podman run -d --name x $options --cap-drop kill --rootfs $root /bin/sh -c \
         'trap \"exit 9\" TERM; while :; do sleep 0.1; done' >/dev/null
         podman stop x >/dev/null; podman inspect x --format 'ended {{.State.ExitCode}}'",
    );
    assert!(outcome.out.contains("ended 9"), "{outcome:?}");
}

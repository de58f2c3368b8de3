//! In a tree of its own: mounts and users.

use super::*;

const NAMES: [&str; 12] =
    ["sh", "cat", "id", "ls", "mount", "mknod", "echo", "true", "sleep", "env", "stat", "umount"];

/// A busybox tree with init at /sbin/init and nothing mounted.
fn tree(name: &str) -> Option<Dir> {
    let busybox = common::busybox()?;
    let dir = Dir::new(name);
    dir.file("bin/busybox", &fs::read(busybox).unwrap(), 0o755);
    dir.file("sbin/init", &fs::read(INIT).unwrap(), 0o755);
    for name in NAMES {
        std::os::unix::fs::symlink("busybox", dir.0.join("bin").join(name)).unwrap();
    }
    dir.file(
        "etc/passwd",
        b"root:x:0:0::/root:/bin/sh\nbob:x:1000:1001:Bob:/home/bob:/bin/sh\n",
        0o644,
    );
    dir.file(
        "etc/group",
        b"root:x:0:\nbob:x:1001:\nwheel:x:10:alice,bob\nnot:x:11:bobby,xbob\nlast:x:12:bob\n",
        0o644,
    );
    Some(dir)
}

fn chroot(dir: &Dir, options: &[&str], script: &str) -> Outcome {
    let mut command = namespaced(&[], "chroot");
    run(command
        .arg(&dir.0)
        .arg("/sbin/init")
        .args(options)
        .args(["--", "sh", "-c", script])
        .env("PATH", "/bin:/usr/bin:/usr/sbin:/sbin"))
}

#[test]
fn bare_tree_gets_its_mounts() {
    let (Some(()), Some(dir)) = (need_namespaces(), tree("bare")) else { return };
    let outcome = chroot(
        &dir,
        &[],
        "cat /proc/mounts; ls -l /dev /dev/pts; echo x >/dev/null; stat -c %a /tmp /dev/shm",
    );
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for mount in [
        "proc /proc proc",
        "sysfs /sys sysfs",
        "/dev/shm tmpfs",
        "/dev/mqueue mqueue",
        "/run tmpfs",
        "/tmp tmpfs",
    ] {
        assert!(outcome.out.contains(mount), "no {mount}: {}", outcome.out);
    }
    if common::is_root() {
        assert!(
            outcome.out.contains("tmpfs /dev tmpfs") && outcome.out.contains("ptmxmode=666"),
            "{}",
            outcome.out
        );
        for node in [
            "1,   3",
            "1,   5",
            "1,   7",
            "1,   8",
            "1,   9",
            "5,   0",
            "ptmx -> pts/ptmx",
            "fd -> /proc/self/fd",
        ] {
            assert!(outcome.out.contains(node), "no {node}: {}", outcome.out);
        }
    }
    assert!(outcome.out.ends_with("1777\n1777\n"), "{}", outcome.out);
    // Nothing of it outlives the namespace.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(dir.0.to_str().unwrap()), "{mounts}");
}

#[test]
fn read_only_tree() {
    let (Some(()), Some(dir)) = (need_namespaces(), tree("readonly")) else { return };
    let Some(()) = common::need_root() else { return };
    for with_directories in [false, true] {
        if with_directories {
            for name in ["proc", "sys", "dev", "run", "tmp"] {
                let _ = fs::create_dir(dir.0.join(name));
            }
        }
        let root = dir.0.display();
        let script = format!(
            "mount --bind {root} {root} && mount -o remount,ro,bind {root} && exec chroot {root} /sbin/init sh -c 'echo ran; [ -e /proc/1 ] && echo proc'"
        );
        let outcome = run(namespaced(&[], "sh").args(["-c", &script]));
        let wanted = if with_directories { "ran\nproc\n" } else { "ran\n" };
        assert_eq!((outcome.out.as_str(), outcome.err.as_str()), (wanted, ""), "{outcome:?}");
    }
}

/// Where /proc is there already, an engine has made the tree: no file may be hidden.
#[test]
fn an_engines_tree_keeps_its_files() {
    let (Some(()), Some(dir)) = (need_namespaces(), tree("engine")) else { return };
    dir.file("tmp/mine", b"", 0o644);
    dir.file("run/mine", b"", 0o644);
    fs::create_dir(dir.0.join("proc")).unwrap();
    let root = dir.0.display();
    let script = format!(
        "mount -t proc proc {root}/proc && exec chroot {root} /sbin/init sh -c 'ls /tmp /run; cat /proc/mounts'"
    );
    let outcome = run(namespaced(&[], "sh").args(["-c", &script]));
    assert_eq!(outcome.out.matches("mine\n").count(), 2, "{outcome:?}");
    assert!(outcome.out.contains(" /sys sysfs"), "{outcome:?}");
}

#[test]
fn launched_mounts_nothing() {
    let (Some(()), Some(dir)) = (need_namespaces(), tree("launched")) else { return };
    let mut command = namespaced(&[], "chroot");
    command.arg(&dir.0).args([
        "/sbin/init",
        "--launched",
        "--grace",
        "1",
        "--",
        "/bin/sh",
        "-c",
        "ls -A /; exit 3",
    ]);
    let outcome = run(&mut command);
    assert_eq!((outcome.code, outcome.out.as_str()), (3, "bin\netc\nsbin\n"), "{outcome:?}");
}

#[test]
fn users_of_the_image() {
    let (Some(()), Some(dir)) = (common::need_root(), tree("users")) else { return };
    for (user, wanted) in [
        ("bob", "uid=1000(bob) gid=1001(bob) groups=10(wheel),12(last),1001(bob) /home/bob"),
        ("1000", "uid=1000(bob) gid=1001(bob) groups=10(wheel),12(last),1001(bob) /home/bob"),
        ("bob:wheel", "uid=1000(bob) gid=10(wheel) groups=10(wheel) /home/bob"),
        ("bob:77", "uid=1000(bob) gid=77 groups=77 /home/bob"),
        ("555:10", "uid=555 gid=10(wheel) groups=10(wheel) /"),
        ("555", "uid=555 gid=0(root) groups=0(root) /"),
    ] {
        let outcome = chroot(
            &dir,
            &["-u", user],
            "echo $(id) $HOME; cat /proc/self/status | while read a b; do [ $a = CapEff: ] && echo $b; done",
        );
        assert_eq!(outcome.out, format!("{wanted}\n0000000000000000\n"), "{user} {outcome:?}");
    }
    // No right to: said, not ignored.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--clear-groups", INIT, "-u", "0", "true"]);
    let outcome = run(&mut command);
    assert_eq!(outcome.code, 125, "{outcome:?}");
    assert!(outcome.err.contains("become user 0: Operation not permitted (EPERM)"), "{outcome:?}");
}

/// init may not signal a payload that has become someone else: it lives on all the same.
#[test]
fn without_the_right_to_kill() {
    let (Some(()), Some(())) = (common::need_root(), need_program("setpriv")) else { return };
    let mut command = Command::new("setpriv");
    command.args([
        "--bounding-set=-kill",
        "unshare",
        "--pid",
        "--fork",
        INIT,
        "setpriv",
        "--reuid",
        "1000",
        "--clear-groups",
    ]);
    let child = start(command.args(["sleep", "1"]));
    let init = only_child(child.id() as i32);
    let payload = only_child(init);
    eventually("sleep", || (comm(payload)? == "sleep").then_some(()));
    for signal in [libc::SIGTERM, libc::SIGUSR1, 40] {
        kill(init, signal);
    }
    assert_eq!(finish(child).code, 0);
}

/// As an ordinary user in a container: no capability at all, process 1.
#[test]
fn without_any_capability() {
    let (Some(()), Some(())) = (common::need_root(), need_program("setpriv")) else { return };
    let mut command = Command::new("unshare");
    command.args([
        "--pid",
        "--fork",
        "--mount-proc",
        "setpriv",
        "--reuid",
        "65534",
        "--clear-groups",
    ]);
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
    let outcome = run(command.arg(INIT).args(["--", "sh", "-c", "sleep 100 & exit 5"]));
    assert_eq!((outcome.code, outcome.err.as_str()), (5, ""), "{outcome:?}");
    assert!(outcome.took < Duration::from_secs(2));
}

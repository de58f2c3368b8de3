//! As the kernel's own process 1, in a virtual machine with nothing else in it.

use super::*;

pub const HARNESS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/run");
const NAMES: [&str; 12] = [
    "sh", "cat", "ls", "mount", "echo", "sleep", "kill", "ps", "tty", "hostname", "ifconfig",
    "poweroff",
];

pub fn machine(name: &str) -> Option<Dir> {
    let busybox = common::busybox()?;
    let runs = cfg!(target_arch = "x86_64");
    common::need(runs.then_some(()), "the machine is x86_64")?;
    need_program("qemu-system-x86_64")?;
    need_program("cpio")?;
    let dir = Dir::new(name);
    dir.file("bin/busybox", &fs::read(busybox).unwrap(), 0o755);
    for name in NAMES {
        std::os::unix::fs::symlink("busybox", dir.0.join("bin").join(name)).unwrap();
    }
    dir.file("etc/hostname", b"testhost\n", 0o644);
    Some(dir)
}

/// Boots the tree with init and returns what was on the console; a panic fails.
fn boot(dir: &Dir, words: &str, args: &[&str]) -> String {
    let mut command = Command::new(HARNESS);
    command.args(["-p", "-t", "60", "-k", words, "-d"]).arg(format!("{}:/", dir.0.display()));
    let output = command.arg("--").arg(INIT).args(args).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "")
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !text.contains("Kernel panic"), "{args:?}: {text}");
    text
}

#[test]
fn command_from_the_kernel_command_line() {
    let Some(dir) = machine("boot") else { return };
    let script = "cat /proc/mounts; tty; hostname; ifconfig lo; echo $HOME $PATH $WORD; ls -l /proc/self/fd/0; exit 3";
    let text = boot(&dir, "WORD=fromkernel nonsense", &["/bin/sh", "-c", script]);
    for words in [
        " /dev devtmpfs",
        "proc /proc proc",
        "sysfs /sys sysfs",
        "/dev/pts devpts",
        "/dev/shm tmpfs",
        "/run tmpfs",
        "/tmp tmpfs",
        "/sys/fs/cgroup cgroup2",
        "\n/dev/console\n",
        "\ntesthost\n",
        "UP LOOPBACK RUNNING",
        "/usr/bin:/sbin:/bin fromkernel\n",
        "init: exit status 3\n",
        "reboot: Power down",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
}

#[test]
fn every_way_out_is_in_order() {
    let Some(dir) = machine("ways") else { return };
    for (words, args, wanted, end) in [
        (
            "",
            &["/nosuch"][..],
            "init: exec /nosuch: No such file or directory (ENOENT)\ninit: exit status 127\n",
            "Power down",
        ),
        (
            "",
            &[],
            "init: no command given, and no /etc/inittab\ninit: exit status 125\n",
            "Power down",
        ),
        (
            "init.end=reboot",
            &["/bin/sh", "-c", "kill -SEGV $$"],
            "init: exit status 139\n",
            "Restarting",
        ),
        ("", &["--end=halt", "/bin/sh", "-c", "exit 0"], "init: exit status 0\n", "System halted"),
        (
            "",
            &["/bin/sh", "-c", "kill -TERM 1; sleep 20; echo stayed"],
            "init: exit status 0\n",
            "Power down",
        ),
        ("", &["/bin/sh", "-c", "kill -KILL 1; kill -STOP 1; echo alive"], "alive\n", "Power down"),
        (
            "init.end=reboot",
            &["/bin/sh", "-c", "kill -PWR 1; sleep 20; echo stayed"],
            "init: exit status 0\n",
            "Restarting",
        ),
    ] {
        let text = boot(&dir, words, args);
        assert!(
            text.contains(wanted) && text.contains(end) && !text.contains("stayed"),
            "{args:?}: {text}"
        );
    }
}

#[test]
fn inittab() {
    let Some(dir) = machine("inittab") else { return };
    let table = "# comment\n\n::sysinit:/bin/echo first\n::wait:/bin/sh -c \"sleep 0.2; echo second\"\n\
        broken\n::bogus:/bin/x\nttyS0::once:/bin/echo third\n::respawn:/bin/sh -c 'echo again; exit 1'\n\
        ::respawn:/nonexistent\n::shutdown:/bin/echo last\n::once:/bin/sh -c 'sleep 2.5; poweroff'\n";
    dir.file("etc/inittab", table.as_bytes(), 0o644);
    let text = boot(&dir, "", &[]);
    for words in [
        "first\n",
        "second\n",
        "third\n",
        "last\n",
        "/etc/inittab:5: cannot use 'broken'",
        "/etc/inittab:6: cannot use '::bogus:/bin/x'",
        "exec /nonexistent: No such file",
        "reboot: Power down",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    assert!(
        text.find("first") < text.find("second") && text.find("second") < text.find("third"),
        "{text}"
    );
    // Throttled, but not given up.
    let again = text.matches("again\n").count();
    assert!((2..=5).contains(&again), "{again} times: {text}");
}

#[test]
fn corrupt_inittab() {
    let Some(dir) = machine("corrupt") else { return };
    let garbage: Vec<u8> = (0..4096u32).map(|i| ((i * 7919) >> 3) as u8).collect();
    for (start, wanted) in
        [("::once:/bin/sh -c 'echo sane; poweroff'\n", "sane\n"), ("", "init: exit status 125\n")]
    {
        dir.file("etc/inittab", &[start.as_bytes(), &garbage].concat(), 0o644);
        let text = boot(&dir, "", &[]);
        assert!(text.contains(wanted) && text.contains("reboot: Power down"), "{text}");
    }
}

/// A directory of busybox with this inittab, and our init as process 1 of a container of it.
fn by_table(name: &str, table: &str) -> Option<(Dir, Child, i32)> {
    need_namespaces()?;
    let busybox = common::busybox()?;
    let dir = Dir::new(name);
    dir.file("bin/busybox", &fs::read(busybox).unwrap(), 0o755);
    dir.file("sbin/init", &fs::read(INIT).unwrap(), 0o755);
    for name in NAMES {
        std::os::unix::fs::symlink("busybox", dir.0.join("bin").join(name)).unwrap();
    }
    dir.file("etc/inittab", table.as_bytes(), 0o644);
    let child = start(namespaced(&[], "chroot").arg(&dir.0).arg("/sbin/init"));
    let init = init_pid(Mode::One, &child);
    Some((dir, child, init))
}

/// The same table gives a container several services.
#[test]
fn inittab_in_a_container() {
    let table = "::sysinit:/bin/echo start\n::respawn:/bin/sleep 77\n::once:/bin/sleep 78\n::shutdown:/bin/echo end\n";
    let Some((dir, child, init)) = by_table("services", table) else { return };
    let children = || {
        let list = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok()?;
        let all: Vec<i32> = list.split_whitespace().map(|p| p.parse().unwrap()).collect();
        let names: Vec<_> = all
            .iter()
            .map(|p| fs::read_to_string(format!("/proc/{p}/cmdline")).unwrap_or_default())
            .collect();
        (all.len() == 2 && names.iter().all(|n| n.contains("sleep"))).then_some((all, names))
    };
    let (first, names) = eventually("two services", children);
    let respawned = names.iter().position(|n| n.contains("77")).unwrap();
    kill(first[respawned], libc::SIGKILL);
    let (second, _) = eventually("a respawn", || children().filter(|(all, _)| *all != first));
    assert!(second.contains(&first[1 - respawned]), "the other was left alone");
    // Reread: what is still there stays, what is gone ends.
    dir.file(
        "etc/inittab",
        b"::once:/bin/sleep 78\n::respawn:/bin/sleep 79\n::shutdown:/bin/echo end\n",
        0o644,
    );
    kill(init, libc::SIGHUP);
    eventually("the new table", || {
        children().filter(|(all, names)| {
            names.iter().any(|n| n.contains("79")) && all.contains(&first[1 - respawned])
        })
    });
    kill(init, libc::SIGTERM);
    let outcome = finish(child);
    assert_eq!((outcome.code, outcome.out.as_str()), (0, "start\nend\n"), "{outcome:?}");
}

#[test]
fn inittab_for_keys_and_for_another_init() {
    let table = "::once:/bin/sleep 77\n::ctrlaltdel:/bin/sh -c 'echo keys > /keys'\n\
        ::restart:/bin/sh -c 'echo another is $$; exit 4'\n::shutdown:/bin/echo end\n";
    let Some((dir, child, init)) = by_table("another", table) else { return };
    eventually("the service", || {
        let list = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok()?;
        comm(list.split_whitespace().next()?.parse().ok()?).filter(|name| name == "sleep")
    });
    kill(init, libc::SIGINT);
    eventually("the keys' command", || fs::read(dir.0.join("keys")).ok());
    kill(init, libc::SIGQUIT);
    let outcome = finish(child);
    assert_eq!((outcome.code, outcome.out.as_str()), (4, "end\nanother is 1\n"), "{outcome:?}");
}

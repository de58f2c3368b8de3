//! Kernels and sandboxes without some system calls: the same container by an older way, or
//! a refusal that says why; never less isolation.

use crate::common::*;
use std::process::Command;

const NONE: &[&str] = &[];

/// Everything newer than Linux 4.4 that a launcher may want, and some that are older but
/// often refused.
const NEW: &[(&str, libc::c_long)] = &[
    ("clone3", libc::SYS_clone3),
    ("openat2", libc::SYS_openat2),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("open_tree", libc::SYS_open_tree),
    ("move_mount", libc::SYS_move_mount),
    ("fsopen", libc::SYS_fsopen),
    ("fsconfig", libc::SYS_fsconfig),
    ("fsmount", libc::SYS_fsmount),
    ("fspick", libc::SYS_fspick),
    ("close_range", libc::SYS_close_range),
    ("execveat", libc::SYS_execveat),
    ("memfd_create", libc::SYS_memfd_create),
    ("statx", libc::SYS_statx),
    ("getrandom", libc::SYS_getrandom),
    ("renameat2", libc::SYS_renameat2),
    ("copy_file_range", libc::SYS_copy_file_range),
    ("faccessat2", libc::SYS_faccessat2),
    ("epoll_pwait2", libc::SYS_epoll_pwait2),
    ("preadv2", libc::SYS_preadv2),
    ("rseq", libc::SYS_rseq),
    ("membarrier", libc::SYS_membarrier),
];

/// The state that isolation consists of: mounts, credentials, devices, descriptors.
const STATE: &str = "cut -d' ' -f4- /proc/self/mountinfo | grep -v ' /sys/fs/cgroup' | sort; \
    grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:|SigBlk|SigIgn|Umask)' /proc/self/status; \
    stat -c '%n %A %t:%T %u' /dev/*; ls /proc/self/fd | tr '\\n' ' '; cat /proc/net/dev | cut -d: -f1; \
    cat /proc/self/setgroups; for n in ipc mnt net pid user uts cgroup; do readlink /proc/self/ns/$n; done";

/// The container's state, with namespaces as the host's or another one.
fn state(run: Run) -> String {
    let run = run.expect(0);
    assert_eq!(run.err, "");
    let mut out = String::new();
    for line in run.out.lines() {
        match line.split_once(":[") {
            Some((kind, _)) => {
                let kind = kind.split(':').next().unwrap();
                let hosts = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
                out += &format!("{kind} own: {}\n", hosts.to_str() != Some(line));
            }
            None => out += &format!("{line}\n"),
        }
    }
    out
}

/// Ways to start that use all there is: as an ordinary user or not, and options.
fn ways(s: &Sandbox) -> Vec<(bool, Vec<String>)> {
    let dir = s.dir.join("vol");
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    std::fs::write(dir.join("file"), "host").unwrap();
    let volumes = format!("-v {0}:/data:ro -v {0}/file:/etc/one:ro", dir.display());
    let way = |user, options: String| (user, options.split(' ').map(str::to_owned).collect());
    let mut ways = Vec::new();
    if is_root() {
        ways.push(way(false, format!("--mem 50M {volumes}")));
        ways.push(way(false, "--ephemeral --read-only --no-init".into()));
    }
    ways.push(way(true, format!("--ephemeral {volumes}")));
    ways
}

fn command(s: &Sandbox, (user, options): &(bool, Vec<String>)) -> Command {
    let inside = ["sh", "-c", STATE];
    if *user { s.as_user(options, &inside) } else { s.command(options, &inside) }
}

/// A filter of ours shows in the state.
fn without_filter(state: String) -> String {
    state.replace("Seccomp:\t2", "Seccomp:\t0")
}

/// One of them missing, and all at once: the same state, by whatever way.
#[test]
fn calls_that_the_kernel_does_not_have() {
    let Some(s) = Sandbox::new() else { return };
    for way in ways(&s) {
        let first = Run::of(command(&s, &way));
        if first.code == 125 && way.0 {
            skip("needs user namespaces for ordinary users");
            continue;
        }
        let want = without_filter(state(first));
        let mut sets: Vec<(&str, Vec<filter::Refuse>)> = NEW
            .iter()
            .map(|(name, call)| (*name, vec![filter::refuse_all(*call, libc::ENOSYS)]))
            .collect();
        let all = NEW.iter().map(|(_, call)| filter::refuse_all(*call, libc::ENOSYS));
        sets.push(("all of them", all.collect()));
        // A filter that is older than the call says this.
        let all = NEW.iter().map(|(_, call)| filter::refuse_all(*call, libc::EPERM));
        sets.push(("all of them: EPERM", all.collect()));
        // Emulated, one by one would take minutes.
        let one_by_one = rounds(5) == 5;
        sets.retain(|(name, _)| {
            one_by_one || name.starts_with("all") || ["clone3", "open_tree"].contains(name)
        });
        for (name, rules) in &sets {
            let mut c = command(&s, &way);
            filter::refuse(&mut c, rules);
            let got = without_filter(state(Run::of(c)));
            assert_eq!(got, want, "{way:?} without {name}");
            s.check_leaks();
        }
    }
}

/// Newer arguments of older calls.
#[test]
fn arguments_that_the_kernel_does_not_know() {
    let Some(s) = Sandbox::new() else { return };
    let Some(()) = need_root() else { return };
    let ways = ways(&s);
    let want = without_filter(state(Run::of(command(&s, &ways[0]))));
    let same = |errno, call, only| {
        let mut c = command(&s, &ways[0]);
        filter::refuse(&mut c, &[filter::Refuse { call, errno, only }]);
        assert_eq!(without_filter(state(Run::of(c))), want);
    };
    // Before 5.8 setns takes no pidfd; before 6.3 memfd_create no MFD_EXEC; before 5.11
    // close_range cannot mark.
    same(libc::EINVAL, libc::SYS_setns, filter::Only::All);
    same(libc::EINVAL, libc::SYS_memfd_create, filter::Only::Bits(1, 0x10));
    same(libc::EINVAL, libc::SYS_close_range, filter::Only::Bits(2, 4));
    // Before 4.13 there is no TIOCGPTPEER.
    let mut c = s.command(&["-t"], &["tty"]);
    filter::refuse(
        &mut c,
        &[filter::Refuse {
            call: libc::SYS_ioctl,
            errno: libc::ENOTTY,
            only: filter::Only::Equal(1, 0x5441),
        }],
    );
    assert_eq!(Run::of(c).ok(), "/dev/pts/0\r");
}

/// What security rests on has no older way: no container, and the step is named.
#[test]
fn calls_without_which_there_is_no_isolation() {
    let Some(s) = Sandbox::new() else { return };
    const NEWCGROUP: u32 = 0x0200_0000;
    let unshare = filter::Only::Bits(0, NEWCGROUP);
    for (call, only, words) in [
        (libc::SYS_mount, filter::Only::All, "keep all mounts private"),
        (libc::SYS_pivot_root, filter::Only::All, "make it the root, let the old one go"),
        (libc::SYS_chroot, filter::Only::All, "see nothing above it any more"),
        (libc::SYS_umount2, filter::Only::All, "make it the root, let the old one go"),
        (libc::SYS_prctl, filter::Only::Equal(0, 24), "drop capabilities from the bounding set"),
        (libc::SYS_prctl, filter::Only::Equal(0, 38), "forbid new privileges"),
        (libc::SYS_prctl, filter::Only::Equal(0, 1), "die when the launcher dies"),
        (libc::SYS_capset, filter::Only::All, "keep only the allowed capabilities"),
        (libc::SYS_setgroups, filter::Only::All, "become user 0:0"),
        (libc::SYS_setresuid, filter::Only::All, "become user 0:0"),
        (libc::SYS_setresgid, filter::Only::All, "become user 0:0"),
        (libc::SYS_setsid, filter::Only::All, "begin a new session"),
        (libc::SYS_unshare, unshare, "make the cgroup the root of a cgroup namespace"),
        (libc::SYS_sethostname, filter::Only::All, "set hostname"),
    ] {
        for errno in [libc::ENOSYS, libc::EPERM, libc::EINVAL] {
            for user in [false, true] {
                if (user || !is_root()) && call == libc::SYS_setgroups {
                    continue; // denied there anyway
                }
                if call == libc::SYS_pivot_root && errno == libc::EINVAL {
                    continue; // an initramfs, whose root is moved instead
                }
                let mut c =
                    if user { s.as_user(NONE, &["true"]) } else { s.command(NONE, &["true"]) };
                filter::refuse(&mut c, &[filter::Refuse { call, errno, only }]);
                let run = Run::of(c);
                assert_eq!(run.code, 125, "{words} {errno} {user} {run:#?}");
                run.fails(125, &[&format!("launch: {words}")]);
                s.check_leaks();
            }
        }
    }
}

/// Neither without the call that writes, nor without the one that the C library begins with.
#[test]
fn no_failure_is_without_a_word() {
    let Some(s) = Sandbox::new() else { return };
    let mut c = s.command(&["--mem", "1"], &["true"]);
    filter::refuse(&mut c, &[filter::refuse_all(libc::SYS_write, libc::ENOSYS)]);
    Run::of(c).fails(125, &["--mem"]);
    if cfg!(all(target_arch = "x86_64", target_env = "musl")) {
        let mut c = s.command(NONE, &["true"]);
        let call = libc::c_long::from(158u8);
        filter::refuse(&mut c, &[filter::refuse_all(call, libc::EPERM)]);
        assert_eq!(Run::of(c).fails(125, &[]).err, "launch: begin (arch_prctl): error 001\n");
    }
}

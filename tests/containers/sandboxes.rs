//! Inside what others have closed: containers of docker's, settings that forbid namespaces,
//! hosts without /proc or with full disks. Said what it was, and nothing left.

use crate::common::*;
use filter::{Only, Refuse, refuse_all};
use std::process::Command;

const NONE: &[&str] = &[];
/// What docker gives its containers (moby's oci/caps/defaults.go).
const DOCKER_CAPS: u64 = 0xa804_25fb;
const NAMESPACES: u32 = 0x7e02_0000;

/// What moby's profile refuses without CAP_SYS_ADMIN, as far as it concerns a launcher.
fn docker_filter() -> Vec<Refuse> {
    let calls = [
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_mount_setattr,
        libc::SYS_fsopen,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_bpf,
        libc::SYS_sethostname,
    ];
    let mut rules: Vec<Refuse> = calls.iter().map(|call| refuse_all(*call, libc::EPERM)).collect();
    rules.push(Refuse {
        call: libc::SYS_clone,
        errno: libc::EPERM,
        only: Only::Bits(0, NAMESPACES),
    });
    rules.push(refuse_all(libc::SYS_clone3, libc::ENOSYS));
    rules
}

#[test]
fn inside_a_container_of_dockers() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let refused = "launch: make new namespaces: Operation not permitted (EPERM)\nhint: ";
    for options in [NONE, &["--ephemeral"], &["--userns=auto"], &["--net", "host"]] {
        let mut c = s.command(options, &["true"]);
        filter::refuse(&mut c, &docker_filter());
        filter::without_capabilities(&mut c, DOCKER_CAPS);
        Run::of(c).fails(125, &[refused, "hint: a seccomp filter, as containers have it, forbids this: run that container with --privileged, or with --cap-add SYS_ADMIN"]);
        s.check_leaks();
        // With --security-opt seccomp=unconfined the capabilities are missing still.
        let mut c = s.command(options, &["true"]);
        filter::without_capabilities(&mut c, DOCKER_CAPS);
        let run = Run::of(c)
            .fails(125, &[": Operation not permitted (EPERM)\nhint: this needs CAP_SYS_ADMIN"]);
        assert!(options == ["--userns=auto"] || run.err.starts_with(refused), "{run:#?}");
        s.check_leaks();
    }
    let mut c = s.as_user(NONE, &["true"]);
    filter::refuse(&mut c, &docker_filter());
    Run::of(c).fails(125, &[refused, "hint: a seccomp filter"]);
    // What looks at the host only works there, too.
    let mut c = Command::new(launch());
    c.arg("--help");
    filter::refuse(&mut c, &docker_filter());
    filter::without_capabilities(&mut c, DOCKER_CAPS);
    Run::of(c).expect(0);
}

/// Namespaces, but no mounts: AppArmor's docker-default, for one.
#[test]
fn where_nothing_may_be_mounted() {
    let Some(s) = Sandbox::new() else { return };
    for errno in [libc::EPERM, libc::EACCES] {
        let mut c = s.command(NONE, &["true"]);
        filter::refuse(&mut c, &[refuse_all(libc::SYS_mount, errno)]);
        Run::of(c).fails(125, &["launch: keep all mounts private: ", "hint: "]);
        s.check_leaks();
    }
}

/// In a user namespace with all ids, where settings of its own hold; as an ordinary user.
fn in_own_namespace(s: &Sandbox, before: &str, options: &str) -> Option<Run> {
    need_root()?;
    need_util_linux()?;
    let program = s.as_user(NONE, &[]).get_program().to_owned();
    let line = format!(
        "{before} || exit 77; exec setpriv --reuid {USER} --regid {USER} --clear-groups {} {options} {} echo ran",
        program.display(),
        s.rootfs().display()
    );
    // newuidmap gives root the ids besides 0.
    std::fs::write(s.dir.join("subid"), "root:1:99999\n").unwrap();
    std::fs::write(s.dir.join("inner"), line).unwrap();
    let dir = s.dir.display();
    let line = format!(
        "mount --bind {dir}/subid /etc/subuid && mount --bind {dir}/subid /etc/subgid && exec unshare -U -m --map-root-user --map-users=1,1,99999 --map-groups=1,1,99999 /bin/sh {dir}/inner"
    );
    let mut c = Command::new("unshare");
    c.args(["-m", "/bin/sh", "-c", &line]).current_dir("/").env_remove("XDG_RUNTIME_DIR");
    let run = Run::of(c);
    let able = run.code != 77 && !run.err.contains("unshare:") && !run.err.contains("mount:");
    need(
        able.then_some(run),
        "needs unshare with --map-users (util-linux 2.38), setpriv and newuidmap",
    )
}

#[test]
fn settings_that_forbid_namespaces() {
    let Some(s) = Sandbox::new() else { return };
    for kind in ["user", "pid", "mnt", "uts", "ipc", "net"] {
        let file = format!("/proc/sys/user/max_{kind}_namespaces");
        let Some(run) = in_own_namespace(&s, &format!("echo 0 >{file}"), "") else { return };
        let words = format!(
            "launch: make new namespaces: No space left on device (ENOSPC)\nhint: sysctl user.max_{kind}_namespaces is 0 ({file}): none may be made\n"
        );
        run.fails(125, &[&words]);
    }
    assert_eq!(in_own_namespace(&s, "true", "").unwrap().ok(), "ran");
}

#[test]
fn an_ordinary_user_without_proc() {
    let (Some(()), Some(())) = (need_root(), need_util_linux()) else { return };
    let Some(s) = Sandbox::new() else { return };
    let program = s.as_user(NONE, &[]).get_program().to_owned();
    let line = format!(
        "umount -l /proc; exec setpriv --reuid {USER} --regid {USER} --clear-groups {} {} true",
        program.display(),
        s.rootfs().display()
    );
    let mut c = Command::new("unshare");
    c.args(["-m", "/bin/sh", "-c", &line]).current_dir("/");
    Run::of(c).fails(125, &["launch: write /proc/", "/setgroups: No such file or directory (ENOENT)\nhint: user namespaces need /proc mounted on the host\n"]);
}

#[test]
fn a_full_disk_below_the_rootfs() {
    let (Some(()), Some(())) = (need_root(), need_util_linux()) else { return };
    let Some(s) = Sandbox::new() else { return };
    let (dir, program) = (s.dir.display(), launch().display().to_string());
    let call = |size: &str, options: &str| {
        let line = format!(
            "mkdir -p {dir}/full && mount -t tmpfs -o {size} full {dir}/full && mkdir {dir}/full/bin && cp {dir}/rootfs/bin/busybox {dir}/full/bin/sh; {program} {options} {dir}/full /bin/sh -c 'echo ran'"
        );
        let mut c = Command::new("unshare");
        c.args(["-m", "/bin/sh", "-c", &line]);
        Run::of(c)
    };
    // The root, bin and sh: no inode is left for a mount point.
    let run = call("nr_inodes=4", "");
    run.fails(
        125,
        &[
            "launch: mount ",
            ": No space left on device (ENOSPC)\nhint: the rootfs has no /",
            "and it cannot be made there; add --ephemeral",
        ],
    );
    assert_eq!(call("nr_inodes=4", "--ephemeral").ok(), "ran");
}

#[test]
fn cgroups_that_are_read_only() {
    let (Some(()), Some(())) = (need_root(), need_util_linux()) else { return };
    let Some(s) = Sandbox::new() else { return };
    let line = format!(
        "for m in $(grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d' ' -f5); do mount -o remount,bind,ro $m || exit 77; done; exec {} --mem 50M {} true",
        launch().display(),
        s.rootfs().display()
    );
    let mut c = Command::new("unshare");
    c.args(["-m", "/bin/sh", "-c", &line]);
    let run = Run::of(c);
    if need((run.code != 77).then_some(()), "needs cgroups").is_some() {
        run.fails(125, &["launch: --mem 50M: ", "/sys/fs/cgroup"]);
    }
}

/// Root who cannot write to /run keeps his records elsewhere, and finds them there.
#[test]
fn a_run_that_is_read_only_or_somebody_elses() {
    let (Some(()), Some(())) = (need_root(), need_util_linux()) else { return };
    let Some(s) = Sandbox::new() else { return };
    s.as_user(NONE, &[]);
    let (own, rootfs) = (s.dir.join("launch"), s.rootfs());
    let (own, rootfs) = (own.display(), rootfs.display());
    let script = format!(
        "{own} -d --name away {rootfs} sleep 60 && {own} --name other {rootfs} echo ran && \
         {own} ps -q; {own} rm -f away; {own} ps -q; rmdir /tmp/launch-0"
    );
    let inside = s.dir.join("script");
    std::fs::write(&inside, script).unwrap();
    let inside = inside.display();
    let read_only = format!("mount -t tmpfs -o ro none /run && sh {inside}");
    let foreign =
        format!("setpriv --reuid {USER} --regid {USER} --clear-groups unshare -Ur sh {inside}");
    for line in [read_only, foreign] {
        let mut c = Command::new("unshare");
        c.args(["-m", "/bin/sh", "-c", &line]).current_dir("/").env_remove("XDG_RUNTIME_DIR");
        assert_eq!(Run::of(c).ok(), "away\nran\naway\naway", "{line}");
    }
}

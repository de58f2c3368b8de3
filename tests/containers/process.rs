//! What the payload is: its user, groups, capabilities, directory, signals and limits of
//! privilege, whatever state the caller was in.

use crate::common::*;
use std::process::Command;

const NONE: &[&str] = &[];

fn status(text: &str, field: &str) -> String {
    let line = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}"))
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// A rootfs with users.
fn with_users() -> Option<Sandbox> {
    let s = Sandbox::new()?;
    s.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv/web:/bin/sh\n", 0o644);
    s.file("/etc/group", "root:x:0:\nwww:x:34:\nadm:x:4:web\ntape:x:26:web,other\n", 0o644);
    Some(s)
}

#[test]
fn users_by_name_by_number_and_with_groups() {
    let Some(()) = need_root() else { return };
    let Some(s) = with_users() else { return };
    for init in [None, Some("--no-init")] {
        for (user, want) in [
            ("web", "33 34 [34 4 26]"),
            ("33", "33 34 [34 4 26]"),
            ("web:adm", "33 4 [4]"),
            ("web:7", "33 7 [7]"),
            ("1000", "1000 0 [0]"),
            ("1000:1001", "1000 1001 [1001]"),
            ("root", "0 0 [0]"),
            ("4294967294:4294967294", "4294967294 4294967294 [4294967294]"),
        ] {
            let mut options = vec!["-u", user];
            options.extend(init);
            let out = s.sh(&options, "echo $(id -u) $(id -g) [$(id -G)]").ok();
            assert_eq!(out, want, "{user}");
        }
    }
    assert_eq!(s.sh(&["-u", "web"], "echo $HOME; umask; touch /bin/x 2>&1").code, 1);
}

#[test]
fn every_id_of_the_process_changes() {
    let Some(()) = need_root() else { return };
    let Some(s) = with_users() else { return };
    let out = s.sh(&["-u", "33:34"], "cat /proc/self/status").ok();
    assert_eq!(status(&out, "Uid"), "33 33 33 33");
    assert_eq!(status(&out, "Gid"), "34 34 34 34");
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(status(&out, set), "0000000000000000", "{set}");
    }
    assert_eq!(status(&out, "CapBnd"), "00000000a00425fb");
    // The init has no more than the payload.
    let init = s.sh(&["-u", "33:34"], "cat /proc/1/status").ok();
    assert_eq!(status(&init, "Uid"), "33 33 33 33");
    assert_eq!(status(&init, "CapEff"), "0000000000000000");
}

#[test]
fn the_callers_groups_and_inheritable_capabilities_stay_outside() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let version = Command::new("setpriv").arg("--version").output();
    let found = version.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("util-linux"));
    if need(found.then_some(()), "needs setpriv (util-linux)").is_none() {
        return;
    }
    let mut c = Command::new("setpriv");
    c.args([
        "--groups",
        "27,100",
        "--inh-caps",
        "+sys_admin,+net_raw",
        "--ambient-caps",
        "+net_raw",
    ]);
    c.arg(launch()).arg(s.rootfs()).args(["cat", "/proc/self/status"]);
    let out = Run::of(c).ok();
    assert_eq!(status(&out, "Groups"), "0");
    assert_eq!(status(&out, "CapInh"), "0000000000000000");
    assert_eq!(status(&out, "CapAmb"), "0000000000000000");
}

#[test]
fn capabilities_are_the_default_and_what_was_asked() {
    let Some(s) = Sandbox::new() else { return };
    let bounding = |options: &[&str]| {
        let out = s.run(options, &["cat", "/proc/self/status"]).ok();
        (status(&out, "CapEff"), status(&out, "CapBnd"))
    };
    let both = |mask: &str| (mask.to_owned(), mask.to_owned());
    assert_eq!(bounding(&[]), both("00000000a00425fb"));
    assert_eq!(bounding(&["--cap-drop", "ALL"]), both("0000000000000000"));
    assert_eq!(
        bounding(&["--cap-drop", "ALL", "--cap-add", "net_admin"]),
        both("0000000000001000")
    );
    assert_eq!(bounding(&["--cap-drop", "chown", "--no-init"]), both("00000000a00425fa"));
    assert_eq!(bounding(&["--cap-add", "NET_ADMIN"]), both("00000000a00435fb"));
}

#[test]
fn no_new_privileges_unless_asked_for() {
    let Some(s) = Sandbox::new() else { return };
    let bit = |options: &[&str]| {
        status(&s.run(options, &["cat", "/proc/self/status"]).ok(), "NoNewPrivs")
    };
    assert_eq!(bit(&[]), "1");
    assert_eq!(bit(&["--no-init"]), "1");
    assert_eq!(bit(&["--security-opt", "no-new-privileges=true"]), "1");
    assert_eq!(bit(&["--security-opt", "no-new-privileges=false"]), "0");
}

/// `umask 0`, ignored and blocked signals, open files: the shell's, not the payload's.
#[test]
fn an_odd_caller_does_not_show() {
    let Some(s) = Sandbox::new() else { return };
    for init in ["", "--no-init"] {
        let script = format!(
            "umask 0; trap '' INT HUP QUIT USR1 CHLD PIPE 34 64; exec 8</dev/null 9>/dev/null; exec {} {init} {} cat /proc/self/status",
            launch().display(),
            s.rootfs().display()
        );
        let mut c = Command::new("/bin/sh");
        c.args(["-c", &script]);
        let out = Run::of(c).ok();
        assert_eq!(status(&out, "Umask"), "0022");
        for set in ["SigBlk", "SigIgn", "SigCgt", "SigPnd"] {
            assert_eq!(status(&out, set), "0000000000000000", "{set}");
        }
    }
}

#[test]
fn the_working_directory_is_inside() {
    let Some(s) = Sandbox::new() else { return };
    std::fs::create_dir_all(s.rootfs().join("srv/deep")).unwrap();
    assert_eq!(s.run(NONE, &["pwd"]).ok(), "/");
    for init in [&["-w", "/srv/deep"][..], &["-w", "/srv/deep/", "--no-init"]] {
        assert_eq!(s.sh(init, "pwd; readlink /proc/self/cwd").ok(), "/srv/deep\n/srv/deep");
    }
    s.link("/way", "/srv");
    assert_eq!(s.sh(&["-w", "/way/deep"], "readlink /proc/self/cwd").ok(), "/srv/deep");
    let text = "launch: enter /none: No such file or directory (ENOENT)\nhint: the working directory /none must exist in the rootfs\n";
    assert_eq!(s.run(&["-w", "/none"], &["true"]).fails(125, &[]).err, text);
    s.run(&["-w", "/bin/busybox"], &["true"])
        .fails(125, &["enter /bin/busybox: Not a directory (ENOTDIR)"]);
}

/// CVE-2024-21626: no descriptor leads out.
#[test]
fn no_descriptor_is_a_working_directory() {
    let Some(s) = Sandbox::new() else { return };
    for fd in 3..=20 {
        let dir = format!("/proc/self/fd/{fd}");
        let sysctl = [
            "-w",
            &dir,
            "--sysctl",
            "net.ipv4.ip_unprivileged_port_start=80",
            "--oom-score-adj=500",
        ];
        for init in [&["-w", &dir][..], &["-w", &dir, "--no-init"], &sysctl] {
            s.run(init, &["ls"]).fails(125, &["launch: enter /proc/self/fd/"]);
        }
    }
}

#[test]
fn the_hostname_is_the_one_given_or_the_containers() {
    let Some(s) = Sandbox::new() else { return };
    assert_eq!(
        s.sh(&["--hostname", "web-1.x"], "hostname; echo $HOSTNAME").ok(),
        "web-1.x\nweb-1.x"
    );
    let out = s.sh(NONE, "hostname; echo $HOSTNAME").ok();
    let (a, b) = out.split_once('\n').unwrap();
    assert_eq!(a, b);
    assert!(a.split('-').count() == 3 && a.len() < 20, "{a}");
    assert_ne!(a, rustix::system::uname().nodename().to_str().unwrap());
}

#[test]
fn process_one_is_init_and_reaps_and_no_init_is_the_payload() {
    let Some(s) = Sandbox::new() else { return };
    let out =
        s.sh(NONE, "cat /proc/1/comm; echo $$; tr '\\0' ' ' </proc/1/cmdline | cut -c1-10").ok();
    assert_eq!(out, "init\n2\n/sbin/init");
    assert_eq!(s.sh(&["--no-init"], "cat /proc/1/comm; echo $$").ok(), "sh\n1");
    // Orphans: adopted by init, none left as zombies.
    let script = "for i in 1 2 3 4 5; do (sleep 0.1 & ); done; sleep 0.5; grep -l '^State:.Z' /proc/[0-9]*/status; echo none";
    assert_eq!(s.sh(NONE, script).ok(), "none");
}

/// Neither the launcher nor init can be reached as a file from inside.
#[test]
fn process_one_cannot_be_overwritten() {
    let Some(s) = Sandbox::new() else { return };
    let before = std::fs::read(launch()).unwrap();
    let script = "readlink /proc/1/exe
        echo x 2>/dev/null >/proc/1/exe && echo written
        (echo x >>/proc/1/exe) 2>&1 | sed 's/.*: //'
        dd if=/dev/zero of=/proc/1/exe bs=1 count=1 conv=notrunc 2>&1 | grep -c records";
    let run = s.sh(NONE, script);
    let lines: Vec<&str> = run.out.lines().collect();
    assert!(lines[0].starts_with("/memfd:init"), "{run:#?}");
    assert!(
        ["Text file busy", "Operation not permitted", "Permission denied"].contains(&lines[1]),
        "{run:#?}"
    );
    assert_eq!(lines[2], "0", "{run:#?}");
    assert!(std::fs::read(launch()).unwrap() == before);
}

/// What the kernel says of a process is then longer than a page.
#[test]
fn a_caller_with_very_many_groups() {
    let Some(()) = need_root() else { return };
    let Some(()) = need_util_linux() else { return };
    let Some(s) = Sandbox::new() else { return };
    let groups: Vec<String> = (0..2000).map(|n| (1_000_000_000 + n).to_string()).collect();
    let through = |ids: &[&str]| {
        let mut c = std::process::Command::new("setpriv");
        c.args(ids).args(["--groups", &groups.join(",")]).arg(launch());
        c.args(["--cap-drop", "CHOWN"]).arg(s.rootfs()).current_dir(&s.dir);
        c.args(["sh", "-c", "grep ^Groups: /proc/self/status | wc -w; id -u"]);
        Run::of(c)
    };
    assert_eq!(through(&[]).ok(), "2\n0");
    s.give_to(65534, 65534);
    let user = ["--reuid", "65534", "--regid", "65534"];
    if Run::of(s.as_user(&[] as &[&str], &["true"])).code == 0 {
        assert_eq!(through(&user).ok(), "2001\n0");
    }
    let many: Vec<String> = (0..2000).map(|n| format!("{}", 100_000 + n)).collect();
    let more = s.run(&["--group-add", &many.join(",")], &["id", "-u"]);
    assert_eq!(more.ok(), "0");
}

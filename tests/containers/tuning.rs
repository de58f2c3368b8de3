//! `--ulimit`, `--oom-score-adj`, `--sysctl`, `--group-add`,
//! `--preserve-fds`: what a process is given or not.

use crate::common::*;

const NONE: &[&str] = &[];

#[test]
fn resource_limits() {
    let Some(s) = Sandbox::new() else { return };
    let options = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit=stack=1048576:-1"];
    let fields = "grep -E 'open files|core file|stack size' /proc/self/limits | tr -s ' ' | sed 's/ [a-z]* *$//'";
    for init in [NONE, &["--no-init"]] {
        let out = s.sh(&[&options[..4], init].concat(), fields).ok();
        assert!(
            out.contains("Max open files 100 200") && out.contains("Max core file size 0 0"),
            "{out}"
        );
    }
    // The last one of a kind counts.
    let out = s.sh(&["--ulimit", "core=5", "--ulimit", "core=0:7"], fields).ok();
    assert!(out.contains("Max core file size 0 7"), "{out}");
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nproc).maximum;
    if let Some(hard) = hard {
        let more = format!("nproc=1:{}", hard + 1);
        let run = s.run(&["--ulimit", &more], &["true"]);
        if run.code != 0 {
            run.fails(
                125,
                &["launch: limit nproc=1:", "EPERM", "hint: more than launch's own hard limit"],
            );
        }
    }
}

#[test]
fn who_is_killed_first() {
    let Some(s) = Sandbox::new() else { return };
    let score = "cat /proc/1/oom_score_adj /proc/self/oom_score_adj";
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(s.sh(&["--oom-score-adj", "700"], score).ok(), "700\n700");
    assert_eq!(s.sh(NONE, score).ok(), format!("{own}{own}").trim());
    // And the launcher is not.
    assert_eq!(std::fs::read_to_string("/proc/self/oom_score_adj").unwrap(), own);
}

#[test]
fn settings_of_its_own() {
    let Some(s) = Sandbox::new() else { return };
    let before = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
    let options = ["--sysctl", "net.ipv4.ip_default_ttl=17", "--sysctl", "net/ipv4/ip_forward=1"];
    let script = "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/net/ipv4/ip_forward
        (: >>/proc/sys/net/ipv4/ip_forward) 2>/dev/null || echo fixed";
    assert_eq!(s.sh(&options, script).ok(), "17\n1\nfixed");
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap(), before);
    let run = s.run(&["--sysctl", "net.ipv4.none=1"], &["true"]);
    run.fails(125, &["launch: set net.ipv4.none=1: No such file or directory (ENOENT)", "hint: "]);
    if is_root() {
        let options = ["--sysctl", "kernel.shmmax=4096"];
        assert_eq!(s.sh(&options, "cat /proc/sys/kernel/shmmax").ok(), "4096");
    }
}

#[test]
fn more_groups() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    s.file("/etc/group", "root:x:0:\naudio:x:29:\ntape:x:26:web\n", 0o644);
    s.file("/etc/passwd", "web:x:33:34::/:/bin/sh\n", 0o644);
    let groups = |options: &[&str]| s.run(options, &["id", "-G"]).ok();
    assert_eq!(groups(&["--group-add", "audio"]), "0 29");
    assert_eq!(
        groups(&["--group-add", "7,audio", "--group-add", "0", "--group-add", "7"]),
        "0 7 29"
    );
    assert_eq!(groups(&["-u", "web", "--group-add", "9"]), "34 9 26");
    s.run(&["--group-add", "none"], &["true"]).fails(125, &["none", "etc/group"]);
    let run = Run::of(s.as_user(&["--group-add", "7"], &["true"]));
    if run.code == 125 {
        run.fails(125, &["launch: "]);
    }
}

/// 3 and 4 are open outside, and 5 is not.
#[test]
fn descriptors_that_were_asked_for() {
    let Some(s) = Sandbox::new() else { return };
    let outer = |options: &str, script: &str| {
        let line = format!(
            "exec 3<<E 4</dev/null 8</dev/null\nthree\nE\nexec {} {options} {} sh -c '{script}'",
            launch().display(),
            s.rootfs().display()
        );
        let mut c = std::process::Command::new("/bin/sh");
        c.args(["-c", &line]);
        Run::of(c)
    };
    let all = "cat <&3; ls /proc/self/fd | tr \"\\n\" \" \"; ls /proc/1/fd | wc -l";
    for init in ["", "--no-init"] {
        let out = outer(&format!("--preserve-fds 1 {init}"), all).ok();
        assert!(out.starts_with("three\n0 1 2 3 4 "), "{out}");
        let out = outer(&format!("--preserve-fds 2 {init}"), "ls /proc/self/fd | wc -l").ok();
        // With the directory that ls itself has open.
        assert_eq!(out, "6");
        assert_eq!(outer(init, "ls /proc/self/fd | wc -l").ok(), "4");
    }
    outer("--preserve-fds 3", "true")
        .fails(125, &["launch: --preserve-fds 3: descriptor 5 is not open"]);
}

//! `--landlock`: rules about paths, for everything inside, root as well.

use super::living::{started, verb};
use crate::common::filter::{refuse, refuse_all};
use crate::common::*;
use std::process::Command;

/// landlock_create_ruleset(2), the same number on all machines.
const CREATE_RULESET: libc::c_long = 444;

/// Only that the kernel says it has none is a reason to skip.
fn here(s: &Sandbox) -> Option<()> {
    let run = s.run(&["--landlock", "/:rwx"], &["true"]);
    let none = run.err.contains("ask the kernel for its version of landlock");
    assert!(run.code == 0 || none, "{run:#?}");
    need((!none).then_some(()), &format!("needs landlock: {}", run.err))
}

/// One word per line: what can be done.
const TRY: &str = "
    try() { word=$1; shift; \"$@\" >/dev/null 2>&1 && echo $word; }
    cat /ro/f >/dev/null 2>&1 && echo read
    ls /ro >/dev/null 2>&1 && echo list
    (echo x >/ro/f) 2>/dev/null && echo write
    (echo x >/ro/new) 2>/dev/null && echo make
    try remove rm /ro/f
    try run /ro/true
    (echo x >>/rw/f && echo y >/rw/new && mkdir /rw/d && mv /rw/new /rw/d/ && rm -r /rw/d) 2>/dev/null && echo rw
    try rw-run /rw/true
    try other-list ls /other
    try other-read cat /other/f
    (echo x >/other/f) 2>/dev/null && echo other-write
    try root ls /
    try proc cat /proc/1/status
    (echo x >/tmp/x) 2>/dev/null && echo tmp
    exit 0";

fn sandbox() -> Option<Sandbox> {
    let s = Sandbox::new()?;
    here(&s)?;
    for dir in ["ro", "rw", "other"] {
        s.file(&format!("/{dir}/f"), "text", 0o666);
        std::fs::copy(s.rootfs().join("bin/busybox"), s.rootfs().join(dir).join("true")).unwrap();
        set_mode(&s.rootfs().join(dir), 0o777);
    }
    Some(s)
}

const RULES: [&str; 8] = [
    "--landlock",
    "/dev/null:rw",
    "--landlock",
    "/bin:rx",
    "--landlock",
    "/ro",
    "--landlock",
    "/rw:rw",
];

#[test]
fn what_is_not_named_is_denied() {
    let Some(s) = sandbox() else { return };
    assert_eq!(
        s.sh(&[] as &[&str], &TRY.replace("rm /ro/f", "false")).ok(),
        "read\nlist\nwrite\nmake\nrun\nrw\nrw-run\nother-list\nother-read\nother-write\nroot\nproc\ntmp"
    );
    std::fs::remove_file(s.rootfs().join("ro/new")).unwrap();
    for more in
        [&[][..], &["--no-init"], &["--cap-add", "ALL"], &["--privileged"], &["--ephemeral"]]
    {
        let run = s.sh(&[&RULES, more].concat(), TRY);
        assert_eq!(run.err, "", "{more:?}");
        assert_eq!(run.ok(), "read\nlist\nrw", "{more:?}");
    }
    let all = ["--landlock", "system", "--landlock", "/rw:rwx", "--landlock", "/tmp:rw"];
    assert_eq!(s.sh(&all, TRY).ok(), "rw\nrw-run\nproc\ntmp");
    let whole = ["--landlock", "/:rwx"];
    assert_eq!(s.sh(&whole, "echo x >/other/f; ls / >/dev/null; echo $?").ok(), "0");
}

#[test]
fn for_other_users_and_volumes() {
    let Some(s) = sandbox() else { return };
    if is_root() {
        s.give_to(65534, 65534);
    }
    assert_eq!(Run::of(s.as_user(&RULES, &["sh", "-c", TRY])).ok(), "read\nlist\nrw");
    let Some(()) = need_root() else { return };
    let dir = s.dir.join("vol");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("f"), "of the host").unwrap();
    let volume = format!("{}:/other", dir.display());
    let user = ["-u", "65534", "-v", &volume];
    assert_eq!(s.sh(&[&RULES[..], &user].concat(), TRY).ok(), "read\nlist\nrw");
    let named = ["-v", &volume, "--landlock", "/other"];
    let out = s
        .sh(&[&RULES[..], &named].concat(), "cat /other/f; echo >/other/f || echo no")
        .expect(0)
        .out;
    assert_eq!(out, "of the hostno\n");
    if s.run(&["--userns", "auto"], &["true"]).code == 0 {
        assert_eq!(
            s.sh(&[&RULES[..], &["--userns", "auto"]].concat(), "ls /other || echo no")
                .expect(0)
                .out,
            "no\n"
        );
    }
}

#[test]
fn a_link_leads_inside() {
    let Some(s) = sandbox() else { return };
    s.link("/to", "/../../../rw");
    let out = s.sh(
        &["--landlock", "/bin:rx", "--landlock", "/to:rw"],
        "echo a >/rw/f && cat /rw/f; ls /ro || echo no",
    );
    assert_eq!(out.expect(0).out, "a\nno\n");
}

#[test]
fn a_second_command_is_bound_by_the_same_rules() {
    let Some(s) = sandbox() else { return };
    let mut child = started(&s, "locked", &RULES, &["sleep", "60"]);
    let mut c = Command::new(launch());
    c.args(["exec", "locked", "sh", "-c", TRY]).current_dir(&s.dir);
    assert_eq!(Run::of(c).ok(), "read\nlist\nrw");
    verb(&["stop", "-t", "0", "locked"]).expect(0);
    child.wait().unwrap();
}

#[test]
fn what_cannot_be_is_said() {
    let Some(s) = sandbox() else { return };
    let run = s.run(&["--landlock", "/none:rw"], &["true"]);
    run.fails(125, &["--landlock /none:rw: No such file", "hint: "]);
    // Not executable by the rules.
    s.run(&["--landlock", "/bin:rw"], &["true"]).fails(126, &["true", "ermission denied"]);
    s.check_leaks();
}

/// Never without it, where it was asked for.
#[test]
fn a_kernel_without_it_is_an_error() {
    let Some(s) = Sandbox::new() else { return };
    for (errno, words) in [(libc::ENOSYS, "Linux 5.13"), (libc::EOPNOTSUPP, "lsm=")] {
        let mut c = s.command(&["--landlock", "/:rwx"], &["echo", "ran"]);
        refuse(&mut c, &[refuse_all(CREATE_RULESET, errno)]);
        Run::of(c).fails(125, &["--landlock: ", words]);
        // Nobody asks the kernel when the user has not.
        let mut c = s.command(&[] as &[&str], &["echo", "ran"]);
        refuse(&mut c, &[refuse_all(CREATE_RULESET, errno)]);
        assert_eq!(Run::of(c).ok(), "ran");
    }
    for call in [445, 446] {
        let mut c = s.command(&["--landlock", "/:rwx"], &["echo", "ran"]);
        refuse(&mut c, &[refuse_all(call, libc::EPERM)]);
        let run = Run::of(c);
        assert!(run.code == 125 && run.out.is_empty(), "{run:#?}");
    }
    // One that says yes and does nothing.
    if here(&s).is_some() {
        let mut c = s.command(&["--landlock", "/:rwx"], &["echo", "ran"]);
        refuse(&mut c, &[refuse_all(446, 0)]);
        Run::of(c).fails(125, &["does landlock deny? it does not"]);
    }
    s.check_leaks();
}

#[test]
fn no_step_of_it_can_be_left_out() {
    let Some(()) = need_root() else { return };
    let Some(s) = sandbox() else { return };
    let rules = ["--landlock", "/:rwx"];
    super::lookback::sweep(&s, 10, |extra| s.command(&[&rules, extra].concat(), &["echo", "ran"]));
    let skip = |n: &str| s.run(&["--landlock", "/:rwx", "--fault", n], &["echo", "ran"]);
    let explained = s.run(&["--landlock", "/:rwx", "--explain"], &["echo", "ran"]).ok();
    let step = explained.lines().find(|l| l.contains("let landlock's rules hold")).expect("a step");
    let number = step.split_whitespace().next().unwrap();
    let number = number.trim_matches(|c: char| !c.is_ascii_digit());
    skip(&format!("skip:{number}")).fails(125, &["does landlock deny? it does not"]);
}

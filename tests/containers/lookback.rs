//! Before it executes anything, the child looks whether the state it is in is the planned one.
//! Here each step in turn does nothing and says that it succeeded.

use crate::common::*;
use std::process::Command;

/// What takes nothing from the container when it is left out: what is in /dev, what can be
/// written in memory instead of ROOTFS, places, settings; waiting, for which the launcher has
/// no test by itself; the looks; and becoming who one is.
const HARMLESS: [&str; 19] = [
    "take hold of /sys/fs/cgroup",
    "be in cgroup ",
    "show it read-only at /sys/fs/cgroup",
    "become user 0:0",
    "make device ",
    "bind the host's /dev/",
    "link /dev/",
    "mount devpts",
    "mount tmpfs on /dev/shm",
    "mount mqueue",
    "mount tmpfs on /run",
    "mount tmpfs on /tmp",
    "mount tmpfs on /cache",
    "bring loopback up",
    "enter /",
    "set net.",
    "wait for the launcher's go",
    "look back: ",
    "run ",
];

fn steps(mut explain: Command) -> Vec<(usize, String)> {
    let out = explain.output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let inside = |s: &&serde_json::Value| s["side"] == "inside";
    let row = |s: &serde_json::Value| {
        (s["step"].as_u64().unwrap() as usize, s["words"].as_str().unwrap().to_owned())
    };
    json["steps"].as_array().expect("steps").iter().filter(inside).map(row).collect()
}

/// Leaves out each step that is not harmless; `seen` of them at least are found out by a look.
pub fn sweep(s: &Sandbox, seen: usize, call: impl Fn(&[&str]) -> Command) {
    let steps = steps(call(&["--explain", "--json"]));
    let mut found_out = 0;
    for (at, (n, words)) in steps.iter().enumerate() {
        // The one that counts comes after the change of user, where there is one: it undoes
        // the first, and takes all capabilities.
        let changes = steps.iter().any(|(_, w)| w == "become user 5:6");
        let later = steps[at + 1..].iter().any(|(_, w)| w.starts_with("die when"));
        let mount = rustix::fs::statvfs(s.rootfs()).unwrap().f_flag;
        let twice = match words {
            // So is the host's own mount.
            w if w == "make the root's devices unusable" => {
                mount.contains(rustix::fs::StatVfsMountFlags::NODEV)
            }
            w if w.starts_with("die when") => later || !changes,
            w => changes && w.starts_with("keep only the allowed"),
        };
        let harmless = HARMLESS.iter().any(|h| words.starts_with(h));
        // But for null, by which others are hidden.
        if twice || harmless && !words.ends_with("/dev/null") {
            continue;
        }
        let mut c = call(&["--fault", &format!("skip:{n}")]);
        // Whoever is not in the new root makes its places where he stands.
        c.current_dir(&s.dir);
        let run = Run::of(c);
        assert!(run.code == 125 && run.out.is_empty(), "without {words:?}: {run:#?}");
        assert!(run.err.starts_with("launch: "), "without {words:?}: {run:#?}");
        let look = run.err.contains("look back") || run.err.contains("is not so");
        found_out += usize::from(look);
        s.check_leaks();
    }
    assert!(found_out >= seen, "only {found_out} of {steps:#?}");
    assert_eq!(Run::of(call(&[])).ok(), "ran");
}

#[test]
fn nothing_can_be_left_out() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    sweep(&s, 15, |extra| {
        let options = ["--read-only", "--mem", "50M", "--pids-limit", "20", "--ulimit", "core=0"];
        s.command(&[&options, extra].concat(), &["echo", "ran"])
    });
}

#[test]
fn nor_for_another_user_with_a_volume() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let dir = s.dir.join("vol");
    std::fs::create_dir(&dir).unwrap();
    let volume = format!("{}:/data:ro", dir.display());
    sweep(&s, 12, |extra| {
        let options = [
            "--no-init",
            "-u",
            "5:6",
            "-v",
            &volume,
            "--sysctl",
            // What it is anyway: without a network of its own it is the host's that is set.
            "net.ipv4.ip_default_ttl=64",
            "--oom-score-adj",
            "500",
        ];
        s.command(&[&options, extra].concat(), &["echo", "ran"])
    });
}

#[test]
fn nor_for_an_ordinary_user() {
    let Some(s) = Sandbox::new() else { return };
    let first = Run::of(s.as_user(&[] as &[&str], &["true"]));
    if need((first.code == 0).then_some(()), "needs user namespaces for ordinary users").is_none() {
        return;
    }
    sweep(&s, 10, |extra| s.as_user(extra, &["echo", "ran"]));
}

/// close_range(2) says that it has marked them all, and has not: a file is seen by poll(2),
/// what was opened as a place (O_PATH) is not.
#[test]
fn no_descriptor_of_any_kind_comes_along() {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    for flags in [OFlags::PATH | OFlags::DIRECTORY, OFlags::RDONLY | OFlags::DIRECTORY] {
        let command = |errno| {
            let mut c = s.command(&[] as &[&str], &["ls", "/proc/self/fd"]);
            let held = openat(CWD, "/", flags | OFlags::CLOEXEC, Mode::empty()).unwrap();
            filter::inherit(&mut c, held);
            if let Some(errno) = errno {
                filter::refuse(&mut c, &[filter::refuse_all(libc::SYS_close_range, errno)]);
            }
            Run::of(c)
        };
        let said = "launch: look back: no descriptor but those meant to be: is not so\n";
        assert_eq!(command(Some(0)).fails(125, &[]).err, said);
        // The directory that ls reads is the fourth.
        assert_eq!(command(None).ok(), "0\n1\n2\n3");
        assert_eq!(command(Some(libc::ENOSYS)).ok(), "0\n1\n2\n3");
    }
}

/// The words say what is not so, and that is all that is said.
#[test]
fn it_is_said_what_is_not_so() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    for (step, said) in [
        ("forbid new privileges", "launch: look back: no new privileges: is not so\n"),
        ("drop capabilities", "launch: look back: only the allowed capabilities: is not so\n"),
        ("make /proc/bus", "launch: look back: /proc/bus read-only: is not so\n"),
        ("allow only the profile's", "launch: look back: is there the filter?: there is none\n"),
        ("leave descriptors", "launch: look back: umask 022: is not so\n"),
        ("become user", "launch: look back: the supplementary groups: is not so\n"),
    ] {
        let all = steps(s.command(&["--explain", "--json"], &["true"]));
        let (n, _) = all.iter().find(|(_, w)| w.starts_with(step)).expect(step);
        let found = Command::new("setpriv").arg("--version").output();
        let found = found.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("util-linux"));
        if step == "become user"
            && need(found.then_some(()), "needs setpriv (util-linux)").is_none()
        {
            continue;
        }
        let mut c = s.command(&["--fault", &format!("skip:{n}")], &["true"]);
        if step == "become user" {
            use std::os::unix::process::CommandExt;
            c.gid(0);
            c = with_groups(c);
        }
        assert_eq!(Run::of(c).fails(125, &[]).err, said);
    }
}

/// The caller in groups 27 and 100, as far as setpriv is there.
fn with_groups(c: Command) -> Command {
    let mut outer = Command::new("setpriv");
    outer.args(["--groups", "27,100"]).arg(c.get_program()).args(c.get_args());
    outer.stdin(std::process::Stdio::null());
    outer
}

/// Of what is hidden by null it is known that null is there, also where the user alone hides.
#[test]
fn what_hides_is_there() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    s.file("/key", "secret", 0o644);
    let options = ["--security-opt", "unmask=ALL", "--security-opt", "mask=/key"];
    let all = steps(s.command(&[&options[..], &["--explain", "--json"]].concat(), &["true"]));
    let (n, _) = all.iter().find(|(_, w)| w == "make device /dev/null").unwrap();
    let fault = format!("skip:{n}");
    let run = s.run(&[&options[..], &["--fault", &fault]].concat(), &["cat", "/key"]);
    run.fails(125, &["launch: hide /key: No such file or directory (ENOENT)"]);
    assert_eq!(s.run(&options, &["cat", "/key"]).ok(), "");
}

/// Calls of which something outside says yes and does nothing.
#[test]
fn calls_that_only_say_yes() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    for (call, said) in [
        (libc::SYS_setresuid, "user 5"),
        (libc::SYS_setresgid, "group 6"),
        (libc::SYS_setgroups, "the supplementary groups"),
        (libc::SYS_sethostname, "hostname "),
        (libc::SYS_mount_setattr, "read-only"),
    ] {
        let mut c = s.command(&["-u", "5:6", "--read-only"], &["echo", "ran"]);
        filter::refuse(&mut c, &[filter::refuse_all(call, 0)]);
        let run = Run::of(c).fails(125, &["launch: look back: ", said, "is not so\n"]);
        assert_eq!(run.out, "");
    }
}

//! The words and shell commands of the steps that take something away.

use super::{lossy, quote};
use crate::cli::ulimit;
use crate::spec::{PathRule, Rlimit};
use crate::step::{Allowed, Check, Done, Harden, Hidden, Setting};
use std::ffi::CStr;

pub fn words(step: &Harden) -> String {
    match step {
        Harden::HoldEmpty => "make an empty directory to hide others with".into(),
        Harden::Hide { paths, .. } => format!("hide {}", list(paths.iter().map(|h| &h.path))),
        Harden::Device(d) => {
            format!("device {} as {}", d.source.display(), lossy(d.target))
        }
        Harden::HoldSettings => "take hold of /proc/sys".into(),
        Harden::ReadOnly(paths) => format!("make {} read-only", list(paths)),
        Harden::ReleaseEmpty => "remove the empty directory's name".into(),
        Harden::Keyring => "begin a session keyring of its own".into(),
        Harden::Settings(all) => {
            format!("set {}", all.iter().map(setting).collect::<Vec<_>>().join(", "))
        }
        Harden::OomScore(score) => format!("set oom_score_adj to {}", lossy(score)),
        Harden::Limits(all) => {
            format!("limit {}", all.iter().map(rlimit).collect::<Vec<_>>().join(", "))
        }
        Harden::Verify { process: false, .. } => "look back: are the mounts as planned?".into(),
        Harden::Verify { .. } => "look back: is the process as planned?".into(),
        Harden::HoldRules(l) => {
            let rules = l.rules.iter().map(allowed).collect::<Vec<_>>();
            format!("allow only {} (landlock)", rules.join(", "))
        }
        Harden::Landlock => "let landlock's rules hold".into(),
        Harden::VerifyLandlock => "look back: does landlock deny?".into(),
        Harden::Filter(f) => {
            format!("allow only the profile's system calls (seccomp, {} steps)", f.program.len())
        }
        Harden::VerifyFilter { .. } => "look back: is there the filter?".into(),
    }
}

/// What one of the many things is called that a step does.
pub fn detail_words(step: &Harden, at: usize) -> String {
    match step {
        Harden::Hide { paths, .. } => format!("hide {}", lossy(paths[at].path)),
        Harden::ReadOnly(paths) => format!("make {} read-only", lossy(paths[at])),
        Harden::Settings(all) => format!("set {}", setting(&all[at])),
        Harden::HoldRules(l) => format!("--landlock {}", allowed(&l.rules[at])),
        Harden::Limits(all) => format!("limit {}", rlimit(&all[at])),
        Harden::Verify { checks, .. } => format!("look back: {}", check(&checks[at])),
        _ => words(step),
    }
}

/// What has to be so.
pub fn check(check: &Check) -> String {
    match check {
        Check::Root { read_only: true, .. } => "the root read-only, without devices".into(),
        Check::Root { read_only: false, .. } => "the root without devices".into(),
        Check::Done(what) => match what {
            Done::Pivot => "the old root gone".into(),
            Done::Network => "a network namespace of its own".into(),
            Done::CgroupNamespace => "a cgroup namespace of its own".into(),
            Done::Signals => "no signal ignored".into(),
            Done::Keyring => "a session keyring of its own".into(),
            Done::Processors => "all processors again".into(),
            Done::Cgroups(_) => "a member of its cgroups".into(),
            Done::Limits(_) => "all limits set".into(),
            Done::Volumes(_) => "all volumes in memory mounted".into(),
        },
        Check::MountPoint(path) => format!("{} the container's own", lossy(path)),
        Check::FileSystem { at, .. } => format!("the kernel's own file system on {}", lossy(at)),
        Check::ReadOnly(path) => format!("{} read-only", lossy(path)),
        Check::Hidden { path, .. } => format!("{} hidden", lossy(path)),
        Check::Uid(uid) => format!("user {uid}"),
        Check::Gid(gid) => format!("group {gid}"),
        Check::Groups(_) => "the supplementary groups".into(),
        Check::Capabilities { .. } => "only the allowed capabilities".into(),
        Check::NoNewPrivileges => "no new privileges".into(),
        Check::Umask => "umask 022".into(),
        Check::Session => "a session of its own".into(),
        Check::ParentDeath => "death along with the launcher".into(),
        Check::Hostname(name) => format!("hostname {}", lossy(name)),
        Check::Descriptors { .. } => "no descriptor but those meant to be".into(),
        Check::Limit(limit) => format!("limit {}", rlimit(limit)),
        Check::OomScore(score) => format!("oom_score_adj {}", lossy(score)),
        Check::Volume { target, source } => {
            format!("volume {} on {} read-only", source.display(), lossy(target))
        }
    }
}

fn list<'a>(paths: impl IntoIterator<Item = &'a &'static CStr>) -> String {
    paths.into_iter().map(|path| lossy(path)).collect::<Vec<_>>().join(", ")
}

fn allowed(rule: &Allowed) -> String {
    let letters = [(PathRule::READ, 'r'), (PathRule::WRITE, 'w'), (PathRule::EXECUTE, 'x')];
    let letters = letters.iter().filter(|(bit, _)| rule.wish & bit != 0).map(|(_, c)| c);
    format!("{}:{}", lossy(rule.path), letters.collect::<String>())
}

/// As setpriv(1) of util-linux has it, since 2.40.
fn rule_option(rule: &Allowed) -> String {
    let words = "execute write-file read-file read-dir remove-dir remove-file make-char make-dir \
                 make-reg make-sock make-fifo make-block make-sym refer truncate ioctl-dev";
    let words = words.split(' ').filter(|w| !w.is_empty()).enumerate();
    let words = words.filter(|(bit, _)| rule.access >> bit & 1 != 0).map(|(_, word)| word);
    let words = words.collect::<Vec<_>>().join(",");
    format!(
        "setpriv --landlock-access fs --landlock-rule path-beneath:{words}:{} ...",
        quote(rule.path.to_bytes())
    )
}

fn setting(s: &Setting) -> String {
    s.shown.clone()
}

fn rlimit(limit: &Rlimit) -> String {
    let shown = |n: u64| if n == u64::MAX { "unlimited".into() } else { n.to_string() };
    format!("{}={}:{}", ulimit::name(limit.resource), shown(limit.soft), shown(limit.hard))
}

pub fn shell(step: &Harden) -> Vec<String> {
    match step {
        Harden::HoldEmpty => vec!["mkdir -m 555 /dev/.empty".into()],
        Harden::Hide { paths, .. } => {
            let cover = |hidden: &Hidden| {
                let path = quote(hidden.path.to_bytes());
                format!("mount --bind /dev/null {path} || mount --bind /dev/.empty {path}")
            };
            paths.iter().map(cover).collect()
        }
        Harden::Device(d) => vec![format!(
            "mknod -m {:o} {} {} {} {}",
            d.mode & 0o7777,
            quote(d.target.to_bytes()),
            if d.mode & 0o170_000 == 0o060_000 { 'b' } else { 'c' },
            rustix::fs::major(d.device),
            rustix::fs::minor(d.device)
        )],
        Harden::ReadOnly(paths) => {
            let protect = |path: &&CStr| {
                let path = quote(path.to_bytes());
                format!("mount --bind {path} {path}; mount -o remount,bind,ro {path}")
            };
            paths.iter().map(protect).collect()
        }
        Harden::ReleaseEmpty => vec!["rmdir /dev/.empty".into()],
        Harden::Keyring => vec!["keyctl session - ...".into()],
        Harden::Settings(all) => all.iter().map(|s| format!("sysctl -w {}", s.shown)).collect(),
        Harden::OomScore(score) => vec![format!("choom -n {} ...", lossy(score))],
        Harden::Limits(all) => vec![format!(
            "prlimit {} ...",
            all.iter().map(|l| format!("--{}", rlimit(l))).collect::<Vec<_>>().join(" ")
        )],
        Harden::Verify { process: false, .. } => vec!["cat /proc/self/mountinfo".into()],
        Harden::Verify { .. } => vec!["cat /proc/self/status; ls -l /proc/self/fd".into()],
        Harden::VerifyFilter { .. } => vec!["grep Seccomp: /proc/self/status".into()],
        Harden::HoldRules(l) => l.rules.iter().map(rule_option).collect(),
        Harden::HoldSettings | Harden::Filter(_) | Harden::Landlock => Vec::new(),
        Harden::VerifyLandlock => Vec::new(),
    }
}

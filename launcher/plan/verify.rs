//! What has to be so at the end, worked out from the steps that are to make it so.

use super::{Builder, c_str};
use crate::step::{Check, ChildStep, Done, Harden, Hidden};
use rustix::mount::MountFlags;
use std::ffi::CStr;

/// PROC_SUPER_MAGIC of statfs(2).
const PROC: i64 = 0x9fa0;

impl Builder<'_> {
    /// Before ids and capabilities go, for what only they can reach.
    pub fn verify_mounts(&mut self) {
        let mut checks = Vec::new();
        let mounted = self.child.iter().enumerate().filter_map(|(at, s)| Some((at, target(s)?)));
        let mounted: Vec<_> = mounted.collect();
        for (index, step) in self.child.iter().enumerate() {
            // By a mount of a later step, so that it is not what one gets to.
            let later = mounted.iter().filter(|(at, _)| *at > index);
            let covered = |path: &CStr| {
                later.clone().any(|(_, target)| is_below(path.to_bytes(), target.to_bytes()))
            };
            mount_checks(step, covered, &mut checks);
        }
        self.push_checks(checks, false);
    }

    pub fn verify_process(&mut self) {
        let mut checks = Vec::new();
        self.child.iter().for_each(|step| process_checks(step, &mut checks));
        if !checks.iter().any(|check| matches!(check, Check::OomScore(_))) {
            // Inherited, in a container that is there; a number has no NUL.
            let score = self.spec.oom_score_adj.map(|score| c_str(score.to_string()));
            checks.extend(score.into_iter().flatten().map(Check::OomScore));
        }
        let count = |kind: fn(&ChildStep) -> bool| self.child.iter().filter(|s| kind(s)).count();
        let joins = count(|s| matches!(s, ChildStep::JoinCgroup { .. }));
        let writes = count(|s| matches!(s, ChildStep::WriteCgroup { .. }));
        let done = [Done::Cgroups(joins as u32), Done::Limits(writes as u32)];
        checks.extend(done.map(Check::Done));
        // By a link of the image one may be below another.
        let volumes = count(|s| matches!(s, ChildStep::Volume(_))) as u32;
        checks.extend((volumes > 0).then_some(Check::Done(Done::Volumes(volumes))));
        self.push_checks(checks, true);
    }

    fn push_checks(&mut self, checks: Vec<Check>, process: bool) {
        if !checks.is_empty() {
            self.harden(Harden::Verify { checks, process });
        }
    }
}

/// Where it mounts something.
fn target(step: &ChildStep) -> Option<&'static CStr> {
    match step {
        ChildStep::Bind(b) => Some(b.target),
        ChildStep::Mount(m) => Some(m.target),
        ChildStep::Volume(v) => Some(v.target),
        _ => None,
    }
}

fn mount_checks(step: &ChildStep, covered: impl Fn(&CStr) -> bool, checks: &mut Vec<Check>) {
    let mut add = |path: &CStr, check: Check| {
        if !covered(path) {
            checks.push(check);
        }
    };
    match step {
        ChildStep::Mount(m) if m.fstype == c"proc" => {
            add(m.target, Check::FileSystem { at: m.target, magic: PROC });
        }
        ChildStep::Mount(m) if m.target == c"/dev" => add(m.target, Check::MountPoint(m.target)),
        ChildStep::Mount(m) if m.flags & MountFlags::RDONLY.bits() != 0 => {
            add(m.target, Check::ReadOnly(m.target));
        }
        ChildStep::Bind(b) if b.read_only => {
            add(b.target, Check::Volume { target: b.target, source: b.source.clone() });
        }
        ChildStep::ReadOnly { target } | ChildStep::AttachTree { target, .. } => {
            add(target, Check::ReadOnly(target));
        }
        ChildStep::Harden(Harden::Hide { paths, first }) => {
            for (index, Hidden { path, .. }) in paths.iter().enumerate() {
                add(path, Check::Hidden { path, number: first + index });
            }
        }
        ChildStep::Harden(Harden::ReadOnly(paths)) => {
            paths.iter().for_each(|path| add(path, Check::ReadOnly(path)));
        }
        ChildStep::RootAttributes { read_only } => {
            checks.push(Check::Root { read_only: *read_only });
        }
        _ => {}
    }
}

/// Both are absolute. A twentieth of a start went into `Path::starts_with`.
fn is_below(path: &[u8], dir: &[u8]) -> bool {
    fn words(path: &[u8]) -> impl Iterator<Item = &[u8]> {
        path.split(|b| *b == b'/').filter(|word| !word.is_empty() && *word != b".")
    }
    let mut path = words(path);
    words(dir).all(|word| path.next() == Some(word))
}

fn process_checks(step: &ChildStep, checks: &mut Vec<Check>) {
    match step {
        ChildStep::NewSession => checks.push(Check::Session),
        ChildStep::DefaultSignals => checks.push(Check::Done(Done::Signals)),
        ChildStep::EveryProcessor => checks.push(Check::Done(Done::Processors)),
        ChildStep::JoinNetwork { .. } => checks.push(Check::Done(Done::Network)),
        ChildStep::NewCgroupNamespace => checks.push(Check::Done(Done::CgroupNamespace)),
        ChildStep::Pivot => checks.push(Check::Done(Done::Pivot)),
        ChildStep::SetIds { uid, gid, groups } => {
            checks.extend([Check::Uid(uid.as_raw()), Check::Gid(gid.as_raw())]);
            checks.extend(groups.clone().map(Check::Groups));
        }
        ChildStep::Hostname(name) => checks.push(Check::Hostname(name)),
        ChildStep::SetCapabilities { keep } => checks.push(Check::Capabilities { keep: *keep }),
        ChildStep::NoNewPrivileges => checks.push(Check::NoNewPrivileges),
        ChildStep::CloseOnExec { first, now } => {
            let descriptors = Check::Descriptors { from: *first, closed: *now };
            checks.extend([Check::Umask, descriptors, Check::ParentDeath]);
        }
        // No longer so.
        ChildStep::Outlive => checks.retain(|c| !matches!(c, Check::ParentDeath)),
        ChildStep::Harden(Harden::Keyring) => checks.push(Check::Done(Done::Keyring)),
        ChildStep::Harden(Harden::Limits(limits)) => {
            checks.extend(limits.iter().copied().map(Check::Limit));
        }
        ChildStep::Harden(Harden::OomScore(score)) => checks.push(Check::OomScore(score)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn below_by_components() {
        for (path, dir) in
            [("/a/b", "/a"), ("/a", "/a"), ("/a", "/"), ("//a/./b", "/a//b/"), ("/a/b", "/./a/.")]
        {
            assert!(is_below(path.as_bytes(), dir.as_bytes()), "{path} {dir}");
        }
        for (path, dir) in [("/ab", "/a"), ("/a", "/a/b"), ("/", "/a"), ("/b/a", "/a")] {
            assert!(!is_below(path.as_bytes(), dir.as_bytes()), "{path} {dir}");
        }
    }
}

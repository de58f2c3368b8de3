//! The child: what it is given, and how it is made.

use super::{Made, open_cgroup};
use crate::child::{self, Context};
use crate::error::{Error, Result};
use crate::failure;
use crate::plan::Plan;
use crate::record::{Brief, Record};
use crate::spec::Spec;
use crate::step::ChildStep;
use crate::sync::{self, Channel};
use crate::sys::{self, CStrings, SharedTimes};
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::process::Pid;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// For the child to join our network namespace by. Without one (before Linux 5.3) it makes a
/// network of its own, if nothing is plugged into ours.
fn own_pidfd(plan: &Plan) -> Result<Option<OwnedFd>> {
    let plugged = plan.child.iter().find_map(|s| match s {
        ChildStep::JoinNetwork { plugged } => Some(*plugged),
        _ => None,
    });
    let Some(plugged) = plugged else { return Ok(None) };
    let own = rustix::process::getpid();
    match rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()) {
        Ok(own) => Ok(Some(own)),
        Err(e) if sys::is_unknown(e) && !plugged => Ok(None),
        Err(e) => Err(Error::os("open a pidfd", e)),
    }
}

pub(super) fn clone(
    spec: &Spec,
    plan: &Plan,
    made: &mut Made,
    flags: u64,
    cgroup: Option<&Path>,
    times: Option<SharedTimes>,
    first: usize,
) -> Result<()> {
    // So little memory that the kernel might have to kill before exec: not the launcher, too.
    // And what is written to oom_score_adj holds for all who share memory.
    let tight =
        spec.limits.memory.is_some_and(|bytes| bytes < 16 << 20) || spec.oom_score_adj.is_some();
    // Where others could trace the child, it must not have our memory.
    made.shared = sys::CHILD_CAN_SHARE && !tight && (flags != 0 || !plan.traceable());
    let (parent_end, child_end) = sync::pair().map_err(|e| Error::os("socketpair", e))?;
    let own_fd = cgroup.map(open_cgroup).transpose()?;
    let cgroup_fd = own_fd.as_ref().or(plan.birthplace.as_ref());
    let own = own_pidfd(plan)?;
    let noted = made.brief.as_ref().map_or(-1, Brief::lock_fd);
    let lock = made.record.as_ref().map_or(noted, Record::lock_fd);
    let context = Context {
        channel: Channel::new(
            sys::borrow(child_end.as_raw_fd()),
            CStrings::new(plan.env.clone()),
            made.shared,
        ),
        parent_end: parent_end.as_raw_fd(),
        record: lock,
        launcher: own.as_ref().map_or(-1, AsRawFd::as_raw_fd),
        init: -1,
        cgroup: cgroup_fd.map_or(-1, AsRawFd::as_raw_fd),
        born: false,
        slots: slots(plan),
        old_root: -1,
        new_root: -1,
        terminal: -1,
        proc: -1,
        dev: -1,
        settings: -1,
        done: child::Done::default(),
        detail: None,
        fault: spec.fault,
        times,
    };
    let steps: &'static [ChildStep] = plan.child;
    let body = move |born| child::run(steps, Context { born, ..context }, first);
    let pid = sys::clone(flags, cgroup_fd.map(AsFd::as_fd), made.shared, body)
        .map_err(|e| failure::clone_error(e, flags, plan.rootless))?;
    made.child = Pid::from_raw(pid);
    for step in steps {
        if let ChildStep::MakeCgroup { dir } = step {
            made.cgroups.push(OsStr::from_bytes(dir.to_bytes()).into());
        }
    }
    made.parent_end = Some(parent_end);
    Ok(())
}

/// The child's descriptors, most of which it opens itself.
fn slots(plan: &Plan) -> Vec<RawFd> {
    let mut slots: Vec<RawFd> = plan.opened.iter().map(AsRawFd::as_raw_fd).collect();
    slots.resize(plan.slots, -1);
    if let Some((slot, tree)) = &plan.tree {
        slots[*slot] = tree.as_raw_fd();
    }
    slots
}

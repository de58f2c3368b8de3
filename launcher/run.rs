//! The parent's sequence: host steps, the child, supervision, and the undo of it all.

mod clone;
mod living;

use crate::cgroup;
use crate::child;
use crate::error::{Error, Result};
use crate::net;
use crate::plan::Plan;
use crate::record::{self, Brief, Record};
use crate::spec::{Fault, Log, Spec};
use crate::step::{HostStep, Need};
use crate::supervise::{self, Status};
use crate::sync::{self, Report};
use crate::sys::{self, SharedTimes};
use crate::{detach, explain, failure, idmap};
use clone::clone;
use living::{announce, ends_at_once, is_untold, living_step, noted_briefly};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use std::path::{Path, PathBuf};

/// What a start has made so far, each with its undo.
#[derive(Default)]
struct Made {
    record: Option<Record>,
    brief: Option<Brief>,
    cgroups: Vec<PathBuf>,
    /// Of --pidfile and --cidfile; they stay if the payload runs.
    files: Vec<PathBuf>,
    written: Vec<cgroup::Write>,
    parent_end: Option<OwnedFd>,
    /// The child runs in our memory until it is executed.
    shared: bool,
    child: Option<Pid>,
    net: Option<net::Session>,
    /// A process of ours that ends when the child has.
    helper: Option<Pid>,
    /// How the child has ended, if it did at once.
    ended: Option<i32>,
}

/// One timed step: its number in the plan and nanoseconds.
pub struct Timing {
    pub step: usize,
    pub nanoseconds: u64,
}

/// Runs the plan to the payload's end. Everything made is undone when this returns,
/// whatever it returns. `sweep` clears up after the dead, if that is a step.
pub fn run(
    spec: &Spec,
    mut plan: Plan,
    timed: bool,
    sweep: &dyn Fn(Option<&Brief>),
) -> Result<(Status, Vec<Timing>)> {
    // A caller that ignores SIGCHLD would cost us the status.
    sys::default_disposition(libc::SIGCHLD)
        .map_err(|e| Error::os("take the default action on SIGCHLD", e))?;
    // Blocked from before the child exists: a signal that comes during the start waits
    // for the supervisor and is forwarded then.
    sys::set_signal_mask(sys::ALL_SIGNALS).map_err(|e| Error::os("block signals", e))?;
    let mut made = Made::default();
    let times = timed.then(|| SharedTimes::new(plan.child.len())).transpose();
    let times = times.map_err(|e| Error::os("map memory for --trace", e))?;
    let mut timings = Vec::new();
    let started = start(spec, &mut plan, &mut made, times, &mut timings, sweep);
    let result = started.and_then(|terminal| match spec.detach {
        true => let_go(spec, &mut made),
        false => supervise(spec, &plan, &mut made, terminal),
    });
    let cleaned = undo(&mut made, result.is_err());
    let status = result?;
    cleaned?;
    Ok((status, timings))
}

/// Host steps in order; returns the pty's master if the child made one.
fn start(
    spec: &Spec,
    plan: &mut Plan,
    made: &mut Made,
    times: Option<SharedTimes>,
    timings: &mut Vec<Timing>,
    sweep: &dyn Fn(Option<&Brief>),
) -> Result<Option<OwnedFd>> {
    let steps = std::mem::take(&mut plan.host);
    let mut times = times;
    let shared = times.as_ref().map(SharedTimes::share);
    let untold = shared.is_none() && is_untold(spec, plan);
    for (index, step) in steps.iter().enumerate() {
        let number = index + 1;
        match spec.fault {
            Some(Fault::Kill(at)) if at == number => kill_self(),
            Some(Fault::Fail(at)) if at == number => {
                return Err(host_error(step, Errno::IO));
            }
            _ => {}
        }
        let before = shared.as_ref().map(|_| child::now());
        match step {
            HostStep::Clone { flags, cgroup } => {
                let first = steps.len() + 1;
                clone(spec, plan, made, *flags, cgroup.as_deref(), times.take(), first)?;
            }
            HostStep::Sweep => sweep(made.brief.as_ref()),
            HostStep::Record { items, need, .. } if untold && noted_briefly(made, items, *need) => {
            }
            other => {
                let done = host_step(other, &mut plan.opened, made, plan.rootfs.as_fd());
                done.map_err(|e| first_cause(plan, made, e))?;
            }
        }
        if let Some(before) = before {
            timings.push(Timing { step: number, nanoseconds: child::now() - before });
        }
    }
    drop(plan.ids_lock.take());
    let count = steps.len();
    plan.host = steps;
    let terminal = begun(spec, plan, made, untold)?;
    if let Some(shared) = shared {
        for index in 0..plan.child.len() {
            timings.push(Timing { step: count + 1 + index, nanoseconds: shared.get(index) });
        }
    }
    Ok(terminal)
}

/// From the last step to exec, or to the end of what is over before anybody need hear of it.
fn begun(spec: &Spec, plan: &mut Plan, made: &mut Made, untold: bool) -> Result<Option<OwnedFd>> {
    let over = untold && ends_at_once(made)?;
    if untold && !over {
        announce(plan, made);
    }
    let silent = over && made.shared && sync::had_nothing_to_say();
    let terminal = if silent { None } else { await_exec(plan, made)? };
    // Others may join it from now on, and not before. Not a step: the container runs.
    if let (Some(record), Some(child), false) = (&made.record, made.child, spec.detach || over) {
        record.note_process(child.as_raw_pid())?;
    }
    if let Some(session) = &made.net {
        session.return_home()?;
    }
    Ok(terminal)
}

/// The words that the step itself would have for this error.
fn host_error(step: &HostStep, e: Errno) -> Error {
    match step {
        HostStep::MakeCgroup(dir) => cgroup::create_error(dir, e),
        HostStep::WriteCgroup(write) => cgroup::write_error(write, e),
        HostStep::Net(step) => step.error(e),
        other => Error::os(explain::host_words(other), e),
    }
}

/// A child that has failed makes steps of ours fail, too: what it said comes first.
fn first_cause(plan: &Plan, made: &mut Made, error: Error) -> Error {
    if let Some(child) = made.child {
        let _ = rustix::process::kill_process(child, Signal::KILL);
    }
    await_exec(plan, made).err().unwrap_or(error)
}

fn host_step(
    step: &HostStep,
    opened: &mut [OwnedFd],
    made: &mut Made,
    rootfs: BorrowedFd<'_>,
) -> Result<()> {
    match step {
        HostStep::Record { id, items, facts, need } => match record::create(id, items, facts) {
            Ok(record) => made.record = Some(record),
            Err(_) if *need == Need::Nobody => {}
            Err(e) => return Err(e),
        },
        HostStep::MakeCgroup(dir) => {
            cgroup::create(dir)?;
            made.cgroups.push(dir.clone());
        }
        HostStep::WriteCgroup(write) => {
            cgroup::write(write)?;
            if write.undo.is_some() {
                made.written.push(write.clone());
            }
        }
        HostStep::FilterDevices { dir, program } => filter_devices(step, dir, program)?,
        HostStep::Net(step) => step.run(&mut made.net, &mut made.helper, made.child)?,
        HostStep::NewNetwork => new_network(step, made)?,
        HostStep::LoopbackUp => {
            sys::loopback_up().map_err(|e| Error::os(explain::host_words(step), e))?;
        }
        // It would only take longer.
        HostStep::Spread => drop(made.child.map(sys::keep_off_ours)),
        HostStep::MapIds(map) => {
            if let Some(child) = made.child {
                idmap::map_ids(map, child)?;
            }
        }
        HostStep::SendTree(tree) => {
            if let (Some(child), Some(socket)) = (made.child, &made.parent_end) {
                let tree = idmap::mapped_tree(tree, rootfs, child)?;
                sync::send_tree(socket.as_fd(), tree.as_fd())
                    .map_err(|e| Error::os(explain::host_words(step), e))?;
            }
        }
        HostStep::Go => {
            let parent_end = made.parent_end.as_ref();
            let sent =
                parent_end.map_or(Err(Errno::BADF), |fd| sync::send_go(fd.as_fd(), made.shared));
            // A child that is gone already tells why in await_exec.
            if let Err(e) = sent
                && e != Errno::PIPE
                && e != Errno::CONNRESET
            {
                return Err(Error::os("start the child", e));
            }
        }
        other => living_step(other, opened, made)?,
    }
    Ok(())
}

fn new_network(step: &HostStep, made: &mut Made) -> Result<()> {
    made.net.iter_mut().for_each(net::Session::unlock);
    sys::unshare(sys::ns::NEWNET).map_err(|e| Error::os(explain::host_words(step), e))
}

fn filter_devices(step: &HostStep, dir: &Path, program: &[u64]) -> Result<()> {
    let result = sys::filter_devices(open_cgroup(dir)?.as_fd(), program);
    result.map_err(|e| failure::filter_error(step, e))
}

fn open_cgroup(dir: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::empty())
        .map_err(|e| Error::os(format!("open {}", dir.display()), e))
}

/// Reports until end of file, which means that the payload's program, or the init, runs.
fn await_exec(plan: &Plan, made: &mut Made) -> Result<Option<OwnedFd>> {
    let mut terminal = None;
    let Some(fd) = made.parent_end.take() else { return Ok(None) };
    let mut reset = false;
    loop {
        match sync::receive(fd.as_fd()) {
            // The child failed before it read our go; what it said comes next.
            Err(Errno::CONNRESET) if !reset => reset = true,
            Ok(None) => return Ok(terminal),
            Ok(Some((Report::Terminal, master))) => terminal = master,
            Ok(Some((Report::Kill, _))) => kill_self(),
            Ok(Some((Report::Failed { step, errno, detail }, _))) => {
                let failed = plan.child.get(step);
                return Err(failed.map_or_else(
                    || Error::os("start the container", errno),
                    |s| failure::child_error(s, errno, detail, plan),
                ));
            }
            Err(e) => return Err(Error::os("hear from the child", e)),
        }
    }
}

fn supervise(
    spec: &Spec,
    plan: &Plan,
    made: &mut Made,
    terminal: Option<OwnedFd>,
) -> Result<Status> {
    let mut status = match (made.ended, made.child) {
        (Some(code), _) => Status::of(code),
        (None, Some(child)) => supervise::supervise(child, terminal, spec)?,
        (None, None) => return Err(Error::new("no child was made")),
    };
    // Reaped: the number may be another process's by now.
    made.child = None;
    if spec.limits.memory.is_some() {
        status.memory = plan.cgroups.as_ref().and_then(cgroup::memory_report);
    }
    Ok(status)
}

/// The container is on its own from here on; nothing of it is ours to undo.
fn let_go(spec: &Spec, made: &mut Made) -> Result<Status> {
    let (Some(record), Some(child)) = (&made.record, made.child) else {
        return Err(Error::new("no child was made"));
    };
    // Without init the end of file on the socket was the payload's exec.
    if !spec.no_init && !detach::await_payload(record, child)? {
        made.child = None;
        return Err(detach::why_not(record, supervise::reap(child)));
    }
    let record = std::mem::take(made).record;
    let name = record.as_ref().map(|r| r.name().to_owned());
    if let Some(record) = record {
        let most = if let Log::File { most } = spec.log { most } else { 0 };
        record.let_go(!spec.remove, most)?;
    }
    Ok(Status { code: 0, name, memory: None })
}

/// Everything back, last made first. The first failure is reported, after all were tried.
fn undo(made: &mut Made, failed: bool) -> Result<()> {
    drop(made.parent_end.take());
    if failed && let Some(child) = made.child {
        // Process 1: the kernel takes all the others with it.
        let _ = rustix::process::kill_process(child, Signal::KILL);
        supervise::reap(child);
    }
    if let Some(helper) = made.helper.take() {
        supervise::reap(helper);
    }
    if failed {
        made.files.drain(..).for_each(|file| drop(std::fs::remove_file(file)));
    }
    let mut result = made.net.take().map_or(Ok(()), net::Session::end);
    for write in made.written.iter().rev() {
        result = result.and(cgroup::unwrite(write));
    }
    for dir in made.cgroups.iter().rev() {
        result = result.and(cgroup::remove(dir));
    }
    // What is left is cleared up by the next one who comes.
    if result.is_ok() {
        made.brief.take().into_iter().for_each(Brief::free);
        result = made.record.take().map_or(Ok(()), Record::remove);
    }
    result
}

fn kill_self() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
}

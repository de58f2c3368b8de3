//! Ending containers from outside: stop, kill, wait, rm.

use crate::error::{Error, Result};
use crate::quote::quote;
use crate::record::{self, Found, Life};
use crate::spec::Spec;
use crate::supervise;
use crate::sys;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Signal;
use std::io::Write;
use std::time::{Duration, Instant};

/// How long killed processes may take to be gone, and the launcher to clear up.
const PATIENCE: Duration = Duration::from_secs(5);

/// None: all that run.
pub fn named(names: Option<Vec<String>>) -> Vec<String> {
    names.unwrap_or_else(|| {
        let running = record::all().into_iter().filter(|f| f.life == Life::Running);
        running.map(|f| f.name).collect()
    })
}

/// Does `one` for each name, tells each that went well, and gives all errors as one.
#[inline(never)]
pub fn each(
    names: &[String],
    out: &mut dyn Write,
    one: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<i32> {
    let mut result = Ok(0);
    for name in names {
        match (one(name), result) {
            (Ok(()), before) => {
                tell(out, name)?;
                result = before;
            }
            (Err(e), Err(before)) => result = Err(Error::and(before, &e)),
            (Err(e), Ok(_)) => result = Err(e),
        }
    }
    result
}

fn tell(out: &mut dyn Write, line: &str) -> Result<()> {
    writeln!(out, "{line}").map_err(|e| Error::os("write to standard output", e))
}

pub fn stop(
    names: &[String],
    signal: Option<i32>,
    timeout: Option<u32>,
    out: &mut dyn Write,
) -> Result<i32> {
    // All are told first, so that they end at the same time.
    let now = Instant::now();
    let told: Vec<_> = names.iter().map(|name| ask(name, signal, timeout)).collect();
    let mut told = told.into_iter();
    each(names, out, &mut |_| {
        let Some(told) = told.next() else { return Ok(()) };
        let Some((found, pidfd, timeout)) = told? else { return Ok(()) };
        if !ended(pidfd.as_fd(), Some(now + Duration::from_secs(timeout.into())))? {
            send(&found, pidfd.as_fd(), libc::SIGKILL)?;
        }
        gone(&found, pidfd.as_fd())
    })
}

/// Sends the signal. None: it has ended already.
fn ask(
    name: &str,
    signal: Option<i32>,
    timeout: Option<u32>,
) -> Result<Option<(Found, OwnedFd, u32)>> {
    let found = record::find(name.as_ref())?;
    let Some((_, pidfd)) = found.try_process()? else { return Ok(None) };
    // Of a damaged record the usual.
    let spec = found.settled_spec().unwrap_or_else(|_| Spec::new().into());
    let timeout = timeout.unwrap_or(spec.stop_timeout);
    let signal = signal.or(spec.stop_signal).unwrap_or(libc::SIGTERM);
    supervise::to_end(&spec, signal).try_for_each(|n| send(&found, pidfd.as_fd(), n))?;
    // What stands still cannot end.
    if found.is_paused() {
        found.thaw();
    }
    Ok(Some((found, pidfd, timeout)))
}

fn send(found: &Found, pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let what = || format!("signal container {}", quote(&found.name));
    let signal = sys::signal(signal).ok_or_else(|| Error::os(what(), Errno::INVAL))?;
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(e) => return Err(Error::os(what(), e)),
    }
    // What stands still cannot end.
    if [Signal::KILL, Signal::TERM].contains(&signal) && found.is_paused() {
        found.thaw();
    }
    Ok(())
}

/// Waits until process 1 has ended; false when the time was up before.
fn ended(pidfd: BorrowedFd<'_>, deadline: Option<Instant>) -> Result<bool> {
    loop {
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let timeout =
            left.map(|d| Timespec { tv_sec: d.as_secs() as i64, tv_nsec: d.subsec_nanos().into() });
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) if deadline.is_some() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(e) => return Err(Error::os("wait for the container", e)),
        }
    }
}

/// Waits for the rest after process 1 was told to end: its launcher clears up, and where
/// it has none, we do.
fn gone(found: &Found, pidfd: BorrowedFd<'_>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    if !ended(pidfd, Some(deadline))? {
        let name = quote(&found.name);
        return Err(Error::new(format!("container {name}: process 1 does not end"))
            .hint("it may be stuck in the kernel, or be frozen: launch unpause"));
    }
    rest_gone(found, deadline)
}

/// The same for one whose process 1 has ended.
fn rest_gone(found: &Found, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(200);
    loop {
        match collected(found)? {
            true => return Ok(()),
            false if Instant::now() >= deadline => {
                let name = quote(&found.name);
                return Err(Error::new(format!("container {name}: not all of it is gone"))
                    .hint(format!("its record is {}", found.place.join(&found.name).display())));
            }
            false => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Whether nothing of it is left but, where that is wanted, how it ended.
fn collected(found: &Found) -> Result<bool> {
    let Some(now) = record::find::look_for(&found.name)? else { return Ok(true) };
    if now.entry.facts.started != found.entry.facts.started
        || now.entry.process != found.entry.process
    {
        return Ok(true);
    }
    if now.life != Life::Ended {
        return Ok(false);
    }
    now.collect()?;
    if now.not_understood().is_some() {
        return Ok(true);
    }
    let Some(now) = record::find::look_for(&found.name)? else { return Ok(true) };
    Ok(now.entry.ended.is_some())
}

pub fn kill(names: &[String], signal: i32, out: &mut dyn Write) -> Result<i32> {
    each(names, out, &mut |name| {
        let found = record::find(name.as_ref())?;
        let (_, pidfd) = found.process()?;
        send(&found, pidfd.as_fd(), signal)?;
        // What is killed is gone when we return, if that takes no longer than usual.
        if signal == libc::SIGKILL && found.entry.facts.detached {
            gone(&found, pidfd.as_fd())?;
        }
        Ok(())
    })
}

/// The status of the last one becomes ours.
pub fn wait(names: &[String], out: &mut dyn Write) -> Result<i32> {
    let mut code = 0;
    for name in names {
        let found = record::find(name.as_ref())?;
        code = match &found.entry.ended {
            Some(ended) => ended.code,
            None => wait_for(&found)?,
        };
        tell(out, &code.to_string())?;
    }
    Ok(code)
}

fn wait_for(found: &Found) -> Result<i32> {
    let unknown = || {
        Error::new(format!("container {}: how it ended is not known", quote(&found.name)))
            .hint("before Linux 6.15 only its launcher knows, which gives it as its own status")
    };
    let status = match found.try_process()? {
        Some((_, pidfd)) => {
            ended(pidfd.as_fd(), None)?;
            // A zombie's status is not told before it is reaped.
            gone(found, pidfd.as_fd())?;
            sys::exit_status(pidfd.as_fd())
        }
        // It may have ended since it was found, and another one be clearing up.
        None => {
            rest_gone(found, Instant::now() + PATIENCE)?;
            None
        }
    };
    let now = record::find::look_for(&found.name)?;
    let ended = now.filter(|n| n.entry.process == found.entry.process).and_then(|n| n.entry.ended);
    match (ended, status) {
        (Some(ended), _) if ended.known => Ok(ended.code),
        (_, Some(status)) => Ok(status),
        (Some(ended), None) => Ok(ended.code),
        (None, None) => {
            let left = record::find::look_for(&found.name)?;
            Err(left.and_then(|found| found.not_understood()).unwrap_or_else(unknown))
        }
    }
}

pub fn remove(names: &[String], force: bool, all: bool, out: &mut dyn Write) -> Result<i32> {
    let every: Vec<String> = match all {
        true => record::all()
            .into_iter()
            .filter(|f| force || f.life == Life::Ended)
            .map(|f| f.name)
            .collect(),
        false => names.to_vec(),
    };
    each(&every, out, &mut |name| remove_one(name, force, all))
}

fn remove_one(name: &str, force: bool, all: bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Some(found) = record::find::look_for(name)? else {
            return if force || all { Ok(()) } else { record::find(name.as_ref()).map(drop) };
        };
        if found.life == Life::Ended {
            if found.revived() {
                continue;
            }
            return found.remove();
        }
        if !force {
            let pid = found.entry.process.as_ref().map_or(0, |p| p.pid);
            return Err(Error::new(format!("container {} runs as process {pid}", quote(name)))
                .hint(format!("launch stop {name} ends it; launch rm -f {name} kills it")));
        }
        match found.try_process() {
            Ok(Some((_, pidfd))) => {
                send(&found, pidfd.as_fd(), libc::SIGKILL)?;
                ended(pidfd.as_fd(), Some(deadline))?;
            }
            Ok(None) => {}
            // It may be on the way in.
            Err(_) if found.entry.process.is_none() && Instant::now() + PATIENCE / 2 > deadline => {
                found.kill_launcher();
            }
            Err(e) if found.life == Life::Elsewhere || Instant::now() >= deadline => return Err(e),
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            return Err(Error::new(format!("container {}: not all of it is gone", quote(name)))
                .hint(format!("its record is {}", found.place.join(name).display())));
        }
        // Its launcher clears up, or has to die first.
        std::thread::sleep(Duration::from_micros(500));
    }
}

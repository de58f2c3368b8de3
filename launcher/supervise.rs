//! From exec to the end: signals in, terminal through, status out.

use crate::cgroup::MemoryReport;
use crate::error::{Code, Error, Result};
use crate::spec::{Restart, Spec};
use crate::sys;
use crate::tty::Terminal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::time::{Duration, Instant};

/// How the container ended.
#[derive(Debug)]
pub struct Status {
    /// Exit code as a shell has it: the payload's own, or 128 + signal.
    pub code: i32,
    /// Of a container that has been let go.
    pub name: Option<String>,
    pub memory: Option<MemoryReport>,
}

impl Status {
    pub fn of(code: i32) -> Status {
        Status { code, name: None, memory: None }
    }
}

/// What is known of a request to stop.
#[derive(Default)]
struct Stop {
    deadline: Option<Instant>,
    interrupts: u32,
}

impl Stop {
    /// SIGTERM and SIGHUP give the payload `timeout` seconds; a third ^C gives none, as docker has it.
    fn note(&mut self, signal: i32, timeout: u32) {
        let now = Instant::now();
        match signal {
            libc::SIGTERM | libc::SIGHUP => {
                self.deadline.get_or_insert(now + Duration::from_secs(timeout.into()));
            }
            libc::SIGINT => {
                self.interrupts += 1;
                if self.interrupts >= 3 {
                    self.deadline = Some(now);
                }
            }
            _ => {}
        }
    }
}

/// Tells our init that there shall be no new start; no program has a use for it, as C libraries
/// keep this one for themselves.
pub const NO_RESTART: i32 = 33;

/// What has to be sent, in this order, for `signal` to end the container.
pub fn to_end(spec: &Spec, signal: i32) -> impl Iterator<Item = i32> {
    (spec.restart != Restart::No).then_some(NO_RESTART).into_iter().chain([signal])
}

/// How long a container may run before anybody is told that it does.
const UNTOLD: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// The exit code of a child that ends at once, well or not. Being woken when it is executed, to
/// be told of its end right after that, costs both a switch.
pub fn ends_at_once(child: Pid) -> Result<Option<i32>> {
    // Whatever else comes meanwhile waits for the supervisor.
    let _ = sys::take_signal(1 << (libc::SIGCHLD - 1), &UNTOLD);
    try_reap(child, WaitOptions::NOHANG)
}

/// Waits for the container's end; forwards signals, and copies the terminal if there is one.
/// Not part of its caller: launch.ld has it beside all that the wait needs.
#[inline(never)]
pub fn supervise(child: Pid, master: Option<OwnedFd>, spec: &Spec) -> Result<Status> {
    let signals = sys::signalfd().map_err(|e| Error::os("signalfd", e))?;
    let mut terminal = master.map(Terminal::new).transpose()?;
    let mut stop = Stop::default();
    // A container that lives longer than this gets the launcher's memory trimmed.
    let mut trim = Some(Instant::now() + Duration::from_millis(100));
    loop {
        if let Some(code) = try_reap(child, WaitOptions::NOHANG)? {
            terminal.iter_mut().for_each(Terminal::drain);
            return Ok(Status::of(code));
        }
        wait(&signals, terminal.as_mut(), stop.deadline.or(trim))?;
        if trim.is_some_and(|t| Instant::now() >= t) {
            sys::forget_start();
            trim = None;
        }
        if terminal.as_mut().is_some_and(Terminal::take_hangup) {
            end(child, spec, libc::SIGHUP);
            stop.note(libc::SIGHUP, spec.stop_timeout);
        }
        while let Some((signal, code)) = sys::next_signal(signals.as_fd()) {
            match signal {
                libc::SIGCHLD => {}
                libc::SIGWINCH if terminal.is_some() => {
                    terminal.iter().for_each(Terminal::resize);
                }
                libc::SIGCONT if terminal.is_some() => {
                    terminal.iter().for_each(Terminal::resume);
                    forward(child, signal);
                }
                // ^Z without a pty, or sent: the payload stops, and so do we, for the shell
                // that waits for us. Its SIGCONT comes through here, too.
                libc::SIGTSTP => {
                    forward(child, signal);
                    terminal.iter().for_each(Terminal::restore);
                    let own = rustix::process::getpid();
                    let _ = rustix::process::kill_process(own, Signal::STOP);
                }
                // What the kernel sends us about our own writes is not the user's.
                libc::SIGPIPE | libc::SIGTTOU | libc::SIGTTIN if code > 0 => {}
                _ => {
                    match signal {
                        libc::SIGTERM => end(child, spec, spec.stop_signal.unwrap_or(signal)),
                        libc::SIGHUP => end(child, spec, signal),
                        _ => forward(child, signal),
                    }
                    stop.note(signal, spec.stop_timeout);
                }
            }
        }
        if stop.deadline.is_some_and(|d| Instant::now() >= d) {
            let _ = rustix::process::kill_process(child, Signal::KILL);
            stop.deadline = None;
        }
    }
}

fn wait(
    signals: &OwnedFd,
    terminal: Option<&mut Terminal>,
    deadline: Option<Instant>,
) -> Result<()> {
    let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
    let timeout =
        left.map(|d| Timespec { tv_sec: d.as_secs() as i64, tv_nsec: d.subsec_nanos().into() });
    let signal_fd = || PollFd::new(signals, PollFlags::IN);
    let result = match terminal {
        None => poll(&mut [signal_fd()], timeout.as_ref()),
        Some(t) => t.poll(signal_fd(), timeout.as_ref()),
    };
    match result {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(e) => Err(Error::os("poll", e)),
    }
}

/// Errors are no news: the container may be gone already.
fn forward(child: Pid, signal: i32) {
    if let Some(signal) = sys::signal(signal) {
        let _ = rustix::process::kill_process(child, signal);
    }
}

fn end(child: Pid, spec: &Spec, signal: i32) {
    to_end(spec, signal).for_each(|signal| forward(child, signal));
}

/// The exit code, once the child has ended. An error that is not for good must not cost us
/// the status: no second SIGCHLD would come.
fn try_reap(child: Pid, options: WaitOptions) -> Result<Option<i32>> {
    let mut tries = crate::cgroup::RETRIES;
    loop {
        match rustix::process::waitpid(Some(child), options) {
            Ok(found) => return Ok(found.map(|(_, status)| exit_code(status))),
            Err(Errno::INTR) => {}
            Err(e) if tries > 0 && e != Errno::CHILD => tries -= 1,
            Err(e) => return Err(Error::os("wait for the container's end", e)),
        }
    }
}

/// Waits for a child that was killed.
pub fn reap(child: Pid) -> i32 {
    try_reap(child, WaitOptions::empty()).ok().flatten().unwrap_or(Code::Ours as i32)
}

fn exit_code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => Code::Ours as i32,
    }
}

//! `launch logs`: what a detached container has written.

use crate::error::{Error, Result};
use crate::quote::quote;
use crate::record::{self, Found, Life, log};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify;
use rustix::io::Errno;
use std::io::Write;

pub struct Wanted {
    pub follow: bool,
    /// So many lines at the end.
    pub tail: Option<u64>,
    /// Milliseconds after 1970.
    pub since: Option<u64>,
    pub until: Option<u64>,
}

pub fn logs(name: &str, wanted: &Wanted, out: &mut dyn Write) -> Result<i32> {
    let found = record::find(name.as_ref())?;
    if !found.entry.facts.detached {
        return Err(Error::new(format!("container {} has no log", quote(name)))
            .hint("it is not detached: its output went where that of its launcher went"));
    }
    let file = log::open(&found)?;
    log::tend(&found);
    let from = wanted.since.map_or(0, |time| log::mark_before(&found.entry, time));
    let mut at = log::first(file.as_fd(), from)?;
    let end = wanted.until.map_or(u64::MAX, |time| log::mark_after(&found.entry, time));
    if let Some(lines) = wanted.tail {
        at = log::last_lines(file.as_fd(), at, end, lines)?;
    }
    let mut copy = || copy(file.as_fd(), &mut at, end, out);
    if !wanted.follow || wanted.until.is_some() || found.life != Life::Running {
        return copy().map(|_| 0);
    }
    follow(&found, file.as_fd(), &mut copy)
}

/// Copies what is there; false when nobody reads it any more.
fn copy(file: BorrowedFd<'_>, at: &mut u64, end: u64, out: &mut dyn Write) -> Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        // Cut off while we were reading: what is gone is gone.
        *at = log::data_from(file, *at);
        let most = end.saturating_sub(*at).min(64 << 10) as usize;
        let n = match rustix::io::pread(file, &mut buffer[..most], *at) {
            Ok(0) => break,
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(Error::os("read the log", e)),
        };
        *at += n as u64;
        match out.write_all(&buffer[..n]) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(false),
            Err(e) => return Err(Error::os("write to standard output", e)),
        }
    }
    match out.flush() {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::os("write to standard output", e)),
        Ok(()) => Ok(true),
    }
}

/// Until it ends, or nobody reads.
fn follow(
    found: &Found,
    file: BorrowedFd<'_>,
    copy: &mut dyn FnMut() -> Result<bool>,
) -> Result<i32> {
    // It may have ended since we found it; what it wrote is wanted all the same.
    let Some((_, pidfd)) = found.try_process()? else { return copy().map(|_| 0) };
    let changes = watch(file)?;
    let stdout = rustix::stdio::stdout();
    loop {
        if !copy()? {
            return Ok(0);
        }
        let mut fds = [
            PollFd::new(&changes, PollFlags::IN),
            PollFd::new(&pidfd, PollFlags::IN),
            PollFd::new(&stdout, PollFlags::empty()),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(Error::os("wait for the log", e)),
        }
        let ready = |fd: &PollFd| !fd.revents().is_empty();
        if ready(&fds[2]) {
            return Ok(0);
        }
        if ready(&fds[1]) {
            return copy().map(|_| 0);
        }
        let mut events = [0; 4096];
        let _ = rustix::io::read(&changes, &mut events);
    }
}

fn watch(file: BorrowedFd<'_>) -> Result<OwnedFd> {
    use rustix::fd::AsRawFd;
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let failed = |e| Error::os("watch the log", e);
    let fd = inotify::init(flags).map_err(failed)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    inotify::add_watch(&fd, path, inotify::WatchFlags::MODIFY).map_err(failed)?;
    Ok(fd)
}

//! The table of descriptors as a whole.

use super::call;
use rustix::fd::RawFd;
use rustix::io::{Errno, Result};
use std::ffi::c_int;

pub fn is_open(fd: RawFd) -> bool {
    flags(fd).is_ok()
}

pub fn is_close_on_exec(fd: RawFd) -> bool {
    flags(fd).is_ok_and(|flags| flags & libc::FD_CLOEXEC != 0)
}

fn flags(fd: RawFd) -> Result<c_int> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: F_GETFD changes nothing, and fails with EBADF on a number that is not open.
    unsafe { call(libc::SYS_fcntl, [fd as usize, libc::F_GETFD as usize, 0, 0, 0]) }
        .map(|flags| flags as c_int)
}

/// Closes every descriptor from `first` on but these, which are sorted: for a process that uses
/// no others. What it has a copy of must not be used, nor dropped.
pub fn close_all_but(first: RawFd, kept: &mut [RawFd]) -> Result<()> {
    kept.sort_unstable();
    let mut next = first;
    for fd in kept.iter().copied().filter(|fd| *fd >= first) {
        close_range(next, fd - 1, kept)?;
        next = fd + 1;
    }
    close_range(next, RawFd::MAX, kept)
}

fn close_range(from: RawFd, to: RawFd, kept: &[RawFd]) -> Result<()> {
    if from > to {
        return Ok(());
    }
    // SAFETY: the caller uses none of them any more.
    match unsafe { call(libc::SYS_close_range, [from as usize, to as usize, 0, 0, 0]) } {
        Ok(_) => return Ok(()),
        Err(e) if super::is_unknown(e) => {}
        Err(e) => return Err(e),
    }
    // Before Linux 5.9: all that can be.
    let mut all = from..most().min(to.saturating_add(1));
    all.try_for_each(|fd| {
        if kept.contains(&fd) {
            return Ok(());
        }
        super::close(fd);
        if is_open(fd) { Err(Errno::PERM) } else { Ok(()) }
    })
}

/// No descriptor has this number or a higher one: RLIMIT_NOFILE's hard limit, as a lower soft
/// one may have come later, or what the kernel has by itself (fs.nr_open).
pub(super) fn most() -> RawFd {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.unwrap_or(1 << 20).min(1 << 20) as RawFd
}

/// Whether of the numbers from `first` to below `size` all that are open go at exec, and are
/// `kept`: asked for each.
pub fn all_go_at_exec(first: RawFd, size: RawFd, kept: impl Fn(RawFd) -> bool) -> bool {
    (first..size).all(|fd| match flags(fd) {
        Ok(flags) => flags & libc::FD_CLOEXEC != 0 && kept(fd),
        Err(e) => e == Errno::BADF,
    })
}

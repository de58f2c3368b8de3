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

/// Closes every descriptor but these: for a copy of this process that uses no others. What it
/// has a copy of must not be used, nor dropped.
pub fn close_all_but(mut kept: [RawFd; 2]) {
    kept.sort_unstable();
    let range = |from: RawFd, to: RawFd| {
        let args = [from as usize, to as usize, 0, 0, 0];
        // SAFETY: the caller uses none of them any more.
        from > to || unsafe { call(libc::SYS_close_range, args) }.is_ok()
    };
    let [low, high] = kept;
    if range(0, low - 1) && range(low + 1, high - 1) && range(high + 1, RawFd::MAX) {
        return;
    }
    // Before Linux 5.9: all that can be.
    (0..most()).filter(|fd| !kept.contains(fd)).for_each(super::close);
}

/// No descriptor has this number or a higher one: RLIMIT_NOFILE's hard limit, as a lower soft
/// one may have come later, or what the kernel has by itself (fs.nr_open).
pub(super) fn most() -> RawFd {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.unwrap_or(1 << 20).min(1 << 20) as RawFd
}

/// Whether of the numbers from `first` to below `size` all that are open go at exec: asked
/// for each, O_PATH ones included, of which poll(2) says nothing.
pub fn all_go_at_exec(first: RawFd, size: RawFd) -> bool {
    (first..size).all(|fd| match flags(fd) {
        Ok(flags) => flags & libc::FD_CLOEXEC != 0,
        Err(e) => e == Errno::BADF,
    })
}

/// Whether of the numbers from `first` to below `size` none is open but what is `kept`:
/// poll(2) says it of 64 at once.
pub fn none_open_but(first: RawFd, size: RawFd, kept: impl Fn(RawFd) -> bool) -> Result<bool> {
    let mut next = first;
    let mut most = 64;
    while next < size {
        let mut list = [libc::pollfd { fd: -1, events: 0, revents: 0 }; 64];
        let count = list.len().min(most).min((size - next) as usize);
        for (fd, place) in (next..).zip(&mut list[..count]) {
            place.fd = fd;
        }
        let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let args = [list.as_mut_ptr() as usize, count, (&raw const none) as usize, 0, 8];
        // SAFETY: the kernel reads and writes `count` entries of the list.
        match unsafe { call(libc::SYS_ppoll, args) } {
            // More than RLIMIT_NOFILE has it at a time.
            Err(Errno::INVAL) if most > 1 => {
                most = 1;
                continue;
            }
            other => other?,
        };
        let open = |p: &&libc::pollfd| p.revents & libc::POLLNVAL == 0;
        if list[..count].iter().filter(open).any(|p| !kept(p.fd)) {
            return Ok(false);
        }
        next += count as RawFd;
    }
    Ok(true)
}

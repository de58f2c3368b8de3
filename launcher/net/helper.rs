//! A process of ours that goes on when the launcher has ended.

use crate::net::place::names;
use crate::sys;
use rustix::fd::RawFd;
use rustix::io::Errno;
use rustix::process::Pid;
use std::path::Path;

/// Runs `body` in a copy of the launcher, which keeps the descriptors `keep` and 0 to 2. It has
/// nothing of the terminal's, no lock that is the launcher's proof of life, and no end of
/// a pipe that others wait for the end of.
pub fn start(mut keep: Vec<RawFd>, body: impl FnOnce()) -> Result<Pid, Errno> {
    let body = move |_| {
        let _ = rustix::process::setsid();
        close_others(&mut keep);
        body();
        sys::exit_now(0)
    };
    let pid = sys::clone(0, None, false, body)?;
    Pid::from_raw(pid).ok_or(Errno::CHILD)
}

fn close_others(keep: &mut [RawFd]) {
    match names(Path::new("/proc/self/fd")) {
        Ok(list) => list
            .iter()
            .filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok())
            .filter(|fd| *fd > 2 && !keep.contains(fd))
            .for_each(sys::close),
        // One by one up to the limit, where the kernel cannot do it.
        Err(_) => drop(sys::close_all_but(3, keep)),
    }
}

/// Whoever reads what the launcher wrote need not wait for us.
pub fn close_standard() {
    (0..3).for_each(sys::close);
}

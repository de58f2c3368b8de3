//! A process of ours that goes on when the launcher has ended.

use crate::sys;
use rustix::fd::RawFd;
use rustix::io::Errno;
use rustix::process::Pid;

/// Runs `body` in a copy of the launcher, which keeps the descriptors `keep` and 0 to 2. It has
/// nothing of the terminal's, no lock that is the launcher's proof of life, and no end of
/// a pipe that others wait for the end of.
pub fn start(mut keep: Vec<RawFd>, body: impl FnOnce()) -> Result<Pid, Errno> {
    let body = move |_| {
        let _ = rustix::process::setsid();
        let mut close = || sys::close_all_but(3, &mut keep);
        let _ = close().or_else(|_| close());
        body();
        sys::exit_now(0)
    };
    let pid = sys::clone(0, None, false, body)?;
    Pid::from_raw(pid).ok_or(Errno::CHILD)
}

/// Whoever reads what the launcher wrote need not wait for us.
pub fn close_standard() {
    (0..3).for_each(sys::close);
}

//! Signals as the kernel has them: masks of 8 bytes, all 64.

use super::call;
use rustix::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Result;
use rustix::time::Timespec;

/// A signal set as the kernel has it: bit n-1 is signal n.
pub type SignalSet = u64;
pub const ALL_SIGNALS: SignalSet = u64::MAX;

/// rt_sigprocmask(2), SIG_SETMASK.
pub fn set_signal_mask(mask: SignalSet) -> Result<()> {
    // SAFETY: the kernel reads 8 bytes, the size that is passed.
    unsafe {
        call(
            libc::SYS_rt_sigprocmask,
            [libc::SIG_SETMASK as usize, (&raw const mask) as usize, 0, 8, 0],
        )
    }
    .map(drop)
}

/// Sets one signal's disposition to the default.
pub fn default_disposition(signal: i32) -> Result<()> {
    let default = [0u64; 4];
    let args = [signal as usize, default.as_ptr() as usize, 0, 8, 0];
    // SAFETY: an all-zero kernel sigaction is SIG_DFL without flags.
    unsafe { call(libc::SYS_rt_sigaction, args) }.map(drop)
}

/// Takes one of these signals, which are blocked; waits for it at most this long
/// (rt_sigtimedwait(2)). EAGAIN: none came.
pub fn take_signal(set: SignalSet, most: &Timespec) -> Result<()> {
    let args = [(&raw const set) as usize, 0, most as *const Timespec as usize, 8, 0];
    // SAFETY: the kernel reads a set of 8 bytes, the size that is passed, and a 64-bit timespec.
    unsafe { call(libc::SYS_rt_sigtimedwait, args) }.map(drop)
}

/// A descriptor that becomes readable when a blocked signal arrives (signalfd(2)).
pub fn signalfd() -> Result<OwnedFd> {
    let mask = ALL_SIGNALS;
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the kernel reads 8 bytes of mask, the size that is passed.
    let fd = unsafe {
        call(libc::SYS_signalfd4, [usize::MAX, (&raw const mask) as usize, 8, flags as usize, 0])
    }?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Next signal waiting on a signalfd: its number and si_code.
pub fn next_signal(fd: BorrowedFd<'_>) -> Option<(i32, i32)> {
    let mut info = [0u8; 128];
    let n = rustix::io::read(fd, &mut info).ok()?;
    (n == info.len()).then(|| {
        let word =
            |at: usize| i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        (word(0), word(8))
    })
}

/// A signal by number, 1 to 64; None for others.
pub fn signal(n: i32) -> Option<rustix::process::Signal> {
    // SAFETY: the C library keeps 32 to 34 for itself and makes no use of them here, as
    // there is one thread.
    (1..=64).contains(&n).then(|| unsafe { rustix::process::Signal::from_raw_unchecked(n) })
}

//! Descriptors by number: all of them, and their names in /proc.

use super::call;
use rustix::fd::{AsRawFd, BorrowedFd, RawFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::{Errno, Result};
use std::ffi::{CStr, c_int, c_long};
use std::mem::MaybeUninit;

/// `/proc/self/fd/7`, made without allocating.
pub struct FdPath([u8; 32]);

impl FdPath {
    pub fn as_c_str(&self) -> Result<&CStr> {
        CStr::from_bytes_until_nul(&self.0).map_err(|_| Errno::INVAL)
    }
}

pub fn fd_path(fd: RawFd) -> FdPath {
    numbered(b"/proc/self/fd/", fd as u32)
}

/// `self/fd/7/name`: below procfs, the way into a directory that is held.
pub fn path_below_fd(fd: RawFd, name: &CStr) -> FdPath {
    let mut path = fd_path(fd);
    path.0.copy_within(b"/proc/".len().., 0);
    let end = path.0.iter().position(|b| *b == 0).unwrap_or(0);
    let name = name.to_bytes_with_nul();
    path.0[end] = b'/';
    path.0[end + 1..end + 1 + name.len()].copy_from_slice(name);
    path
}

/// The other end of a pty, below the devpts of the process that asks.
pub fn pty_path(master: BorrowedFd<'_>) -> Result<FdPath> {
    const TIOCGPTN: c_long = 0x8004_5430;
    let mut number = 0u32;
    // SAFETY: the kernel writes one unsigned int.
    unsafe {
        let args =
            [master.as_raw_fd() as usize, TIOCGPTN as usize, (&raw mut number) as usize, 0, 0];
        call(libc::SYS_ioctl, args)
    }?;
    Ok(numbered(b"/dev/pts/", number))
}

fn numbered(dir: &[u8], number: u32) -> FdPath {
    let mut digits = [0u8; 10];
    let mut at = digits.len();
    let mut rest = number;
    while at == digits.len() || rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut path = [0u8; 32];
    path[..dir.len()].copy_from_slice(dir);
    path[dir.len()..dir.len() + digits.len() - at].copy_from_slice(&digits[at..]);
    FdPath(path)
}

/// Marks every descriptor from `first` on close-on-exec by one call (Linux 5.11); before that
/// those that /proc lists, and without a /proc all that can be. Whether it was the one call.
pub fn close_on_exec_from(first: RawFd) -> Result<bool> {
    const CLOEXEC: c_int = 4;
    // SAFETY: changes descriptor flags only.
    let ret = unsafe {
        call(libc::SYS_close_range, [first as usize, c_int::MAX as usize, CLOEXEC as usize, 0, 0])
    };
    match ret {
        Ok(_) => Ok(true),
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
            listed(first).or_else(|_| possible(first)).map(|()| false)
        }
        Err(e) => Err(e),
    }
}

pub enum LockKind {
    Exclusive,
    /// What this descriptor has of it ends.
    None,
}

/// Locks bytes of a file for its open file description (fcntl(2), F_OFD_SETLK; Linux 3.15), without
/// waiting: EAGAIN while another one has them. It ends with the last descriptor.
pub fn lock_bytes(fd: BorrowedFd<'_>, kind: LockKind, from: u64, count: u64) -> Result<()> {
    // SAFETY: plain numbers, of which zeros are values; the process must be 0.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = match kind {
        LockKind::Exclusive => libc::F_WRLCK,
        LockKind::None => libc::F_UNLCK,
    } as _;
    lock.l_whence = libc::SEEK_SET as _;
    (lock.l_start, lock.l_len) = (from as _, count as _);
    let args =
        [fd.as_raw_fd() as usize, libc::F_OFD_SETLK as usize, (&raw const lock) as usize, 0, 0];
    // SAFETY: the kernel reads the structure.
    unsafe { call(libc::SYS_fcntl, args) }.map(drop)
}

/// Seldom needed, and its buffer is not to be part of everybody's stack.
#[inline(never)]
fn listed(first: RawFd) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(CWD, c"/proc/self/fd", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&dir, &mut buffer);
    let mut any = false;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = std::str::from_utf8(entry.file_name().to_bytes()).unwrap_or_default();
        if let Ok(fd) = name.parse::<RawFd>() {
            any = true;
            if fd >= first {
                close_on_exec(fd)?;
            }
        }
    }
    // The directory is open, so one at least is listed, or it is not what it should be.
    if any { Ok(()) } else { Err(Errno::NOENT) }
}

fn possible(first: RawFd) -> Result<()> {
    for fd in first..super::descriptors::most() {
        match close_on_exec(fd) {
            Ok(()) | Err(Errno::BADF) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn close_on_exec(fd: RawFd) -> Result<()> {
    let args = [fd as usize, libc::F_SETFD as usize, libc::FD_CLOEXEC as usize, 0, 0];
    // SAFETY: F_SETFD on a number that is no open descriptor fails with EBADF, nothing else.
    unsafe { call(libc::SYS_fcntl, args) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(path_below_fd(12, c"null").as_c_str(), Ok(c"self/fd/12/null"));
        for (n, want) in [
            (0, c"/proc/self/fd/0"),
            (7, c"/proc/self/fd/7"),
            (1_234_567_890, c"/proc/self/fd/1234567890"),
        ] {
            assert_eq!(fd_path(n).as_c_str(), Ok(want));
        }
    }

    #[test]
    fn the_slow_ways_find_what_is_open() {
        let file = rustix::fs::open(c"/dev/null", OFlags::RDONLY, Mode::empty()).expect("null");
        let marked = || {
            let flags = rustix::io::fcntl_getfd(&file).expect("flags");
            rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("flags");
            flags.contains(rustix::io::FdFlags::CLOEXEC)
        };
        assert!(!marked());
        // Only this one: other tests have theirs.
        for way in [listed, possible] {
            way(file.as_raw_fd()).expect("way");
            assert!(marked());
        }
    }
}

//! System calls that rustix lacks, and all of the launcher's unsafe code.
//!
//! # Safety
//! The launcher has one thread. After `clone3` the child runs on a copy of the
//! parent's memory, so what it borrows stays as it was; it must not return from
//! `child::run`, and leaves by exec or `exit_now` only.
#![allow(unsafe_code)]

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use std::ffi::{CStr, CString, c_char, c_int, c_long};

/// clone(2) flags as the kernel has them; libc's are `c_int` and cut off the upper ones.
pub mod ns {
    pub const NEWNS: u64 = 0x0002_0000;
    pub const NEWCGROUP: u64 = 0x0200_0000;
    pub const NEWUTS: u64 = 0x0400_0000;
    pub const NEWIPC: u64 = 0x0800_0000;
    pub const NEWUSER: u64 = 0x1000_0000;
    pub const NEWPID: u64 = 0x2000_0000;
    pub const NEWNET: u64 = 0x4000_0000;
    /// clone3 only: start inside the cgroup given by descriptor (Linux 5.7).
    pub const INTO_CGROUP: u64 = 0x2_0000_0000;
}

/// mount_setattr(2) attributes.
pub mod attr {
    pub const RDONLY: u64 = 1;
    pub const NODEV: u64 = 4;
}

fn check(ret: c_long) -> Result<c_long> {
    if ret < 0 {
        // SAFETY: __errno_location is this thread's errno, always valid.
        return Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }));
    }
    Ok(ret)
}

/// struct clone_args of clone(2), first published size (64 bytes) plus tid and cgroup.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// clone3(2) without a shared address space: returns the child's pid to the parent
/// and 0 to the child. Falls back to clone(2) where clone3 does not exist or an outer
/// seccomp filter hides it; INTO_CGROUP has no such fallback and gives ENOSYS.
pub fn clone(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<i32> {
    let mut args =
        CloneArgs { flags, exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() };
    if let Some(fd) = cgroup {
        args.flags |= ns::INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
    // SAFETY: args lives across the call and carries its own size; without CLONE_VM the
    // child gets its own copy of this stack frame, so both may return from here.
    let ret = check(unsafe {
        libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>())
    });
    match ret {
        Err(Errno::NOSYS) if cgroup.is_none() => {
            let flags = flags | libc::SIGCHLD as u64;
            // SAFETY: as above; a null stack means a copy of the caller's.
            check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) }).map(|p| p as i32)
        }
        other => other.map(|p| p as i32),
    }
}

/// unshare(2) with 64-bit flags.
pub fn unshare(flags: u64) -> Result<()> {
    // SAFETY: no pointer is passed; a single-threaded process may unshare any of these.
    check(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(drop)
}

/// mount_setattr(2): adds attributes to the mount at `path`, to those below it too if
/// `recursive` (Linux 5.12).
pub fn mount_setattr(path: &CStr, recursive: bool, set: u64) -> Result<()> {
    let attr = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: attr lives across the call and its size is passed with it.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// A null-terminated vector for execve(2), made before clone so that the child need not
/// allocate.
pub struct CStrings {
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CStrings {
    pub fn new(strings: Vec<CString>) -> CStrings {
        let pointers =
            strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect();
        CStrings { strings, pointers }
    }

    pub fn list(&self) -> &[CString] {
        &self.strings
    }
}

/// execveat(2) of the file behind `fd` (AT_EMPTY_PATH). Returns only on failure.
pub fn exec_fd(fd: RawFd, argv: &CStrings, env: &CStrings) -> Errno {
    // SAFETY: both vectors end with a null pointer and point into strings they own.
    let ret = check(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd,
            c"".as_ptr(),
            argv.pointers.as_ptr(),
            env.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    });
    ret.err().unwrap_or(Errno::IO)
}

/// execve(2). Returns only on failure.
pub fn exec_path(path: &CStr, argv: &CStrings, env: &CStrings) -> Errno {
    // SAFETY: both vectors end with a null pointer and point into strings they own.
    let ret = check(unsafe {
        libc::syscall(
            libc::SYS_execve,
            path.as_ptr(),
            argv.pointers.as_ptr(),
            env.pointers.as_ptr(),
        )
    });
    ret.err().unwrap_or(Errno::IO)
}

/// Marks every descriptor from `first` on close-on-exec (Linux 5.11), one by one before that.
pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    const CLOEXEC: c_int = 4;
    // SAFETY: changes descriptor flags only.
    let ret =
        check(unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, CLOEXEC) });
    if ret.is_ok() {
        return Ok(());
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    for fd in first..limit.unwrap_or(65536).min(65536) as RawFd {
        // SAFETY: F_SETFD on a number that is no open descriptor fails with EBADF, nothing else.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// A signal set as the kernel has it: bit n-1 is signal n.
pub type SignalSet = u64;
pub const ALL_SIGNALS: SignalSet = u64::MAX;

/// rt_sigprocmask(2), SIG_SETMASK.
pub fn set_signal_mask(mask: SignalSet) -> Result<()> {
    // SAFETY: the kernel reads 8 bytes, the size that is passed.
    check(unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0, 8)
    })
    .map(drop)
}

/// Sets every signal's disposition to the default: what is ignored would stay so across exec.
pub fn default_dispositions() {
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: an all-zero kernel sigaction is SIG_DFL without flags; SIGKILL and
        // SIGSTOP fail with EINVAL, which is right.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0, 8) };
    }
}

/// A descriptor that becomes readable when a blocked signal arrives (signalfd(2)).
pub fn signalfd() -> Result<OwnedFd> {
    let mask = ALL_SIGNALS;
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the kernel reads 8 bytes of mask, the size that is passed.
    let fd = check(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, 8, flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Next signal waiting on a signalfd: its number and si_code.
pub fn next_signal(fd: BorrowedFd<'_>) -> Option<(i32, i32)> {
    let mut info = [0u8; 128];
    let n = rustix::io::read(fd, &mut info).ok()?;
    (n == info.len()).then(|| {
        let word = |at: usize| i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        (word(0), word(8))
    })
}

/// A signal by number, 1 to 64; None for others.
pub fn signal(n: i32) -> Option<rustix::process::Signal> {
    // SAFETY: the C library keeps 32 to 34 for itself and makes no use of them here, as
    // there is one thread.
    (1..=64).contains(&n).then(|| unsafe { rustix::process::Signal::from_raw_unchecked(n) })
}

/// Brings up the loopback interface of the current network namespace (netdevice(7)).
pub fn loopback_up() -> Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&(libc::IFF_UP as u16).to_ne_bytes());
    // SAFETY: struct ifreq is 40 bytes: a 16-byte name, then the flags.
    check(unsafe {
        libc::syscall(libc::SYS_ioctl, socket.as_raw_fd(), libc::SIOCSIFFLAGS, request.as_ptr())
    })
    .map(drop)
}

/// The other end of a pty by its master's descriptor, which no path can be swapped for
/// (ioctl_tty(2), TIOCGPTPEER, Linux 4.13).
pub fn pty_peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    const TIOCGPTPEER: c_long = 0x5441;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: no pointer is passed.
    let fd =
        check(unsafe { libc::syscall(libc::SYS_ioctl, master.as_raw_fd(), TIOCGPTPEER, flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Microseconds per step, in memory that the child shares with the parent.
pub struct SharedTimes {
    slots: *mut u64,
    len: usize,
}

impl SharedTimes {
    pub fn new(len: usize) -> Result<SharedTimes> {
        let size = (len.max(1)) * size_of::<u64>();
        // SAFETY: a new anonymous mapping; nothing else is at the address the kernel picks.
        let slots = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if slots == libc::MAP_FAILED {
            return Err(Errno::NOMEM);
        }
        Ok(SharedTimes { slots: slots.cast(), len })
    }

    /// A second handle to the same memory, for the side that reads.
    pub fn share(&self) -> SharedTimes {
        SharedTimes { slots: self.slots, len: self.len }
    }

    /// Nanoseconds spent in step `index`.
    pub fn set(&self, index: usize, nanoseconds: u64) {
        if index < self.len {
            // SAFETY: index is inside the mapping, which lives as long as the process.
            unsafe { self.slots.add(index).write_volatile(nanoseconds) }
        }
    }

    pub fn get(&self, index: usize) -> u64 {
        // SAFETY: index is inside the mapping, which lives as long as the process.
        if index < self.len { unsafe { self.slots.add(index).read_volatile() } } else { 0 }
    }
}

/// Leaves without running anything of the parent's that the child has a copy of.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process; nothing follows.
    unsafe { libc::_exit(code) }
}

/// Whether getcwd(2) gives an absolute path. Of a directory outside the root the kernel
/// says `(unreachable)/...`.
pub fn directory_is_inside_root() -> bool {
    let mut path = [0u8; libc::PATH_MAX as usize];
    // SAFETY: the kernel writes at most the length that is passed.
    let ret = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
    ret > 0 && path[0] == b'/'
}

/// The descriptor `fd`, which the plan made and keeps open for the child.
pub fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    debug_assert!(fd >= 0);
    // SAFETY: only called on descriptors that stay open until exec or exit.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

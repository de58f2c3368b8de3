//! System calls that rustix lacks, and all of the launcher's unsafe code.
//!
//! # Safety
//! The launcher has one thread. After `clone` the child runs in the parent's memory, on
//! a stack of its own, while the parent goes on: neither allocates what the other uses,
//! the parent keeps the plan until exec, and the child leaves by exec or `exit_now` only.
#![allow(unsafe_code)]

mod again;
#[cfg(not(test))]
mod arena;
mod clone;
mod descriptors;
mod fd;
mod forget;
mod fork;
mod ids;
mod landlock;
mod loopdev;
mod namespace;
mod processors;
mod restrict;
mod shared;
mod signal;
mod spawn;
#[cfg(not(test))]
mod start;
#[cfg(all(not(test), not(debug_assertions), target_env = "musl"))]
mod unwind;

pub use again::{begin_again, runs_from_descriptor};
#[cfg(not(test))]
pub use arena::Arena;
pub use clone::{CHILD_CAN_SHARE, Never, clone};
pub use descriptors::{all_go_at_exec, close_all_but, is_close_on_exec, is_open};
pub use fd::{LockKind, close_on_exec_from, fd_path, lock_bytes, path_below_fd, pty_path};
pub use forget::{forget_code, forget_start};
pub use fork::fork;
pub use ids::{group_count, group_ids, groups, ids_memory, user_ids};
pub use landlock::{landlock_allow, landlock_restrict, landlock_rules, landlock_version};
pub use loopdev::{loop_configure, loop_free};
pub use namespace::{join, loopback_up, namespace_kind, outer_namespace, own_namespace, unshare};
pub use processors::{allow_all, free_choice, keep_off_ours};
pub use restrict::{
    filter_devices, get_limit, join_session_keyring, load_filter, seccomp_mode, session,
    session_keyring, set_limit,
};
pub use shared::Shared;
pub use signal::{
    ALL_SIGNALS, default_disposition, next_signal, set_signal_mask, signal, signalfd, take_signal,
};
pub use spawn::spawn;

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use std::arch::asm;
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

/// One system call, without libc's errno: the child shares the parent's memory, and with
/// it that one variable.
///
/// # Safety
/// As for the system call itself.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn call(n: c_long, args: [usize; 5]) -> Result<usize> {
    let ret: isize;
    // SAFETY: the kernel clobbers rcx and r11 only; what it writes to is the caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") n as isize => ret,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2], in("r10") args[3],
            in("r8") args[4], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    check(ret)
}

/// # Safety
/// As for the system call itself.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn call(n: c_long, args: [usize; 5]) -> Result<usize> {
    let ret: isize;
    // SAFETY: what the kernel writes to is the caller's promise.
    unsafe {
        asm!("svc 0", in("x8") n, inlateout("x0") args[0] => ret, in("x1") args[1],
            in("x2") args[2], in("x3") args[3], in("x4") args[4], options(nostack));
    }
    check(ret)
}

/// # Safety
/// As for the system call itself.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn call(n: c_long, a: [usize; 5]) -> Result<usize> {
    // SAFETY: the caller's promises, passed on.
    let ret = unsafe { libc::syscall(n, a[0], a[1], a[2], a[3], a[4]) };
    // SAFETY: errno is this thread's; the child has its own memory on these machines.
    if ret < 0 { check(-(unsafe { *libc::__errno_location() } as isize)) } else { Ok(ret as usize) }
}

/// New zeroed memory (mmap(2)), never given back; its pages come when they are touched.
fn map(size: usize, kind: c_int) -> Result<usize> {
    let flags = kind | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: nothing else is at the address the kernel picks.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), size, access, flags, -1, 0) };
    if memory == libc::MAP_FAILED { Err(Errno::NOMEM) } else { Ok(memory as usize) }
}

#[inline(always)]
fn check(ret: isize) -> Result<usize> {
    if (-4095..0).contains(&ret) {
        return Err(Errno::from_raw_os_error(-ret as i32));
    }
    Ok(ret as usize)
}

/// mount_setattr(2): adds attributes to the mount at `path` (Linux 5.12).
pub fn mount_setattr(path: &CStr, set: u64) -> Result<()> {
    setattr(libc::AT_FDCWD, path, 0, libc::mount_attr { attr_set: set, ..ATTR })
}

/// The same of a mount that is held, and of those below it if `recursive`.
pub fn mount_setattr_of(mount: BorrowedFd<'_>, recursive: bool, set: u64) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    setattr(mount.as_raw_fd(), c"", flags, libc::mount_attr { attr_set: set, ..ATTR })
}

/// MOUNT_ATTR_IDMAP: the mount shows its owners as `userns` maps them; with all mounts below
/// if `recursive`. Only of a mount that is nowhere yet.
pub fn mount_idmap(tree: BorrowedFd<'_>, recursive: bool, userns: BorrowedFd<'_>) -> Result<()> {
    let (attr_set, userns_fd) = (libc::MOUNT_ATTR_IDMAP, userns.as_raw_fd() as u64);
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    setattr(tree.as_raw_fd(), c"", flags, libc::mount_attr { attr_set, userns_fd, ..ATTR })
}

const ATTR: libc::mount_attr =
    libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: 0, userns_fd: 0 };

fn setattr(dir: RawFd, path: &CStr, flags: c_int, attr: libc::mount_attr) -> Result<()> {
    let args = [
        dir as usize,
        path.as_ptr() as usize,
        flags as usize,
        (&raw const attr) as usize,
        size_of::<libc::mount_attr>(),
    ];
    // SAFETY: path and attr live across the call, and attr's size is passed with it.
    unsafe { call(libc::SYS_mount_setattr, args) }.map(drop)
}

/// A call newer than the kernel, or newer than the filter of an outer container, which says
/// EPERM to what it does not know. The older way then has the last word.
pub fn is_unknown(e: Errno) -> bool {
    matches!(e, Errno::NOSYS | Errno::PERM)
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
    let ret = unsafe {
        call(
            libc::SYS_execveat,
            [
                fd as usize,
                c"".as_ptr() as usize,
                argv.pointers.as_ptr() as usize,
                env.pointers.as_ptr() as usize,
                libc::AT_EMPTY_PATH as usize,
            ],
        )
    };
    match ret.err().unwrap_or(Errno::IO) {
        // Before Linux 3.19, or refused by a filter: by the name that /proc has for it.
        e if is_unknown(e) => match fd_path(fd).as_c_str() {
            Ok(path) => exec_path(path, argv, env),
            Err(e) => e,
        },
        e => e,
    }
}

/// execve(2). Returns only on failure.
pub fn exec_path(path: &CStr, argv: &CStrings, env: &CStrings) -> Errno {
    // SAFETY: both vectors end with a null pointer and point into strings they own.
    let ret = unsafe {
        call(
            libc::SYS_execve,
            [
                path.as_ptr() as usize,
                argv.pointers.as_ptr() as usize,
                env.pointers.as_ptr() as usize,
                0,
                0,
            ],
        )
    };
    ret.err().unwrap_or(Errno::IO)
}

/// The other end of a pty by its master's descriptor, which no path can be swapped for
/// (ioctl_tty(2), TIOCGPTPEER, Linux 4.13).
pub fn pty_peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    const TIOCGPTPEER: c_long = 0x5441;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: no pointer is passed.
    let fd = unsafe {
        call(
            libc::SYS_ioctl,
            [master.as_raw_fd() as usize, TIOCGPTPEER as usize, flags as usize, 0, 0],
        )
    }?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// How a process ended, as a shell has it, by a pidfd that was opened before (Linux 6.15);
/// None where the kernel does not know, or it has not been reaped.
pub fn exit_status(pidfd: BorrowedFd<'_>) -> Option<i32> {
    const PIDFD_GET_INFO: usize = 0xc040_ff0b;
    const EXIT: u64 = 1 << 3;
    // struct pidfd_info, first published size: the mask, then, at its end, the status.
    let mut info = [0u64; 8];
    info[0] = EXIT;
    let args = [pidfd.as_raw_fd() as usize, PIDFD_GET_INFO, info.as_mut_ptr() as usize, 0, 0];
    // SAFETY: the kernel writes the 64 bytes whose size is part of the request.
    unsafe { call(libc::SYS_ioctl, args) }.ok()?;
    if info[0] & EXIT == 0 {
        return None;
    }
    let status = (info[7] >> 32) as i32;
    Some(if status & 0x7f == 0 { status >> 8 & 0xff } else { 128 + (status & 0x7f) })
}

/// Microseconds per step, in memory that the child shares with the parent.
pub struct SharedTimes {
    slots: *mut u64,
    len: usize,
}

impl SharedTimes {
    pub fn new(len: usize) -> Result<SharedTimes> {
        let slots = map(len.max(1) * size_of::<u64>(), libc::MAP_SHARED)?;
        Ok(SharedTimes { slots: slots as *mut u64, len })
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
    let _ = unsafe { call(libc::SYS_exit_group, [code as usize, 0, 0, 0, 0]) };
    loop {
        // A system call filter that lets nobody leave: a fault ends any process.
        // SAFETY: nothing follows.
        #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
        unsafe {
            asm!("ud2")
        };
        // SAFETY: nothing follows.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            asm!("brk 1")
        };
    }
}

/// Whether getcwd(2) gives an absolute path. Of a directory outside the root the kernel
/// says `(unreachable)/...`.
pub fn directory_is_inside_root() -> bool {
    let mut path = [0u8; libc::PATH_MAX as usize];
    // SAFETY: the kernel writes at most the length that is passed.
    let ret = unsafe { call(libc::SYS_getcwd, [path.as_mut_ptr() as usize, path.len(), 0, 0, 0]) };
    ret.is_ok() && path[0] == b'/'
}

/// Closes this process's copy of a descriptor that another process owns.
pub fn close(fd: RawFd) {
    // SAFETY: the caller gives up the number.
    let _ = unsafe { call(libc::SYS_close, [fd as usize, 0, 0, 0, 0]) };
}

/// The descriptor `fd`, which the plan made and keeps open for the child.
pub fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // One that was never opened is no number of a descriptor: EBADF for whoever uses it.
    let fd = if fd < 0 { RawFd::MAX } else { fd };
    // SAFETY: only called on descriptors that stay open until exec or exit.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

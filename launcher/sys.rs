//! System calls that rustix lacks, and all of the launcher's unsafe code.
//!
//! # Safety
//! The launcher has one thread. After `clone` the child runs in the parent's memory, on
//! a stack of its own, while the parent goes on: neither allocates what the other uses,
//! the parent keeps the plan until exec, and the child leaves by exec or `exit_now` only.
#![allow(unsafe_code)]

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use std::alloc::{GlobalAlloc, Layout, System};
use std::arch::asm;
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};

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

fn check(ret: isize) -> Result<usize> {
    if (-4095..0).contains(&ret) {
        return Err(Errno::from_raw_os_error(-ret as i32));
    }
    Ok(ret as usize)
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

/// New zeroed memory (mmap(2)), never given back; its pages come when they are touched.
fn map(size: usize, kind: c_int) -> Result<usize> {
    let flags = kind | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: nothing else is at the address the kernel picks.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), size, access, flags, -1, 0) };
    if memory == libc::MAP_FAILED { Err(Errno::NOMEM) } else { Ok(memory as usize) }
}

/// Stack of the child while it shares the parent's memory; it calls no deeper than a page.
const CHILD_STACK: usize = 64 << 10;

/// clone3(2): runs `body` in the child and returns its pid. If `share` the child runs in
/// the parent's memory until exec (CLONE_VM), which saves the copy; the parent must keep
/// all that `body` uses until then, and the kernel, should it kill one of the two for
/// memory, kills both. Falls back to clone(2) where clone3 does not exist or an outer
/// seccomp filter hides it; INTO_CGROUP has no such fallback and gives ENOSYS.
pub fn clone<F: FnOnce() -> Never>(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    share: bool,
    body: Box<F>,
) -> Result<i32> {
    let signal = libc::SIGCHLD as u64;
    let flags = if share { flags | libc::CLONE_VM as u64 } else { flags };
    let mut args = CloneArgs {
        flags,
        exit_signal: signal,
        stack: map(CHILD_STACK, libc::MAP_PRIVATE)? as u64,
        stack_size: CHILD_STACK as u64,
        ..CloneArgs::default()
    };
    if let Some(fd) = cgroup {
        args.flags |= ns::INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
    let body = Box::into_raw(body).cast();
    let first = [(&raw const args) as usize, size_of::<CloneArgs>()];
    // SAFETY: the stack is the child's alone, and leaked; so is the body.
    match unsafe { clone_call(libc::SYS_clone3, first, enter::<F>, body) } {
        Err(Errno::NOSYS) if cgroup.is_none() => {
            let flags = flags | signal;
            let top = args.stack + args.stack_size;
            // SAFETY: as above; clone(2) takes the stack's upper end.
            unsafe { clone_call(libc::SYS_clone, [flags as usize, top as usize], enter::<F>, body) }
        }
        other => other,
    }
    .map(|pid| pid as i32)
}

/// The child's end of every path is exec or exit.
pub enum Never {}

extern "C" fn enter<F: FnOnce() -> Never>(body: *mut c_void) -> ! {
    // SAFETY: the pointer is the Box that `clone` was given; only the child takes it.
    match unsafe { Box::from_raw(body.cast::<F>()) }() {}
}

type Entry = extern "C" fn(*mut c_void) -> !;

/// # Safety
/// `n` and `args` make a clone whose child gets a stack of its own, 16-byte aligned.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_call(n: c_long, args: [usize; 2], f: Entry, arg: *mut c_void) -> Result<usize> {
    let ret: isize;
    // SAFETY: in the child rax is 0 and the stack is new: it calls and never comes back.
    unsafe {
        asm!("syscall", "test rax, rax", "jnz 2f", "xor ebp, ebp", "mov rdi, r13", "call r12",
            "ud2", "2:",
            inlateout("rax") n as isize => ret, in("rdi") args[0], in("rsi") args[1],
            in("rdx") 0, in("r10") 0, in("r8") 0, in("r12") f, in("r13") arg,
            lateout("rcx") _, lateout("r11") _);
    }
    check(ret)
}

/// # Safety
/// `n` and `args` make a clone whose child gets a stack of its own, 16-byte aligned.
#[cfg(target_arch = "aarch64")]
unsafe fn clone_call(n: c_long, args: [usize; 2], f: Entry, arg: *mut c_void) -> Result<usize> {
    let ret: isize;
    // SAFETY: in the child x0 is 0 and the stack is new: it calls and never comes back.
    unsafe {
        asm!("svc 0", "cbnz x0, 2f", "mov x29, xzr", "mov x0, {arg}", "blr {f}", "brk 1", "2:",
            in("x8") n, inlateout("x0") args[0] => ret, in("x1") args[1],
            in("x2") 0, in("x3") 0, in("x4") 0, f = in(reg) f, arg = in(reg) arg);
    }
    check(ret)
}

/// Without assembly for the machine: a copy of the memory instead of a stack.
///
/// # Safety
/// As for fork(2) in a process with one thread.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone_call(n: c_long, args: [usize; 2], f: Entry, arg: *mut c_void) -> Result<usize> {
    let ret = if n == libc::SYS_clone3 {
        // SAFETY: the pointer is the caller's CloneArgs; the copy drops the stack from it.
        let mut own = unsafe { (args[0] as *const CloneArgs).read() };
        own.flags &= !(libc::CLONE_VM as u64);
        (own.stack, own.stack_size) = (0, 0);
        // SAFETY: own lives across the call and carries its own size.
        unsafe { call(n, [(&raw const own) as usize, args[1], 0, 0, 0]) }
    } else {
        // SAFETY: a null stack means a copy of the caller's.
        unsafe { call(n, [args[0] & !(libc::CLONE_VM as usize), 0, 0, 0, 0]) }
    };
    if ret == Ok(0) { f(arg) } else { ret }
}

/// unshare(2) with 64-bit flags.
pub fn unshare(flags: u64) -> Result<()> {
    // SAFETY: no pointer is passed; a single-threaded process may unshare any of these.
    unsafe { call(libc::SYS_unshare, [flags as usize, 0, 0, 0, 0]) }.map(drop)
}

/// mount_setattr(2): adds attributes to the mount at `path`, to those below it too if
/// `recursive` (Linux 5.12).
pub fn mount_setattr(path: &CStr, recursive: bool, set: u64) -> Result<()> {
    let attr = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: attr lives across the call and its size is passed with it.
    unsafe {
        call(
            libc::SYS_mount_setattr,
            [
                libc::AT_FDCWD as usize,
                path.as_ptr() as usize,
                flags as usize,
                (&raw const attr) as usize,
                size_of::<libc::mount_attr>(),
            ],
        )
    }
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
    ret.err().unwrap_or(Errno::IO)
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

/// Marks every descriptor from `first` on close-on-exec (Linux 5.11), one by one before that.
pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    const CLOEXEC: c_int = 4;
    // SAFETY: changes descriptor flags only.
    let ret = unsafe {
        call(libc::SYS_close_range, [first as usize, c_int::MAX as usize, CLOEXEC as usize, 0, 0])
    };
    if ret.is_ok() {
        return Ok(());
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    for fd in first..limit.unwrap_or(65536).min(65536) as RawFd {
        // SAFETY: F_SETFD on a number that is no open descriptor fails with EBADF, nothing else.
        let _ = unsafe {
            call(
                libc::SYS_fcntl,
                [fd as usize, libc::F_SETFD as usize, libc::FD_CLOEXEC as usize, 0, 0],
            )
        };
    }
    Ok(())
}

/// The first allocations come from here and are never given back: a start is short, and
/// its few hundred small pieces cost more in a general allocator than they are big.
/// What is more, or larger, or lives on, goes to the system's.
pub struct Arena {
    memory: UnsafeCell<[u8; ARENA]>,
    used: Cell<usize>,
}

const ARENA: usize = 48 << 10;

// SAFETY: the launcher has one thread; rustc asks for Sync because a static could be shared.
unsafe impl Sync for Arena {}

impl Arena {
    pub const fn new() -> Arena {
        Arena { memory: UnsafeCell::new([0; ARENA]), used: Cell::new(0) }
    }

    fn owns(&self, p: *mut u8) -> bool {
        (p as usize).wrapping_sub(self.memory.get() as usize) < ARENA
    }

    /// The arena's last piece, which may grow or go in place.
    fn is_last(&self, p: *mut u8, size: usize) -> bool {
        p as usize + size == self.memory.get() as usize + self.used.get()
    }
}

// SAFETY: pieces of the arena are disjoint and aligned, and never handed out twice unless
// the last one is freed; everything else is the system allocator's.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.memory.get() as usize;
        let start = (base + self.used.get()).next_multiple_of(layout.align()) - base;
        match start.checked_add(layout.size()) {
            Some(end) if end <= ARENA => {
                self.used.set(end);
                (base + start) as *mut u8
            }
            // SAFETY: the caller's promises, passed on.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        if !self.owns(p) {
            // SAFETY: not the arena's, so the system's.
            unsafe { System.dealloc(p, layout) }
        } else if self.is_last(p, layout.size()) {
            self.used.set(self.used.get() - layout.size());
        }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.owns(p) {
            // SAFETY: not the arena's, so the system's.
            return unsafe { System.realloc(p, layout, size) };
        }
        let used = self.used.get() - layout.size();
        if self.is_last(p, layout.size()) && used + size <= ARENA {
            self.used.set(used + size);
            return p;
        }
        // SAFETY: a new piece of at least the smaller size, which cannot overlap the old.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(p, new, size.min(layout.size()));
                self.dealloc(p, layout);
            }
            new
        }
    }
}

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

/// Sets every signal's disposition to the default: what is ignored would stay so across exec.
pub fn default_dispositions() {
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: an all-zero kernel sigaction is SIG_DFL without flags; SIGKILL and
        // SIGSTOP fail with EINVAL, which is right.
        let _ =
            unsafe { call(libc::SYS_rt_sigaction, [signal, default.as_ptr() as usize, 0, 8, 0]) };
    }
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
    unsafe {
        call(
            libc::SYS_ioctl,
            [
                socket.as_raw_fd() as usize,
                libc::SIOCSIFFLAGS as usize,
                request.as_ptr() as usize,
                0,
                0,
            ],
        )
    }
    .map(drop)
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
    loop {
        // SAFETY: ends the process; nothing follows.
        let _ = unsafe { call(libc::SYS_exit_group, [code as usize, 0, 0, 0, 0]) };
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
    debug_assert!(fd >= 0);
    // SAFETY: only called on descriptors that stay open until exec or exit.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

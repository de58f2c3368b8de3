//! clone(2): the child, in new namespaces, in the parent's memory or a copy of it.

use super::{check, map, ns};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{Errno, Result};
use std::arch::asm;
use std::cell::UnsafeCell;
use std::ffi::{c_long, c_void};

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

/// Stack of the child while it shares the parent's memory; it calls no deeper than a page.
const CHILD_STACK: usize = 64 << 10;

/// Where there is assembly for it; elsewhere it gets a copy.
pub const CHILD_CAN_SHARE: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

#[repr(align(4096))]
struct Stack(UnsafeCell<[u8; CHILD_STACK]>);

// SAFETY: only children use it, and those that share our memory one after the other.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; CHILD_STACK]));

/// The child's stack: address and bytes.
pub(super) fn child_stack() -> (usize, usize) {
    (STACK.0.get() as usize, CHILD_STACK)
}

/// clone3(2): runs `body` in the child and returns its pid. If `share` the child runs in
/// the parent's memory until exec (CLONE_VM), which saves the copy; the parent must keep
/// all that `body` uses until then, and the kernel, should it kill one of the two for
/// memory, kills both. Falls back to clone(2) where clone3 does not exist or an outer
/// seccomp filter hides it; the cgroup (Linux 5.7) has then to be joined: `body` is told
/// whether it was born in it.
pub fn clone<F: FnOnce(bool) -> Never>(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    share: bool,
    body: F,
) -> Result<i32> {
    let signal = libc::SIGCHLD as u64;
    let flags = if share { flags | libc::CLONE_VM as u64 } else { flags };
    // Unit tests have threads.
    let stack = if cfg!(test) { map(CHILD_STACK, libc::MAP_PRIVATE)? } else { child_stack().0 };
    let mut args = CloneArgs {
        flags,
        exit_signal: signal,
        stack: stack as u64,
        stack_size: CHILD_STACK as u64,
        ..CloneArgs::default()
    };
    if let Some(fd) = cgroup {
        args.flags |= ns::INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
    let body = Box::into_raw(Box::new((body, cgroup.is_some())));
    let first = [(&raw const args) as usize, size_of::<CloneArgs>()];
    // SAFETY: the stack is the child's alone, and leaked; so is the body.
    match unsafe { clone_call(libc::SYS_clone3, first, enter::<F>, body.cast()) } {
        // An older kernel knows neither the flag nor the argument.
        Err(e)
            if super::is_unknown(e)
                || cgroup.is_some() && matches!(e, Errno::INVAL | Errno::TOOBIG) =>
        {
            // SAFETY: no child was made, so it is still ours.
            unsafe { (*body).1 = false };
            let flags = flags | signal;
            let top = args.stack + args.stack_size;
            let second = [flags as usize, top as usize];
            // SAFETY: as above; clone(2) takes the stack's upper end.
            unsafe { clone_call(libc::SYS_clone, second, enter::<F>, body.cast()) }
        }
        other => other,
    }
    .map(|pid| pid as i32)
}

/// The child's end of every path is exec or exit.
pub enum Never {}

extern "C" fn enter<F: FnOnce(bool) -> Never>(body: *mut c_void) -> ! {
    // SAFETY: the pointer is the Box that `clone` made and leaked; only the child reads it.
    // It is not given back: where memory is shared, so is the allocator, and the parent is
    // using it at this moment.
    let (body, born) = unsafe { body.cast::<(F, bool)>().read() };
    match body(born) {}
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
        unsafe { super::call(n, [(&raw const own) as usize, args[1], 0, 0, 0]) }
    } else {
        // SAFETY: a null stack means a copy of the caller's.
        unsafe { super::call(n, [args[0] & !(libc::CLONE_VM as usize), 0, 0, 0, 0]) }
    };
    if ret == Ok(0) { f(arg) } else { ret }
}

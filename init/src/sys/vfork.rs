//! Starting a process with vfork semantics: the child runs on this stack and in this
//! memory until it executes its program, and only then do we go on. So it is in its
//! process group before any signal can be forwarded, and leaves its error in memory.

use core::arch::asm;

/// Whether the child shares our memory (and we wait for its exec) or has a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    Shared,
    Copied,
}

/// Runs `child` in a new process, which must not return: its caller's frame is the
/// parent's. Returns the pid, or -errno.
pub fn clone<T>(memory: Memory, child: extern "C" fn(&mut T) -> !, context: &mut T) -> isize {
    let share = if memory == Memory::Shared { libc::CLONE_VM | libc::CLONE_VFORK } else { 0 };
    // SAFETY: the child only calls below the stack pointer, never returns into this
    // frame, and changes nothing in memory but what `context` gives it; the parent
    // sleeps meanwhile.
    unsafe { raw_clone(share | libc::SIGCHLD, child as *const (), context as *mut T as *mut ()) }
}

#[cfg(target_arch = "x86_64")]
unsafe fn raw_clone(flags: i32, child: *const (), context: *mut ()) -> isize {
    let pid;
    // SAFETY: by the caller. Without `nostack` the stack is aligned for a call here.
    unsafe {
        asm!(
            "syscall",
            "test eax, eax",
            "jnz 2f",
            "mov rdi, r13",
            "call r12",
            "2:",
            inlateout("rax") libc::SYS_clone as isize => pid,
            in("rdi") flags as isize, in("rsi") 0,
            in("r12") child, in("r13") context,
            out("rcx") _, out("r11") _,
        );
    }
    pid
}

#[cfg(target_arch = "aarch64")]
unsafe fn raw_clone(flags: i32, child: *const (), context: *mut ()) -> isize {
    let pid;
    // SAFETY: by the caller. Without `nostack` the stack is aligned for a call here.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x0, x21",
            "blr x20",
            "2:",
            inlateout("x0") flags as isize => pid,
            in("x1") 0, in("x8") 220, // clone
            in("x20") child, in("x21") context,
        );
    }
    pid
}

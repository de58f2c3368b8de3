//! Waiting for a signal or for the payload's end, whichever comes first, in one
//! system call: ppoll unblocks the signals, and the handler jumps straight back to
//! ppoll's caller with the siginfo instead of returning through rt_sigreturn. With
//! the kill that follows a forwarded signal costs two system calls, and processes
//! that the kernel reaps cost none.

use super::sys;
use core::arch::global_asm;

/// The head of the kernel's siginfo; the rest is carried along for sigqueue's value.
#[repr(C, align(8))]
pub struct Siginfo {
    pub signal: i32,
    errno: i32,
    /// <= 0: sent by a process. SI_KERNEL: by a terminal.
    pub code: i32,
    pad: i32,
    pub pid: i32,
    rest: [i32; 27],
}

/// What ended a wait.
#[derive(PartialEq, Eq)]
pub enum Wake {
    /// `Poll::info` says which.
    Signal,
    /// A descriptor is ready, or the time is up, or ppoll failed: look at everything.
    Look,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

pub struct Poll {
    /// Signals with a handler of ours, the only ones that may be unblocked.
    handled: u64,
    /// Signals that were found ignored: a child must find them so, too.
    pub ignored: u64,
    pub info: Siginfo,
    /// Negative descriptors are skipped by the kernel.
    fds: [PollFd; 2],
}

/// SIG_IGN, and the handler below.
pub const IGNORE: usize = 1;

unsafe extern "C" {
    fn ppoll_or_signal(
        fds: *mut PollFd,
        count: usize,
        timeout: *const libc::timespec,
        mask: *const u64,
        info: *mut Siginfo,
    ) -> isize;
    fn caught();
}

// The handler runs on top of the frame of ppoll_or_signal, in which nothing has moved
// since the system call: the interrupted stack pointer leads to the saved registers
// and to where the siginfo is wanted. It leaves with every signal blocked (sa_mask).
#[cfg(target_arch = "x86_64")]
global_asm!(
    "ppoll_or_signal:",
    "push rbx; push rbp; push r12; push r13; push r14; push r15; push r8",
    "mov r10, rcx",
    "mov r8d, 8",
    "mov eax, 271",
    "syscall",
    "0: pop r8; pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx",
    "ret",
    "caught:",
    "mov rsp, [rdx + 160]", // uc_mcontext.rsp
    "mov rdi, [rsp]",
    "mov ecx, 32",
    "rep movsd",
    "mov eax, 99", // more than there are descriptors
    "jmp 0b",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    "ppoll_or_signal:",
    "stp x19, x20, [sp, -112]!",
    "stp x21, x22, [sp, 16]",
    "stp x23, x24, [sp, 32]",
    "stp x25, x26, [sp, 48]",
    "stp x27, x28, [sp, 64]",
    "stp x29, x30, [sp, 80]",
    "str x4, [sp, 96]",
    "mov x4, 8",
    "mov x8, 73",
    "svc 0",
    "0:",
    "ldp x21, x22, [sp, 16]",
    "ldp x23, x24, [sp, 32]",
    "ldp x25, x26, [sp, 48]",
    "ldp x27, x28, [sp, 64]",
    "ldp x29, x30, [sp, 80]",
    "ldp x19, x20, [sp], 112",
    "ret",
    "caught:",
    "ldr x3, [x2, 432]", // uc_mcontext.sp
    "mov sp, x3",
    "ldr x2, [sp, 96]",
    "mov x3, 16",
    "1: ldr x4, [x1], 8",
    "str x4, [x2], 8",
    "subs x3, x3, 1",
    "b.ne 1b",
    "mov x0, 99",
    "b 0b",
);

/// The kernel's struct sigaction, which is not libc's. Returns the old handler, or -errno.
pub fn sigaction(signal: u8, handler: usize, flags: usize) -> isize {
    const SA_RESTORER: usize = 0x0400_0000; // x86 insists on it; nothing returns through it
    let new = [handler, flags | SA_RESTORER | libc::SA_SIGINFO as usize, 0, usize::MAX];
    let mut old = [0usize; 4];
    let error = sys!(rt_sigaction, signal, new.as_ptr(), old.as_mut_ptr(), 8);
    if error < 0 { error } else { old[0] as isize }
}

impl Poll {
    /// From here on `wait` receives this signal. On failure it stays blocked, which
    /// loses it but never ends us.
    pub fn catch(&mut self, signal: u8, flags: usize) {
        let old = sigaction(signal, caught as *const () as usize, flags);
        if old >= 0 {
            self.handled |= 1 << (signal - 1);
        }
        if old == IGNORE as isize {
            self.ignored |= 1 << (signal - 1);
        }
    }

    /// All, with these flags for the one of children.
    pub fn catch_all(&mut self, child_flags: usize) {
        for signal in 1..65 {
            self.catch(signal, if signal == libc::SIGCHLD as u8 { child_flags } else { 0 });
        }
    }

    /// Lets `wait` end, too, when the descriptor is ready. Negative: no longer.
    pub fn watch(&mut self, slot: usize, fd: i32) {
        if let Some(entry) = self.fds.get_mut(slot) {
            *entry = PollFd { fd, events: libc::POLLIN, revents: 0 };
        }
    }

    pub fn is_ready(&self, slot: usize) -> bool {
        self.fds.get(slot).is_some_and(|entry| entry.revents != 0)
    }

    /// Whether the second descriptor, a signalfd, has a signal; it is taken.
    pub fn take_sigchld(&mut self) -> bool {
        self.is_ready(1)
            && self.fds.get(1).is_some_and(|entry| super::read(entry.fd, &mut [0; 128]) > 0)
    }

    /// Leaves the signal blocked in `wait`.
    pub fn forget(&mut self, signal: u8) {
        self.handled &= !(1 << (signal - 1));
    }

    /// Waits for a signal, a descriptor, or `millis`; negative: without end.
    pub fn wait(&mut self, millis: i64) -> Wake {
        let mut timeout =
            libc::timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
        let blocked = !self.handled;
        for entry in &mut self.fds {
            entry.revents = 0;
        }
        let limit = if millis < 0 { core::ptr::null() } else { &timeout as *const libc::timespec };
        // SAFETY: all of it outlives the call; `info` is written by the handler.
        let woken = unsafe {
            ppoll_or_signal(self.fds.as_mut_ptr(), self.fds.len(), limit, &blocked, &mut self.info)
        };
        if woken == 99 {
            return Wake::Signal;
        }
        if woken < 0 && woken != -libc::EINTR as isize {
            // Nothing is known to make ppoll fail for good; should it, look around
            // once a second, as if all were ready, rather than spin.
            for entry in &mut self.fds {
                entry.revents = 1;
            }
            timeout = libc::timespec { tv_sec: 1, tv_nsec: 0 };
            let signal = sys!(
                rt_sigtimedwait,
                &self.handled as *const u64,
                &mut self.info as *mut Siginfo,
                &timeout as *const libc::timespec,
                8
            );
            if signal > 0 {
                return Wake::Signal;
            }
        }
        Wake::Look
    }
}

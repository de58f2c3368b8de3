//! Waiting for what concerns process 1. As a rule it is rt_sigtimedwait with all signals
//! blocked: no preparation, and with the kill that follows a forwarded signal costs two
//! system calls. Once many strangers had to be reaped the kernel is told to do it: then
//! nothing tells of the payload but its pidfd, so ppoll waits for both; it unblocks the
//! signals, and the handler jumps straight back to ppoll's caller with the siginfo instead
//! of returning through rt_sigreturn. That needs 62 handlers, but an orphan costs nothing
//! and a forwarded signal still two calls.

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

#[repr(C)]
#[derive(Clone, Copy)]
struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

pub struct Poll {
    /// Signals with a handler of ours, for ppoll to unblock; 0: all are waited for.
    handled: u64,
    /// Signals that were found ignored: a child must find them so, too.
    pub ignored: u64,
    pub info: Siginfo,
    fds: [PollFd; 2],
}

static SECOND: libc::timespec = libc::timespec { tv_sec: 1, tv_nsec: 0 };

const DEFAULT: usize = 0;
const IGNORE: usize = 1;
const CHLD: u8 = libc::SIGCHLD as u8;

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
#[inline(never)]
fn sigaction(signal: u8, handler: usize) -> isize {
    const SA_RESTORER: usize = 0x0400_0000; // x86 insists on it; nothing returns through it
    let mut action = [handler, SA_RESTORER | libc::SA_SIGINFO as usize, 0, usize::MAX];
    let place = action.as_mut_ptr();
    // The kernel reads the new one before it writes the old.
    let error = sys!(rt_sigaction, signal, place, place, 8);
    if error < 0 { error } else { action[0] as isize }
}

/// Ignores the signal, which is what the payload inherits if it is not undone.
pub fn ignore_signal(signal: u8) {
    sigaction(signal, IGNORE);
}

impl Poll {
    /// From here on a signal comes for each child that ends.
    pub fn want_children(&mut self) {
        if sigaction(CHLD, DEFAULT) == IGNORE as isize && self.handled == 0 {
            self.ignored |= 1 << (CHLD - 1);
        }
        if self.handled != 0 {
            self.fds.iter().for_each(|entry| super::close(entry.fd));
        }
        self.handled = 0;
    }

    /// From here on the kernel reaps, without a word; `pidfd` tells of the payload's end.
    pub fn leave_children(&mut self, pidfd: i32) {
        for signal in 1..65 {
            // On failure it stays blocked, which loses it but never ends us.
            let old = sigaction(signal, caught as *const () as usize);
            if old >= 0 && signal != CHLD {
                self.handled |= 1 << (signal - 1);
            }
            if old == IGNORE as isize {
                self.ignored |= 1 << (signal - 1);
            }
        }
        // Ignored, so that the kernel reaps; blocked, so that one a user sends is not
        // dropped as ignored but shows on a signalfd.
        ignore_signal(CHLD);
        let (mask, flags) = (1u64 << (CHLD - 1), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        let signals = sys!(signalfd4, -1isize, &mask as *const u64, 8, flags) as i32;
        self.fds = [pidfd, signals].map(|fd| PollFd { fd, events: libc::POLLIN, revents: 0 });
    }

    /// Whether the pidfd has told of the payload's end.
    pub fn payload_ended(&self) -> bool {
        self.handled != 0 && self.fds[0].revents != 0
    }

    pub fn pidfd(&self) -> i32 {
        self.fds[0].fd
    }

    /// Waits for a signal, a child, or `millis`; negative: without end. Returns the
    /// signal that `info` is about; 0: look at everything.
    pub fn wait(&mut self, millis: i64) -> i32 {
        let time = libc::timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
        let mut limit = if millis < 0 { core::ptr::null() } else { &time as *const _ };
        (self.info.signal, self.info.code) = (0, 0);
        if self.handled != 0 {
            let blocked = !self.handled;
            let fds = self.fds.as_mut_ptr();
            // SAFETY: all of it outlives the call; `info` is written by the handler.
            let woken = unsafe { ppoll_or_signal(fds, 2, limit, &blocked, &mut self.info) };
            if woken >= 0 {
                let [_, signals] = self.fds;
                if woken < 99 && signals.revents != 0 {
                    // As long, and with the same beginning.
                    sys!(read, signals.fd, &mut self.info as *mut Siginfo, 128);
                }
                return self.info.signal;
            }
            // It is not known to fail for good; should it, look around once a second.
            self.fds[0].revents = 1;
            limit = &SECOND;
        }
        let (all, info) = (u64::MAX, &mut self.info as *mut Siginfo);
        let got = -sys!(rt_sigtimedwait, &all as *const u64, info, limit, 8) as i32;
        if got > 0 && got != libc::EAGAIN && got != libc::EINTR {
            sys!(ppoll, 0, 0, &SECOND as *const libc::timespec, 0, 8);
        }
        self.info.signal
    }
}

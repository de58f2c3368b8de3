//! All that init knows, in one place. One structure whose address stays in a register,
//! with the small members first, makes the program a fifth smaller than structures
//! that are handed on and copied; each module adds to it what its subject needs.

use crate::sys::{self, Poll, Stack, Str, Text};

/// Where the payload stands among processes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In our process group: a shell outside our pid namespace controls it as one job.
    Ours,
    /// In a group of its own, in the foreground of our terminal if we have one.
    Group,
    /// In a session of its own.
    Session,
}

/// What the child was at when it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Clone,
    User,
    Workdir,
    Terminal,
    Exec,
}

/// What to do with the machine when there is nothing left to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    PowerOff,
    Reboot,
    Halt,
}

/// In `Init::rewrite`.
pub const DROP: u8 = 255;

/// A structure of zeroes must be valid: see `sys::zeroed_init`.
#[repr(C)]
pub struct Init {
    /// One bit for each option without a value, by its letter.
    pub flags: u32,
    pub stack: Stack,
    /// The signal mask as we found it, for the payload.
    pub mask: u64,

    /// The directories to look in for a name without a slash.
    pub path: Option<Str<'static>>,
    pub user: Option<Str<'static>>,
    pub workdir: Option<Str<'static>>,
    /// With what error (-errno) the child failed.
    pub error: isize,

    /// The payload.
    pub pid: i32,
    /// -1 where the kernel has none (before Linux 5.2).
    pub pidfd: i32,
    pub own_pid: i32,
    /// A descriptor of our controlling terminal, or -1.
    pub terminal: i32,
    /// Seconds.
    pub grace: u32,
    pub uid: u32,
    pub gid: u32,
    pub group_count: u32,
    /// How often the kernel could not say how the payload ended.
    pub doubts: u32,
    pub failed: Step,
    pub place: Place,
    pub end: End,
    /// tini's scale: 1 warnings, 2 and more: what is done.
    pub verbosity: u8,
    /// We are the kernel's own process 1.
    pub machine: bool,
    /// Started by the launcher, which has done all that is to be done to the machine.
    pub launched: bool,
    /// We gave up a terminal: the kernel's HUP and CONT for that are not for the payload.
    pub left_terminal: bool,
    /// The payload runs in the foreground of a terminal that others use after us.
    pub job_control: bool,

    pub poll: Poll,
    /// Exit codes that become 0.
    pub success: [u64; 4],
    /// What a signal becomes on its way to the payload; 0: itself, DROP: nothing.
    pub rewrite: [u8; 65],
    pub groups: [u32; 32],
    /// `HOME=...` of the user.
    pub home: Text,
}

impl Init {
    pub fn new(stack: Stack, mask: u64) -> Init {
        let mut init = sys::zeroed_init();
        (init.stack, init.mask, init.own_pid) = (stack, mask, sys::getpid());
        (init.pidfd, init.terminal, init.grace, init.verbosity) = (-1, -1, 3, 1);
        init.place = Place::Group;
        init.poll.watch(0, -1);
        init.poll.watch(1, -1);
        init
    }

    pub fn has(&self, letter: u8) -> bool {
        self.flags >> (letter & 31) & 1 != 0
    }

    pub fn set(&mut self, letter: u8) {
        self.flags |= 1 << (letter & 31);
    }
}

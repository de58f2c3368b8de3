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

/// In `Init::flags`, by the place of the letter in `args::FLAGS`.
pub const VERBOSE: u8 = 1;
pub const GROUP: u8 = 2;
pub const WARN: u8 = 4;
pub const PAUSE: u8 = 8;
pub const SINGLE: u8 = 16;

/// In `Init::rewrite`.
pub const DROP: u8 = 255;

/// A structure of zeroes must be valid: see `sys::zeroed_init`.
#[repr(C)]
pub struct Init {
    pub stack: Stack,
    /// The signal mask as we found it, for the payload.
    pub mask: u64,

    /// The directories to look in for a name without a slash.
    pub path: Str<'static>,
    /// Empty: as we are.
    pub user: Str<'static>,
    pub workdir: Str<'static>,
    /// With what error (-errno) the child failed.
    pub error: isize,

    /// The payload.
    pub pid: i32,
    pub own_pid: i32,
    /// A descriptor of our controlling terminal, or -1.
    pub terminal: i32,
    /// Seconds.
    pub grace: u32,
    /// Where each end of the payload is reported, or -1.
    pub report: i32,
    /// How often it may still be started again, and has been.
    pub restarts: u32,
    pub restarted: i32,
    /// How long the next start waits, in milliseconds; 0: there is none, ever.
    pub delay: u32,
    /// Others that were reaped.
    pub strangers: u32,
    pub uid: u32,
    pub gid: u32,
    pub group_count: u32,
    /// How often the kernel could not say how the payload ended.
    pub doubts: u32,
    /// One bit for each option without a value.
    pub flags: u8,
    pub failed: Step,
    pub place: Place,
    /// By its place in `machine::ENDS`.
    pub end: u8,
    /// We are the kernel's own process 1.
    pub machine: bool,
    /// Started by the launcher, which has done all that is to be done to the machine.
    pub launched: bool,
    /// We gave up a terminal: the kernel's HUP and CONT for that are not for the payload.
    pub left_terminal: bool,
    /// Start again also what has succeeded.
    pub always: bool,
    /// A signal has asked the payload to end for good.
    pub stopping: bool,
    /// The payload runs in the foreground of a terminal that others use after us.
    pub job_control: bool,

    #[cfg(feature = "log")]
    pub log: crate::log::Log,
    pub poll: Poll,
    /// By exit code: whether it becomes 0.
    pub success: [bool; 256],
    /// What a signal becomes on its way to the payload; 0: itself, DROP: nothing.
    pub rewrite: [u8; 256],
    pub groups: [u32; 32],
    /// `HOME=...` of the user.
    pub home: Text,
}

impl Init {
    /// What is not zero at the start.
    pub fn prepare(&mut self) {
        self.own_pid = sys::getpid();
        (self.terminal, self.report, self.grace) = (-1, -1, 3);

        self.place = Place::Group;
    }

    pub fn has(&self, option: u8) -> bool {
        self.flags & option != 0
    }
}

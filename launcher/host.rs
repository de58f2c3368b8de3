//! Read-only facts about the host and the caller.

use crate::idmap::{self, Ids};
use crate::spec::Tty;
use crate::sys;

pub struct Host {
    /// The caller is not root: everything happens in a user namespace.
    pub rootless: bool,
    /// Effective, as the kernel counts.
    pub uid: u32,
    pub gid: u32,
    /// Root, but of a user namespace only, as in a container of an ordinary user's.
    pub nested: Option<Nested>,
    /// Nothing will be made: `--explain`.
    pub only_look: bool,
    /// Hears how far an archive is unpacked: bytes of how many; 0 of 0 at the end.
    pub progress: fn(u64, u64),
    /// Standard input and output are the terminal we are in the foreground of.
    pub on_terminal: bool,
    /// Linux 5.8: setns(2) takes a pidfd, and mounts can be held by descriptors.
    pub modern: bool,
    /// There are several processors, and we may run on each.
    pub free_choice: bool,
    pub kernel: (u32, u32),
}

/// What the user namespace that we are root of allows.
pub struct Nested {
    /// The group of terminals exists.
    pub tty: bool,
    /// setgroups(2) is possible.
    pub groups: bool,
}

/// The group of terminals in every distribution: `gid=` of devpts.
pub const TTY: u32 = 5;

impl Nested {
    /// None for the host's own user namespace, or where there is no /proc to tell.
    fn probe() -> Option<Nested> {
        // PROC_USER_INIT_INO
        const INITIAL: u64 = 0xEFFF_FFFD;
        if sys::own_namespace(sys::ns::NEWUSER).ok()? == INITIAL {
            return None;
        }
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        let terminals = Ids { first: TTY, count: 1 };
        let tty = idmap::within(&read("/proc/self/gid_map"), &terminals);
        Some(Nested { tty, groups: read("/proc/self/setgroups").trim() != "deny" })
    }
}

impl Host {
    pub fn probe() -> Host {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let rootless = uid != 0;
        let (on_terminal, kernel) = (on_terminal(), kernel());
        let modern = kernel >= (5, 8);
        let free_choice = sys::free_choice();
        let progress = |_, _| {};
        let nested = if rootless { None } else { Nested::probe() };
        Host {
            rootless,
            uid,
            gid,
            nested,
            only_look: false,
            progress,
            on_terminal,
            modern,
            free_choice,
            kernel,
        }
    }

    pub fn wants_terminal(&self, tty: Tty) -> bool {
        match tty {
            Tty::Auto => self.on_terminal,
            Tty::Always => true,
            Tty::Never => false,
        }
    }
}

/// Version of the running kernel.
fn kernel() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn on_terminal() -> bool {
    let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    if !rustix::termios::isatty(stdin) || !rustix::termios::isatty(stdout) {
        return false;
    }
    // In the background, raw mode would take the terminal from whoever has it.
    match rustix::termios::tcgetpgrp(stdin) {
        Ok(group) => group == rustix::process::getpgrp(),
        Err(_) => true,
    }
}

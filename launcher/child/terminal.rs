//! The container's terminal, seen from inside.

use super::{Context, leak, living};
use crate::sys;
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};

impl Context {
    pub(super) fn open_terminal(&mut self, owner: rustix::process::Uid) -> Result<()> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = rustix::fs::open(c"/dev/pts/ptmx", flags, Mode::empty())?;
        // In a container that runs, something else may be called so by now.
        if !living::is_ptmx(&master)? {
            return Err(Errno::NODEV);
        }
        rustix::pty::unlockpt(&master)?;
        let peer = crate::tty::peer(master.as_fd())?;
        if !owner.is_root() {
            rustix::fs::fchown(&peer, Some(owner), None)?;
        }
        rustix::process::ioctl_tiocsctty(&peer)?;
        // Now, as the payload may ask before the launcher gets to it.
        crate::tty::copy_size(peer.as_fd());
        self.terminal = leak(peer);
        self.channel.send_terminal(master.as_fd())
    }

    pub(super) fn use_terminal(&self) -> Result<()> {
        if self.terminal >= 0 {
            let peer = sys::borrow(self.terminal);
            rustix::stdio::dup2_stdin(peer)?;
            rustix::stdio::dup2_stdout(peer)?;
            rustix::stdio::dup2_stderr(peer)?;
        }
        Ok(())
    }
}

//! Steps of detached containers, and of processes that enter one.

use super::Context;
use crate::step::ChildStep;
use crate::sys;
use rustix::fd::OwnedFd;
use rustix::fs::FileType;
use rustix::io::{Errno, FdFlags, Result};

impl Context {
    pub(super) fn living_step(&mut self, step: &ChildStep) -> Result<()> {
        match step {
            ChildStep::Outlive => {
                rustix::process::set_parent_process_death_signal(None)?;
                self.channel.check_parent()
            }
            ChildStep::JoinOpenedCgroup { slot } => {
                rustix::io::write(sys::borrow(self.slots[*slot]), b"0").map(drop)
            }
            ChildStep::Redirect { slot, fd } => {
                let from = sys::borrow(self.slots[*slot]);
                match fd {
                    0 => rustix::stdio::dup2_stdin(from),
                    1 => rustix::stdio::dup2_stdout(from),
                    _ => rustix::stdio::dup2_stderr(from),
                }
            }
            ChildStep::Inherit { slot } => {
                rustix::io::fcntl_setfd(sys::borrow(self.slots[*slot]), FdFlags::empty())
            }
            ChildStep::JoinNamespaces { slot, kinds } => sys::join(self.slots[*slot], *kinds),
            ChildStep::EnterRoot { slot } => {
                rustix::process::fchdir(sys::borrow(self.slots[*slot]))?;
                rustix::process::chroot(c".")
            }
            _ => Err(Errno::NOSYS),
        }
    }
}

/// Character device 5:2.
pub(super) fn is_ptmx(fd: &OwnedFd) -> Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    let character = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    Ok(character && stat.st_rdev == rustix::fs::makedev(5, 2))
}

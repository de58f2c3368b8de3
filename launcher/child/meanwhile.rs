//! What the launcher has done while the child mounted.

use super::Context;
use crate::sys;
use rustix::io::{Errno, Result};

impl Context {
    pub(super) fn every_processor(&mut self) -> Result<()> {
        sys::allow_all()?;
        self.done.processors = true;
        Ok(())
    }

    /// `plugged`: it has links, so that one without would not do.
    pub(super) fn join_network(&mut self, plugged: bool) -> Result<()> {
        match sys::join(self.launcher, sys::ns::NEWNET) {
            // Before Linux 5.8, or no pidfd: one like it.
            Err(Errno::BADF | Errno::INVAL | Errno::NOSYS | Errno::PERM) if !plugged => {
                sys::unshare(sys::ns::NEWNET)?;
                sys::loopback_up()?;
            }
            other => other?,
        }
        self.done.network = true;
        Ok(())
    }
}

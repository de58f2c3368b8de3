//! Landlock: rules are made while every path can still be reached, and hold from the last
//! moment on. Nothing here allocates.

use super::verify::NOT_SO;
use super::{Context, leak};
use crate::step::Landlock;
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

impl Context {
    pub(super) fn hold_rules(&mut self, landlock: &Landlock) -> Result<()> {
        let witness = witness()?;
        // What is not so now cannot be what the rules bring about.
        look_into(&witness)?;
        let rules = sys::landlock_rules(landlock.handled)?;
        for (index, rule) in landlock.rules.iter().enumerate() {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let place = match rustix::fs::open(rule.path, flags, Mode::empty()) {
                Err(Errno::NOENT) if !rule.must => continue,
                Err(e) => return self.fails_at(index, e),
                Ok(place) => place,
            };
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode);
            let access = match kind {
                FileType::Directory => rule.access,
                _ => rule.access & landlock.of_files,
            };
            match sys::landlock_allow(rules.as_fd(), access, place.as_fd()) {
                Ok(()) => {}
                Err(e) => return self.fails_at(index, e),
            }
        }
        self.done.rules = Some((leak(rules), leak(witness)));
        Ok(())
    }

    pub(super) fn apply_rules(&self) -> Result<()> {
        let (rules, _) = self.done.rules.ok_or(Errno::BADF)?;
        sys::landlock_restrict(sys::borrow(rules))
    }

    /// Nobody has allowed anything in a file system that was made a moment ago.
    pub(super) fn verify_landlock(&self) -> Result<()> {
        let (_, witness) = self.done.rules.ok_or(NOT_SO)?;
        match look_into(sys::borrow(witness)) {
            Err(Errno::ACCESS) => Ok(()),
            Err(e) => Err(e),
            Ok(()) => Err(NOT_SO),
        }
    }
}

/// An empty file system of its own, mounted nowhere: no rule can name it.
fn witness() -> Result<OwnedFd> {
    let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    rustix::mount::fsmount(context.as_fd(), flags, MountAttrFlags::empty())
}

fn look_into(dir: impl AsFd) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, c".", flags, Mode::empty()).map(drop)
}

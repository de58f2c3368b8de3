//! Nodes like those of the host's, on our /dev, which alone is not nodev.

use super::{clone_tree, make_parents, volume};
use crate::step::MakeDevice;
use rustix::fd::AsFd;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::process::{Gid, Uid};
use std::ffi::CStr;

/// Where one is made that is to appear elsewhere.
const PASSING: &CStr = c"/dev/.device";

pub fn make_device(d: &MakeDevice) -> Result<()> {
    if d.below_dev {
        make_parents(&d.parents)?;
        return make(d, d.target);
    }
    make(d, PASSING)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = rustix::fs::open(PASSING, flags, Mode::empty())?;
    let place = volume::place(d.target, &d.parents, false)?;
    volume::attach(clone_tree(node.as_fd())?.as_fd(), &place, false)?;
    rustix::fs::unlink(PASSING)
}

fn make(d: &MakeDevice, path: &CStr) -> Result<()> {
    let (kind, mode) = (FileType::from_raw_mode(d.mode), Mode::from_raw_mode(d.mode & 0o7777));
    let make = || rustix::fs::mknodat(CWD, path, kind, mode, d.device);
    match make() {
        // A standard one, to be replaced.
        Err(Errno::EXIST) => {
            rustix::fs::unlink(path)?;
            make()?;
        }
        other => other?,
    }
    if d.owner == (0, 0) {
        return Ok(());
    }
    rustix::fs::chown(path, Some(Uid::from_raw(d.owner.0)), Some(Gid::from_raw(d.owner.1)))
}

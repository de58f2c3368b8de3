//! Owners, modes, extended attributes and times.

use super::{Power, Skipped};
use crate::archive::Entry;
use crate::archive::pack::travels;
use crate::tree::Result;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// What is kept of an entry until the end.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Option<(i64, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Nothing of the layers below is seen in this directory.
    pub opaque: bool,
}

/// A directory that no archive speaks of.
impl Default for Meta {
    fn default() -> Meta {
        Meta { mode: 0o755, uid: 0, gid: 0, mtime: None, xattrs: Vec::new(), opaque: false }
    }
}

impl Meta {
    pub fn of(entry: &Entry) -> Meta {
        Meta {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: Some(entry.mtime),
            xattrs: entry.xattrs.clone(),
            opaque: false,
        }
    }
}

/// Of an open file or directory. Owner first, which clears mode bits and capabilities.
pub fn set(fd: &impl AsFd, meta: &Meta, power: Power, skipped: &mut Skipped) -> Result<()> {
    let fd = fd.as_fd();
    if let Some((uid, gid)) = owner(meta.uid, meta.gid, power, skipped) {
        fs::fchown(fd, Some(uid), Some(gid))?;
    }
    for (name, value) in meta.xattrs.iter().filter(|(name, _)| travels(name)) {
        match fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
            // Not on this file system, or not for us to set.
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL) if power != Power::Root => {
                skipped.attributes += 1
            }
            Err(Errno::OPNOTSUPP) => skipped.attributes += 1,
            set => set?,
        }
    }
    if meta.opaque {
        if power == Power::Root {
            fs::fsetxattr(fd, c"trusted.overlay.opaque", b"y", XattrFlags::empty())?;
        }
        // What an overlay looks at that a user namespace mounts.
        match fs::fsetxattr(fd, c"user.overlay.opaque", b"y", XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) if power == Power::Root => {}
            set => set?,
        }
    }
    fs::fchmod(fd, Mode::from_raw_mode(meta.mode))?;
    match meta.mtime {
        Some(mtime) => fs::futimens(fd, &timestamps(mtime)),
        None => Ok(()),
    }
}

/// Of what cannot be opened: links, devices, fifos. A link's mode is nothing.
pub fn set_at(
    dir: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    link: bool,
    power: Power,
    skipped: &mut Skipped,
) -> Result<()> {
    if let Some((uid, gid)) = owner(entry.uid, entry.gid, power, skipped) {
        fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    for (key, value) in entry.xattrs.iter().filter(|(key, _)| travels(key)) {
        // There is no such call that takes a directory's descriptor.
        let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        if fs::lsetxattr(path.as_slice(), key.as_slice(), value, XattrFlags::empty()).is_err() {
            skipped.attributes += 1;
        }
    }
    if !link {
        fs::chmodat(dir, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    fs::utimensat(dir, name, &timestamps(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// None where the caller keeps it.
fn owner(uid: u32, gid: u32, power: Power, skipped: &mut Skipped) -> Option<(Uid, Gid)> {
    let owner = match power {
        Power::Root => (uid, gid),
        Power::Mapped(last) => {
            if uid > last || gid > last {
                skipped.owners += 1;
            }
            // What has no id in the range is root's.
            (if uid > last { 0 } else { uid }, if gid > last { 0 } else { gid })
        }
        Power::Single => {
            let own = rustix::process::geteuid().as_raw();
            if uid != 0 && uid != own {
                skipped.owners += 1;
            }
            return None;
        }
    };
    Some((Uid::from_raw(owner.0), Gid::from_raw(owner.1)))
}

fn timestamps((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    Timestamps { last_access: time, last_modification: time }
}

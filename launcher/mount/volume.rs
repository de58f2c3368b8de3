//! The user's mounts: a place in the image, held by a descriptor, and what goes there.
//! On the child's side of clone: nothing here allocates.

use super::{clone_tree, inside, make_directory, make_parents, remount};
use crate::step::{Bind, Mount, Provided, Volume};
use crate::sys;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use std::ffi::CStr;

/// Where something is mounted over, the image's links are the image's affair: they end inside
/// the new root. But what is hidden of /proc must not be hidden itself.
pub(super) fn place(target: &CStr, parents: &[&CStr], directory: bool) -> Result<OwnedFd> {
    let place = match inside::open(target, directory) {
        Err(Errno::NOENT) => {
            make_parents(parents)?;
            let make = if directory { inside::make_directory } else { inside::make_file };
            make(target)?;
            inside::open(target, directory)?
        }
        other => other?,
    };
    if rustix::fs::fstatfs(&place)?.f_type == rustix::fs::PROC_SUPER_MAGIC {
        return Err(Errno::XDEV);
    }
    Ok(place)
}

/// Where the room for a volume's upper layer is while it is mounted.
pub const ROOM: &str = "/dev/.volume";

/// A directory of the image below a layer of its own, which is in memory and has no name
/// when this is done.
pub fn own(v: &Volume) -> Result<()> {
    let lower = place(v.target, &v.parents, true)?;
    let stat = rustix::fs::fstat(&lower)?;
    let (room, upper, work) = (c"/dev/.volume", c"/dev/.volume/upper", c"/dev/.volume/work");
    make_directory(room, 0o700)?;
    let tmpfs = c"tmpfs";
    rustix::mount::mount(tmpfs, room, tmpfs, MountFlags::empty(), c"mode=700")?;
    make_directory(upper, 0o700)?;
    make_directory(work, 0o700)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match rustix::fs::chownat(CWD, upper, Some(uid), Some(gid), AtFlags::empty()) {
        // Nobody here: it stays root's.
        Err(Errno::INVAL) => {}
        other => other?,
    }
    rustix::fs::chmod(upper, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    // Wherever a link of the image has led to.
    rustix::process::fchdir(&lower)?;
    let overlay = c"overlay";
    rustix::mount::mount(overlay, c".", overlay, MountFlags::NODEV, v.data)?;
    rustix::mount::unmount(room, UnmountFlags::DETACH)?;
    rustix::fs::rmdir(room)?;
    rustix::process::chdir(c"/")
}

/// `source` is a descriptor of the host's file or directory, or of a mount that is nowhere yet.
pub fn bind(b: &Bind, source: BorrowedFd<'_>) -> Result<()> {
    let place = place(b.target, &b.parents, b.directory)?;
    if b.tree {
        return attach(source, &place, b.read_only);
    }
    let tree = match b.directory {
        true => {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_EMPTY_PATH
                | OpenTreeFlags::AT_RECURSIVE;
            rustix::mount::open_tree(source, c"", flags)
        }
        false => clone_tree(source),
    };
    match tree.and_then(|tree| attach(tree.as_fd(), &place, b.read_only)) {
        Err(e) if sys::is_unknown(e) => bind_by_name(b, source, &place),
        Err(Errno::INVAL) if !b.directory && is_directory(&place)? => Err(Errno::ISDIR),
        other => other,
    }
}

/// A file in place of the image's. A text is one of the container's own, in memory, that
/// has no other name.
pub fn provide(p: &Provided, slots: &[RawFd]) -> Result<()> {
    let done = match &p.text {
        None => bind(&p.bind, sys::borrow(slots[p.bind.slot])),
        Some(text) => {
            let name = c"/dev/.provided";
            let file = file_with(name, text)?;
            let done = bind(&p.bind, file.as_fd());
            rustix::fs::unlink(name)?;
            done
        }
    };
    match done {
        // The rootfs has no such file, and does not let us make one.
        Err(Errno::ROFS | Errno::ACCESS | Errno::NOTDIR | Errno::ISDIR | Errno::XDEV)
            if !p.must =>
        {
            Ok(())
        }
        other => other,
    }
}

fn file_with(name: &CStr, text: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(name, flags, Mode::from_raw_mode(0o644))?;
    let mut rest = text;
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&file, rest)?..];
    }
    Ok(file)
}

fn is_directory(place: &OwnedFd) -> Result<bool> {
    let mode = rustix::fs::fstat(place)?.st_mode;
    Ok(FileType::from_raw_mode(mode) == FileType::Directory)
}

/// Read-only before it is anywhere.
pub(super) fn attach(tree: BorrowedFd<'_>, place: &OwnedFd, read_only: bool) -> Result<()> {
    if read_only {
        match sys::mount_setattr_of(tree, true, sys::attr::RDONLY) {
            Err(e) if sys::is_unknown(e) => {}
            other => other?,
        }
    }
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", place, c"", empty)?;
    if read_only { all_read_only(tree) } else { Ok(()) }
}

/// Before Linux 5.2, by the names that /proc has for both.
fn bind_by_name(b: &Bind, source: BorrowedFd<'_>, place: &OwnedFd) -> Result<()> {
    let (from, to) = (sys::fd_path(source.as_raw_fd()), sys::fd_path(place.as_raw_fd()));
    rustix::mount::mount_bind_recursive(from.as_c_str()?, to.as_c_str()?)?;
    if !b.read_only {
        return Ok(());
    }
    // The name leads on top of the new mount, if it is still the same name.
    let top = rustix::fs::open(b.target, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let (a, b) = (rustix::fs::fstat(&top)?, rustix::fs::fstat(source)?);
    if (a.st_dev, a.st_ino) != (b.st_dev, b.st_ino) {
        return Err(Errno::STALE);
    }
    all_read_only(top.as_fd())
}

/// With all that is mounted below it, one by one before Linux 5.12.
fn all_read_only(mount: BorrowedFd<'_>) -> Result<()> {
    match sys::mount_setattr_of(mount, true, sys::attr::RDONLY) {
        Err(e) if sys::is_unknown(e) => {}
        other => return other,
    }
    let name = sys::fd_path(mount.as_raw_fd());
    remount(name.as_c_str()?, MountFlags::RDONLY)?;
    let mut path = [0u8; libc::PATH_MAX as usize];
    let most = path.len() - 1;
    rustix::fs::readlinkat_raw(CWD, name.as_c_str()?, &mut path[..most])?;
    let top = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::NAMETOOLONG)?;
    super::below::each(top, |mount| remount(mount, MountFlags::RDONLY))
}

/// A tmpfs of the user's.
pub fn tmpfs(m: &Mount) -> Result<()> {
    rustix::process::fchdir(place(m.target, &m.parents, true)?)?;
    let flags = MountFlags::from_bits_retain(m.flags);
    rustix::mount::mount(m.source, c".", m.fstype, flags, m.data)
}

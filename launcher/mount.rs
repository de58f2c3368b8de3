//! Mounting, inside: all paths are below the new root, or relative to a descriptor.
//! On the child's side of clone: nothing here allocates.

mod below;
mod device;
mod inside;
pub mod volume;

pub use device::make_device;

use crate::step::{Mount, Walk};
use crate::sys;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags};
use std::ffi::CStr;

/// open_tree(2): what lies at `place`, without what is mounted below it.
pub fn clone_tree(place: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(place, c"", flags)
}

pub fn attach_tree(tree: BorrowedFd<'_>, target: &CStr) -> Result<()> {
    make_directory(target, 0o755)?;
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", CWD, target, empty)
}

pub fn add(m: &Mount) -> Result<()> {
    let flags = MountFlags::from_bits_retain(m.flags);
    let mount_on = |target: &CStr| rustix::mount::mount(m.source, target, m.fstype, flags, m.data);
    match m.walk {
        Walk::Users => return volume::tmpfs(m),
        Walk::Exact => {
            stand_in(m.target, m.mode)?;
            return mount_on(c".");
        }
        Walk::New => make_directory(m.target, m.mode)?,
        // Where the image has a link it must lead inside.
        Walk::Inside if is_link(m.target) => return volume::tmpfs(m),
        Walk::Inside => {}
    }
    let mount = || mount_on(m.target);
    match mount() {
        Err(Errno::NOENT) => {
            make_directory(m.target, m.mode)?;
            mount()
        }
        other => other,
    }
}

/// The root of the procfs at `target`, held: by its name somebody who can rename directories
/// of the image could have others protected in its place.
pub fn proc_root(target: &CStr) -> Result<OwnedFd> {
    // PROC_ROOT_INO
    const ROOT: u64 = 1;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(target, flags, Mode::empty())?;
    let is_proc = rustix::fs::fstatfs(&fd)?.f_type == rustix::fs::PROC_SUPER_MAGIC;
    if is_proc && rustix::fs::fstat(&fd)?.st_ino == ROOT { Ok(fd) } else { Err(Errno::STALE) }
}

/// In the directory itself, which no link can stand for, and which is made where it is missing.
fn stand_in(target: &CStr, mode: u32) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::open(target, flags, Mode::empty());
    let place = match open() {
        Err(Errno::NOENT) => {
            make_directory(target, mode)?;
            open()?
        }
        other => other?,
    };
    rustix::process::fchdir(&place)
}

pub fn make_node(path: &CStr, mode: u32, major: u32, minor: u32) -> Result<()> {
    let kind = rustix::fs::FileType::CharacterDevice;
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(mode), device)
}

/// Another container of the same rootfs may be making it at this moment.
fn make_directory(path: &CStr, mode: u32) -> Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e),
    }
}

fn is_link(path: &CStr) -> bool {
    rustix::fs::readlinkat_raw(CWD, path, &mut [std::mem::MaybeUninit::uninit()][..]).is_ok()
}

fn make_parents(parents: &[&CStr]) -> Result<()> {
    parents.iter().try_for_each(|parent| inside::make_directory(parent))
}

/// A directory and all those above it, as far as they are missing.
pub fn directories(path: &CStr, parents: &[&CStr]) -> Result<()> {
    make_parents(parents)?;
    inside::make_directory(path)
}

/// A path over itself, read-only.
pub fn protect(path: &CStr) -> Result<()> {
    rustix::mount::mount_bind(path, path)?;
    attributes(path, sys::attr::RDONLY)
}

/// Adds to the attributes of one mount.
pub fn attributes(target: &CStr, add: u64) -> Result<()> {
    match sys::mount_setattr(target, add) {
        Err(e) if sys::is_unknown(e) => {
            let mut flags = MountFlags::empty();
            flags.set(MountFlags::NODEV, add & sys::attr::NODEV != 0);
            flags.set(MountFlags::RDONLY, add & sys::attr::RDONLY != 0);
            remount(target, flags)
        }
        other => other,
    }
}

/// A bind remount replaces all flags, and a user namespace may not clear one: repeat them.
fn remount(target: &CStr, add: MountFlags) -> Result<()> {
    let now = rustix::fs::statvfs(target)?.f_flag.bits() as u32;
    let keep = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    let flags = MountFlags::BIND | add | (MountFlags::from_bits_retain(now) & keep);
    rustix::mount::mount_remount(target, flags, c"")
}

pub fn scratch(at: &CStr, dirs: &[(&CStr, u32)]) -> Result<()> {
    rustix::mount::mount(c"tmpfs", at, c"tmpfs", MountFlags::empty(), c"mode=700")?;
    dirs.iter().try_for_each(|(dir, mode)| rustix::fs::mkdir(*dir, Mode::from_raw_mode(*mode)))
}

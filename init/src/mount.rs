//! Mounts what is missing of the common table. What fails is left out silently: in
//! most containers all of it is there and nothing of it is permitted.

use crate::sys;
use crate::table::{DEVPTS_DATA, DEVPTS_DATA_NOGID, LINKS, MOUNTS, Mount, NODES};

/// How much of the file system tree is ours to make.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The kernel's process 1: everything, with the kernel's own /dev.
    Machine,
    /// A bare tree: everything.
    Tree,
    /// An engine has set up the tree: nothing that could hide files.
    Gaps,
}

pub fn missing(machine: bool) {
    let engine = is_mounted(c"/proc");
    let extent = if machine {
        Extent::Machine
    } else if engine {
        Extent::Gaps
    } else {
        Extent::Tree
    };
    for entry in MOUNTS {
        if is_mounted(entry.target) || (extent == Extent::Gaps && hides_files(entry)) {
            continue;
        }
        sys::mkdir(entry.target, entry.mode);
        mount(entry, extent);
    }
    if extent != Extent::Gaps && !is_mounted(c"/sys/fs/cgroup") {
        sys::mount(
            c"cgroup2",
            c"/sys/fs/cgroup",
            c"cgroup2",
            crate::table::MS_NOSUID | crate::table::MS_NODEV | crate::table::MS_NOEXEC,
            c"",
        );
    }
}

fn is_mounted(path: &core::ffi::CStr) -> bool {
    sys::stat(libc::AT_FDCWD, path).is_some_and(|s| s.mount_root)
}

/// An engine's tree may have its own files where the table would put an empty one.
fn hides_files(entry: &Mount) -> bool {
    match entry.target.to_bytes() {
        b"/run" | b"/tmp" => true,
        b"/dev" => sys::stat(libc::AT_FDCWD, c"/dev/null").is_some(),
        _ => false,
    }
}

fn mount(entry: &Mount, extent: Extent) {
    let is_dev = entry.target == c"/dev";
    let fstype = if is_dev && extent == Extent::Machine { c"devtmpfs" } else { entry.fstype };
    let data = if fstype == c"devtmpfs" { c"mode=755" } else { entry.data };
    let error = sys::mount(entry.source, entry.target, fstype, entry.flags, data);
    if error == -libc::EINVAL as isize && entry.data == DEVPTS_DATA {
        sys::mount(entry.source, entry.target, fstype, entry.flags, DEVPTS_DATA_NOGID);
    }
    if is_dev && error == 0 && !populate_dev(extent) {
        // Without the right to make devices the tree's own /dev, even if it is empty, is better.
        sys::umount(entry.target, libc::MNT_DETACH);
    }
}

fn populate_dev(extent: Extent) -> bool {
    for node in NODES {
        if extent != Extent::Machine && sys::mknod(node.path, node.mode, node.major, node.minor) < 0
        {
            return false;
        }
        // The mode given to mknod lost what umask takes away.
        sys::chmod(node.path, node.mode);
    }
    for link in LINKS {
        sys::symlink(link.target, link.path);
    }
    true
}

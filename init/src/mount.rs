//! Mounts what is missing of the common table. What fails is left out silently: in
//! most containers all of it is there and nothing of it is permitted.

use crate::sys::{self, Str, Strings, z};
use crate::table;
use crate::text::whole_number;

/// How much of the file system tree is ours to make.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// The kernel's process 1: everything, with the kernel's own /dev.
    Machine,
    /// A bare tree: everything.
    Tree,
    /// An engine has set up the tree: nothing that could hide files.
    Gaps,
}

pub fn missing(machine: bool) {
    let mut extent = Extent::Tree;
    if is_mounted(z(c"/proc")) {
        extent = Extent::Gaps;
    }
    if machine {
        extent = Extent::Machine;
    }
    let mut table = Strings::new(table::MOUNT_STRINGS);
    while let Some(target) = table.next() {
        let (source, fstype, flags, data) =
            (table.must(), table.must(), table.must(), table.must());
        mount(extent, target, source, fstype, whole_number(flags).unwrap_or(0), data);
    }
    if extent != Extent::Gaps {
        let cgroup = z(c"cgroup2");
        mount(extent, z(c"/sys/fs/cgroup"), cgroup, cgroup, 14, Str::EMPTY);
    }
}

fn is_mounted(path: Str) -> bool {
    sys::stat(path).is_some_and(|s| s.mount_root)
}

#[inline(never)]
fn mount(extent: Extent, target: Str, source: Str, fstype: Str, flags: u32, data: Str) {
    let (mut fstype, mut data) = (fstype, data);
    let dev = target.is(z(c"/dev"));
    // An engine's tree may have its own files where the table would put an empty one.
    let hides = target.is(z(c"/run"))
        || target.is(z(c"/tmp"))
        || dev && sys::stat(z(c"/dev/null")).is_some();
    if is_mounted(target) || extent == Extent::Gaps && hides {
        return;
    }
    if dev && extent == Extent::Machine {
        (fstype, data) = (z(c"devtmpfs"), Str::EMPTY);
    }
    sys::mkdir(target, 0o755);
    let mut error = sys::mount(source, target, fstype, flags, data);
    if error == -libc::EINVAL as isize {
        error = sys::mount(source, target, fstype, flags, z(table::DEVPTS_DATA_NOGID));
    }
    if dev && error == 0 && !populate_dev(extent) {
        // Without the right to make devices the tree's own /dev, even if it is empty, is better.
        sys::umount(target, libc::MNT_DETACH);
    }
}

fn populate_dev(extent: Extent) -> bool {
    let mut nodes = Strings::new(table::NODE_STRINGS);
    while let Some(path) = nodes.next() {
        let (major, minor) = (whole_number(nodes.must()), whole_number(nodes.must()));
        // The kernel's own /dev has them.
        if extent != Extent::Machine && sys::mknod(path, major.unwrap_or(0), minor.unwrap_or(0)) < 0
        {
            return false;
        }
        // The mode given to mknod lost what umask takes away.
        sys::chmod(path, 0o666);
    }
    let mut links = Strings::new(table::LINK_STRINGS);
    while let Some(path) = links.next() {
        sys::symlink(links.must(), path);
    }
    true
}

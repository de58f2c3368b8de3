//! Mounts what is missing of the common table. What fails is left out silently: in
//! most containers all of it is there and nothing of it is permitted.

use crate::sys::{self, Str, Strings, z};
use crate::table;
use crate::text::{place, value};

/// `machine`: we are the kernel's process 1, whose /dev the kernel fills itself.
pub fn missing(machine: bool) {
    // Where an engine has set up the tree, only gaps are filled.
    let gaps = !machine && is_mounted(z(c"/proc"));
    let mut table = Strings::new(table::MOUNT_STRINGS);
    loop {
        let target = table.next();
        if target.is_empty() {
            return;
        }
        let (source, mut fstype) = (table.next(), table.next());
        let (flags, mut data) = (value(table.next()), table.next());
        let dev = target.is(z(c"/dev"));
        // An engine's tree may have its own files where the table would put an empty one.
        let hides = dev && sys::exists(z(c"/dev/null"))
            || place(z(c"/run /tmp /sys/fs/cgroup"), target) != 0;
        if is_mounted(target) || gaps && hides {
            continue;
        }
        if dev && machine {
            (fstype, data) = (z(c"devtmpfs"), Str::EMPTY);
        }
        sys::mkdir(target);
        let mut error = sys::mount(source, target, fstype, flags, data);
        if error == -libc::EINVAL as isize {
            error = sys::mount(source, target, fstype, flags, z(table::DEVPTS_DATA_NOGID));
        }
        if dev && error == 0 && !populate_dev(machine) {
            // Without the right to make devices the tree's own /dev, even if it is empty, is better.
            sys::umount(target, libc::MNT_DETACH);
        }
    }
}

#[inline(always)]
fn is_mounted(path: Str) -> bool {
    sys::stat(path).mount_root
}

/// Makes what belongs below the /dev just mounted.
fn populate_dev(machine: bool) -> bool {
    let dev = sys::open(z(c"/dev"), libc::O_PATH);
    let mut nodes = Strings::new(table::NODE_STRINGS);
    loop {
        let name = nodes.next();
        if name.is_empty() {
            break;
        }
        let device = value(nodes.next());
        // The kernel's own /dev has them.
        if !machine && sys::mknod(dev, name, device) < 0 {
            return false;
        }
        // The mode given to mknod lost what umask takes away.
        sys::chmod(dev, name, 0o666);
    }
    let mut links = Strings::new(table::LINK_STRINGS);
    loop {
        let name = links.next();
        if name.is_empty() {
            break;
        }
        sys::symlink(links.next(), dev, name);
    }
    sys::close(dev as i32);
    true
}

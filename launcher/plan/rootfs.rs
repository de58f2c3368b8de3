//! The root file system as it is found: there, a directory, and fit to be one.

use crate::error::{Error, Result};
use crate::spec::Spec;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};
use std::path::Path;

/// The root file system, opened once for all that is looked up in it.
pub fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| {
        let shown = path.display();
        match std::fs::read_link(path) {
            Ok(target) if e == rustix::io::Errno::NOENT => {
                Error::os(format!("rootfs {shown}: symlink to {}", target.display()), e)
            }
            _ if e == rustix::io::Errno::NOENT => Error::os(format!("rootfs {shown}"), e)
                .hint("ROOTFS is a directory on this machine; images are not fetched"),
            _ => Error::os(format!("rootfs {shown}"), e),
        }
    })
}

/// The host's own root, by whatever name.
pub fn is_hosts(rootfs: &OwnedFd) -> bool {
    match (rustix::fs::fstat(rootfs), rustix::fs::stat("/")) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

/// The host's root is not for writing. /proc, /sys and /dev must be ordinary directories: an image that makes them links
/// wants something mounted, or written, elsewhere.
pub fn check(spec: &Spec, rootfs: &OwnedFd, host_root: bool) -> Result<()> {
    if host_root && !spec.ephemeral && !spec.read_only {
        return Err(Error::new(format!(
            "rootfs {}: refusing to use the host's own root writable",
            spec.rootfs.display()
        ))
        .hint("add --ephemeral (changes vanish with the container) or --read-only"));
    }
    for name in ["proc", "sys", "dev"] {
        let Ok(s) = rustix::fs::statat(rootfs, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let kind = match FileType::from_raw_mode(s.st_mode) {
            FileType::Directory => continue,
            FileType::Symlink => "a symlink",
            _ => "not a directory",
        };
        let shown = spec.rootfs.display();
        return Err(Error::new(format!("rootfs {shown}: /{name} is {kind}"))
            .hint(format!("/{name} must be an ordinary directory, or absent")));
    }
    Ok(())
}

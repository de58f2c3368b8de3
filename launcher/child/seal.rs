//! The init as a file that nobody can change. On the child's side of clone: nothing here
//! allocates.

use crate::sys;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::{Errno, Result};

/// A memfd that nothing can change any more: what runs as /proc/1/exe is no file of the host.
pub fn seal(image: &[u8]) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match rustix::fs::memfd_create(c"init", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(c"init", flags)?,
        Err(e) if sys::is_unknown(e) => return nameless(image),
        other => other?,
    };
    write_all(&fd, image)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&fd, seals)?;
    Ok(fd)
}

/// Without memfds: a file of the container's own memory, without a name, and open for
/// reading only.
fn nameless(image: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = rustix::fs::open(c"/run", flags, Mode::RWXU | Mode::RGRP | Mode::XGRP)?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))?;
    write_all(&fd, image)?;
    let path = sys::fd_path(fd.as_raw_fd());
    rustix::fs::open(path.as_c_str()?, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn write_all(fd: &OwnedFd, mut rest: &[u8]) -> Result<()> {
    while !rest.is_empty() {
        let n = rustix::io::write(fd, rest)?;
        rest = &rest[n..];
    }
    Ok(())
}

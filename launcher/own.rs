//! launch's own file, which no container is to write. Whoever enters one by execve(2), and not
//! by init, runs this file up to then, and /proc/self/exe is a name for it: a script of the
//! image's with that as its interpreter, or a process there that may trace, would have it
//! (CVE-2019-5736). So launch begins again as what cannot be written.

use crate::error::{Error, Result};
use crate::{child, mount, sys};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;

const FILE: &std::ffi::CStr = c"/proc/self/exe";

/// Returns where this process's file is one that its user, and so a container's, cannot write.
pub fn be_unwritable() -> Result<()> {
    let failed = |e: Errno| Error::os("begin again as a file that cannot be written", e);
    let again = sys::runs_from_descriptor();
    if is_unwritable().map_err(failed)? {
        if again {
            // It would be the descriptor's number.
            let _ = rustix::thread::set_name(c"launch");
        }
        return Ok(());
    }
    if again {
        return Err(failed(Errno::TXTBSY));
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(FILE, flags, Mode::empty()).map_err(failed)?;
    let file = match read_only(&file) {
        Ok(mount) => mount,
        // Before Linux 5.12, or without the right to mount.
        Err(_) => copy(file).map_err(failed)?,
    };
    Err(failed(sys::begin_again(file.as_fd())))
}

/// A file without a name is nobody's program.
fn is_unwritable() -> rustix::io::Result<bool> {
    let written = rustix::fs::access(FILE, Access::WRITE_OK);
    if written == Err(Errno::ROFS) {
        return Ok(true);
    }
    let stat = rustix::fs::stat(FILE)?;
    // Its owner could change its mode.
    Ok(stat.st_nlink == 0 || written == Err(Errno::ACCESS) && stat.st_uid != own_id())
}

fn own_id() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The same file in a mount of its own that nobody can find.
fn read_only(file: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let mount = mount::clone_tree(file.as_fd())?;
    sys::mount_setattr_of(mount.as_fd(), false, sys::attr::RDONLY)?;
    Ok(mount)
}

fn copy(file: OwnedFd) -> rustix::io::Result<OwnedFd> {
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(file), &mut text)
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    child::seal::seal(&text)
}

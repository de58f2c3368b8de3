//! A squashfs or erofs image as a mount of its own, which is nowhere yet, and gone with all
//! it needs when its descriptor is.

use crate::error::{Error, Result};
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::ffi::CStr;

/// Others may take the device that was free a moment ago.
const TRIES: u32 = 100;

pub fn mount(file: &OwnedFd, fstype: &CStr, shown: &str) -> Result<OwnedFd> {
    let kind = fstype.to_string_lossy();
    whole(file, fstype, shown)?;
    let (device, path) = attach(file).map_err(|(what, e)| {
        let error = Error::os(format!("{shown}: {what}"), e);
        match e {
            Errno::ACCESS | Errno::PERM => error.hint("only root may mount a file system image; unsquashfs or fsck.erofs --extract unpacks it"),
            Errno::NOENT | Errno::NODEV | Errno::NXIO => error.hint("this needs loop devices (modprobe loop)"),
            Errno::INVAL | Errno::NOTTY => error.hint("this needs Linux 5.8"),
            _ => error,
        }
    })?;
    let mounted = fsmount(fstype, &path);
    drop(device);
    mounted.map_err(|e| {
        let error = Error::os(format!("{shown}: mount it as {kind}"), e);
        match e {
            Errno::NODEV => error.hint(format!("this kernel has no {kind} (modprobe {kind})")),
            Errno::INVAL | Errno::IO | Errno::UCLEAN | Errno::BADMSG => {
                error.hint("the image is damaged, or newer than the kernel")
            }
            _ => error,
        }
    })
}

/// The kernel asks a squashfs how large it is, but no erofs (struct erofs_super_block).
fn whole(file: &OwnedFd, fstype: &CStr, shown: &str) -> Result<()> {
    let mut head = [0; 40];
    let read = rustix::io::pread(file, &mut head, 1024);
    let size = rustix::fs::fstat(file).map_or(0, |stat| stat.st_size as u64);
    let blocks = u64::from(u32::from_le_bytes([head[36], head[37], head[38], head[39]]));
    let wanted = blocks << (head[12] & 31);
    if fstype == c"erofs" && read == Ok(head.len()) && size < wanted {
        let said = format!("{shown}: cut off: it has {size} bytes, its header says {wanted}");
        return Err(Error::new(said));
    }
    Ok(())
}

fn attach(file: &OwnedFd) -> std::result::Result<(OwnedFd, String), (String, Errno)> {
    let open = |path: &str, flags: OFlags| {
        let fd = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
        fd.map_err(|e| (format!("open {path}"), e))
    };
    let control = open("/dev/loop-control", OFlags::RDWR)?;
    for _ in 0..TRIES {
        let number = sys::loop_free(control.as_fd());
        let number = number.map_err(|e| ("find a free loop device".to_owned(), e))?;
        let path = format!("/dev/loop{number}");
        let device = open(&path, OFlags::RDONLY)?;
        match sys::loop_configure(device.as_fd(), file.as_fd()) {
            Err(Errno::BUSY) => {}
            Err(e) => return Err((format!("show it as {path}"), e)),
            Ok(()) => return Ok((device, path)),
        }
    }
    Err(("find a free loop device".into(), Errno::BUSY))
}

fn fsmount(fstype: &CStr, device: &str) -> rustix::io::Result<OwnedFd> {
    let fs = rustix::mount::fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_flag(fs.as_fd(), "ro")?;
    rustix::mount::fsconfig_set_string(fs.as_fd(), "source", device)?;
    rustix::mount::fsconfig_create(fs.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    rustix::mount::fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

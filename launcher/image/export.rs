//! `launch export`: what a container would see at its start, as one archive.

use crate::archive::pack::{self, Failure, Owners, Style};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::image::blobs::Layout;
use crate::image::{self, Found, Wishes, owner};
use crate::sys::ns;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `rootfs` is a directory, an archive, a name; on top of it may be what `--keep` has kept.
pub fn export(
    rootfs: &Path,
    keep: Option<&Path>,
    out: OwnedFd,
    host: &Host,
    wishes: &Wishes,
) -> Result<()> {
    let lowers = lowers(rootfs, keep, host, wishes)?;
    let ids = owner::ids(host)?;
    let single = matches!(owner::power(ids.as_ref()), crate::unpack::Power::Single);
    let owners = if single { Owners::CallerIsRoot } else { Owners::AsTheyAre };
    let style = Style { owners, layer: false };
    let userns = ids.is_some();
    let one = lowers.len() == 1;
    // In a user namespace of one's own there is no directory that forbids to look in.
    let namespaces = if one && ids.is_none() { 0 } else { ns::NEWNS };
    owner::work(ids.as_ref(), namespaces, || {
        let root = if one { open(&lowers[0])? } else { merged(&lowers, userns)? };
        let out = std::io::BufWriter::with_capacity(256 << 10, File::from(out));
        let written = pack::pack(root.as_fd(), out, style);
        written.map(|_| String::new()).map_err(|f| failed("export", rootfs, &f))
    })
    .map(drop)
}

/// To a file, or to standard output.
pub fn to_file(rootfs: &Path, keep: Option<&Path>, file: Option<&Path>, host: &Host) -> Result<()> {
    let wishes = Wishes::default();
    let Some(file) = file.filter(|f| *f != Path::new("-")) else {
        let out = rustix::io::dup(rustix::stdio::stdout());
        let out = out.map_err(|e| Error::os("write standard output", e))?;
        return export(rootfs, keep, out, host, &wishes);
    };
    whole(file, |out| export(rootfs, keep, out, host, &wishes))
}

/// A file that gets its name when it is whole. What is there and no file (a device, a fifo, a
/// link such as /dev/stdout) is not replaced, but written to.
pub fn whole<T>(file: &Path, write: impl FnOnce(OwnedFd) -> Result<T>) -> Result<T> {
    let failed = |e| Error::os(format!("write {}", file.display()), e);
    let kind = rustix::fs::lstat(file).map(|s| FileType::from_raw_mode(s.st_mode));
    if kind.is_ok_and(|kind| kind != FileType::RegularFile) {
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOCTTY | OFlags::CLOEXEC;
        return write(rustix::fs::open(file, flags, Mode::empty()).map_err(failed)?);
    }
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let out = rustix::fs::open(&new, crate::tree::NEW_FILE, Mode::from_raw_mode(0o644));
    let written = write(out.map_err(failed)?);
    let written =
        written.and_then(|done| rustix::fs::rename(&new, file).map(|()| done).map_err(failed));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

pub fn failed(what: &str, shown: &Path, f: &Failure) -> Error {
    let at = OsStr::from_bytes(&f.path).display();
    Error::os(format!("{what} {}, at {at}", shown.display()), f.errno)
}

/// Directories, the topmost one first.
fn lowers(
    rootfs: &Path,
    keep: Option<&Path>,
    host: &Host,
    wishes: &Wishes,
) -> Result<Vec<PathBuf>> {
    let mut out: Vec<PathBuf> = keep.iter().map(|dir| dir.join("upper")).collect();
    let directory = open(rootfs).ok();
    let record = if directory.is_some_and(|dir| Layout::of(dir).is_none()) {
        out.push(rootfs.to_owned());
        return Ok(out);
    } else if rootfs.exists() || rootfs == Path::new("-") {
        let mut progress = |done, total| (host.progress)(done, total);
        match image::open(rootfs, host, wishes, &mut progress)?.found {
            Found::Image(record) => *record,
            Found::Disk { .. } => {
                let said = format!("export {}: a file system image", rootfs.display());
                return Err(Error::new(said).hint("unsquashfs and its like read it"));
            }
        }
    } else {
        let named = image::by_name(&rootfs.to_string_lossy())?;
        named.ok_or_else(|| {
            Error::os(format!("export {}", rootfs.display()), rustix::io::Errno::NOENT)
                .hint("a directory, an archive, or an image that 'launch images' lists")
        })?
    };
    let (_, dir) = image::directories(&record)?;
    out.extend(record.layers.iter().rev().map(|id| dir.join(id).join("fs")));
    Ok(out)
}

pub fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(path, flags, Mode::empty());
    dir.map_err(|e| Error::os(format!("open {}", path.display()), e))
}

/// The kernel's own view, read-only, in a mount namespace that ends with this process.
pub fn merged(lowers: &[PathBuf], userns: bool) -> Result<OwnedFd> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |e| Error::os(what, e)
    };
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private).map_err(failed("keep mounts private"))?;
    let paths = lowers.iter().map(|p| {
        std::fs::canonicalize(p).map_err(|e| Error::os(format!("open {}", p.display()), e))
    });
    let paths = paths.collect::<Result<Vec<_>>>()?;
    let at = crate::layers::scratch_beside(&paths)?;
    let escaped: Vec<Vec<u8>> =
        paths.iter().map(|p| crate::layers::escaped(p.as_os_str().as_bytes())).collect();
    let xattr: &[u8] = if userns { b",userxattr" } else { b"" };
    let data = [b"lowerdir=", escaped.join(&b':').as_slice(), xattr].concat();
    let data = CString::new(data).map_err(|_| Error::new("a NUL byte in a path"))?;
    rustix::mount::mount(c"overlay", at, c"overlay", MountFlags::RDONLY, data.as_c_str())
        .map_err(failed("put the layers together"))?;
    open(Path::new(at))
}

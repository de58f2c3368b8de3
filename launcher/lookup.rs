//! The payload's program in the rootfs, looked up before anything is made, so that the
//! commonest mistakes are told at once and in words.

use crate::beneath::open_in_root;
use crate::error::{Code, Error, Result};
use crate::quote::plain;
use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// PATH of the container's environment, as a list.
pub fn search_path(env: &[CString]) -> Vec<PathBuf> {
    let path = env.iter().rev().find_map(|e| e.as_bytes().strip_prefix(b"PATH="));
    let path = path.unwrap_or_default();
    path.split(|b| *b == b':').map(|d| Path::new(OsStr::from_bytes(d)).to_owned()).collect()
}

/// Absolute names to try, in order. An error where the rootfs certainly has no such
/// program; where volumes or layers are put together only the container itself can know, and
/// `root` is not the whole of it.
pub fn command(
    root: BorrowedFd<'_>,
    name: &OsStr,
    search: &[PathBuf],
    workdir: &Path,
    whole: bool,
) -> Result<Vec<CString>> {
    if name.is_empty() {
        return Err(Error::new("the command is an empty string"));
    }
    let direct = name.as_bytes().contains(&b'/');
    let places: Vec<PathBuf> = if direct {
        vec![Path::new("/").join(workdir).join(name)]
    } else {
        search.iter().map(|dir| Path::new("/").join(workdir).join(dir).join(name)).collect()
    };
    if whole {
        first_usable(root, name, &places, search, direct)?;
    }
    places
        .iter()
        .map(|p| CString::new(p.as_os_str().as_bytes()))
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| Error::new("the command contains a NUL byte"))
}

/// Walks like execvp(3): not found goes on, not executable is remembered.
fn first_usable(
    root: BorrowedFd<'_>,
    name: &OsStr,
    places: &[PathBuf],
    search: &[PathBuf],
    direct: bool,
) -> Result<()> {
    let (mut refused, mut dangling) = (None, None);
    for place in places {
        match examine(root, place) {
            Ok(()) => return Ok(()),
            Err(Verdict::Absent) => {}
            Err(Verdict::Refused(why)) => refused = refused.or(Some((place, why))),
            Err(Verdict::Dangling(target)) => dangling = dangling.or(Some((place, target))),
            // Cannot tell from outside (a link into /proc, no permission): let exec decide.
            Err(Verdict::Unknown) => return Ok(()),
        }
    }
    if let Some((place, why)) = refused {
        return Err(Error::new(format!("{}: {why}", plain(place))).code(Code::CannotExecute));
    }
    if let Some((place, target)) = dangling {
        let place = plain(place);
        return Err(Error::new(format!(
            "{place}: symlink to {target}, which is not in the rootfs"
        ))
        .code(Code::NotFound));
    }
    let shown = plain(name);
    let missing = if direct {
        Error::new(format!("{shown}: not found in the rootfs"))
    } else {
        let list: Vec<OsString> = search.iter().map(|p| p.clone().into_os_string()).collect();
        let list = list.join(OsStr::new(":"));
        Error::new(format!("{shown}: not found in the rootfs (PATH {})", plain(list)))
    };
    let on_host = places.iter().find(|p| p.is_file());
    Err(match on_host {
        Some(p) => missing.hint(format!(
            "{0} exists on the host only; copy it into the rootfs or add -v {0}:{0}:ro",
            plain(p)
        )),
        None => missing,
    }
    .code(Code::NotFound))
}

enum Verdict {
    Absent,
    Refused(String),
    Dangling(String),
    Unknown,
}

fn examine(root: BorrowedFd<'_>, place: &Path) -> std::result::Result<(), Verdict> {
    let fd = match open_in_root(root, place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(link_target(root, place)),
        Err(Errno::LOOP) => return Err(Verdict::Refused("too many symbolic links (ELOOP)".into())),
        Err(_) => return Err(Verdict::Unknown),
    };
    let stat = rustix::fs::fstat(&fd).map_err(|_| Verdict::Unknown)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Err(Verdict::Refused("is a directory".into())),
        FileType::RegularFile if stat.st_mode & 0o111 == 0 => {
            let mode = stat.st_mode & 0o7777;
            Err(Verdict::Refused(format!("not executable (mode {mode:04o})")))
        }
        FileType::RegularFile => Ok(()),
        _ => Err(Verdict::Refused("not a regular file".into())),
    }
}

/// A symbolic link that leads nowhere is there, and yet not: name its target, unless it
/// leads to what is only mounted later.
fn link_target(root: BorrowedFd<'_>, place: &Path) -> Verdict {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(link) = open_in_root(root, place, flags, Mode::empty()) else {
        return Verdict::Absent;
    };
    let Ok(target) = rustix::fs::readlinkat(&link, c"", Vec::new()) else {
        return Verdict::Absent;
    };
    let target = target.as_bytes();
    if ["/proc/", "/dev/", "/sys/", "/run/", "/tmp/"]
        .iter()
        .any(|p| target.starts_with(p.as_bytes()))
    {
        return Verdict::Unknown;
    }
    Verdict::Dangling(plain(OsStr::from_bytes(target)))
}

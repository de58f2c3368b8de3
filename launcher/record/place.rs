//! The directory of this user's records.

use crate::error::{Error, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where records of this user may be: the first usable one is written to, all are read. Who and
/// where we are does not change.
pub fn places() -> &'static [PathBuf] {
    static PLACES: OnceLock<Vec<PathBuf>> = OnceLock::new();
    PLACES.get_or_init(look_around)
}

fn look_around() -> Vec<PathBuf> {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        let writable = |path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
        let mut all = vec!["/run/launch".into()];
        if !writable("/run/launch") && !writable("/run") {
            // Only then, for anybody may have made it: root of a user namespace, a read-only /run.
            all.push("/tmp/launch-0".into());
        }
        return all;
    }
    places_of(uid.as_raw(), std::env::var_os("XDG_RUNTIME_DIR").as_deref())
}

pub(super) fn places_of(uid: u32, runtime: Option<&OsStr>) -> Vec<PathBuf> {
    let runtime = runtime.map(Path::new).filter(|p| p.is_absolute()).map(|p| p.join("launch"));
    runtime.into_iter().chain([format!("/tmp/launch-{uid}").into()]).collect()
}

/// Why one that is there is not read.
pub fn refused() -> Option<String> {
    let there = places().iter().filter(|path| rustix::fs::lstat(*path).is_ok());
    there.filter_map(|path| open(path, false).err()).map(|e| e.to_string()).next()
}

/// Where something is called so, whatever it is.
pub fn holding(id: &str) -> Option<PathBuf> {
    let mut paths = places().iter().map(|place| place.join(id));
    paths.find(|path| rustix::fs::lstat(path).is_ok())
}

/// The directory, if nobody else can have put anything into it.
pub fn open(path: &Path, make: bool) -> Result<OwnedFd> {
    let shown = path.display();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::open(path, flags, Mode::empty());
    let dir = match open() {
        Err(Errno::NOENT) if make => {
            match rustix::fs::mkdir(path, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => {
                    return Err(Error::os(format!("make {shown} for the container's record"), e)
                        .hint("launch notes there what it makes, to clear it up after a crash"));
                }
            }
            open()
        }
        done => done,
    };
    let dir = dir.map_err(|e| {
        let error = Error::os(format!("open {shown} for records"), e);
        match e {
            Errno::NOTDIR | Errno::LOOP => error.hint("it must be a directory, not a link to one"),
            _ => error,
        }
    })?;
    let stat = rustix::fs::fstat(&dir).map_err(|e| Error::os(format!("stat {shown}"), e))?;
    let (owner, mode) = (stat.st_uid, stat.st_mode & 0o777);
    if owner != rustix::process::geteuid().as_raw() || mode & 0o022 != 0 {
        return Err(Error::new(format!(
            "{shown}: owned by user {owner}, mode {mode:04o}: others could forge records in it"
        ))
        .hint(format!("remove {shown}")));
    }
    Ok(dir)
}

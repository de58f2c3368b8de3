//! What a start is about to make, by name, on disk before it is made: after a SIGKILL at
//! any point the next start finds the record and clears the rest.
//!
//! One file per container in a directory of this user's. A lock (flock) on it is the
//! proof of life; the kernel drops it however the launcher ends.

use crate::cgroup;
use crate::error::{Error, Result};
use crate::idmap::{Ids, taken};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::mem::MaybeUninit;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// One thing a record names. A line of the file each: `KIND PARENT DETAILS`, with the inode
/// of the directory that holds it: in another cgroup namespace, which may share
/// our directory of records, the same path is another cgroup.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordItem {
    /// A cgroup directory of `Cgroups::dirs`, to be emptied and removed.
    Cgroup(PathBuf),
    /// An undo of `cgroup::Write`: a controller to be switched off again (`-memory`).
    Subtree { file: PathBuf, value: String },
    /// Users or groups of the host that are the container's while it lives.
    Ids { users: bool, ids: Ids },
}

/// What has to be recorded for a plan's cgroups.
pub fn items_of(groups: &cgroup::Cgroups) -> Vec<RecordItem> {
    let undo = groups.writes.iter().filter_map(|w| w.undo.clone());
    let subtree = |(file, value): (PathBuf, String)| {
        file.ends_with("cgroup.subtree_control").then_some(RecordItem::Subtree { file, value })
    };
    groups.dirs.iter().cloned().map(RecordItem::Cgroup).chain(undo.filter_map(subtree)).collect()
}

/// A record that exists and is locked by this process.
#[derive(Debug)]
pub struct Record {
    dir: OwnedFd,
    /// Holds the lock.
    _file: OwnedFd,
    id: String,
    path: PathBuf,
}

/// Longer records than this are not read: nothing writes them.
pub const RECORD_MAX: usize = 64 << 10;

/// Eight hexadecimal digits from the kernel's random numbers.
pub fn new_id() -> String {
    // The standard library seeds its hash tables with getrandom(2).
    format!("{:08x}", RandomState::new().hash_one(0u8) as u32)
}

/// Writes and locks the record of container `id`. Errors: the directory cannot be made, is
/// not ours alone, is full or read-only; `id` is in use.
pub fn create(id: &str, items: &[RecordItem]) -> Result<Record> {
    let mut last = None;
    for path in places() {
        match open_place(&path, true).and_then(|dir| create_in(dir, &path, id, items)) {
            Ok(record) => return Ok(record),
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(|| Error::new("no place for records")))
}

/// The first usable directory for records, made where it is missing.
pub fn own_place() -> Result<OwnedFd> {
    let mut last = None;
    for path in places() {
        match open_place(&path, true) {
            Ok(dir) => return Ok(dir),
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(|| Error::new("no place for records")))
}

/// Clears what dead launchers of this user left behind; called at every start, a few
/// microseconds when there is nothing. Returned: what could not be cleared, in words.
pub fn sweep() -> Vec<String> {
    places().iter().flat_map(|path| sweep_place(path)).collect()
}

impl Record {
    /// To be called when everything the record names is gone.
    pub fn remove(self) -> Result<()> {
        match rustix::fs::unlinkat(&self.dir, &self.id, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(Error::os(format!("remove {}", self.path.display()), e)),
        }
    }
}

/// Where records of this user may be: the first usable one is written to, all are swept.
pub fn places() -> Vec<PathBuf> {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return vec!["/run/launch".into()];
    }
    places_of(uid.as_raw(), std::env::var_os("XDG_RUNTIME_DIR").as_deref())
}

fn places_of(uid: u32, runtime: Option<&OsStr>) -> Vec<PathBuf> {
    let runtime = runtime.map(Path::new).filter(|p| p.is_absolute()).map(|p| p.join("launch"));
    runtime.into_iter().chain([format!("/tmp/launch-{uid}").into()]).collect()
}

/// The directory, if nobody else can have put anything into it.
fn open_place(path: &Path, make: bool) -> Result<OwnedFd> {
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

fn create_in(dir: OwnedFd, place: &Path, id: &str, items: &[RecordItem]) -> Result<Record> {
    let path = place.join(id);
    let failed = |e: Errno| {
        let error = Error::os(format!("write the container's record {}", path.display()), e);
        match e {
            Errno::EXIST => Error::new(format!("name '{id}' is in use ({})", path.display())),
            _ => error,
        }
    };
    let text = encode(items, parent_inode).ok_or_else(|| failed(Errno::INVAL))?;
    let file = create_locked(dir.as_fd(), id).map_err(failed)?;
    match write_all(file.as_fd(), &text) {
        Ok(()) => Ok(Record { dir, _file: file, id: id.to_owned(), path }),
        Err(e) => {
            let _ = rustix::fs::unlinkat(&dir, id, AtFlags::empty());
            Err(failed(e))
        }
    }
}

/// Between making the file and locking it a sweeper may find it unlocked and remove it;
/// then there is no name any more, and we start over.
fn create_locked(dir: BorrowedFd<'_>, id: &str) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..100 {
        let file = rustix::fs::openat(dir, id, flags, Mode::RUSR | Mode::WUSR)?;
        retry(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))?;
        if rustix::fs::fstat(&file)?.st_nlink > 0 {
            return Ok(file);
        }
    }
    Err(Errno::AGAIN)
}

/// None for a path that a line cannot hold. `parent` gives an inode number.
fn encode(items: &[RecordItem], parent: impl Fn(&Path) -> u64) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for item in items {
        let (head, path) = match item {
            RecordItem::Cgroup(dir) => (format!("cgroup {} ", parent(dir)), dir),
            RecordItem::Subtree { file, value } => {
                (format!("subtree {} {value} ", parent(file)), file)
            }
            RecordItem::Ids { users, ids } => {
                text.extend(format!("ids 0 {}\n", taken::encode(*users, ids)).into_bytes());
                continue;
            }
        };
        let path = path.as_os_str().as_bytes();
        if path.contains(&b'\n') {
            return None;
        }
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(path);
        text.push(b'\n');
    }
    Some(text)
}

/// The inode of the directory that holds `path`; 0 when there is none.
fn parent_inode(path: &Path) -> u64 {
    let stat = path.parent().and_then(|p| rustix::fs::stat(p).ok());
    stat.map_or(0, |s| s.st_ino)
}

/// What a record says, each thing with its parent's inode, and whether all of it was
/// understood. A last line without its end was cut off while being written: nothing
/// of it had been made.
fn decode(text: &[u8]) -> (Vec<(RecordItem, u64)>, bool) {
    let mut items = Vec::new();
    let mut all = true;
    for line in text.split_inclusive(|&b| b == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        match decode_line(line) {
            Some(item) => items.push(item),
            None => all = false,
        }
    }
    (items, all)
}

/// Paths are only believed in the form in which we write them.
fn decode_line(line: &[u8]) -> Option<(RecordItem, u64)> {
    let word = |text: &[u8]| {
        let at = text.iter().position(|&b| b == b' ')?;
        Some((std::str::from_utf8(&text[..at]).ok()?.to_owned(), text[at + 1..].to_vec()))
    };
    let path = |bytes: Vec<u8>| {
        let path = PathBuf::from(OsString::from_vec(bytes));
        let plain = |c: Component| matches!(c, Component::RootDir | Component::Normal(_));
        (path.is_absolute() && path.components().all(plain)).then_some(path)
    };
    let (kind, rest) = word(line)?;
    let (parent, rest) = word(&rest)?;
    let parent = parent.parse().ok()?;
    match kind.as_str() {
        "cgroup" => {
            let named =
                |p: &PathBuf| p.file_name().is_some_and(|n| n.as_bytes().starts_with(b"launch-"));
            Some((RecordItem::Cgroup(path(rest).filter(named)?), parent))
        }
        "subtree" => {
            let (value, rest) = word(&rest)?;
            let file = path(rest).filter(|p| p.ends_with("cgroup.subtree_control"))?;
            value.starts_with('-').then_some((RecordItem::Subtree { file, value }, parent))
        }
        "ids" => {
            let (users, ids) = taken::decode(std::str::from_utf8(&rest).ok()?)?;
            Some((RecordItem::Ids { users, ids }, parent))
        }
        _ => None,
    }
}

fn sweep_place(path: &Path) -> Vec<String> {
    // Not there, or not ours: then nothing in it is.
    let Ok(dir) = open_place(path, false) else { return Vec::new() };
    let mut complaints = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&dir, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        // Later versions may keep directories here; `.` and `..` are ones.
        if entry.file_type() != FileType::Directory
            && let Err(e) = sweep_one(dir.as_fd(), name)
        {
            let shown = path.join(OsStr::from_bytes(name.to_bytes()));
            complaints.push(format!("left over, see {}: {e}", shown.display()));
        }
    }
    complaints
}

fn sweep_one(dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(dir, name, flags, Mode::empty()) else { return Ok(()) };
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(()); // alive
    }
    // Its owner, or another sweeper, may have finished with it before we had the lock.
    if !rustix::fs::fstat(&file).is_ok_and(|s| s.st_nlink > 0) {
        return Ok(());
    }
    let text = read_all(file.as_fd()).map_err(|e| Error::os("read", e))?;
    let (items, understood) = decode(&text);
    // A kind that only a later version knows is left for that version.
    if clear(&items)? && understood {
        let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
    }
    Ok(())
}

/// Backwards through what was made, everything tried; the first failure is told. True when
/// all is gone, false when something lies where this process does not see it.
fn clear(items: &[(RecordItem, u64)]) -> Result<bool> {
    let mut result = Ok(true);
    // Controllers are switched off only when no cgroup has them any more.
    let (cgroups, subtrees): (Vec<_>, Vec<_>) =
        items.iter().rev().partition(|(item, _)| matches!(item, RecordItem::Cgroup(_)));
    for (item, parent) in cgroups.into_iter().chain(subtrees) {
        let (RecordItem::Cgroup(path) | RecordItem::Subtree { file: path, .. }) = item else {
            continue; // free again with the record
        };
        let done = match (parent_inode(path), item) {
            (there, _) if there != 0 && there != *parent => Ok(false),
            (_, RecordItem::Cgroup(dir)) => cgroup::clear_left_over(dir),
            (_, RecordItem::Subtree { file, value }) => {
                cgroup::switch_off(file, value);
                Ok(true)
            }
            (_, RecordItem::Ids { .. }) => Ok(true),
        };
        result = result.and_then(|all| done.map(|done| all && done));
    }
    result
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

fn write_all(fd: BorrowedFd<'_>, mut text: &[u8]) -> rustix::io::Result<()> {
    while !text.is_empty() {
        match retry(|| rustix::io::write(fd, text))? {
            0 => return Err(Errno::NOSPC),
            n => text = &text[n..],
        }
    }
    Ok(())
}

fn read_all(fd: BorrowedFd<'_>) -> rustix::io::Result<Vec<u8>> {
    let mut text = vec![0; RECORD_MAX];
    let mut len = 0;
    while len < text.len() {
        match retry(|| rustix::io::read(fd, &mut text[len..]))? {
            0 => break,
            n => len += n,
        }
    }
    text.truncate(len);
    Ok(text)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;

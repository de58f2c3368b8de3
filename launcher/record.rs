//! What a start is about to make, by name, on disk before it is made: after a SIGKILL at
//! any point the next start finds the record and clears the rest. And what others want to
//! know of a container: who it is, since when, and how it was asked for.
//!
//! One file per container in a directory of this user's. A lock (flock) on it is the
//! proof of life; the kernel drops it however the launcher ends. A detached container has
//! no launcher: there it is process 1, by its number and the time it was started.

pub mod brief;
pub mod find;
mod lines;
pub mod log;
pub mod name;
pub mod place;
pub mod report;
mod sweep;

pub use brief::Brief;
pub use find::{Found, Life, all, find, in_use, look_for};
pub use sweep::sweep;

use crate::error::{Error, Result};
use crate::idmap::Ids;
use crate::{cgroup, net};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::{CString, OsString};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// One thing a record names, in a line `KIND PARENT DETAILS`, with the inode of the directory
/// that holds it: in another cgroup namespace, which may share our records, the path is another's.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordItem {
    /// A cgroup directory of `Cgroups::dirs`, to be emptied and removed.
    Cgroup(PathBuf),
    /// An undo of `cgroup::Write`: a controller to be switched off again (`-memory`).
    Subtree { file: PathBuf, value: String },
    /// Users or groups of the host that are the container's while it lives.
    Ids { users: bool, ids: Ids },
    /// Leases, ports and names of this container in a network namespace, by its inode.
    Network { namespace: u64, id: String },
    /// A port of the host's that the program of its network carries, which ends with it.
    Port(net::state::Published),
}

/// What is known of a container before it runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Milliseconds after 1970.
    pub started: u64,
    /// Outlives its launcher.
    pub detached: bool,
    /// How it ended is kept for those who ask.
    pub keep: bool,
    /// The most bytes its log may have; 0 where nothing was said of that.
    pub log_size: u64,
    /// The image it runs on, by its id; empty where there is none.
    pub image_id: String,
    /// The command line without `launch`, from which the same Spec can be made again.
    pub argv: Vec<OsString>,
    /// So many words at its end are the command.
    pub command: usize,
    /// What launch stop sends, where that is not SIGTERM.
    pub stop_signal: Option<i32>,
    /// What an image has added to it: `image::apply::words`.
    pub image: Vec<OsString>,
    /// Where its relative paths begin.
    pub cwd: PathBuf,
    /// The container's environment.
    pub env: Vec<OsString>,
}

/// A file that belongs to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    Log,
    Report,
}

/// Process 1 of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks after boot; 0 where the lock is the proof of life.
    pub start: u64,
    /// The pid namespace in which the number means this process.
    pub namespace: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub code: i32,
    /// Milliseconds after 1970.
    pub at: u64,
    pub out_of_memory: bool,
    /// Process 1 itself has said so; otherwise it was killed, so far as is known.
    pub known: bool,
}

/// All that a record says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Each with the inode of its parent directory.
    pub items: Vec<(RecordItem, u64)>,
    pub facts: Facts,
    pub process: Option<Process>,
    /// Its program has been executed, in all that was made for it.
    pub running: bool,
    /// When the log was how long.
    pub marks: Vec<(u64, u64)>,
    pub ended: Option<Ended>,
    /// False where a later version has written what this one does not know.
    pub understood: bool,
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
    pub dir: OwnedFd,
    /// Holds the lock.
    file: OwnedFd,
    id: String,
    path: PathBuf,
    detached: bool,
}

/// Longer records than this are not read: nothing writes them.
pub const RECORD_MAX: usize = 8 << 20;

/// Milliseconds after 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Writes and locks the record of container `id`. Errors: the directory cannot be made, is
/// not ours alone, is full or read-only; `id` is in use.
pub fn create(id: &str, items: &[RecordItem], facts: &Facts) -> Result<Record> {
    let facts = Facts { started: now(), ..facts.clone() };
    let mut last = None;
    for path in place::places() {
        match place::open(path, true).and_then(|dir| create_in(dir, path, id, items, &facts)) {
            Ok(record) => return Ok(record),
            // A name that is taken in one place is taken in all.
            Err(e) if look_for(id).is_ok_and(|f| f.is_some()) => return Err(e),
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(|| Error::new("no place for records")))
}

/// The first usable directory for records, made where it is missing.
pub fn own_place() -> Result<(PathBuf, OwnedFd)> {
    let mut last = None;
    for path in place::places() {
        match place::open(path, true) {
            Ok(dir) => return Ok((path.clone(), dir)),
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(|| Error::new("no place for records")))
}

impl Record {
    /// Process 1 of the container: of a detached one as soon as there is one, of others when
    /// it runs.
    pub fn note_process(&self, pid: i32) -> Result<()> {
        let p = process(pid, self.detached);
        if self.detached && (p.start == 0 || p.namespace == 0) {
            return Err(Error::new(format!("note process 1 of {}: /proc cannot be read", self.id)));
        }
        let line = lines::process(&p);
        write_all(self.file.as_fd(), line.as_bytes()).map_err(|e| {
            Error::os(format!("write the container's record {}", self.path.display()), e)
        })
    }

    /// Its payload runs, and it is on its own. `keep`: how it ends is kept.
    pub fn let_go(self, keep: bool, log_size: u64) -> Result<()> {
        let line = lines::detached(keep, log_size) + lines::RUNNING;
        write_all(self.file.as_fd(), line.as_bytes()).map_err(|e| {
            Error::os(format!("write the container's record {}", self.path.display()), e)
        })
    }

    /// The descriptor that holds the lock.
    pub fn lock_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub fn name(&self) -> &str {
        &self.id
    }

    /// The file for its output, or for its init's reports; new and empty.
    pub fn make_file(&self, file: File) -> Result<OwnedFd> {
        let [log, exit] = files_of(&self.id);
        let (name, mut flags) = match file {
            File::Log => (log, OFlags::APPEND),
            File::Report => (exit, OFlags::empty()),
        };
        flags |= OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        // Of one that was killed at this very point.
        let _ = rustix::fs::unlinkat(&self.dir, &name, AtFlags::empty());
        let failed = |e| {
            let path = self.path.with_file_name(&name);
            Error::os(format!("make {}", path.display()), e)
        };
        let made = rustix::fs::openat(&self.dir, &name, flags, Mode::RUSR | Mode::WUSR);
        let made = made.map_err(failed)?;
        // What is reported there, and waited for, must have room on a disk that is full.
        let room = || rustix::fs::fallocate(&made, FallocateFlags::KEEP_SIZE, 0, 4096);
        if file == File::Report
            && let Err(e @ (Errno::NOSPC | Errno::DQUOT)) = room()
        {
            let _ = unlink(self.dir.as_fd(), &name);
            return Err(failed(e));
        }
        Ok(made)
    }

    /// All that was written to the log.
    pub fn log_text(&self) -> Option<Vec<u8>> {
        let [log, _] = files_of(&self.id);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, log, flags, Mode::empty()).ok()?;
        read_all(file.as_fd()).ok()
    }

    /// To be called when everything is gone that the record named when it was written.
    pub fn remove(self) -> Result<()> {
        self.clear_added()?;
        if self.detached {
            for file in files_of(&self.id) {
                let _ = unlink(self.dir.as_fd(), &file);
            }
        }
        unlink(self.dir.as_fd(), &self.id)
            .map_err(|e| Error::os(format!("remove {}", self.path.display()), e))
    }

    /// Cgroups that others have made for it since: launch pause, launch update.
    fn clear_added(&self) -> Result<()> {
        let mut text = vec![0; 64];
        let failed = |e| Error::os(format!("read {}", self.path.display()), e);
        // From where we have written last.
        let mut read = || retry_on_intr(|| rustix::io::read(&self.file, &mut text[..]));
        match read().or_else(|_| read()) {
            // Without that call nobody has found this container by its record, either.
            Ok(0) | Err(Errno::NOSYS) => return Ok(()),
            n => text.truncate(n.map_err(failed)?),
        }
        text.extend(read_all(self.file.as_fd()).map_err(failed)?);
        sweep::clear(&lines::decode(&text).items).map(drop)
    }
}

fn process(pid: i32, detached: bool) -> Process {
    let start = if detached { find::started(pid).unwrap_or(0) } else { 0 };
    Process { pid, start, namespace: find::own_namespace() }
}

fn create_in(
    dir: OwnedFd,
    place: &Path,
    id: &str,
    items: &[RecordItem],
    facts: &Facts,
) -> Result<Record> {
    let path = place.join(id);
    let failed =
        |e: Errno| Error::os(format!("write the container's record {}", path.display()), e);
    let mut text = lines::facts(facts);
    text.extend(lines::encode(items, parent_inode).ok_or_else(|| failed(Errno::INVAL))?);
    let file = match create_locked(dir.as_fd(), id) {
        Err(Errno::EXIST) => {
            replace(dir.as_fd(), id)?;
            create_locked(dir.as_fd(), id)
        }
        done => done,
    };
    let file = file.map_err(|e| if e == Errno::EXIST { in_use(id) } else { failed(e) })?;
    match write_all(file.as_fd(), &text) {
        Ok(()) => Ok(Record { dir, file, id: id.to_owned(), path, detached: facts.detached }),
        Err(e) => {
            let _ = unlink(dir.as_fd(), id);
            Err(failed(e))
        }
    }
}

/// Makes way: what has ended gives up its name.
fn replace(dir: BorrowedFd<'_>, id: &str) -> Result<()> {
    let name = CString::new(id).map_err(|_| Error::new("a name with a NUL"))?;
    sweep::sweep_one(dir, &name)?;
    if let Some(file) = sweep::lock(dir, &name) {
        let text = read_all(file.as_fd()).unwrap_or_default();
        let entry = lines::decode(&text);
        if entry.ended.is_some() && find::unlocked_life(&entry) == Life::Ended {
            sweep::forget(dir, &name);
        }
    }
    Ok(())
}

/// Between making the file and locking it a sweeper may find it unlocked and remove it;
/// then there is no name any more, and we start over.
fn create_locked(dir: BorrowedFd<'_>, id: &str) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // That we look into it at the end need not be written to a disk.
    let flags = flags | OFlags::NOATIME;
    for _ in 0..100 {
        let file = rustix::fs::openat(dir, id, flags, Mode::RUSR | Mode::WUSR)?;
        let locked = retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))
            .and_then(|()| rustix::fs::fstat(&file));
        match locked {
            Ok(stat) if stat.st_nlink > 0 => return Ok(file),
            Ok(_) => {}
            Err(e) => {
                let _ = unlink(dir, id);
                return Err(e);
            }
        }
    }
    Err(Errno::AGAIN)
}

/// Beside the record, and removed with it: what a detached container writes, and what
/// its init reports.
fn files_of(id: &str) -> [String; 2] {
    ["log", "exit"].map(|kind| format!(".{id}.{kind}"))
}

/// Not being there is fine.
fn unlink(dir: BorrowedFd<'_>, id: &str) -> std::result::Result<(), Errno> {
    let mut tries = cgroup::RETRIES;
    loop {
        match rustix::fs::unlinkat(dir, id, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(_) if tries > 0 => tries -= 1,
            Err(e) => return Err(e),
        }
    }
}

/// The inode of the directory that holds `path`; 0 when there is none.
fn parent_inode(path: &Path) -> u64 {
    let stat = path.parent().and_then(|p| rustix::fs::stat(p).ok());
    stat.map_or(0, |s| s.st_ino)
}

fn write_all(fd: BorrowedFd<'_>, mut text: &[u8]) -> rustix::io::Result<()> {
    while !text.is_empty() {
        match retry_on_intr(|| rustix::io::write(fd, text))? {
            0 => return Err(Errno::NOSPC),
            n => text = &text[n..],
        }
    }
    Ok(())
}

fn read_all(fd: BorrowedFd<'_>) -> rustix::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    read_into(fd, &mut text).map(|()| text)
}

/// The same, in place of what was in `text`: for many records one after the other.
fn read_into(fd: BorrowedFd<'_>, text: &mut Vec<u8>) -> rustix::io::Result<()> {
    text.clear();
    let mut buffer = [0; 4096];
    while text.len() < RECORD_MAX {
        match retry_on_intr(|| rustix::io::read(fd, &mut buffer))? {
            0 => break,
            n => text.extend_from_slice(&buffer[..n]),
        }
        // A file of ours never gives less than there is: a part of a page was its end.
        if !text.len().is_multiple_of(buffer.len()) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;

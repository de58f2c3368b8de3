//! What a start makes that may soon be over: a place in one file that all such starts share.
//! Where it is there already, that costs a quarter of a file of its own. Others do not find a
//! container by it; one that goes on gets its record.
//!
//! A byte for each place tells whether something is written there, and a lock on that byte
//! is the proof of life. The file is there for as long as anybody has a place.

use super::{RecordItem, find, lines, own_place, parent_inode, sweep, unlink};
use crate::error::{Error, Result};
use crate::sys::{LockKind, lock_bytes};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::path::PathBuf;

/// Begins with a dot: no container is called so.
pub const NAME: &str = ".brief";
const PLACES: usize = 64;
/// Bytes of a place, behind the bytes that tell whether it is in use.
const SIZE: usize = 1024;

type InUse = [u8; PLACES];

/// A place that is locked by this process.
#[derive(Debug)]
pub struct Brief {
    pub(super) dir: OwnedFd,
    /// The directory's path.
    pub(super) place: PathBuf,
    file: OwnedFd,
    number: usize,
    /// Places that were in use when this one was taken.
    others: InUse,
}

/// Writes down what will be made. None: it does not fit, all places are taken, or there can be no
/// such file; a record has to do, and tells what is wrong.
pub fn claim(items: &[RecordItem]) -> Option<Brief> {
    let text = text_of(items)?;
    let (place, dir) = own_place().ok()?;
    claim_in(dir, place, &text)
}

/// As in a record, and the end marked.
fn text_of(items: &[RecordItem]) -> Option<Vec<u8>> {
    let cgroups = |i| matches!(i, &RecordItem::Cgroup(_) | &RecordItem::Subtree { .. });
    if !items.iter().all(cgroups) {
        return None;
    }
    let mut text = lines::encode(items, parent_inode)?;
    text.push(0);
    (text.len() <= SIZE).then_some(text)
}

fn claim_in(dir: OwnedFd, place: PathBuf, text: &[u8]) -> Option<Brief> {
    // Whoever leaves last locks all places and removes the file, perhaps just now.
    for _ in 0..8 {
        let file = open(dir.as_fd(), OFlags::CREATE).ok()?;
        let Some((number, others)) = take(&file).ok()? else {
            std::thread::yield_now();
            continue;
        };
        let stat = rustix::fs::fstat(&file).ok().filter(find::is_ours)?;
        if stat.st_nlink > 0 {
            put(&file, text, at(number)).ok()?;
            put(&file, &[1], number).ok()?;
            return Some(Brief { dir, place, file, number, others });
        }
    }
    None
}

impl Brief {
    /// What was written is gone, or somewhere else by now.
    pub fn free(self) {
        if put(&self.file, &[0], self.number).is_ok() {
            // Before the look whether anybody is left: of two at once neither would be the last.
            unlock(&self.file, self.number);
            leave(self.dir.as_fd(), &self.file);
        }
    }

    /// The descriptor that holds the lock.
    pub fn lock_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Clears what those have left who died in their places; `own` is this process's.
pub(super) fn clear_up(dir: BorrowedFd<'_>, own: Option<&Brief>) -> Result<()> {
    if let Some(own) = own {
        return clear_all(&own.file, &own.others);
    }
    let Ok(file) = open(dir, OFlags::empty()) else { return Ok(()) };
    if !rustix::fs::fstat(&file).is_ok_and(|s| find::is_ours(&s)) {
        return Ok(());
    }
    let used = in_use(&file).map_err(|e| Error::os("read", e))?;
    let cleared = clear_all(&file, &used);
    leave(dir, &file);
    cleared
}

fn clear_all(file: &OwnedFd, used: &InUse) -> Result<()> {
    let mut result = Ok(());
    for number in (0..PLACES).filter(|n| used[*n] != 0) {
        if lock(file, number) {
            result = result.and(clear(file, number));
            unlock(file, number);
        }
    }
    result
}

/// All is tried again by the next one where it fails.
fn clear(file: &OwnedFd, number: usize) -> Result<()> {
    let failed = |e| Error::os("read", e);
    // Its owner may have left it just before we had the lock.
    if in_use(file).map_err(failed)?[number] == 0 {
        return Ok(());
    }
    let mut text = [0; SIZE];
    retry_on_intr(|| rustix::io::pread(file, &mut text, at(number) as u64)).map_err(failed)?;
    let end = text.iter().position(|b| *b == 0).unwrap_or(SIZE);
    let entry = lines::decode(&text[..end]);
    if sweep::clear(&entry.items)? && entry.understood {
        put(file, &[0], number).map_err(|e| Error::os("write", e))?;
    }
    Ok(())
}

/// The file goes when nobody has, or has left, anything in it.
fn leave(dir: BorrowedFd<'_>, file: &OwnedFd) {
    let alone = lock_bytes(file.as_fd(), LockKind::Exclusive, 0, PLACES as u64).is_ok();
    if alone && in_use(file).is_ok_and(|used| used == [0; PLACES]) {
        let _ = unlink(dir, NAME);
    }
}

fn open(dir: BorrowedFd<'_>, more: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // That we look into it need not be written to a disk.
    let flags = flags | OFlags::NOATIME | more;
    rustix::fs::openat(dir, NAME, flags, Mode::RUSR | Mode::WUSR)
}

/// The first place that is nobody's, not even a dead one's, and which others are in use; each
/// process begins at another.
fn take(file: &OwnedFd) -> rustix::io::Result<Option<(usize, InUse)>> {
    let own = rustix::process::getpid().as_raw_pid() as usize;
    for number in (0..PLACES).map(|n| (own + n) % PLACES) {
        if lock(file, number) {
            let used = in_use(file)?;
            if used[number] == 0 {
                return Ok(Some((number, used)));
            }
            unlock(file, number);
        }
    }
    Ok(None)
}

/// A file that is too short has none in use.
fn in_use(file: &OwnedFd) -> rustix::io::Result<InUse> {
    let mut used = [0; PLACES];
    retry_on_intr(|| rustix::io::pread(file, &mut used, 0))?;
    Ok(used)
}

fn at(number: usize) -> usize {
    PLACES + number * SIZE
}

fn lock(file: &OwnedFd, number: usize) -> bool {
    lock_bytes(file.as_fd(), LockKind::Exclusive, number as u64, 1).is_ok()
}

fn unlock(file: &OwnedFd, number: usize) {
    // It would end with the descriptor, too.
    let _ = lock_bytes(file.as_fd(), LockKind::None, number as u64, 1);
}

fn put(file: &OwnedFd, text: &[u8], at: usize) -> rustix::io::Result<()> {
    let written = retry_on_intr(|| rustix::io::pwrite(file, text, at as u64))?;
    if written == text.len() { Ok(()) } else { Err(Errno::NOSPC) }
}

#[cfg(test)]
#[path = "brief_tests.rs"]
mod tests;

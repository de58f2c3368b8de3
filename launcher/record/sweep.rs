//! Clearing what the dead left behind.

use super::find::{self, Life};
use super::{
    Brief, Entry, RecordItem, brief, lines, log, parent_inode, place, read_all, write_all,
};
use crate::cgroup;
use crate::error::{Error, Result};
use crate::{members, net};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// So many records are looked at by each start; with more of them each start has its
/// turn at others.
const AT_A_START: usize = 24;
/// How long the record of a detached container that has ended is kept, in milliseconds.
const KEPT: u64 = 24 * 3600 * 1000;

/// Clears what dead launchers of this user left behind; called at every start, a few
/// microseconds when there is nothing. `own`: what this process has noted itself. Returned: what
/// could not be cleared, in words.
pub fn sweep(own: Option<&Brief>) -> Vec<String> {
    let beside = |path: &PathBuf| own.filter(|own| own.place == *path);
    place::places().iter().flat_map(|path| sweep_place(path, AT_A_START, beside(path))).collect()
}

pub(super) fn sweep_place(path: &Path, most: usize, own: Option<&Brief>) -> Vec<String> {
    let opened = own.is_none().then(|| place::open(path, false).ok()).flatten();
    // Not there, or not ours: then nothing in it is.
    let Some(dir) = own.map(|own| &own.dir).or(opened.as_ref()) else { return Vec::new() };
    let names = find::names(dir);
    let from = if names.len() > most { super::now() as usize % names.len() } else { 0 };
    let mut complaints = Vec::new();
    let mut told = |name: &[u8], done: Result<()>| {
        if let Err(e) = done {
            let shown = path.join(OsStr::from_bytes(name));
            complaints.push(format!("left over, see {}: {e}", shown.display()));
        }
    };
    told(brief::NAME.as_bytes(), brief::clear_up(dir.as_fd(), own));
    for name in names.iter().cycle().skip(from).take(most.min(names.len())) {
        told(name.to_bytes(), sweep_one(dir.as_fd(), name));
    }
    complaints
}

/// Whatever the named container left is cleared, if it has ended.
pub(super) fn sweep_one(dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let text_name = name.to_string_lossy();
    let foreign = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    if foreign.is_ok_and(|s| !find::is_ours(&s)) && first_of(dir, &text_name).is_some() {
        let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
        drop(super::create_locked(dir, &text_name));
    }
    let Some(file) = lock(dir, name) else { return Ok(()) };
    let text = read_all(file.as_fd()).map_err(|e| Error::os("read", e))?;
    let entry = lines::decode(&text);
    // All of /proc is looked through: only for one that tells nothing.
    if entry.process.is_none()
        && entry.ended.is_none()
        && let Some(pid) = first_of(dir, &text_name)
    {
        return mend(&file, &text, &text_name, pid);
    }
    match find::unlocked_life(&entry) {
        Life::Ended => {}
        _ => {
            log::tend_named(dir, name, &entry);
            return Ok(());
        }
    }
    if let Some(ended) = &entry.ended {
        if super::now() > ended.at.saturating_add(KEPT) {
            forget(dir, name);
        }
        return Ok(());
    }
    collect(dir, name, &file, &entry)
}

/// Process 1 of a detached container whose record does not tell of it, by its open files.
fn first_of(dir: BorrowedFd<'_>, name: &str) -> Option<i32> {
    let files = super::files_of(name);
    let mut all = files.iter().flat_map(|file| find::holders(dir, file));
    all.find(|pid| members::look(*pid, 1).is_some_and(|m| m.inner == 1))
}

/// A record that was cut off: it says again who its container is, and no more how it was asked
/// for, or half of that would be believed.
fn mend(file: &OwnedFd, text: &[u8], name: &str, pid: i32) -> Result<()> {
    let mut items: Vec<_> = cgroup::named(pid, name).into_iter().map(RecordItem::Cgroup).collect();
    if let Some(namespace) = bridged() {
        items.push(RecordItem::Network { namespace, id: name.to_owned() });
    }
    let end = if text.last().is_none_or(|last| *last == b'\n') { "" } else { "\n" };
    let mut more = format!("{end}started 0\nargv\n{}", lines::detached(true, 0)).into_bytes();
    more.extend(lines::encode(&items, parent_inode).unwrap_or_default());
    more.extend((lines::process(&super::process(pid, true)) + lines::RUNNING).into_bytes());
    write_all(file.as_fd(), &more).map_err(|e| Error::os("write", e))
}

/// The network namespace where it may have had leases; an ordinary user's has none.
fn bridged() -> Option<u64> {
    let root = rustix::process::geteuid().is_root();
    net::place::namespace().ok().filter(|_| root)
}

/// What its record names; of a damaged one also what is called as the container is.
pub(super) fn clear_all(name: &str, entry: &Entry) -> Result<bool> {
    if entry.facts.started == 0 {
        let own = rustix::process::getpid().as_raw_pid();
        cgroup::named(own, name).iter().try_for_each(|dir| cgroup::remove(dir))?;
        bridged().map_or(Ok(true), |namespace| net::clear(namespace, name))?;
    }
    clear(&entry.items)
}

/// The record of one that is gone, locked by us; None while somebody else has it.
pub(super) fn lock(dir: BorrowedFd<'_>, name: &CStr) -> Option<OwnedFd> {
    let flags =
        OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty()).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    // Its owner, or another sweeper, may have finished with it before we had the lock.
    let there = rustix::fs::fstat(&file).is_ok_and(|s| s.st_nlink > 0 && find::is_ours(&s));
    there.then_some(file)
}

/// Clears what an ended container made; how it ended is noted where that is wanted.
fn collect(dir: BorrowedFd<'_>, name: &CStr, file: &OwnedFd, entry: &Entry) -> Result<()> {
    let out_of_memory = entry.facts.detached && killed_for_memory(entry);
    // A kind that only a later version knows is left for that version.
    if !clear_all(&name.to_string_lossy(), entry)? || !entry.understood {
        return Ok(());
    }
    if !entry.facts.keep {
        forget(dir, name);
        return Ok(());
    }
    let ended = super::report::end_of(dir, &name.to_string_lossy(), out_of_memory);
    let line = lines::ended(&ended);
    write_all(file.as_fd(), line.as_bytes()).map_err(|e| Error::os("write", e))
}

fn killed_for_memory(entry: &Entry) -> bool {
    entry.items.iter().any(|(item, _)| match item {
        RecordItem::Cgroup(dir) => cgroup::oom_kills(dir) > 0,
        _ => false,
    })
}

/// The record, and the files that belong to it.
pub(super) fn forget(dir: BorrowedFd<'_>, name: &CStr) {
    for file in super::files_of(&name.to_string_lossy()) {
        let _ = rustix::fs::unlinkat(dir, file, AtFlags::empty());
    }
    let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
}

/// Backwards through what was made, everything tried; the first failure is told. True when
/// all is gone, false when something lies where this process does not see it.
pub(super) fn clear(items: &[(RecordItem, u64)]) -> Result<bool> {
    let mut result = Ok(true);
    // Controllers are switched off only when no cgroup has them any more.
    let (cgroups, subtrees): (Vec<_>, Vec<_>) =
        items.iter().rev().partition(|(item, _)| matches!(item, RecordItem::Cgroup(_)));
    for (item, parent) in cgroups.into_iter().chain(subtrees) {
        let elsewhere = |path| ![0, *parent].contains(&parent_inode(path));
        let done = match item {
            RecordItem::Cgroup(dir) if elsewhere(dir) => Ok(false),
            RecordItem::Cgroup(dir) => cgroup::clear_left_over(dir),
            RecordItem::Subtree { file, .. } if elsewhere(file) => Ok(false),
            RecordItem::Subtree { file, value } => {
                cgroup::switch_off(file, value);
                Ok(true)
            }
            RecordItem::Network { namespace, id } => net::clear(*namespace, id),
            // Free again with the record.
            RecordItem::Ids { .. } | RecordItem::Port(_) => Ok(true),
        };
        result = result.and_then(|all| done.map(|done| all && done));
    }
    result
}

//! Records as others than their owner see them: who is alive, and who is called so.

use super::{Entry, Process, lines, name, place, read_all, sweep};
use crate::error::{Error, Result};
use crate::quote::quote;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, FlockOperation, Mode, OFlags, RawDir, Stat};
use rustix::process::{Pid, PidfdFlags};
use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Its launcher lives (a lock is held), or its process 1 does.
    Running,
    Ended,
    /// Its process numbers are those of another pid namespace.
    Elsewhere,
}

/// One container with its record.
#[derive(Debug)]
pub struct Found {
    pub name: String,
    pub entry: Entry,
    pub life: Life,
    /// The directory of the record.
    pub place: PathBuf,
    pub dir: OwnedFd,
}

/// The container of this name. Errors: a bad name, or none is called so.
pub fn find(word: &OsStr) -> Result<Found> {
    let name = name::check(word)?;
    look_for(&name)?
        .ok_or_else(|| Error::new(format!("no container {}", quote(&name))).hint(nearest(&name)))
}

/// None: no container has this name.
pub fn look_for(name: &str) -> Result<Option<Found>> {
    let file = CString::new(name).map_err(|_| Error::new("a name with a NUL"))?;
    for path in place::places() {
        let Ok(dir) = place::open(&path, false) else { continue };
        if let Some((entry, life)) = read(dir.as_fd(), &file)? {
            return Ok(Some(Found { name: name.to_owned(), entry, life, place: path, dir }));
        }
    }
    Ok(None)
}

fn nearest(name: &str) -> String {
    let all = all();
    match crate::cli::suggest::nearest(name, all.iter().map(|f| f.name.as_str())) {
        Some(near) => format!("did you mean {near}?"),
        None if all.is_empty() => "there is none at all".into(),
        None => "launch ps -a lists them".into(),
    }
}

/// Every container of this user, the oldest first.
pub fn all() -> Vec<Found> {
    let mut found: Vec<Found> = place::places().iter().flat_map(|p| all_in(p)).collect();
    found.sort_by(|a, b| (a.entry.facts.started, &a.name).cmp(&(b.entry.facts.started, &b.name)));
    found
}

fn all_in(path: &Path) -> Vec<Found> {
    let Ok(dir) = place::open(path, false) else { return Vec::new() };
    let mut found = Vec::new();
    for file in names(&dir) {
        let name = file.to_string_lossy().into_owned();
        if let Ok(Some((entry, life))) = read(dir.as_fd(), &file)
            && let Ok(dir) = dir.try_clone()
        {
            found.push(Found { name, entry, life, place: path.to_owned(), dir });
        }
    }
    found
}

/// What may be a record: directories are none, and what begins with a dot belongs to one.
pub(super) fn names(dir: &OwnedFd) -> Vec<CString> {
    let mut names = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory && !name.to_bytes().starts_with(b".") {
            names.push(name.to_owned());
        }
    }
    names
}

fn read(dir: BorrowedFd<'_>, name: &CStr) -> Result<Option<(Entry, Life)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(dir, name, flags, Mode::empty()) else { return Ok(None) };
    if !rustix::fs::fstat(&file).is_ok_and(|s| s.st_nlink > 0 && is_ours(&s)) {
        return Ok(None);
    }
    let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err();
    let text = read_all(file.as_fd())
        .map_err(|e| Error::os(format!("read the record of {}", name.to_string_lossy()), e))?;
    let entry = lines::decode(&text);
    let life = match &entry.process {
        Some(p) if p.namespace != own_namespace() => Life::Elsewhere,
        _ if locked => Life::Running,
        _ => unlocked_life(&entry),
    };
    Ok(Some((entry, life)))
}

/// Of a record that nobody has locked.
pub(super) fn unlocked_life(entry: &Entry) -> Life {
    match &entry.process {
        Some(p) if entry.facts.detached && p.namespace != own_namespace() => Life::Elsewhere,
        Some(p) if entry.facts.detached && is_alive(p) => Life::Running,
        _ => Life::Ended,
    }
}

/// A plain file of this user's.
pub(super) fn is_ours(s: &Stat) -> bool {
    s.st_uid == rustix::process::geteuid().as_raw()
        && FileType::from_raw_mode(s.st_mode) == FileType::RegularFile
}

/// The number of a pid namespace; 0 where /proc is missing.
pub(super) fn own_namespace() -> u64 {
    rustix::fs::stat("/proc/self/ns/pid").map_or(0, |s| s.st_ino)
}

/// The same process still, and not merely waiting to be reaped.
fn is_alive(p: &Process) -> bool {
    started(p.pid).is_some_and(|start| start == p.start)
}

/// When a process was started, in clock ticks after boot; None when there is none, or
/// nothing but its status is left.
pub fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    // The 22nd field of proc_pid_stat(5); the state is the third.
    let start = fields.nth(18)?.parse().ok()?;
    (!["Z", "X"].contains(&state)).then_some(start)
}

impl Found {
    /// Its process 1, as a number and as a descriptor that never means another process.
    pub fn process(&self) -> Result<(Pid, OwnedFd)> {
        let gone = |why: &str| Error::new(format!("container {} {why}", quote(&self.name)));
        match self.life {
            Life::Running => {}
            Life::Ended => return Err(gone("has ended")),
            Life::Elsewhere => {
                return Err(gone("runs in another pid namespace")
                    .hint("use the launch there, whose process numbers mean something"));
            }
        }
        let process = self.entry.process.as_ref().ok_or_else(|| gone("is only being started"))?;
        let pid = Pid::from_raw(process.pid).ok_or_else(|| gone("has a damaged record"))?;
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty());
        let fd = fd.map_err(|_| gone("has ended"))?;
        // Of all this the record may be older than the descriptor: look again.
        match look_for(&self.name)? {
            Some(now) if now.life == Life::Running && now.entry.process == self.entry.process => {
                Ok((pid, fd))
            }
            _ => Err(gone("has ended")),
        }
    }

    /// Clears up after one that has ended, and notes how it did.
    pub fn collect(&self) -> Result<()> {
        let name = CString::new(self.name.as_str()).map_err(|_| Error::new("a name with a NUL"))?;
        sweep::sweep_one(self.dir.as_fd(), &name)
    }

    /// Everything that is left of it goes; it must have ended.
    pub fn remove(&self) -> Result<()> {
        let name = CString::new(self.name.as_str()).map_err(|_| Error::new("a name with a NUL"))?;
        let Some(_file) = sweep::lock(self.dir.as_fd(), &name) else { return Ok(()) };
        sweep::clear(&self.entry.items)?;
        sweep::forget(self.dir.as_fd(), &name);
        Ok(())
    }

    /// The cgroups it was put into, one for each hierarchy.
    pub fn cgroups(&self) -> impl Iterator<Item = &Path> + Clone {
        self.entry.items.iter().filter_map(|(item, _)| match item {
            super::RecordItem::Cgroup(dir) => Some(dir.as_path()),
            _ => None,
        })
    }
}

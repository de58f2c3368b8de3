//! Records as others than their owner see them: who is alive, and who is called so.

use super::{Entry, Process, brief, lines, log, name, place, read_into, sweep};
use crate::error::{Error, Result};
use crate::members;
use crate::quote::quote;
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Its launcher lives (a lock is held), or its process 1 does.
    Running,
    Ended,
    /// Its process cannot be seen from here: it is of another pid namespace, or /proc is
    /// missing. Nothing of it is touched.
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
    pub dir: Rc<OwnedFd>,
}

/// How long one that is being started is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an empty record may be one that is only being written.
const UNWRITTEN: Duration = Duration::from_secs(1);

/// The container of this name; one that is just being started is waited for. Errors: a bad
/// name, or none is called so.
pub fn find(word: &OsStr) -> Result<Found> {
    let name = name::check(word)?;
    let begun = Instant::now();
    loop {
        let found = look_for(&name)?.ok_or_else(|| {
            Error::new(format!("no container {}", quote(&name))).hint(nearest(&name))
        })?;
        if found.life == Life::Ended && found.revived() {
            continue;
        }
        if !found.is_starting() || begun.elapsed() > PATIENCE {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// None: no container has this name.
pub fn look_for(name: &str) -> Result<Option<Found>> {
    let file = CString::new(name).map_err(|_| Error::new("a name with a NUL"))?;
    for path in place::places() {
        let Ok(dir) = place::open(path, false) else { continue };
        if let Some((entry, life)) = read(dir.as_fd(), &file, &mut Vec::new())? {
            let (name, dir) = (name.to_owned(), Rc::new(dir));
            return Ok(Some(Found { name, entry, life, place: path.clone(), dir }));
        }
    }
    Ok(None)
}

/// Who has the name, since when.
pub fn in_use(id: &str) -> Error {
    let begun = Instant::now();
    let found = loop {
        match look_for(id).ok().flatten() {
            // Made at this moment, and not yet written: there is nothing to tell of it so far.
            Some(f) if f.says_nothing() && begun.elapsed() < UNWRITTEN => {
                std::thread::sleep(Duration::from_millis(1));
            }
            found => break found,
        }
    };
    let Some(found) = found else {
        let odd = || place::holding(id).map(|p| format!("{} is no record", p.display()));
        return Error::new(format!("name '{id}' is in use")).or_hint(odd);
    };
    if found.is_damaged() {
        return found.damaged("has this name, and a damaged record");
    }
    let by = found.entry.process.map_or_else(String::new, |p| format!(" by process {}", p.pid));
    let age = super::now().saturating_sub(found.entry.facts.started);
    let since = format!(", started {} ago", crate::age::words(age));
    Error::new(format!("name '{id}' is in use{by}{since}"))
        .hint(format!("launch stop {id} ends it"))
}

fn nearest(name: &str) -> String {
    let all = all();
    match crate::cli::suggest::nearest(name, all.iter().map(|f| f.name.as_str())) {
        Some(near) => format!("did you mean {near}?"),
        None if all.is_empty() => place::refused().unwrap_or("there is none at all".into()),
        None => "launch ps -a lists them".into(),
    }
}

/// Every container of this user, the oldest first.
pub fn all() -> Vec<Found> {
    let mut found: Vec<Found> = place::places().iter().flat_map(|p| all_in(p)).collect();
    // Whoever comes by clears up after what has ended.
    for f in found
        .extract_if(.., |f| f.life == Life::Ended && f.entry.ended.is_none())
        .collect::<Vec<_>>()
    {
        let _ = f.collect();
        found.extend(look_for(&f.name).ok().flatten());
    }
    found.sort_by(|a, b| (a.entry.facts.started, &a.name).cmp(&(b.entry.facts.started, &b.name)));
    found
}

fn all_in(path: &Path) -> Vec<Found> {
    let Ok(dir) = place::open(path, false) else { return Vec::new() };
    let (mut found, mut text) = (Vec::new(), Vec::new());
    let dir = Rc::new(dir);
    // Nobody is found by that, but whoever comes by clears up.
    let _ = brief::clear_up(dir.as_fd(), None);
    for file in names(&dir) {
        let name = file.to_string_lossy().into_owned();
        if let Ok(Some((entry, life))) = read(dir.as_fd(), &file, &mut text) {
            if life == Life::Running && entry.facts.detached {
                log::cut(dir.as_fd(), &name, &entry);
            }
            found.push(Found { name, entry, life, place: path.to_owned(), dir: dir.clone() });
        }
    }
    found
}

/// What may be a record: directories are none, and what begins with a dot belongs to one.
pub(super) fn names(dir: &OwnedFd) -> Vec<CString> {
    let mut names = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory && !name.to_bytes().starts_with(b".") {
            names.push(name.to_owned());
        }
    }
    names
}

fn read(dir: BorrowedFd<'_>, name: &CStr, text: &mut Vec<u8>) -> Result<Option<(Entry, Life)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(dir, name, flags, Mode::empty()) else { return Ok(None) };
    let Ok(stat) = rustix::fs::fstat(&file) else { return Ok(None) };
    if stat.st_nlink == 0 || FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Ok(None);
    }
    // What others say is not believed; that there is something is told.
    if !is_ours(&stat) {
        return Ok(Some((Entry::default(), Life::Ended)));
    }
    let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err();
    read_into(file.as_fd(), text)
        .map_err(|e| Error::os(format!("read the record of {}", name.to_string_lossy()), e))?;
    let entry = lines::decode(text);
    let life = match &entry.process {
        // How it ended has been noted by one who could see it.
        Some(p) if p.namespace != own_namespace() && (locked || entry.ended.is_none()) => {
            Life::Elsewhere
        }
        _ if locked => Life::Running,
        _ => unlocked_life(&entry),
    };
    Ok(Some((entry, life)))
}

/// Of a record that nobody has locked.
pub(super) fn unlocked_life(entry: &Entry) -> Life {
    match &entry.process {
        _ if entry.ended.is_some() => Life::Ended,
        Some(p) if entry.facts.detached && p.namespace != own_namespace() => Life::Elsewhere,
        Some(p) if entry.facts.detached => life_of(p),
        _ => Life::Ended,
    }
}

/// A plain file of this user's.
pub(super) fn is_ours(s: &Stat) -> bool {
    static OWN: OnceLock<u32> = OnceLock::new();
    s.st_uid == *OWN.get_or_init(|| rustix::process::geteuid().as_raw())
        && FileType::from_raw_mode(s.st_mode) == FileType::RegularFile
}

/// The number of a pid namespace; 0 where /proc is missing.
pub(super) fn own_namespace() -> u64 {
    static OWN: OnceLock<u64> = OnceLock::new();
    *OWN.get_or_init(|| sys::own_namespace(sys::ns::NEWPID).unwrap_or(0))
}

/// Processes that have this file of `dir` open.
pub fn holders(dir: BorrowedFd<'_>, name: &str) -> Vec<i32> {
    let Ok(file) = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return Vec::new();
    };
    let same = |fd: std::io::Result<std::fs::DirEntry>| {
        let stat = fd.ok().and_then(|fd| rustix::fs::stat(fd.path()).ok());
        stat.is_some_and(|s| (s.st_dev, s.st_ino) == (file.st_dev, file.st_ino))
    };
    let own = rustix::process::getpid().as_raw_pid();
    let others = members::all().filter(|pid| *pid != own);
    let has = |pid: &i32| std::fs::read_dir(format!("/proc/{pid}/fd"));
    others.filter(|pid| has(pid).is_ok_and(|fds| fds.into_iter().any(same))).collect()
}

/// Running if it is the same process still, and not merely waiting to be reaped. That it
/// cannot be looked at does not mean that it is gone: only the kernel's word does.
fn life_of(p: &Process) -> Life {
    match look_at(p.pid) {
        Ok(start) if start == Some(p.start) => Life::Running,
        Ok(_) => Life::Ended,
        Err(_) => match Pid::from_raw(p.pid).map(rustix::process::test_kill_process) {
            Some(Err(Errno::SRCH)) => Life::Ended,
            _ => Life::Elsewhere,
        },
    }
}

/// When a process was started, in clock ticks after boot; None when there is none, or
/// nothing but its status is left.
pub fn started(pid: i32) -> Option<u64> {
    look_at(pid).ok().flatten()
}

fn look_at(pid: i32) -> rustix::io::Result<Option<u64>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(format!("/proc/{pid}/stat"), flags, Mode::empty())?;
    let mut buffer = [0; 1024];
    let n = rustix::io::read(&file, &mut buffer)?;
    Ok(start_of(&String::from_utf8_lossy(&buffer[..n])))
}

fn start_of(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    // The 22nd field of proc_pid_stat(5); the state is the third.
    let start = fields.nth(18)?.parse().ok()?;
    (!["Z", "X"].contains(&state)).then_some(start)
}

impl Found {
    /// Its process 1, as a number and as a descriptor that never means another process.
    pub fn process(&self) -> Result<(Pid, OwnedFd)> {
        let ended = || self.not_understood().unwrap_or_else(|| self.cannot("has ended"));
        self.try_process()?.ok_or_else(ended)
    }

    /// It does not even say since when.
    pub fn is_damaged(&self) -> bool {
        self.entry.facts.started == 0
    }

    fn says_nothing(&self) -> bool {
        self.is_damaged() && !self.entry.running
    }

    /// Of one that has ended, but what has to be cleared and noted then is not known here.
    pub fn not_understood(&self) -> Option<Error> {
        let why = match (&self.entry.ended, self.entry.understood) {
            _ if self.is_damaged() => "has a damaged record",
            (None, false) => "has a record of a later version of launch",
            _ => return None,
        };
        Some(self.damaged(why))
    }

    pub fn damaged(&self, why: &str) -> Error {
        let (path, name) = (self.place.join(&self.name), &self.name);
        let force = if self.life == Life::Running { "-f " } else { "" };
        let hint = format!("it is {}; launch rm {force}{name} removes it", path.display());
        self.cannot(why).hint(hint)
    }

    /// What is inside is not yet what it shall be.
    pub fn is_starting(&self) -> bool {
        self.life == Life::Running && !self.entry.running
    }

    /// As `process`, of one that nobody is still at work on: to be joined.
    pub fn ready_process(&self) -> Result<(Pid, OwnedFd)> {
        match self.is_starting() {
            true => Err(self.being_started()),
            false => self.process(),
        }
    }

    fn cannot(&self, why: &str) -> Error {
        Error::new(format!("container {} {why}", quote(&self.name)))
    }

    fn being_started(&self) -> Error {
        self.cannot("is only being started")
    }

    /// None: it has ended.
    pub fn try_process(&self) -> Result<Option<(Pid, OwnedFd)>> {
        match self.life {
            Life::Running => {}
            Life::Ended => return Ok(None),
            Life::Elsewhere => {
                return Err(self
                    .cannot("runs where its process cannot be seen from here")
                    .hint("in another pid namespace, whose launch can, or /proc is missing"));
            }
        }
        let Some(process) = &self.entry.process else {
            return Err(self.being_started());
        };
        let pid = Pid::from_raw(process.pid).ok_or_else(|| self.cannot("has a damaged record"))?;
        let fd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(None),
            fd => fd.map_err(|e| Error::os(format!("open a pidfd of {}", self.name), e))?,
        };
        // Of all this the record may be older than the descriptor: look again.
        let now = look_for(&self.name)?;
        let same = |f: &Found| f.life == Life::Running && f.entry.process == self.entry.process;
        Ok(now.is_some_and(|f| same(&f)).then_some((pid, fd)))
    }

    /// It runs all the same, as those who have its files open tell.
    pub fn revived(&self) -> bool {
        if self.entry.process.is_some() || self.entry.ended.is_some() {
            return false;
        }
        let _ = self.collect();
        look_for(&self.name).is_ok_and(|f| f.is_some_and(|f| f.life == Life::Running))
    }

    /// The launcher of one that does not say more than that it has one: it is killed, and the
    /// container with it. What it made is noted before.
    pub fn kill_launcher(&self) {
        for pid in holders(self.dir.as_fd(), &self.name) {
            for dir in crate::cgroup::named(pid, &self.name) {
                let _ = self.note_cgroup(&dir);
            }
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
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
        let ours = rustix::fs::statat(&self.dir, &name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|s| is_ours(&s));
        let lock = sweep::lock(self.dir.as_fd(), &name);
        if ours && lock.is_none() {
            return Ok(());
        }
        sweep::clear_all(&self.name, &self.entry)?;
        sweep::forget(self.dir.as_fd(), &name);
        Ok(())
    }

    /// Written down before it is made.
    pub fn note_cgroup(&self, dir: &Path) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |e| Error::os(format!("write the record of {}", self.name), e);
        let items = [super::RecordItem::Cgroup(dir.to_owned())];
        let text = lines::encode(&items, super::parent_inode)
            .ok_or_else(|| failed(rustix::io::Errno::INVAL))?;
        let file = rustix::fs::openat(&self.dir, self.name.as_str(), flags, Mode::empty());
        super::write_all(file.map_err(failed)?.as_fd(), &text).map_err(failed)
    }

    /// The cgroups it was put into, one for each hierarchy.
    pub fn cgroups(&self) -> impl Iterator<Item = &Path> + Clone {
        self.entry.items.iter().filter_map(|(item, _)| match item {
            super::RecordItem::Cgroup(dir) => Some(dir.as_path()),
            _ => None,
        })
    }
}

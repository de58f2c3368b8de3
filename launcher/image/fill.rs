//! What a root file system has where a named volume is mounted, copied into that volume while
//! it is empty. It gets its name when it is whole.

use super::export::{failed, merged, open};
use super::store::Lock;
use super::{manage, owner, volume, work};
use crate::archive::input::Input;
use crate::archive::pack::{self, Owners, Style};
use crate::archive::read::Reader;
use crate::beneath;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::sys::{self, ns};
use crate::tree;
use crate::unpack::{self, Options, Power, Skipped, Unset};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::PipeFlags;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// What a root file system is made of.
pub enum Source<'a> {
    /// The topmost one first.
    Directories(Vec<PathBuf>),
    /// A file system that is mounted nowhere.
    Disk(BorrowedFd<'a>),
}

/// The volume, which nobody removes while the descriptor is open, and warnings. It is made where
/// it is missing, and filled where it is empty.
pub fn take(
    dir: &Path,
    target: &Path,
    source: Option<&Source<'_>>,
    host: &Host,
) -> Result<(OwnedFd, Vec<String>)> {
    let failed = |e| Error::os(format!("open {}", dir.display()), e);
    let mut warnings = None;
    loop {
        match fs::open(dir, tree::DIRECTORY, Mode::empty()) {
            Ok(there) => {
                if let (Some(source), None) = (source, &warnings)
                    && is_empty(&there).map_err(failed)?
                {
                    warnings = Some(fill(dir, target, source, host)?);
                    continue;
                }
                retry_on_intr(|| fs::flock(&there, FlockOperation::LockShared)).map_err(failed)?;
                // It may have been removed, or filled, since.
                if fs::stat(dir)
                    .is_ok_and(|s| fs::fstat(&there).is_ok_and(|t| t.st_ino == s.st_ino))
                {
                    return Ok((there, warnings.unwrap_or_default()));
                }
            }
            Err(Errno::NOENT) => match (source, &warnings) {
                (Some(source), None) => warnings = Some(fill(dir, target, source, host)?),
                _ => volume::make(dir)?,
            },
            // A subordinate id's, closed to others: it has been filled, and the record tells of it.
            Err(Errno::ACCESS) => {
                let there = fs::open(dir, OFlags::PATH | tree::DIRECTORY, Mode::empty());
                return Ok((there.map_err(failed)?, warnings.unwrap_or_default()));
            }
            Err(e) => return Err(failed(e)),
        }
    }
}

/// Whether there is no such volume, or nothing in it.
pub fn is_wanted(dir: &Path) -> bool {
    match fs::open(dir, tree::DIRECTORY, Mode::empty()) {
        Ok(there) => is_empty(&there).unwrap_or(false),
        Err(e) => e == Errno::NOENT,
    }
}

fn is_empty(dir: &OwnedFd) -> tree::Result<bool> {
    let read = tree::each(dir.as_fd(), |_, _| Err(Errno::NOTEMPTY));
    fs::seek(dir, fs::SeekFrom::Start(0))?;
    match read {
        Err(Errno::NOTEMPTY) => Ok(false),
        read => read.map(|()| true),
    }
}

fn are_alike(a: &OwnedFd, b: &OwnedFd) -> tree::Result<bool> {
    let (a, b) = (fs::fstat(a)?, fs::fstat(b)?);
    Ok((a.st_mode, a.st_uid, a.st_gid) == (b.st_mode, b.st_uid, b.st_gid))
}

/// In a process of its own, which has the ids of those whose files these are.
fn fill(dir: &Path, target: &Path, source: &Source<'_>, host: &Host) -> Result<Vec<String>> {
    let ids = owner::ids(host)?;
    let several = matches!(source, Source::Directories(all) if all.len() > 1);
    let namespaces = if several || ids.is_some() { ns::NEWNS } else { 0 };
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let job = Job {
        name: &name,
        target,
        source,
        userns: ids.is_some(),
        power: owner::power(ids.as_ref()),
        used: !volume::users(&name, true).is_empty(),
    };
    let said = manage::change_as(ids.as_ref(), namespaces, |lock| job.run(lock))?;
    Ok(said.lines().map(str::to_owned).collect())
}

struct Job<'a> {
    name: &'a str,
    target: &'a Path,
    source: &'a Source<'a>,
    userns: bool,
    power: Power,
    /// A container has the volume now.
    used: bool,
}

impl Job<'_> {
    fn run(&self, lock: &Lock<'_>) -> Result<String> {
        let error = |e| Error::os(format!("fill volume {}", self.name), e);
        let volumes = lock.store.directory("volumes").map_err(error)?;
        let there = match fs::openat(&volumes, self.name, tree::DIRECTORY, Mode::empty()) {
            Ok(there) if !is_empty(&there).map_err(error)? => return Ok(String::new()),
            Ok(there) => Some(there),
            Err(Errno::NOENT) => None,
            Err(e) => return Err(error(e)),
        };
        let Some(from) = self.from()? else { return Ok(String::new()) };
        if let Some(there) = &there {
            let bare = is_empty(&from).map_err(|e| self.failed(e))?;
            if bare && are_alike(&from, there).map_err(error)? {
                return Ok(String::new());
            }
            let alone = fs::flock(there, FlockOperation::NonBlockingLockExclusive).is_ok();
            // Another directory in its place would not be the one that they have.
            if (self.used || !alone) && bare {
                return Ok(String::new());
            } else if self.used || !alone {
                return Ok(format!(
                    "volume {}: it is empty, and another container has it: what the rootfs has at {} is not copied into it",
                    self.name,
                    self.target.display()
                ));
            }
        }
        let made = lock.new_directory("volume")?;
        let skipped = self.copy(&from, made, lock)?;
        let new = lock.store.directory("new").map_err(error)?;
        fs::renameat(&new, "volume", &volumes, self.name).map_err(error)?;
        let shown = format!("volume {}", self.name);
        Ok(work::warnings(&shown, &skipped, self.power).join("\n"))
    }

    /// The directory in the root file system. Wherever its links lead, it is inside.
    fn from(&self) -> Result<Option<OwnedFd>> {
        let root = match self.source {
            Source::Disk(disk) => rustix::io::dup(disk).map_err(|e| self.failed(e))?,
            Source::Directories(all) => match all.as_slice() {
                [one] => open(one)?,
                all => merged(all, self.userns)?,
            },
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match beneath::open_in_root(root.as_fd(), self.target, flags, Mode::empty()) {
            Ok(from) => Ok(Some(from)),
            // A link without an end, or a file, is what the mount will fail at.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(e) => Err(self.failed(e)),
        }
    }

    fn failed(&self, e: Errno) -> Error {
        let what = format!("volume {}: copy {} of the rootfs", self.name, self.target.display());
        Error::os(what, e).hint(self.without())
    }

    fn without(&self) -> String {
        format!("-v {}:{}:nocopy begins with an empty one", self.name, self.target.display())
    }

    /// As an archive, which one process writes and another one unpacks.
    fn copy(&self, from: &OwnedFd, to: OwnedFd, lock: &Lock<'_>) -> Result<Skipped> {
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| self.failed(e));
        let (read, write) = pipe()?;
        let (heard, say) = pipe()?;
        sys::default_disposition(libc::SIGCHLD).map_err(|e| self.failed(e))?;
        let Some(packer) = sys::fork(0).map_err(|e| self.failed(e))? else {
            drop((read, heard));
            self.pack(from, write, say)
        };
        drop((write, say));
        let mut input = BufReader::with_capacity(256 << 10, File::from(read));
        let mut reader = Reader::new(&mut input as &mut dyn Input);
        let all = Some(u64::MAX);
        let limits = Unset { bytes: all, entries: all, depth: all }.for_size(0);
        let options = Options { power: self.power, layer: false, limits };
        let unpacked = unpack::unpack(&mut reader, to, None, &options, &mut |_| {});
        // It ends at once if it could not write all.
        drop(input);
        let mut said = String::new();
        let read = File::from(heard).read_to_string(&mut said);
        owner::reap(packer);
        read.map_err(|e| Error::os("hear from the process that copies", e))?;
        if unpacked.is_err() && !said.is_empty() {
            return Err(Error::new(said).hint(self.without()));
        }
        let skipped = unpacked.map_err(|f| {
            let at = unpack::shown(&f.path);
            let error = Error::new(format!("fill volume {}: {at}: {}", self.name, f.why));
            match f.os.and_then(|e| lock.store.hint(e)) {
                Some(hint) => error.hint(hint),
                None => error.hint(self.without()),
            }
        })?;
        // That the archive has its end shows that all of it was packed.
        if skipped.end { Err(self.failed(Errno::IO)) } else { Ok(skipped) }
    }

    fn pack(&self, from: &OwnedFd, to: OwnedFd, say: OwnedFd) -> ! {
        let kill = Some(rustix::process::Signal::KILL);
        let _ = rustix::process::set_parent_process_death_signal(kill);
        let owners =
            if self.power == Power::Single { Owners::CallerIsRoot } else { Owners::AsTheyAre };
        let out = BufWriter::with_capacity(256 << 10, File::from(to));
        if let Err(f) = pack::pack(from.as_fd(), out, Style { owners, layer: false })
            // Otherwise it is the other process that has failed.
            && f.errno != Errno::PIPE
        {
            let what = format!("volume {}: copy", self.name);
            let said = failed(&what, self.target, &f).to_string();
            let _ = File::from(say).write_all(said.as_bytes());
        }
        sys::exit_now(0)
    }
}

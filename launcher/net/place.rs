//! Where the state of a network namespace is kept: /run/launch/.net/INODE, read and
//! written under a lock. /run is mostly empty after a reboot, as is the kernel; what it has of
//! an earlier one counts for nothing.

use crate::error::{Error, Result};
use crate::net::state::State;
use crate::tree;
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The inode of this process's network namespace.
pub fn namespace() -> Result<u64> {
    let stat = rustix::fs::stat("/proc/self/ns/net");
    stat.map(|s| s.st_ino).map_err(|e| Error::os("stat /proc/self/ns/net", e))
}

/// Whether a network namespace is still in use: by a process, or as a file (`ip netns`).
pub fn lives(namespace: u64) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mounts.contains(&format!("net:[{namespace}]")) {
        return true;
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    processes.flatten().any(|entry| {
        rustix::fs::stat(entry.path().join("ns/net")).is_ok_and(|s| s.st_ino == namespace)
    })
}

/// The directory of this network namespace.
pub fn here() -> Result<PathBuf> {
    namespace().map(of)
}

pub fn of(namespace: u64) -> PathBuf {
    Path::new("/run/launch/.net").join(namespace.to_string())
}

/// The state, read, with the lock held until this is dropped.
pub struct Locked {
    pub dir: PathBuf,
    pub state: State,
    lock: OwnedFd,
}

impl Locked {
    /// Makes the directory where it is missing.
    pub fn open(dir: PathBuf) -> Result<Locked> {
        let failed = |e: Errno| Error::os(format!("open {}", dir.join("lock").display()), e);
        for _ in 0..100 {
            for d in [Path::new("/run/launch"), Path::new("/run/launch/.net"), &dir] {
                match rustix::fs::mkdir(d, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(Error::os(format!("make {}", d.display()), e)),
                }
            }
            match lock(&dir, OFlags::CREATE) {
                Ok(Some(lock)) => return Locked::read(dir, lock),
                // Removed by the last user between our two steps.
                Ok(None) | Err(Errno::NOENT) => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Err(failed(Errno::AGAIN))
    }

    /// None: nothing was ever made here, or all of it is gone.
    pub fn open_existing(dir: PathBuf) -> Result<Option<Locked>> {
        match lock(&dir, OFlags::empty()) {
            Ok(Some(lock)) => Locked::read(dir, lock).map(Some),
            Ok(None) | Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::os(format!("open {}", dir.join("lock").display()), e)),
        }
    }

    /// For a process that goes on with it.
    pub fn lock_fd(&self) -> RawFd {
        self.lock.as_raw_fd()
    }

    fn read(dir: PathBuf, lock: OwnedFd) -> Result<Locked> {
        let mut locked = Locked { dir, state: State::default(), lock };
        locked.read_again().map(|()| locked)
    }

    /// What is noted, in place of what was thought since.
    pub fn read_again(&mut self) -> Result<()> {
        let mut state = State::default();
        // The second one is whole wherever the first is missing (see save).
        for file in [self.dir.join("state"), self.dir.join("state.new")] {
            match std::fs::read_to_string(&file) {
                Ok(text) => {
                    state = State::decode(&text);
                    break;
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::os(format!("read {}", file.display()), e)),
            }
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = boot.trim();
        if !boot.is_empty() && !state.boot.is_empty() && boot != state.boot {
            state = State::default();
        }
        state.boot = boot.to_owned();
        self.state = state;
        Ok(())
    }

    /// Lets others have it for a while. False: they have removed it.
    pub fn let_others(&mut self, time: Duration) -> Result<bool> {
        let shown = self.dir.join("lock");
        let failed = |e| Error::os(format!("lock {}", shown.display()), e);
        let flock = |how| rustix::fs::flock(&self.lock, how).map_err(failed);
        super::again(|| flock(FlockOperation::Unlock))?;
        super::sleep(time);
        if !super::again(|| take(&self.lock).map_err(failed))? {
            return Ok(false);
        }
        super::again(|| self.read_again()).map(|()| true)
    }

    /// A kill at any point leaves the old state or the new one. The old one is unlinked
    /// first: a rename over a file makes ext4 write to the disk at once.
    pub fn save(&self) -> Result<()> {
        let (file, new) = (self.dir.join("state"), self.dir.join("state.new"));
        let save = || {
            std::fs::write(&new, self.state.encode())?;
            match std::fs::remove_file(&file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            std::fs::rename(&new, &file)
        };
        save().map_err(|e| Error::os(format!("write {}", file.display()), e))
    }

    /// The last user is gone: the directories, too. The lock's file last, as others may
    /// be waiting for it; they notice.
    pub fn remove(&self) -> Result<()> {
        let failed = |path: &Path, e| Error::os(format!("remove {}", path.display()), e);
        // Without a list, what is always there.
        let known = || ["state", "state.new", "lock"].map(|name| name.into()).into();
        let mut names = names(&self.dir).unwrap_or_else(|_| known());
        names.sort_by_key(|name| name == b"lock");
        for name in names {
            let path = self.dir.join(OsStr::from_bytes(&name));
            match rustix::fs::unlink(&path) {
                Err(Errno::ISDIR) => drop(std::fs::remove_dir_all(&path)),
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(failed(&path, e)),
            }
        }
        remove_dir(&self.dir)?;
        // Other network namespaces may have theirs.
        remove_dir(Path::new("/run/launch/.net"))
    }
}

/// std's way of reading a directory panics where closing it fails.
pub fn names(dir: &Path) -> std::result::Result<Vec<Vec<u8>>, Errno> {
    tree::names(rustix::fs::open(dir, tree::DIRECTORY, Mode::empty())?.as_fd())
}

/// If it is empty.
fn remove_dir(dir: &Path) -> Result<()> {
    super::again(|| match rustix::fs::unlinkat(CWD, dir, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(e) => Err(Error::os(format!("remove {}", dir.display()), e)),
    })
}

/// None: it was removed while we waited.
fn lock(dir: &Path, create: OFlags) -> std::result::Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(dir.join("lock"), flags | create, Mode::RUSR | Mode::WUSR)?;
    Ok(take(&file)?.then_some(file))
}

/// False: it was removed while we waited.
fn take(file: &OwnedFd) -> std::result::Result<bool, Errno> {
    retry_on_intr(|| rustix::fs::flock(file, FlockOperation::LockExclusive))?;
    Ok(rustix::fs::fstat(file)?.st_nlink > 0)
}

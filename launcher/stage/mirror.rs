//! Host paths brought into the tree under the same names, with every link on the way.

use crate::error::{Error, Result};
use crate::tree::{self, NEW_FILE, Tree};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The kernel's own limit for one path.
const LINKS_MOST: u32 = 40;

pub struct Mirror {
    pub tree: Tree,
    /// As root, owners are kept; else all belongs to the caller.
    root: bool,
    brought: HashSet<PathBuf>,
    pub copied: Vec<Copied>,
}

/// One file that is in the tree now.
pub struct Copied {
    /// Below the tree, absolute.
    pub path: PathBuf,
    /// On the host, without links.
    pub source: PathBuf,
    pub bytes: u64,
}

impl Mirror {
    pub fn new(root: OwnedFd) -> Mirror {
        let own = rustix::process::geteuid();
        Mirror {
            tree: Tree::new(root),
            root: own.is_root(),
            brought: HashSet::new(),
            copied: Vec::new(),
        }
    }

    /// Brings `path`, which is absolute. Returned: where it really is on the host.
    pub fn bring(&mut self, path: &Path) -> Result<PathBuf> {
        let failed = |at: &Path, e: Errno| Error::os(format!("copy {}", at.display()), e);
        let mut todo = reversed(path.as_os_str().as_bytes());
        let mut host = PathBuf::from("/");
        let mut here: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                host.pop();
                here.pop();
                continue;
            }
            let source = host.join(OsStr::from_bytes(&name));
            let stat = fs::lstat(&source).map_err(|e| failed(&source, e))?;
            let place = { self.tree.dir(&here).map_err(|e| failed(&source, e))? };
            match tree::kind(&stat) {
                FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MOST {
                        return Err(failed(path, Errno::LOOP));
                    }
                    let target = fs::readlink(&source, Vec::new());
                    let target = target.map_err(|e| failed(&source, e))?.into_bytes();
                    if mirror_link(place.as_fd(), &name, &target).map_err(|e| failed(&source, e))? {
                        if target.starts_with(b"/") {
                            host = PathBuf::from("/");
                            here.clear();
                        }
                    } else {
                        // The tree has a directory there, which is where things go, then.
                        let real = source.canonicalize();
                        host =
                            real.map_err(|e| Error::os(format!("copy {}", source.display()), e))?;
                        here.push(name);
                        continue;
                    }
                    todo.extend(reversed(&target));
                }
                FileType::Directory => {
                    let made = make_directory(place.as_fd(), &name, &stat, self.root);
                    made.map_err(|e| failed(&source, e))?;
                    here.push(name);
                    host = source;
                }
                _ if !todo.is_empty() => return Err(failed(&source, Errno::NOTDIR)),
                FileType::RegularFile => {
                    drop(place);
                    here.push(name);
                    self.file(&source, &here, &stat)?;
                    return Ok(source);
                }
                _ => {
                    let said = format!("copy {}: neither a file nor a directory", source.display());
                    return Err(Error::new(said));
                }
            }
        }
        Ok(host)
    }

    fn file(&mut self, source: &Path, place: &[Vec<u8>], stat: &Stat) -> Result<()> {
        let shown = place.iter().fold(PathBuf::from("/"), |p, n| p.join(OsStr::from_bytes(n)));
        if !self.brought.insert(shown.clone()) {
            return Ok(());
        }
        let failed = |e: Errno| Error::os(format!("copy {}", source.display()), e);
        let Some((name, above)) = place.split_last() else { return Ok(()) };
        let root = self.root;
        let dir = self.tree.dir(above).map_err(failed)?;
        let bytes = copy_file(source, dir.as_fd(), name, stat, root).map_err(failed)?;
        self.copied.push(Copied { path: shown, source: source.to_owned(), bytes });
        Ok(())
    }

    /// A directory with all below it, links as links, with what they lead to where that is
    /// a file. Sockets and the like are left out.
    pub fn bring_all(&mut self, path: &Path, skip: &[&str]) -> Result<()> {
        let mut todo = vec![path.to_owned()];
        while let Some(path) = todo.pop() {
            let real = match self.bring(&path) {
                Ok(real) => real,
                // A link that leads nowhere is as it is on the host, and so is a socket.
                Err(_) if todo_may_lack(&path) => continue,
                Err(e) => return Err(e),
            };
            if !real.is_dir() || (path.is_symlink() && !todo.is_empty()) {
                continue;
            }
            let failed = |e| Error::os(format!("read {}", path.display()), e);
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                if !skip.iter().any(|s| name == *s) {
                    todo.push(entry.path());
                }
            }
        }
        Ok(())
    }
}

/// Neither a file nor a directory, even through links.
fn todo_may_lack(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |m| !m.is_file() && !m.is_dir())
}

fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".");
    let mut names: Vec<_> = names.map(<[u8]>::to_vec).collect();
    names.reverse();
    names
}

/// False where the tree has a directory of that name, which stays.
fn mirror_link(dir: BorrowedFd<'_>, name: &[u8], target: &[u8]) -> tree::Result<bool> {
    match tree::look(dir, name)?.as_ref().map(tree::kind) {
        Some(FileType::Directory) => return Ok(false),
        Some(FileType::Symlink) if fs::readlinkat(dir, name, Vec::new())?.as_bytes() == target => {
            return Ok(true);
        }
        Some(_) => tree::remove(dir, name)?,
        None => {}
    }
    fs::symlinkat(target, dir, name)?;
    Ok(true)
}

fn make_directory(dir: BorrowedFd<'_>, name: &[u8], like: &Stat, root: bool) -> tree::Result<()> {
    match fs::mkdirat(dir, name, Mode::RWXU) {
        Err(Errno::EXIST) => {
            return match tree::look(dir, name)?.as_ref().map(tree::kind) {
                Some(FileType::Directory) => Ok(()),
                _ => Err(Errno::NOTDIR),
            };
        }
        made => made?,
    }
    let new = fs::openat(dir, name, tree::DIRECTORY, Mode::empty())?;
    attributes(new.as_fd(), like, root)
}

/// Owner before mode: chown(2) clears set-user-ID bits.
fn attributes(fd: BorrowedFd<'_>, like: &Stat, root: bool) -> tree::Result<()> {
    if root {
        let (uid, gid) = (fs::Uid::from_raw(like.st_uid), fs::Gid::from_raw(like.st_gid));
        fs::fchown(fd, Some(uid), Some(gid))?;
    }
    // A set-user-ID program of one's own would be a gift to nobody.
    let keep = if root { 0o7777 } else { 0o777 };
    fs::fchmod(fd, Mode::from_raw_mode(like.st_mode & keep))
}

fn copy_file(
    source: &Path,
    dir: BorrowedFd<'_>,
    name: &[u8],
    stat: &Stat,
    root: bool,
) -> tree::Result<u64> {
    let errno = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
    match tree::look(dir, name)? {
        Some(s) if tree::kind(&s) == FileType::Directory => return Err(Errno::ISDIR),
        // There since the last time.
        Some(s)
            if tree::kind(&s) == FileType::RegularFile
                && (s.st_size, s.st_mtime) == (stat.st_size, stat.st_mtime) =>
        {
            return Ok(stat.st_size as u64);
        }
        _ => {}
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut from = File::from(fs::open(source, flags, Mode::empty())?);
    tree::remove(dir, name)?;
    let mut to = File::from(fs::openat(dir, name, NEW_FILE, Mode::RWXU)?);
    let copied = std::io::copy(&mut from, &mut to).map_err(errno).and_then(|bytes| {
        attributes(to.as_fd(), stat, root)?;
        capability(from.as_fd(), to.as_fd(), root)?;
        let now = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
        fs::futimens(&to, &Timestamps { last_access: now, last_modification: now })?;
        Ok(bytes)
    });
    if copied.is_err() {
        // The error that is told is the first one.
        let _ = fs::unlinkat(dir, name, AtFlags::empty());
    }
    copied
}

/// File capabilities (ping's, for example), which only root may set.
fn capability(from: BorrowedFd<'_>, to: BorrowedFd<'_>, root: bool) -> tree::Result<()> {
    let mut value = [0u8; 64];
    match fs::fgetxattr(from, c"security.capability", &mut value) {
        Ok(n) if root => {
            fs::fsetxattr(to, c"security.capability", &value[..n], fs::XattrFlags::empty())
        }
        _ => Ok(()),
    }
}

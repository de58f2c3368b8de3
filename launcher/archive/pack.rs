//! A directory as an archive, always in the same order.

use super::write::Writer;
use super::{Entry, Kind};
use crate::tree;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};

/// Whose files are root's in the archive.
#[derive(Clone, Copy, PartialEq)]
pub enum Owners {
    AsTheyAre,
    /// Made by an ordinary user for a container's root.
    CallerIsRoot,
}

#[derive(Clone, Copy)]
pub struct Style {
    pub owners: Owners,
    /// Overlayfs's marks for what is deleted become those of OCI layers.
    pub layer: bool,
}

struct Packer<W: Write> {
    out: Writer<W>,
    style: Style,
    caller: (u32, u32),
    /// Files with several names: where the first one is.
    names: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
    device: u64,
}

pub type Result<T> = std::result::Result<T, Failure>;

/// What failed, and at which path below the directory.
pub struct Failure {
    pub path: Vec<u8>,
    pub errno: Errno,
}

/// Writes all of `root`, other file systems below it left out, and ends the archive.
pub fn pack<W: Write>(root: BorrowedFd<'_>, out: W, style: Style) -> Result<W> {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let stat = fs::fstat(root).map_err(|errno| Failure { path: Vec::new(), errno })?;
    let mut packer = Packer {
        out: Writer::new(out),
        style,
        caller: own,
        names: HashMap::new(),
        buffer: vec![0; 128 << 10],
        device: stat.st_dev,
    };
    let result = packer.directory(root, &mut Vec::new(), &stat);
    result.and_then(|()| packer.out.finish().map_err(|e| failure(&[], e)))
}

fn failure(path: &[u8], e: std::io::Error) -> Failure {
    Failure { path: path.to_vec(), errno: Errno::from_io_error(&e).unwrap_or(Errno::IO) }
}

impl<W: Write> Packer<W> {
    fn directory(&mut self, dir: BorrowedFd<'_>, path: &mut Vec<u8>, stat: &Stat) -> Result<()> {
        let fail = |path: &[u8]| {
            let path = path.to_vec();
            move |errno| Failure { path, errno }
        };
        let mut entry = self.describe(path, stat, Kind::Directory);
        entry.path = [if path.is_empty() { b"." } else { path.as_slice() }, b"/"].concat();
        entry.xattrs = xattrs(dir).map_err(fail(path))?;
        let opaque = self.style.layer && is_opaque(dir);
        self.out.entry(&entry).map_err(|e| failure(path, e))?;
        if opaque {
            let mark = self.mark(path, b".wh..opq");
            self.out.entry(&mark).map_err(|e| failure(path, e))?;
        }
        for name in tree::names(dir).map_err(fail(path))? {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.one(dir, &name, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn one(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &mut Vec<u8>) -> Result<()> {
        let fail = |errno| Failure { path: path.to_vec(), errno };
        let Some(stat) = tree::look(dir, name).map_err(fail)? else { return Ok(()) };
        let kind = match tree::kind(&stat) {
            FileType::Directory => {
                let below = fs::openat(dir, name, tree::DIRECTORY, Mode::empty()).map_err(fail)?;
                if stat.st_dev != self.device {
                    return Ok(());
                }
                return self.directory(below.as_fd(), path, &stat);
            }
            FileType::CharacterDevice if self.style.layer && stat.st_rdev == 0 => {
                let length = path.len() - name.len();
                let mark = self.mark(path[..length].strip_suffix(b"/").unwrap_or_default(), name);
                return self.out.entry(&mark).map_err(|e| failure(path, e));
            }
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::Character,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            // A socket is its owner's process's, and that is not packed.
            _ => return Ok(()),
        };
        let mut entry = self.describe(path, &stat, kind);
        if stat.st_nlink > 1 {
            if let Some(first) = self.names.get(&(stat.st_dev, stat.st_ino)) {
                entry = Entry { kind: Kind::HardLink, link: first.clone(), size: 0, ..entry };
                return self.out.entry(&entry).map_err(|e| failure(path, e));
            }
            self.names.insert((stat.st_dev, stat.st_ino), path.clone());
        }
        match kind {
            Kind::File => return self.file(dir, name, entry),
            Kind::Symlink => {
                let target = fs::readlinkat(dir, name, Vec::new()).map_err(fail)?;
                entry.link = target.into_bytes();
            }
            _ => {}
        }
        self.out.entry(&entry).map_err(|e| failure(path, e))
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &[u8], mut entry: Entry) -> Result<()> {
        let path = entry.path.clone();
        let fail = |errno| Failure { path: path.clone(), errno };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = fs::openat(dir, name, flags, Mode::empty()).map_err(fail)?;
        entry.size = fs::fstat(&fd).map_err(fail)?.st_size as u64;
        entry.xattrs = xattrs(fd.as_fd()).map_err(fail)?;
        self.out.entry(&entry).map_err(|e| failure(&path, e))?;
        let mut file = File::from(fd);
        let mut left = entry.size;
        while left > 0 {
            let want = self.buffer.len().min(left as usize);
            match file.read(&mut self.buffer[..want]).map_err(|e| failure(&path, e))? {
                // It shrank since; the header has been written.
                0 => return Err(fail(Errno::STALE)),
                n => {
                    self.out.data(&self.buffer[..n]).map_err(|e| failure(&path, e))?;
                    left -= n as u64;
                }
            }
        }
        Ok(())
    }

    fn describe(&self, path: &[u8], stat: &Stat, kind: Kind) -> Entry {
        let id = |id: u32, own: u32| match self.style.owners {
            Owners::CallerIsRoot if id == own => 0,
            _ => id,
        };
        let device = matches!(kind, Kind::Character | Kind::Block);
        let device =
            if device { (fs::major(stat.st_rdev), fs::minor(stat.st_rdev)) } else { (0, 0) };
        Entry {
            mode: stat.st_mode & 0o7777,
            uid: id(stat.st_uid, self.caller.0),
            gid: id(stat.st_gid, self.caller.1),
            mtime: (stat.st_mtime, stat.st_mtime_nsec as u32),
            device,
            ..Entry::new(kind, path.to_vec())
        }
    }

    /// `.wh.NAME`, an empty file.
    fn mark(&self, dir: &[u8], name: &[u8]) -> Entry {
        let slash: &[u8] = if dir.is_empty() { b"" } else { b"/" };
        Entry { mode: 0o644, ..Entry::new(Kind::File, [dir, slash, b".wh.", name].concat()) }
    }
}

/// Those that belong to a file and not to the host it is on.
pub fn xattrs(fd: BorrowedFd<'_>) -> tree::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut list = vec![0u8; 4096];
    let n = match fs::flistxattr(fd, &mut list) {
        Ok(n) => n,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            list.resize(64 << 10, 0);
            fs::flistxattr(fd, &mut list)?
        }
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for name in list[..n].split(|b| *b == 0).filter(|n| travels(n)) {
        let mut value = vec![0u8; 64 << 10];
        let n = fs::fgetxattr(fd, name, &mut value)?;
        value.truncate(n);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// Whether an extended attribute has a meaning on another host.
pub fn travels(name: &[u8]) -> bool {
    let user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    user || name == b"security.capability" || name.starts_with(b"system.posix_acl_")
}

pub fn is_opaque(dir: BorrowedFd<'_>) -> bool {
    let mut value = [0u8; 2];
    [c"trusted.overlay.opaque", c"user.overlay.opaque"].iter().any(|name| {
        fs::fgetxattr(dir, *name, &mut value) == Ok(1) && matches!(value[0], b'y' | b'x')
    })
}

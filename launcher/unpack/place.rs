//! Where an entry goes, and the making of it.

use super::attributes::{self, Meta};
use super::names::{clean, joined, reversed};
use super::stack::is_whiteout;
use super::{Path, Power, Result, Skipped, Unpacker, Wrong};
use crate::archive::input::Input;
use crate::archive::read::{Member, Problem, Reader};
use crate::archive::{Entry, Kind};
use crate::tree::{self, NEW_FILE};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// The kernel's own limit for one path.
const LINKS_MOST: u32 = 40;

/// An entry's own fault, or the archive's.
type Either<T> = std::result::Result<T, std::result::Result<Wrong, Problem>>;

impl Unpacker<'_> {
    /// The directory that `above` means; `make`: where it is missing, else ENOENT.
    pub fn parent(&mut self, path: &[u8], above: &[Vec<u8>], make: bool) -> Result<Path> {
        let end = path.iter().rposition(|b| *b == b'/').unwrap_or(0);
        // A directory's own name ends with a slash, which would be the wrong one.
        let given = if path.ends_with(b"/") { Vec::new() } else { path[..end].to_vec() };
        if let Some((last, real)) = &self.last_parent
            && !given.is_empty()
            && *last == given
        {
            return Ok(real.clone());
        }
        let real = self.resolve(above, make)?;
        if !given.is_empty() {
            self.last_parent = Some((given, real.clone()));
        }
        Ok(real)
    }

    /// Directory by directory, links resolved inside the tree.
    fn resolve(&mut self, names: &[Vec<u8>], make: bool) -> Result<Path> {
        let held = self.tree.held(names);
        let mut real: Path = names[..held].to_vec();
        let mut todo: Path = names[held..].iter().rev().cloned().collect();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                real.pop();
                continue;
            }
            real.push(name.clone());
            if self.tree.dir(&real).is_ok() {
                continue;
            }
            let place = real.clone();
            real.pop();
            let dir = self.tree.dir(&real)?;
            let target = match tree::look(dir.as_fd(), &name)? {
                Some(stat) if tree::kind(&stat) == FileType::Directory => {
                    real = place;
                    continue;
                }
                Some(stat) if tree::kind(&stat) == FileType::Symlink => {
                    fs::readlinkat(dir.as_fd(), name.as_slice(), Vec::new())?.into_bytes()
                }
                Some(stat) if !is_whiteout(&stat) => return Err(Errno::NOTDIR.into()),
                there => {
                    drop(dir);
                    match self.take_from_below(&place, there.is_some(), make)? {
                        Some(target) => target,
                        None => {
                            real = place;
                            continue;
                        }
                    }
                }
            };
            links += 1;
            if links > LINKS_MOST {
                return Err(Errno::LOOP.into());
            }
            if target.starts_with(b"/") {
                real.clear();
            }
            todo.extend(reversed(&target));
            if todo.len() > self.options.limits.depth + 4096 {
                return Err(Errno::NAMETOOLONG.into());
            }
        }
        Ok(real)
    }

    /// A directory that this layer has not: as it is below, or a new one. A link's target,
    /// if it is a link there.
    fn take_from_below(
        &mut self,
        place: &[Vec<u8>],
        deleted: bool,
        make: bool,
    ) -> Result<Option<Vec<u8>>> {
        let below = self.below.filter(|_| !deleted);
        if let Some(node) = below.and_then(|b| b.find(place)) {
            let name = place.last().map(Vec::as_slice).unwrap_or_default();
            match tree::kind(&node.stat) {
                FileType::Directory => {}
                FileType::Symlink => {
                    let target = fs::readlinkat(&node.dir, name, Vec::new())?;
                    return Ok(Some(target.into_bytes()));
                }
                _ => return Err(Errno::NOTDIR.into()),
            }
        } else if !make {
            return Err(Errno::NOENT.into());
        }
        let mut meta = below.and_then(|b| b.meta(place)).unwrap_or_default();
        meta.opaque = deleted;
        self.new_directory(place, meta)?;
        Ok(None)
    }

    fn new_directory(&mut self, place: &[Vec<u8>], meta: Meta) -> Result<()> {
        let Some((name, above)) = place.split_last() else { return Ok(()) };
        if meta.opaque {
            self.clear(above, name)?;
        }
        let dir = self.tree.dir(above)?;
        fs::mkdirat(dir.as_fd(), name.as_slice(), Mode::RWXU)?;
        self.directories.insert(joined(place), meta);
        Ok(())
    }

    pub fn directory_meta(&mut self, place: &[Vec<u8>]) -> &mut Meta {
        self.directories.entry(joined(place)).or_default()
    }

    /// Everything but files.
    pub fn other(&mut self, entry: &Entry, parent: Path, name: &[u8]) -> Result<()> {
        let place = [parent.as_slice(), &[name.to_vec()]].concat();
        if entry.kind == Kind::Directory {
            return self.directory(entry, place);
        }
        if matches!(entry.kind, Kind::Character | Kind::Block) && self.options.power != Power::Root
        {
            // Nobody but the host's root may make one.
            self.skipped.devices += 1;
            self.left_out.push(place);
            return Ok(());
        }
        if entry.kind == Kind::HardLink {
            return self.hard_link(entry, &place);
        }
        self.clear(&parent, name)?;
        let dir = self.tree.dir(&parent)?;
        special(dir.as_fd(), name, entry, self.options.power, &mut self.skipped)
    }

    fn directory(&mut self, entry: &Entry, place: Path) -> Result<()> {
        let Some((name, above)) = place.split_last() else { return Ok(()) };
        let mut meta = Meta::of(entry);
        let there = {
            let dir = self.tree.dir(above)?;
            match fs::mkdirat(dir.as_fd(), name.as_slice(), Mode::RWXU) {
                Ok(()) => {
                    drop(dir);
                    self.directories.insert(joined(&place), meta);
                    return Ok(());
                }
                Err(Errno::EXIST) => tree::look(dir.as_fd(), name)?,
                Err(e) => return Err(e.into()),
            }
        };
        if there.as_ref().is_some_and(|s| tree::kind(s) == FileType::Directory) {
            let known = self.directory_meta(&place);
            meta.opaque = known.opaque;
            *known = meta;
            return Ok(());
        }
        meta.opaque = there.is_some() && self.has_below();
        if there.is_some() {
            self.clear(above, name)?;
        }
        self.new_directory(&place, Meta { opaque: false, ..meta.clone() })?;
        self.directory_meta(&place).opaque = meta.opaque;
        Ok(())
    }

    /// The target must be in the archive, or below it; then it is copied first, as two layers
    /// cannot share a file: names that other layers have for it stay as they are.
    fn hard_link(&mut self, entry: &Entry, place: &[Vec<u8>]) -> Result<()> {
        let absent = || {
            let target = super::shown(&entry.link);
            Wrong::Said(format!("a hard link to {target}, which is not in the archive"))
        };
        let target = clean(&entry.link).map_err(|_| absent())?;
        let (target_name, above) = target.split_last().ok_or_else(absent)?;
        let above = self.resolve(above, false).map_err(|e| match e {
            Wrong::Os(Errno::NOENT) => absent(),
            other => other,
        })?;
        let target = [above.as_slice(), std::slice::from_ref(target_name)].concat();
        if target == place {
            return Ok(());
        }
        let there = {
            let dir = self.tree.dir(&above)?;
            tree::look(dir.as_fd(), target_name)?
        };
        match there {
            Some(stat) if is_whiteout(&stat) => return Err(absent()),
            Some(stat) if tree::kind(&stat) == FileType::Directory => {
                return Err(Wrong::Said("a hard link to a directory".into()));
            }
            Some(_) => {}
            None if self.left_out.contains(&target) => {
                self.left_out.push(place.to_vec());
                return Ok(());
            }
            None => self.copy_from_below(&target).map_err(|e| match e {
                Wrong::Os(Errno::NOENT) => absent(),
                other => other,
            })?,
        }
        let Some((name, parent)) = place.split_last() else { return Ok(()) };
        self.clear(parent, name)?;
        let from: OwnedFd = {
            let dir = self.tree.dir(&above)?;
            fs::openat(dir.as_fd(), c".", tree::DIRECTORY, Mode::empty())?
        };
        let to = self.tree.dir(parent)?;
        // Not AT_SYMLINK_FOLLOW: a link to a link is a second name of the link itself.
        match fs::linkat(
            &from,
            target_name.as_slice(),
            to.as_fd(),
            name.as_slice(),
            AtFlags::empty(),
        ) {
            Err(Errno::NOENT) => Err(absent()),
            done => Ok(done?),
        }
    }

    fn copy_from_below(&mut self, place: &[Vec<u8>]) -> Result<()> {
        let (Some(below), Some((name, above))) = (self.below, place.split_last()) else {
            return Err(Errno::NOENT.into());
        };
        let node = below.find(place).ok_or(Errno::NOENT)?;
        let dir = self.tree.dir(above)?;
        let power = self.options.power;
        match tree::kind(&node.stat) {
            FileType::RegularFile => {
                let errno = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let from = fs::openat(&node.dir, name.as_slice(), flags, Mode::empty())?;
                let to = fs::openat(dir.as_fd(), name.as_slice(), NEW_FILE, Mode::RWXU)?;
                let mut from = std::fs::File::from(from);
                let mut to = std::fs::File::from(to);
                std::io::copy(&mut from, &mut to).map_err(errno)?;
                let meta = Meta {
                    mode: node.stat.st_mode & 0o7777,
                    uid: node.stat.st_uid,
                    gid: node.stat.st_gid,
                    mtime: Some((node.stat.st_mtime, node.stat.st_mtime_nsec as u32)),
                    xattrs: crate::archive::pack::xattrs(from.as_fd())?,
                    opaque: false,
                };
                Ok(attributes::set(&to, &meta, power, &mut self.skipped)?)
            }
            kind => {
                let stat = &node.stat;
                let mut entry = Entry::new(Kind::Symlink, Vec::new());
                match kind {
                    FileType::Symlink => {
                        let target = fs::readlinkat(&node.dir, name.as_slice(), Vec::new())?;
                        entry.link = target.into_bytes();
                    }
                    FileType::CharacterDevice => entry.kind = Kind::Character,
                    FileType::BlockDevice => entry.kind = Kind::Block,
                    FileType::Fifo => entry.kind = Kind::Fifo,
                    _ => return Err(Errno::NOENT.into()),
                }
                entry.mode = stat.st_mode & 0o7777;
                (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
                entry.mtime = (stat.st_mtime, stat.st_mtime_nsec as u32);
                entry.device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
                special(dir.as_fd(), name, &entry, power, &mut self.skipped)
            }
        }
    }

    pub fn file<I: Input>(
        &mut self,
        reader: &mut Reader<I>,
        parent: &[Vec<u8>],
        name: &[u8],
        member: &Member,
    ) -> Either<()> {
        let own = |e: Errno| Ok(Wrong::Os(e));
        let open = |unpacker: &mut Self| {
            let dir = unpacker.tree.dir(parent)?;
            fs::openat(dir.as_fd(), name, NEW_FILE, Mode::RUSR | Mode::WUSR)
        };
        let fd = match open(self) {
            Err(Errno::EXIST) => {
                self.clear(parent, name).map_err(Ok)?;
                open(self)
            }
            fd => fd,
        };
        let fd = fd.map_err(own)?;
        match &member.pieces {
            None => write(reader, &fd)?,
            Some(pieces) => {
                fs::ftruncate(&fd, member.entry.size).map_err(own)?;
                write_pieces(reader, &fd, pieces)?;
            }
        }
        let meta = Meta::of(&member.entry);
        attributes::set(&fd, &meta, self.options.power, &mut self.skipped).map_err(own)
    }
}

/// A symbolic link, a device or a fifo, with all its attributes.
fn special(
    dir: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    power: Power,
    skipped: &mut Skipped,
) -> Result<()> {
    let file = match entry.kind {
        Kind::Symlink => FileType::Symlink,
        Kind::Character => FileType::CharacterDevice,
        Kind::Block => FileType::BlockDevice,
        _ => FileType::Fifo,
    };
    match entry.kind {
        Kind::Symlink if entry.link.is_empty() => {
            return Err(Wrong::Said("a symbolic link to nothing".into()));
        }
        Kind::Symlink => fs::symlinkat(entry.link.as_slice(), dir, name)?,
        kind => {
            let device = match kind {
                Kind::Fifo => 0,
                _ => fs::makedev(entry.device.0, entry.device.1),
            };
            fs::mknodat(dir, name, file, Mode::RUSR | Mode::WUSR, device)?;
        }
    }
    Ok(attributes::set_at(dir, name, entry, entry.kind == Kind::Symlink, power, skipped)?)
}

fn write<I: Input>(reader: &mut Reader<I>, fd: &OwnedFd) -> Either<()> {
    loop {
        let bytes = reader.data().map_err(Err)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let n = written(rustix::io::write(fd, bytes))?;
        reader.consume(n);
    }
}

fn write_pieces<I: Input>(
    reader: &mut Reader<I>,
    fd: &OwnedFd,
    pieces: &[(u64, u64)],
) -> Either<()> {
    for (offset, length) in pieces {
        let (mut at, end) = (*offset, offset + length);
        while at < end {
            let bytes = reader.data().map_err(Err)?;
            if bytes.is_empty() {
                return Err(Err(reader.broken("a sparse file's data is missing")));
            }
            let most = bytes.len().min((end - at) as usize);
            let n = written(rustix::io::pwrite(fd, &bytes[..most], at))?;
            reader.consume(n);
            at += n as u64;
        }
    }
    Ok(())
}

fn written(result: rustix::io::Result<usize>) -> Either<usize> {
    match result {
        Err(Errno::INTR) => Ok(0),
        Ok(0) => Err(Ok(Wrong::Os(Errno::NOSPC))),
        Ok(n) => Ok(n),
        Err(e) => Err(Ok(Wrong::Os(e))),
    }
}

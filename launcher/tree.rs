//! A directory tree being written: every name is reached through descriptors opened one
//! below the other from the root on, and no link is followed, so nothing is written outside
//! however hostile the tree or its makers are.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::mem::MaybeUninit;

pub type Result<T> = std::result::Result<T, Errno>;

/// Directories held open on the way to the one in use; deeper ones are opened each time.
const HELD_MOST: usize = 64;

pub const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A new file, never through what is there already.
pub const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

pub struct Tree {
    root: OwnedFd,
    /// The way to the directory used last, and beyond: names and descriptors.
    held: Vec<(Vec<u8>, OwnedFd)>,
}

impl Tree {
    pub fn new(root: OwnedFd) -> Tree {
        Tree { root, held: Vec::new() }
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directory at `names`, all of which are directories. ENOTDIR for a link.
    pub fn dir(&mut self, names: &[Vec<u8>]) -> Result<OwnedOrHeld<'_>> {
        let same = self.held(names);
        if same == names.len() {
            return Ok(OwnedOrHeld::Held(self.at(same)));
        }
        self.held.truncate(same);
        for name in names.iter().take(HELD_MOST).skip(same) {
            let here = self.held.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd());
            let next = fs::openat(here, name.as_slice(), DIRECTORY, Mode::empty()).map_err(link)?;
            self.held.push((name.clone(), next));
        }
        let mut deep: Option<OwnedFd> = None;
        for name in names.iter().skip(HELD_MOST) {
            let here = deep.as_ref().map(|fd| fd.as_fd());
            let here = here.unwrap_or_else(|| self.last());
            let next = fs::openat(here, name.as_slice(), DIRECTORY, Mode::empty()).map_err(link)?;
            deep = Some(next);
        }
        Ok(match deep {
            Some(fd) => OwnedOrHeld::Owned(fd),
            None => OwnedOrHeld::Held(self.last()),
        })
    }

    fn last(&self) -> BorrowedFd<'_> {
        self.at(self.held.len())
    }

    fn at(&self, depth: usize) -> BorrowedFd<'_> {
        depth.checked_sub(1).map_or(self.root.as_fd(), |n| self.held[n].1.as_fd())
    }

    /// So many of these names lead to directories that are held.
    pub fn held(&self, names: &[Vec<u8>]) -> usize {
        self.held.iter().zip(names).take_while(|((a, _), b)| a == *b).count()
    }

    /// To be called when a directory at `names` is removed or replaced.
    pub fn forget(&mut self, names: &[Vec<u8>]) {
        let on_the_way = names.len() <= self.held.len()
            && self.held.iter().zip(names).all(|((held, _), name)| held == name);
        if on_the_way {
            self.held.truncate(names.len().saturating_sub(1));
        }
    }
}

/// A directory's descriptor, in the tree's keeping or the caller's.
pub enum OwnedOrHeld<'a> {
    Owned(OwnedFd),
    Held(BorrowedFd<'a>),
}

impl AsFd for OwnedOrHeld<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            OwnedOrHeld::Owned(fd) => fd.as_fd(),
            OwnedOrHeld::Held(fd) => *fd,
        }
    }
}

/// O_NOFOLLOW and O_DIRECTORY on a link: one of two errors, by kernel version.
fn link(e: Errno) -> Errno {
    if e == Errno::LOOP { Errno::NOTDIR } else { e }
}

/// lstat(2); None where there is nothing.
pub fn look(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Stat>> {
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

pub fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whatever is at `name` in `dir`, with all below it; links are removed, not followed.
/// Nothing there is no error.
pub fn remove(dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    match fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    empty(dir, name)?;
    fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}

/// Down and up again without recursion, which a deep tree would turn against the stack.
/// Open are at most two directories: `..` is safe, as nobody else moves what is being
/// removed, and is checked all the same.
fn empty(dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let mut here = open_to_empty(dir, name)?;
    let mut path: Vec<(Vec<u8>, u64)> = Vec::new();
    loop {
        match first_directory(here.as_fd())? {
            Some(child) => {
                let inode = fs::fstat(&here)?.st_ino;
                let below = open_to_empty(here.as_fd(), &child)?;
                path.push((child, inode));
                here = below;
            }
            None => {
                let Some((name, inode)) = path.pop() else { return Ok(()) };
                let above = fs::openat(&here, c"..", DIRECTORY, Mode::empty())?;
                if fs::fstat(&above)?.st_ino != inode {
                    return Err(Errno::STALE);
                }
                fs::unlinkat(&above, name.as_slice(), AtFlags::REMOVEDIR)?;
                here = above;
            }
        }
    }
}

/// A directory of one's own may forbid even its owner to look in.
fn open_to_empty(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let open = || fs::openat(dir, name, DIRECTORY, Mode::empty());
    let fd = match open() {
        Err(Errno::ACCESS) => {
            fs::chmodat(dir, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        result => result?,
    };
    if fs::fstat(&fd)?.st_mode & 0o700 != 0o700 {
        // As root this is not needed, and may not be allowed on a read-only mount.
        let _ = fs::fchmod(&fd, Mode::RWXU);
    }
    Ok(fd)
}

/// Removes all that is no directory; the name of the first one that is.
fn first_directory(dir: BorrowedFd<'_>) -> Result<Option<Vec<u8>>> {
    // From the start, whatever was read before.
    fs::seek(dir, fs::SeekFrom::Start(0))?;
    let mut found = None;
    each(dir, |name, kind| {
        let is_dir = match kind {
            FileType::Unknown => {
                look(dir, name.to_bytes())?.is_some_and(|s| s.st_mode & 0o170_000 == 0o040_000)
            }
            kind => kind == FileType::Directory,
        };
        if is_dir {
            found.get_or_insert_with(|| name.to_bytes().to_vec());
            Ok(())
        } else {
            fs::unlinkat(dir, name, AtFlags::empty())
        }
    })?;
    Ok(found)
}

/// Calls for every entry but `.` and `..`, in no order.
pub fn each(
    dir: BorrowedFd<'_>,
    mut call: impl FnMut(&CStr, FileType) -> Result<()>,
) -> Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            call(entry.file_name(), entry.file_type())?;
        }
    }
    Ok(())
}

/// The names in a directory, sorted: what is made from them is always the same.
pub fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    each(dir, |name, _| {
        names.push(name.to_bytes().to_vec());
        Ok(())
    })?;
    names.sort();
    Ok(names)
}

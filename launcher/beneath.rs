//! Opening paths below a root that may be hostile: symbolic links, absolute ones and
//! `..` too, are resolved as if the root were `/`, and nothing leads out of it.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The kernel's own limit for one path (MAXSYMLINKS).
const LINKS_MOST: usize = 40;
/// openat2 says EAGAIN when a rename anywhere might have moved a `..`.
const TRIES: usize = 64;

/// open(2) of `path` in `root`. With O_CREAT as with all flags, links at the end of the
/// path are followed unless O_NOFOLLOW says otherwise.
pub fn open_in_root(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..TRIES {
        match fs::openat2(root, path, flags, mode, how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Before Linux 5.6, or a filter that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => return walk(root, path, flags, mode, Above::IsRoot),
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

/// The same, but a path that would lead above the root is EXDEV: for places where it
/// shows that the tree was not meant to be used as a root.
pub fn open_strict(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    walk(root, path, flags, mode, Above::IsRefused)
}

/// What `..` at the root means.
#[derive(Clone, Copy, PartialEq)]
enum Above {
    IsRoot,
    IsRefused,
}

/// Component by component, each opened in the directory held before it. `..` goes back to
/// the directory we came through, so that no rename by others can lead it elsewhere.
fn walk(
    root: BorrowedFd<'_>,
    path: &Path,
    mut flags: OFlags,
    mode: Mode,
    above: Above,
) -> Result<OwnedFd, Errno> {
    if path.as_os_str().is_empty() {
        return Err(Errno::NOENT);
    }
    flags |= insists(path.as_os_str().as_bytes());
    let mut held: Vec<OwnedFd> = Vec::new();
    let mut todo = reversed(path.as_os_str().as_bytes());
    let mut links = 0;
    while let Some(name) = todo.pop() {
        let here = held.last().map_or(root, |fd| fd.as_fd());
        let last = todo.is_empty();
        if name == b".." {
            if held.pop().is_none() && above == Above::IsRefused {
                return Err(Errno::XDEV);
            }
            continue;
        }
        if !(last && keeps_link(flags))
            && let Some(target) = link(here, &name)?
        {
            links += 1;
            if links > LINKS_MOST {
                return Err(Errno::LOOP);
            }
            if target.starts_with(b"/") {
                held.clear();
            }
            if last {
                flags |= insists(&target);
            }
            todo.extend(reversed(&target));
            continue;
        }
        if last {
            return open_last(here, &name, flags, mode);
        }
        let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        held.push(fs::openat(here, name.as_slice(), through, Mode::empty())?);
    }
    // The path ended in the root itself or in `..`: a directory that is held already.
    let here = held.last().map_or(root, |fd| fd.as_fd());
    fs::openat(here, c".", flags, mode)
}

/// The names of a path, last one first.
fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".");
    let mut names: Vec<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
    names.reverse();
    names
}

/// A slash at the end insists on a directory.
fn insists(path: &[u8]) -> OFlags {
    let directory = path.ends_with(b"/") || path.ends_with(b"/.");
    if directory { OFlags::DIRECTORY } else { OFlags::empty() }
}

/// Whether a link at the end is itself meant.
fn keeps_link(flags: OFlags) -> bool {
    flags.contains(OFlags::NOFOLLOW) || flags.contains(OFlags::CREATE | OFlags::EXCL)
}

/// Where the link `name` leads; None if it is no link or is missing.
fn link(here: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    match fs::readlinkat(here, name, Vec::new()) {
        Ok(target) => Ok(Some(target.into_bytes())),
        // Not a link; what else may be wrong the open that follows will say.
        Err(Errno::INVAL | Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What became a link since it was looked at is refused.
fn open_last(
    here: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let fd = fs::openat(here, name, flags | OFlags::NOFOLLOW, mode)?;
    if flags.contains(OFlags::PATH)
        && !keeps_link(flags)
        && FileType::from_raw_mode(fs::fstat(&fd)?.st_mode) == FileType::Symlink
    {
        return Err(Errno::LOOP);
    }
    Ok(fd)
}

/// All of a regular file below `root`, at most `most` bytes; never waits for a fifo.
/// None where there is no such file.
pub fn read_in_root(
    root: BorrowedFd<'_>,
    path: &Path,
    most: u64,
) -> Result<Option<Vec<u8>>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match open_in_root(root, path, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        result => File::from(result?),
    };
    let stat = fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::NODEV);
    }
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    if bytes.len() as u64 > most {
        return Err(Errno::FBIG);
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::symlink;

    const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

    /// `out/` beside `root/`; every file holds its own path.
    fn tree() -> Scratch {
        let tree = Scratch::new("beneath");
        for dir in ["root/usr/bin", "root/a/b", "out"] {
            tree.dir(dir);
        }
        for file in ["root/usr/bin/sh", "root/a/b/f", "root/etc", "out/secret", "secret"] {
            tree.file(file, file.as_bytes());
        }
        for (link, target) in [
            ("root/bin", "usr/bin"),
            ("root/abs", "/usr/bin"),
            ("root/up", "../../../../out"),
            ("root/updir", "../out/secret"),
            ("root/upfile", "/../secret"),
            ("root/a/b/back", "../../usr/../etc"),
            ("root/host", "/proc/self/root"),
            ("root/loop", "loop"),
            ("root/dangling", "nothing/here"),
            ("root/file-as-dir", "etc/"),
            ("root/chain", "a/b/back"),
        ] {
            symlink(target, tree.path().join(link)).expect(link);
        }
        tree
    }

    fn read(fd: OwnedFd) -> String {
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).expect("read");
        text
    }

    /// (path, what both ways must say: the file's text or the error)
    const CASES: &[(&str, Result<&str, Errno>)] = &[
        ("a/b/f", Ok("root/a/b/f")),
        ("/a/b/f", Ok("root/a/b/f")),
        ("//a/./b//f", Ok("root/a/b/f")),
        ("bin/sh", Ok("root/usr/bin/sh")),
        ("abs/sh", Ok("root/usr/bin/sh")),
        ("a/b/back", Ok("root/etc")),
        ("chain", Ok("root/etc")),
        ("a/b/../../etc", Ok("root/etc")),
        ("up/secret", Err(Errno::NOENT)),
        ("updir", Err(Errno::NOENT)),
        ("upfile", Err(Errno::NOENT)),
        ("../secret", Err(Errno::NOENT)),
        ("../../../../../etc", Ok("root/etc")),
        ("host/etc/passwd", Err(Errno::NOENT)),
        ("loop", Err(Errno::LOOP)),
        ("loop/x", Err(Errno::LOOP)),
        ("dangling", Err(Errno::NOENT)),
        ("etc/", Err(Errno::NOTDIR)),
        ("etc/.", Err(Errno::NOTDIR)),
        ("etc/x", Err(Errno::NOTDIR)),
        ("file-as-dir", Err(Errno::NOTDIR)),
        ("", Err(Errno::NOENT)),
    ];

    #[test]
    fn the_kernel_and_the_walk_agree() {
        let tree = tree();
        let root = tree.open("root");
        for (path, want) in CASES {
            let path = Path::new(path);
            let kernel = open_in_root(root.as_fd(), path, READ, Mode::empty()).map(read);
            let walked = walk(root.as_fd(), path, READ, Mode::empty(), Above::IsRoot).map(read);
            assert_eq!(kernel, want.map(String::from), "{path:?}");
            assert_eq!(walked, want.map(String::from), "{path:?} walked");
        }
    }

    #[test]
    fn directories_and_links_themselves() {
        let tree = tree();
        let root = tree.open("root");
        let kind = |path: &str, flags: OFlags| {
            let path = Path::new(path);
            let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
            let of = |fd: OwnedFd| fs::fstat(&fd).map(|s| (s.st_ino, s.st_mode));
            let kernel = open_in_root(root.as_fd(), path, flags, Mode::empty()).and_then(of);
            let walked = walk(root.as_fd(), path, flags, Mode::empty(), Above::IsRoot).and_then(of);
            assert_eq!(kernel, walked, "{path:?}");
            kernel.map(|(_, mode)| FileType::from_raw_mode(mode))
        };
        for path in ["/", ".", "..", "a/..", "bin", "bin/", "abs/.", "a/b/.."] {
            assert_eq!(kind(path, OFlags::empty()), Ok(FileType::Directory), "{path}");
        }
        assert_eq!(kind("bin", OFlags::NOFOLLOW), Ok(FileType::Symlink));
        assert_eq!(kind("loop", OFlags::NOFOLLOW), Ok(FileType::Symlink));
        assert_eq!(kind("loop", OFlags::empty()), Err(Errno::LOOP));
    }

    #[test]
    fn creating_stays_inside() {
        let tree = tree();
        let root = tree.open("root");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        symlink("/../../new", tree.path().join("root/a/new")).expect("link");
        walk(root.as_fd(), Path::new("a/new"), flags, Mode::RUSR, Above::IsRoot).expect("create");
        assert!(tree.path().join("root/new").exists() && !tree.path().join("new").exists());
        let again =
            walk(root.as_fd(), Path::new("a/new"), flags | OFlags::EXCL, Mode::RUSR, Above::IsRoot);
        assert_eq!(again.map(drop), Err(Errno::EXIST));
    }

    #[test]
    fn strict_refuses_what_leaves() {
        let tree = tree();
        let root = tree.open("root");
        for (path, want) in [
            ("up", Err(Errno::XDEV)),
            ("updir", Err(Errno::XDEV)),
            ("upfile", Err(Errno::XDEV)),
            ("..", Err(Errno::XDEV)),
            ("bin/sh", Ok(())),
            ("abs/sh", Ok(())),
            ("chain", Ok(())),
        ] {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let got = open_strict(root.as_fd(), Path::new(path), flags, Mode::empty());
            assert_eq!(got.map(drop), want, "{path}");
        }
    }

    #[test]
    fn reading() {
        let tree = tree();
        let root = tree.open("root");
        let fifo = fs::CWD;
        fs::mknodat(fifo, tree.path().join("root/fifo"), FileType::Fifo, Mode::RUSR, 0)
            .expect("fifo");
        let read = |path: &str, most| read_in_root(root.as_fd(), Path::new(path), most);
        assert_eq!(read("etc", 8), Ok(Some(b"root/etc".to_vec())));
        assert_eq!(read("etc", 7), Err(Errno::FBIG));
        assert_eq!(read("none", 7), Ok(None));
        assert_eq!(read("etc/passwd", 7), Ok(None));
        assert_eq!(read("fifo", 7), Err(Errno::NODEV));
        assert_eq!(read("a", 7), Err(Errno::NODEV));
        assert_eq!(read("loop", 7), Err(Errno::LOOP));
    }
}

//! Places that the user names, in an image whose links may lead wherever they like inside. By
//! the names that procfs has for what this process holds (`/proc/self/fd/4`) they would lead
//! outside: it holds the old root.
//! On the child's side of clone: nothing here allocates.

use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags};
use rustix::io::{Errno, Result};
use std::ffi::CStr;
use std::mem::MaybeUninit;

const PATH: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
const MOST: usize = libc::PATH_MAX as usize;
/// The kernel's own limit for one path (MAXSYMLINKS).
const LINKS_MOST: usize = 40;

/// The place itself, as O_PATH. ELOOP where a link leads through procfs.
pub fn open(path: &CStr, directory: bool) -> Result<OwnedFd> {
    let mut flags = PATH;
    flags.set(OFlags::DIRECTORY, directory);
    match rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
        // Before Linux 5.6, or a filter that does not know it.
        Err(e) if sys::is_unknown(e) => walk(path.to_bytes(), directory),
        other => other,
    }
}

/// Makes the directory; another container of the same rootfs may be doing it, too.
pub fn make_directory(path: &CStr) -> Result<()> {
    in_its_directory(path, |dir, name| rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)))
}

/// Makes an empty file.
pub fn make_file(path: &CStr) -> Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    in_its_directory(path, |dir, name| {
        rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644)).map(drop)
    })
}

/// Neither way to make something follows a link at the end.
#[inline(never)]
fn in_its_directory(path: &CStr, make: impl Fn(BorrowedFd<'_>, &CStr) -> Result<()>) -> Result<()> {
    let mut buffer = [0; MOST];
    let bytes = path.to_bytes();
    let end = bytes.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    let text = buffer.get_mut(..end).ok_or(Errno::NAMETOOLONG)?;
    text.copy_from_slice(&bytes[..end]);
    let slash = text.iter().rposition(|b| *b == b'/');
    // With a NUL each: `buffer` is zeroed, and one of the text's own is made of the slash.
    let name = slash.map_or(0, |at| at + 1);
    let dir = match slash {
        Some(0) => open(c"/", true)?,
        Some(at) => {
            buffer[at] = 0;
            open(CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::INVAL)?, true)?
        }
        None => open(c".", true)?,
    };
    let name = CStr::from_bytes_until_nul(&buffer[name..]).map_err(|_| Errno::NAMETOOLONG)?;
    match make(dir.as_fd(), name) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// One name after the other. The root is the one that this process is confined to, so `..` and
/// what begins with a slash do not lead out of it; a link that procfs has is refused.
#[inline(never)]
fn walk(path: &[u8], directory: bool) -> Result<OwnedFd> {
    let root = || rustix::fs::open(c"/", PATH | OFlags::DIRECTORY, Mode::empty());
    let (mut todo, mut links) = ([0; MOST], 0);
    let mut len = path.len();
    todo.get_mut(..len).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(path);
    let mut here = root()?;
    let mut at = 0;
    loop {
        at += todo[at..len].iter().take_while(|b| **b == b'/').count();
        if at == len {
            // A trailing slash insists, and the root is one.
            return is(FileType::Directory, &here)?.then_some(here).ok_or(Errno::NOTDIR);
        }
        let end = at + todo[at..len].iter().take_while(|b| **b != b'/').count();
        let next =
            rustix::fs::openat(&here, &todo[at..end], PATH | OFlags::NOFOLLOW, Mode::empty())?;
        if !is(FileType::Symlink, &next)? {
            here = next;
            at = end;
            if at == len {
                let fits = !directory || is(FileType::Directory, &here)?;
                return fits.then_some(here).ok_or(Errno::NOTDIR);
            }
            continue;
        }
        links += 1;
        let of_proc = rustix::fs::fstatfs(&next)?.f_type == PROC_SUPER_MAGIC;
        if of_proc || links > LINKS_MOST {
            return Err(Errno::LOOP);
        }
        let mut target = [MaybeUninit::uninit(); MOST];
        let (target, _) = rustix::fs::readlinkat_raw(&next, c"", &mut target[..])?;
        if target.first() == Some(&b'/') {
            here = root()?;
        }
        // The target, and what follows the link.
        let new = target.len() + (len - end);
        if new >= MOST {
            return Err(Errno::NAMETOOLONG);
        }
        todo.copy_within(end..len, target.len());
        todo[..target.len()].copy_from_slice(target);
        (at, len) = (0, new);
    }
}

fn is(kind: FileType, fd: &OwnedFd) -> Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    fn c(path: &std::path::Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).expect("path")
    }

    #[test]
    fn both_ways_agree() {
        let tree = Scratch::new("inside");
        tree.dir("a/b");
        tree.file("a/f", b"");
        let held = rustix::fs::open(tree.path(), PATH, Mode::empty()).expect("held");
        let magic = sys::fd_path(std::os::fd::AsRawFd::as_raw_fd(&held));
        let magic = magic.as_c_str().expect("name").to_str().expect("text").to_owned();
        for (link, target) in [
            ("up", "a/../a/b"),
            ("file", "a/f"),
            ("dangling", "nothing"),
            ("loop", "loop"),
            ("chain", "up"),
            ("absolute", tree.path().join("a").to_str().expect("text")),
            ("magic", &magic),
            ("below", &format!("{magic}/a")),
            ("root", "/proc/self/root"),
            ("ns", "/proc/self/ns/mnt"),
        ] {
            symlink(target, tree.path().join(link)).expect(link);
        }
        let seen = |fd: OwnedFd| rustix::fs::fstat(fd).map(|s| (s.st_dev, s.st_ino));
        for (path, directory, good) in [
            ("a/b", true, Ok(())),
            ("a//b/", true, Ok(())),
            ("a/./b/..", true, Ok(())),
            ("a/f", false, Ok(())),
            ("a/f", true, Err(Errno::NOTDIR)),
            ("a/f/x", false, Err(Errno::NOTDIR)),
            ("a/f/", false, Err(Errno::NOTDIR)),
            ("up", true, Ok(())),
            ("file", false, Ok(())),
            ("chain/", true, Ok(())),
            ("absolute/b", true, Ok(())),
            ("dangling", true, Err(Errno::NOENT)),
            ("loop", true, Err(Errno::LOOP)),
            ("magic", true, Err(Errno::LOOP)),
            ("magic/a", true, Err(Errno::LOOP)),
            ("below", true, Err(Errno::LOOP)),
            ("below/b", true, Err(Errno::LOOP)),
            ("root", true, Err(Errno::LOOP)),
            ("root/etc", true, Err(Errno::LOOP)),
            ("ns", false, Err(Errno::LOOP)),
        ] {
            // Not by `join`, which drops a slash at the end.
            let path = CString::new(format!("{}/{path}", tree.path().display())).expect("path");
            let opened = open(&path, directory).and_then(seen);
            let walked = walk(path.to_bytes(), directory).and_then(seen);
            assert_eq!(opened, walked, "{path:?}");
            assert_eq!(opened.map(drop), good, "{path:?}");
        }
        assert_eq!(walk(b"/", true).and_then(seen), open(c"/", true).and_then(seen));
    }

    #[test]
    fn what_is_made_is_made_where_it_was_named() {
        let tree = Scratch::new("made");
        tree.dir("out");
        let held = rustix::fs::open(tree.path().join("out"), PATH, Mode::empty()).expect("held");
        let magic = sys::fd_path(std::os::fd::AsRawFd::as_raw_fd(&held));
        let magic = magic.as_c_str().expect("name").to_str().expect("text").to_owned();
        symlink(magic, tree.path().join("link")).expect("link");
        let at = |path: &str| c(&tree.path().join(path));
        assert_eq!(make_directory(&at("dir")), Ok(()));
        assert_eq!(make_directory(&at("dir")), Ok(()));
        assert_eq!(make_file(&at("dir/file")), Ok(()));
        assert_eq!(make_directory(&at("none/x")), Err(Errno::NOENT));
        assert_eq!(make_directory(&at("link/x")), Err(Errno::LOOP));
        assert_eq!(make_file(&at("link/x")), Err(Errno::LOOP));
        assert!(tree.path().join("dir/file").is_file());
        assert_eq!(std::fs::read_dir(tree.path().join("out")).expect("out").count(), 0);
    }
}

//! `launch inject ROOTFS`: launch's init as /sbin/init of a root file system, to stay.

use crate::beneath::open_strict;
use crate::error::{Error, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Written under this name first. A run that was killed leaves it; the next one, which
/// holds the directory's lock, removes it.
const NEW: &str = ".init.new";
/// After so many replaced inits something else is wrong.
const KEPT_MOST: u32 = 100;

/// Puts `init` in place and keeps what was there. Lines for the user.
pub fn inject(rootfs: &Path, init: &[u8]) -> Result<Vec<String>> {
    let root = open_root(rootfs)?;
    let sbin = open_sbin(root.as_fd(), rootfs)?;
    let failed = |what: &str, e: Errno| Error::os(format!("{what} {}", at(rootfs, "init")), e);
    fs::flock(&sbin, FlockOperation::LockExclusive).map_err(|e| failed("lock", e))?;
    let old = match fs::statat(&sbin, "init", AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Some(describe(sbin.as_fd(), &stat, rootfs)?),
        Err(Errno::NOENT) => None,
        Err(e) => return Err(failed("look at", e)),
    };
    if old.is_some() && is_ours(sbin.as_fd(), init) {
        return Ok(vec![format!("{}: already launch's init, nothing changed", at(rootfs, "init"))]);
    }
    let mut lines = Vec::new();
    write_new(sbin.as_fd(), init).map_err(|e| failed("write", e))?;
    let put = put_in_place(sbin.as_fd(), old.is_some());
    if put.is_err() {
        // The error that is told is the first one.
        let _ = fs::unlinkat(&sbin, NEW, AtFlags::empty());
    }
    let kept = put.map_err(|e| failed("replace", e))?;
    fs::fsync(&sbin).map_err(|e| failed("write", e))?;
    if let (Some(old), Some(kept)) = (old, kept) {
        lines.push(format!("{}: {old}, kept as /sbin/{kept}", at(rootfs, "init")));
    }
    lines.push(format!("{}: launch's init, {} bytes", at(rootfs, "init"), init.len()));
    Ok(lines)
}

/// `./rootfs/sbin/init`, as the user would write it.
fn at(rootfs: &Path, name: &str) -> String {
    rootfs.join("sbin").join(name).display().to_string()
}

fn open_root(rootfs: &Path) -> Result<OwnedFd> {
    let failed = |e| Error::os(format!("rootfs {}", rootfs.display()), e);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = fs::open(rootfs, flags, Mode::empty()).map_err(failed)?;
    let (own, host) = (fs::fstat(&root).map_err(failed)?, fs::stat("/").map_err(failed)?);
    if (own.st_dev, own.st_ino) == (host.st_dev, host.st_ino) {
        let said =
            format!("rootfs {}: refusing to replace the init of this machine", rootfs.display());
        return Err(Error::new(said).hint("inject is for a root file system of its own"));
    }
    Ok(root)
}

/// /sbin, through a link such as Debian's to usr/sbin, made where it is missing.
fn open_sbin(root: BorrowedFd<'_>, rootfs: &Path) -> Result<OwnedFd> {
    let shown = rootfs.join("sbin").display().to_string();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || open_strict(root, Path::new("sbin"), flags, Mode::empty());
    let link = || fs::readlinkat(root, "sbin", Vec::new()).ok().map(|t| t.into_bytes());
    let made = |e: Errno| Error::os(format!("create {shown}"), e);
    let result = match open() {
        Err(Errno::NOENT) if link().is_none() => {
            let mode = Mode::from_raw_mode(0o755);
            fs::mkdirat(root, "sbin", mode).map_err(made)?;
            let sbin = open().map_err(made)?;
            // Not left to the umask.
            fs::fchmod(&sbin, mode).map_err(made)?;
            Ok(sbin)
        }
        result => result,
    };
    result.map_err(|e| match (e, link()) {
        (Errno::XDEV, _) => {
            Error::new(format!("{shown}: a symbolic link there leads out of the rootfs"))
                .hint("make it relative, for example usr/sbin")
        }
        (e, Some(target)) => {
            let target = OsStr::from_bytes(&target).display().to_string();
            Error::os(format!("open {shown}, a symbolic link to {target}"), e)
        }
        (e, None) => Error::os(format!("open {shown}"), e),
    })
}

/// What is at `init` now, in words; only files and links are replaced.
fn describe(sbin: BorrowedFd<'_>, stat: &Stat, rootfs: &Path) -> Result<String> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(format!("was a file of {} bytes", stat.st_size)),
        FileType::Symlink => {
            let target = fs::readlinkat(sbin, "init", Vec::new());
            let target =
                target.map_err(|e| Error::os(format!("read {}", at(rootfs, "init")), e))?;
            Ok(format!("was a symbolic link to {}", OsStr::from_bytes(target.as_bytes()).display()))
        }
        FileType::Directory => Err(Error::new(format!("{}: is a directory", at(rootfs, "init")))),
        _ => Err(Error::new(format!("{}: neither a file nor a symbolic link", at(rootfs, "init")))),
    }
}

/// The same bytes in an executable file; links are not followed.
fn is_ours(sbin: BorrowedFd<'_>, init: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(fd) = fs::openat(sbin, "init", flags, Mode::empty()) else { return false };
    let Ok(stat) = fs::fstat(&fd) else { return false };
    if stat.st_size != init.len() as i64 || stat.st_mode & 0o777 != 0o755 {
        return false;
    }
    let mut bytes = Vec::with_capacity(init.len());
    let read = File::from(fd).take(init.len() as u64 + 1).read_to_end(&mut bytes);
    read.is_ok() && bytes == init
}

/// Whole and on the disk before it gets its name.
fn write_new(sbin: BorrowedFd<'_>, init: &[u8]) -> std::result::Result<(), Errno> {
    match fs::unlinkat(sbin, NEW, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::openat(sbin, NEW, flags, Mode::RWXU)?);
    let write = || {
        let errno = |e| Errno::from_io_error(&e).unwrap_or(Errno::IO);
        file.write_all(init).map_err(errno)?;
        // Not left to the umask.
        fs::fchmod(&file, Mode::from_raw_mode(0o755))?;
        fs::fsync(&file)
    };
    let result = { write }();
    if result.is_err() {
        let _ = fs::unlinkat(sbin, NEW, AtFlags::empty());
    }
    result
}

/// There is an init under that name at every moment where the file system can link;
/// what was there is never lost. The name under which it is kept.
fn put_in_place(
    sbin: BorrowedFd<'_>,
    replaces: bool,
) -> std::result::Result<Option<String>, Errno> {
    let kept = if replaces { Some(keep(sbin)?) } else { None };
    let renamed = fs::renameat(sbin, NEW, sbin, "init");
    if let (Err(_), Some(name)) = (renamed, &kept) {
        // Back to how it was: move it back, or drop the second name.
        if fs::renameat_with(sbin, name.as_str(), sbin, "init", RenameFlags::NOREPLACE).is_err() {
            let _ = fs::unlinkat(sbin, name.as_str(), AtFlags::empty());
        }
    }
    renamed.map(|()| kept)
}

/// A second name for the file or link at `init`: init.orig, or the first free init.orig.N.
fn keep(sbin: BorrowedFd<'_>) -> std::result::Result<String, Errno> {
    for number in 0..KEPT_MOST {
        let name = match number {
            0 => "init.orig".to_owned(),
            n => format!("init.orig.{n}"),
        };
        let linked = match fs::linkat(sbin, "init", sbin, name.as_str(), AtFlags::empty()) {
            // File systems without hard links (or without those of links).
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                fs::renameat_with(sbin, "init", sbin, name.as_str(), RenameFlags::NOREPLACE)
            }
            result => result,
        };
        match linked {
            Err(Errno::EXIST) => {}
            Ok(()) => return Ok(name),
            Err(e) => return Err(e),
        }
    }
    Err(Errno::EXIST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;

    const INIT: &[u8] = b"\x7fELF new";

    fn names(dir: PathBuf) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("list").map(|e| e.expect("entry"));
        let mut names: Vec<_> =
            entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn lines(image: &Scratch) -> String {
        let lines = inject(&image.path().join("r"), INIT).expect("inject").join("\n");
        lines.replace(&image.path().display().to_string(), "")
    }

    fn refusal(image: &Scratch) -> String {
        let error = inject(&image.path().join("r"), INIT).expect_err("refused");
        assert_eq!(error.code as i32, 125);
        error.to_string().replace(&image.path().display().to_string(), "")
    }

    fn read(image: &Scratch, name: &str) -> Vec<u8> {
        std::fs::read(image.path().join(name)).expect(name)
    }

    #[test]
    fn into_an_empty_rootfs_twice() {
        let image = Scratch::new("inject");
        image.dir("r");
        assert_eq!(lines(&image), "/r/sbin/init: launch's init, 8 bytes");
        assert_eq!(read(&image, "r/sbin/init"), INIT);
        let inode = || std::fs::metadata(image.path().join("r/sbin/init")).expect("stat").ino();
        let before = inode();
        assert_eq!(lines(&image), "/r/sbin/init: already launch's init, nothing changed");
        assert_eq!(inode(), before);
        let mode = std::fs::metadata(image.path().join("r/sbin/init")).expect("stat").mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert_eq!(names(image.path().join("r/sbin")), ["init"]);
    }

    #[test]
    fn keeps_files_and_counts_on() {
        let image = Scratch::new("inject");
        image.dir("r/sbin");
        for (old, kept) in
            [("first", "init.orig"), ("second", "init.orig.1"), ("third", "init.orig.2")]
        {
            let size = old.len();
            let want = format!(
                "/r/sbin/init: was a file of {size} bytes, kept as /sbin/{kept}\n/r/sbin/init: launch's init, 8 bytes"
            );
            image.file("r/sbin/init", old.as_bytes());
            assert_eq!(lines(&image), want);
            assert_eq!(read(&image, &format!("r/sbin/{kept}")), old.as_bytes());
            assert_eq!(read(&image, "r/sbin/init"), INIT);
        }
        assert_eq!(
            names(image.path().join("r/sbin")),
            ["init", "init.orig", "init.orig.1", "init.orig.2"]
        );
    }

    #[test]
    fn keeps_links_as_links() {
        for target in ["/lib/systemd/systemd", "/bin/busybox", "../bin/busybox", "nowhere"] {
            let image = Scratch::new("inject");
            image.dir("r/bin");
            image.dir("r/sbin");
            image.file("r/bin/busybox", b"busybox");
            symlink(target, image.path().join("r/sbin/init")).expect("link");
            let want = format!(
                "/r/sbin/init: was a symbolic link to {target}, kept as /sbin/init.orig\n/r/sbin/init: launch's init, 8 bytes"
            );
            assert_eq!(lines(&image), want);
            let kept = std::fs::read_link(image.path().join("r/sbin/init.orig")).expect("kept");
            assert_eq!(kept, Path::new(target));
            assert_eq!(read(&image, "r/bin/busybox"), b"busybox");
            assert_eq!(read(&image, "r/sbin/init"), INIT);
        }
    }

    #[test]
    fn follows_links_inside() {
        for target in ["usr/sbin", "/usr/sbin", "./usr/../usr/sbin/"] {
            let image = Scratch::new("inject");
            image.dir("r/usr/sbin");
            symlink(target, image.path().join("r/sbin")).expect("link");
            lines(&image);
            assert_eq!(read(&image, "r/usr/sbin/init"), INIT, "{target}");
        }
    }

    #[test]
    fn refuses_what_leaves() {
        for target in ["../out", "/../out", "usr/../../out", "../../../../../../../sbin"] {
            let image = Scratch::new("inject");
            image.dir("r/usr");
            image.dir("out");
            symlink(target, image.path().join("r/sbin")).expect("link");
            let said = refusal(&image);
            assert!(
                said.starts_with("/r/sbin: a symbolic link there leads out of the rootfs\nhint: "),
                "{said}"
            );
            assert!(names(image.path().join("out")).is_empty());
        }
        // An absolute one is the rootfs's own /out, which does not exist.
        let image = Scratch::new("inject");
        image.dir("r");
        image.dir("out");
        symlink(image.path().join("out"), image.path().join("r/sbin")).expect("link");
        assert!(refusal(&image).contains("No such file or directory (ENOENT)"));
        assert!(names(image.path().join("out")).is_empty());
    }

    #[test]
    fn refuses_the_odd() {
        let image = Scratch::new("inject");
        assert_eq!(refusal(&image), "rootfs /r: No such file or directory (ENOENT)");
        image.file("r", b"");
        assert_eq!(refusal(&image), "rootfs /r: Not a directory (ENOTDIR)");
        std::fs::remove_file(image.path().join("r")).expect("remove");
        image.dir("r");
        image.file("r/sbin", b"");
        assert_eq!(refusal(&image), "open /r/sbin: Not a directory (ENOTDIR)");
        std::fs::remove_file(image.path().join("r/sbin")).expect("remove");
        image.dir("r/sbin/init");
        assert_eq!(refusal(&image), "/r/sbin/init: is a directory");
        std::fs::remove_dir(image.path().join("r/sbin/init")).expect("remove");
        let fifo = image.path().join("r/sbin/init");
        fs::mknodat(fs::CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("fifo");
        assert_eq!(refusal(&image), "/r/sbin/init: neither a file nor a symbolic link");
        let error = inject(Path::new("/proc/self/root"), INIT).expect_err("host");
        assert!(
            error.to_string().contains("refusing to replace the init of this machine"),
            "{error}"
        );
        assert_eq!(names(image.path().join("r/sbin")), ["init"]);
    }

    #[test]
    fn clears_what_a_killed_run_left() {
        let image = Scratch::new("inject");
        image.dir("r/sbin");
        image.file("r/sbin/.init.new", b"half");
        lines(&image);
        assert_eq!(names(image.path().join("r/sbin")), ["init"]);
    }

    #[test]
    fn all_at_once() {
        let image = Scratch::new("inject");
        image.dir("r/sbin");
        image.file("r/sbin/init", b"old");
        let root = image.path().join("r");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| inject(&root, INIT).expect("inject"));
            }
        });
        assert_eq!(names(image.path().join("r/sbin")), ["init", "init.orig"]);
        assert_eq!(read(&image, "r/sbin/init.orig"), b"old");
    }
}

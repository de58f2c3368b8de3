//! Where unpacked images are kept: one directory, nobody else's.
//!
//! - `layers/ID/fs` is one layer as overlayfs takes it, `layers/ID/meta` what it is. ID is the
//!   beginning of the chain's digest: of the layer and all those below it.
//! - `images/ID/image.json` is an image; beside it is what of its etc/ is looked up at a start.
//! - `names/NAME` and `sources/FILE` lead to images. `volumes/NAME` are named volumes.
//! - `new/` is what is being made, under the lock. What was not put into its place goes with the
//!   lock; what a killed launch left in it is removed by whoever has the lock next.

use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::record::Record;
use crate::quote::quote;
use crate::tree;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const DIRECTORIES: [&str; 6] = ["layers", "images", "names", "sources", "volumes", "new"];

pub struct Store {
    pub path: PathBuf,
    dir: OwnedFd,
}

/// The right to change the store; gone when this value is.
pub struct Lock<'a> {
    pub store: &'a Store,
    _file: OwnedFd,
}

/// LAUNCH_STORE, or /var/lib/launch, or an ordinary user's directory for data.
pub fn place() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    // Not passed over as the XDG variables are: what is meant for it would be elsewhere.
    match std::env::var_os("LAUNCH_STORE").filter(|v| !v.is_empty()) {
        Some(given) if !given.as_bytes().starts_with(b"/") => {
            return Err(Error::new(format!("LAUNCH_STORE={}: must begin with /", quote(&given))));
        }
        Some(given) => return Ok(given.into()),
        None => {}
    }
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/launch".into());
    }
    let home = || variable("HOME").map(|home| home.join(".local/share"));
    let data = variable("XDG_DATA_HOME").or_else(home);
    data.map(|data| data.join("launch")).ok_or_else(|| {
        Error::new("no place for images: neither HOME nor XDG_DATA_HOME is set")
            .hint("LAUNCH_STORE=DIRECTORY names one")
    })
}

impl Store {
    /// None where nothing has been unpacked yet.
    pub fn existing() -> Result<Option<Store>> {
        Store::at(place()?)
    }

    pub fn at(path: PathBuf) -> Result<Option<Store>> {
        match open(&path) {
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::os(format!("open the store of images {}", path.display()), e)),
            Ok(dir) => Store::checked(path, dir).map(Some),
        }
    }

    pub fn make(path: &Path) -> Result<Store> {
        let path = path.to_owned();
        let failed =
            |e: Errno| Error::os(format!("make the store of images {}", path.display()), e);
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above)
                .map_err(|e| Error::os(format!("make {}", above.display()), e))?;
        }
        match fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(failed(e)),
        }
        let store = Store::checked(path.clone(), open(&path).map_err(failed)?)?;
        for name in DIRECTORIES {
            match fs::mkdirat(&store.dir, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(store)
    }

    /// Set-user-ID programs and devices of images are in it: nobody else may get there.
    fn checked(path: PathBuf, dir: OwnedFd) -> Result<Store> {
        let stat = fs::fstat(&dir).map_err(|e| Error::os(format!("stat {}", path.display()), e))?;
        let (own, mode) = (rustix::process::geteuid().as_raw(), stat.st_mode & 0o7777);
        if stat.st_uid != own || mode & 0o077 != 0 {
            return Err(Error::new(format!(
                "{}: owned by user {}, mode {mode:04o}: a store of images is its user's alone",
                path.display(),
                stat.st_uid
            ))
            .hint(format!("chmod 700 {0}, or remove it", path.display())));
        }
        Ok(Store { path, dir })
    }

    /// Waits for whoever is unpacking, and removes what a killed one left.
    pub fn lock(&self) -> Result<Lock<'_>> {
        let failed = |e| Error::os(format!("lock {}", self.path.display()), e);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.dir, "lock", flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        while let Err(e) = fs::flock(&file, FlockOperation::LockExclusive) {
            if e != Errno::INTR {
                return Err(failed(e));
            }
        }
        self.clear().map_err(failed)?;
        Ok(Lock { store: self, _file: file })
    }

    /// What is below `new`, under the lock.
    fn clear(&self) -> tree::Result<()> {
        let new = self.directory("new")?;
        for name in tree::names(new.as_fd())? {
            tree::remove(new.as_fd(), &name)?;
        }
        Ok(())
    }

    /// What to do about an error of writing into it.
    pub fn hint(&self, e: Errno) -> Option<String> {
        matches!(e, Errno::NOSPC | Errno::DQUOT).then(|| {
            format!(
                "{} has no room for it, and keeps nothing of it; `launch prune` makes some, \
                 LAUNCH_STORE=DIRECTORY names another place",
                self.path.display()
            )
        })
    }

    pub fn directory(&self, name: &str) -> tree::Result<OwnedFd> {
        fs::openat(&self.dir, name, tree::DIRECTORY, Mode::empty())
    }

    /// A small file; None where there is none.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let failed = |e| Error::os(format!("read {}", self.path.join(name).display()), e);
        crate::beneath::read_in_root(self.dir.as_fd(), Path::new(name), 16 << 20).map_err(failed)
    }

    pub fn image(&self, id: &Digest) -> Result<Option<Record>> {
        let name = format!("images/{}/image.json", id.short());
        let Some(text) = self.read(&name)? else { return Ok(None) };
        let record = Record::parse(&text).ok_or_else(|| {
            Error::new(format!("{}: not an image's record", self.path.join(&name).display()))
        })?;
        Ok((record.id == *id).then_some(record))
    }

    /// The image that a name or a file (by its key) leads to.
    pub fn leads_to(&self, directory: &str, name: &str) -> Result<Option<Digest>> {
        let text = self.read(&format!("{directory}/{}", escape(name)))?;
        let text = text.map(|t| String::from_utf8_lossy(&t).into_owned());
        Ok(text.and_then(|t| Digest::parse(t.trim())))
    }

    pub fn has_layer(&self, id: &str) -> bool {
        fs::accessat(
            &self.dir,
            format!("layers/{id}/meta").as_str(),
            fs::Access::EXISTS,
            fs::AtFlags::empty(),
        )
        .is_ok()
    }

    /// Its directory `fs`.
    pub fn layer(&self, id: &str) -> tree::Result<OwnedFd> {
        fs::openat(&self.dir, format!("layers/{id}/fs").as_str(), tree::DIRECTORY, Mode::empty())
    }

    pub fn list(&self, directory: &str) -> Result<Vec<String>> {
        let failed = |e| Error::os(format!("read {}", self.path.join(directory).display()), e);
        let dir = self.directory(directory).map_err(failed)?;
        let names = tree::names(dir.as_fd()).map_err(failed)?;
        Ok(names.iter().map(|n| String::from_utf8_lossy(n).into_owned()).collect())
    }
}

impl Drop for Lock<'_> {
    /// A full disk must not stay full. Whoever has the lock next tries again, and says so.
    fn drop(&mut self) {
        let _ = self.store.clear();
    }
}

impl Lock<'_> {
    /// An empty directory below `new`, by name and descriptor.
    pub fn new_directory(&self, name: &str) -> Result<OwnedFd> {
        let failed = |e| self.failed("make", name, e);
        let new = self.store.directory("new").map_err(failed)?;
        fs::mkdirat(&new, name, Mode::RWXU).map_err(failed)?;
        fs::openat(&new, name, tree::DIRECTORY, Mode::empty()).map_err(failed)
    }

    pub fn discard(&self, name: &str) -> Result<()> {
        let failed = |e| self.failed("remove", name, e);
        let new = self.store.directory("new").map_err(failed)?;
        tree::remove(new.as_fd(), name.as_bytes()).map_err(failed)
    }

    /// Gives what was made its name, all at once.
    pub fn put(&self, name: &str, directory: &str, as_name: &str) -> Result<()> {
        let failed = |e| self.failed("keep", name, e);
        let from = self.store.directory("new").map_err(failed)?;
        let to = self.store.directory(directory).map_err(failed)?;
        match fs::renameat(&from, name, &to, as_name) {
            // Broken, or not what it says: or somebody would have used it.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                tree::remove(to.as_fd(), as_name.as_bytes()).map_err(failed)?;
                fs::renameat(&from, name, &to, as_name).map_err(failed)
            }
            done => done.map_err(failed),
        }
    }

    /// A small file, whole or not at all.
    pub fn write(&self, directory: &str, name: &str, text: &[u8]) -> Result<()> {
        self.write_new("file", text)?;
        self.put("file", directory, &escape(name))
    }

    /// A file below `new`, which may have directories in its name.
    pub fn write_new(&self, name: &str, text: &[u8]) -> Result<()> {
        let failed = |e| self.failed("write", name, e);
        let mut file = self.create(name)?;
        file.write_all(text).map_err(|e| failed(Errno::from_io_error(&e).unwrap_or(Errno::IO)))
    }

    pub fn create(&self, name: &str) -> Result<File> {
        let failed = |e| self.failed("write", name, e);
        let new = self.store.directory("new").map_err(failed)?;
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        Ok(File::from(fs::openat(&new, name, flags, mode).map_err(failed)?))
    }

    pub fn remove(&self, directory: &str, name: &str) -> Result<()> {
        let failed = |e| {
            Error::os(format!("remove {}", self.store.path.join(directory).join(name).display()), e)
        };
        let dir = self.store.directory(directory).map_err(failed)?;
        tree::remove(dir.as_fd(), name.as_bytes()).map_err(failed)
    }

    fn failed(&self, what: &str, name: &str, e: Errno) -> Error {
        let error =
            Error::os(format!("{what} {}", self.store.path.join("new").join(name).display()), e);
        match self.store.hint(e) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

fn open(path: &Path) -> tree::Result<OwnedFd> {
    fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// A name with slashes as the name of one file.
pub fn escape(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-:@".contains(&b);
    let dot = |at: usize, b: u8| b == b'.' && at > 0;
    name.bytes()
        .enumerate()
        .map(
            |(at, b)| {
                if plain(b) || dot(at, b) { char::from(b).to_string() } else { format!("%{b:02x}") }
            },
        )
        .collect()
}

pub fn unescape(name: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = name.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digits: String = bytes.by_ref().take(2).map(char::from).collect();
        out.extend(u8::from_str_radix(&digits, 16));
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A file as it is: another one, or a changed one, has another key.
pub fn source_key(dir: BorrowedFd<'_>) -> Result<(String, u64)> {
    let stat = fs::fstat(dir).map_err(|e| Error::os("stat the archive", e))?;
    let key = format!(
        "{}-{}-{}-{}.{}-{}.{}",
        stat.st_dev,
        stat.st_ino,
        stat.st_size,
        stat.st_mtime,
        stat.st_mtime_nsec,
        stat.st_ctime,
        stat.st_ctime_nsec
    );
    Ok((key, stat.st_size as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for name in ["alpine:3.20", "a/b/c:1", "..", ".x", "a%2fb"] {
            let escaped = escape(name);
            assert!(!escaped.contains('/') && !escaped.starts_with('.'), "{escaped}");
            assert_eq!(unescape(&escaped), name);
        }
    }
}

//! The few files of etc/ that programs look for, and users.

use crate::error::{Error, Result};
use crate::tree::{self, NEW_FILE, Tree};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{self, Gid, Mode, Uid};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};

/// A user to be made, with a group of the same name and a home.
#[derive(Clone, Debug, PartialEq)]
pub struct NewUser {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// Absolute; made where it is missing.
    pub home: String,
    pub shell: String,
}

/// Mount points, so that the tree can be read-only, and what the standard asks for.
const DIRECTORIES: [(&str, u32); 7] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
];

const FILES: [(&str, &str); 3] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("group", "root:x:0:\nnogroup:x:65534:\n"),
    (
        "nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    ),
];

/// What is there already stays as it is.
pub fn basics(tree: &mut Tree) -> Result<()> {
    for (name, mode) in DIRECTORIES {
        directory(tree.root(), name.as_bytes(), mode)
            .map_err(|e| Error::os(format!("make /{name}"), e))?;
    }
    let etc = [b"etc".to_vec()];
    for (name, text) in FILES {
        let failed = |e| Error::os(format!("write /etc/{name}"), e);
        let dir = tree.dir(&etc).map_err(failed)?;
        if tree::look(dir.as_fd(), name.as_bytes()).map_err(failed)?.is_none() {
            write(dir.as_fd(), name, text.as_bytes()).map_err(failed)?;
        }
    }
    Ok(())
}

fn directory(dir: BorrowedFd<'_>, name: &[u8], mode: u32) -> tree::Result<()> {
    match fs::mkdirat(dir, name, Mode::RWXU) {
        Err(Errno::EXIST) => Ok(()),
        Ok(()) => fs::fchmod(
            fs::openat(dir, name, tree::DIRECTORY, Mode::empty())?,
            Mode::from_raw_mode(mode),
        ),
        Err(e) => Err(e),
    }
}

/// Whole under its name, or not at all.
fn write(dir: BorrowedFd<'_>, name: &str, text: &[u8]) -> tree::Result<()> {
    let new = format!(".{name}.new");
    tree::remove(dir, new.as_bytes())?;
    let mut file = File::from(fs::openat(dir, new.as_str(), NEW_FILE, Mode::RWXU)?);
    let errno = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
    file.write_all(text).map_err(errno)?;
    fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
    fs::renameat(dir, new.as_str(), dir, name)
}

fn read(dir: BorrowedFd<'_>, name: &str) -> tree::Result<String> {
    let flags =
        fs::OFlags::RDONLY | fs::OFlags::NOFOLLOW | fs::OFlags::NONBLOCK | fs::OFlags::CLOEXEC;
    let file = File::from(fs::openat(dir, name, flags, Mode::empty())?);
    let mut text = Vec::new();
    let read = file.take(1 << 20).read_to_end(&mut text);
    read.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Lines in etc/passwd and etc/group, and the home. The same user again is no error.
pub fn add_user(tree: &mut Tree, user: &NewUser) -> Result<()> {
    let NewUser { name, uid, gid, home, shell } = user;
    let lines = [
        ("passwd", format!("{name}:x:{uid}:{gid}:{name}:{home}:{shell}"), *uid),
        ("group", format!("{name}:x:{gid}:"), *gid),
    ];
    for (file, line, id) in lines {
        let failed = |e| Error::os(format!("write /etc/{file}"), e);
        let etc = tree.dir(&[b"etc".to_vec()]).map_err(failed)?;
        let mut text = read(etc.as_fd(), file).map_err(failed)?;
        match text.lines().find(|l| l.split(':').next() == Some(name)) {
            Some(there) if there.split(':').nth(2) == Some(id.to_string().as_str()) => continue,
            Some(there) => {
                return Err(Error::new(format!("--user {name}: /etc/{file} has it as '{there}'")));
            }
            None => {}
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text += &line;
        text.push('\n');
        write(etc.as_fd(), file, text.as_bytes()).map_err(failed)?;
    }
    make_home(tree, user).map_err(|e| Error::os(format!("make {home}"), e))
}

fn make_home(tree: &mut Tree, user: &NewUser) -> tree::Result<()> {
    let names: Vec<Vec<u8>> =
        user.home.split('/').filter(|n| !n.is_empty()).map(|n| n.as_bytes().to_vec()).collect();
    let Some((last, above)) = names.split_last() else { return Ok(()) };
    for n in 0..above.len() {
        let dir = tree.dir(&above[..n])?;
        directory(dir.as_fd(), &above[n], 0o755)?;
    }
    let dir = tree.dir(above)?;
    if tree::look(dir.as_fd(), last)?.is_some() {
        return Ok(());
    }
    directory(dir.as_fd(), last, 0o755)?;
    if rustix::process::geteuid().is_root() {
        let home = fs::openat(dir.as_fd(), last.as_slice(), tree::DIRECTORY, Mode::empty())?;
        fs::fchown(home, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?;
    }
    Ok(())
}

/// A user of the host, for a server that gives up its rights to that one.
pub fn hosts_user(name: &str) -> Option<NewUser> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = text.lines().find(|l| l.split(':').next() == Some(name))?;
    let fields: Vec<&str> = line.split(':').collect();
    Some(NewUser {
        name: name.to_owned(),
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
        home: (*fields.get(5)?).to_owned(),
        shell: (*fields.get(6)?).to_owned(),
    })
}

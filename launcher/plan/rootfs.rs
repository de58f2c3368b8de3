//! The root file system as it is found: a directory, fit to be one, or an image.

use super::absolute;
use crate::cli;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::image::look::{self, Pending, Seen};
use crate::image::{self, Found as Opened, apply, blobs, record::Record};
use crate::quote::{plain, quote};
use crate::spec::{Net, Spec};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

pub enum Root {
    /// ROOTFS itself, or the host's.
    Directory,
    /// Layers of the store, the lowest one first, below one directory.
    Image {
        dir: PathBuf,
        layers: Vec<String>,
        /// Not there yet, as no more than a look was wanted.
        pending: Option<Box<Pending>>,
    },
    /// A file system that is mounted nowhere yet.
    Disk(OwnedFd),
    Empty,
}

impl Root {
    /// Its mount, with the slot that it is to have; and what is to be unpacked.
    pub fn parts(self, slot: Option<usize>) -> (Option<(usize, OwnedFd)>, Option<Box<Pending>>) {
        match self {
            Root::Disk(tree) => (slot.map(|slot| (slot, tree)), None),
            Root::Image { pending, .. } => (None, pending),
            _ => (None, None),
        }
    }
}

/// What ROOTFS turned out to be.
pub struct Found<'a> {
    /// The user's words, with the image's where the user has none.
    pub spec: Cow<'a, Spec>,
    pub root: Root,
    /// The id of the image; empty where it is none.
    pub image_id: String,
    /// What is below an upper layer that is kept: an image's id, or a directory.
    base: String,
    /// Where names of users, and the command, are looked up.
    pub look: OwnedFd,
    /// All of the root can be seen there.
    pub whole: bool,
    /// Locks: as long as they are held, nobody removes the image or takes the upper layer.
    pub held: Vec<OwnedFd>,
    pub warnings: Vec<String>,
    /// What would be done, where no more than a look was wanted.
    pub fills: Vec<Fill>,
}

/// A volume that is empty, and what is copied into it.
pub struct Fill {
    pub volume: PathBuf,
    pub target: PathBuf,
    /// The directories that the root is made of, the lowest one first.
    pub from: Vec<PathBuf>,
}

/// A directory is found by opening it; whatever else there is costs directories nothing.
pub fn find<'a>(spec: &'a Spec, host: &Host) -> Result<Found<'a>> {
    let special = matches!(spec.rootfs.as_os_str().as_encoded_bytes(), b"-" | b"scratch");
    let opened = if special { Err(Errno::NOTDIR) } else { open(&spec.rootfs) };
    let mut found = match opened {
        Ok(look) => match directory(spec, &look)? {
            true => archive(spec, host)?,
            false => Found {
                spec: with_entrypoint(spec)?,
                root: Root::Directory,
                image_id: String::new(),
                base: absolute(&spec.rootfs)?.display().to_string(),
                look,
                whole: spec.layers.is_empty() && spec.keep.is_none(),
                held: Vec::new(),
                warnings: Vec::new(),
                fills: Vec::new(),
            },
        },
        Err(_) if spec.rootfs == Path::new("scratch") => empty(spec)?,
        Err(Errno::NOTDIR) => archive(spec, host)?,
        Err(Errno::NOENT) => match image::by_name(&spec.rootfs.to_string_lossy())? {
            Some(record) => kept(spec, record)?,
            None => return Err(missing(&spec.rootfs)),
        },
        Err(e) => return Err(Error::os(format!("rootfs {}", spec.rootfs.display()), e)),
    };
    super::volumes::by_name(&mut found, host)?;
    if let Some(dir) = &spec.keep {
        found.held.push(keep(dir, host, &found)?);
    }
    if found.spec.command.is_empty() {
        return Err(Error::new("COMMAND is missing").hint(cli::USAGE));
    }
    if found.spec.net == Net::ForPorts {
        found.spec.to_mut().net.settle(host.rootless);
    }
    Ok(found)
}

/// The root file system, opened once for all that is looked up in it.
fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

fn missing(path: &Path) -> Error {
    let shown = plain(path);
    match std::fs::read_link(path) {
        Ok(target) => {
            Error::os(format!("rootfs {shown}: symlink to {}", plain(target)), Errno::NOENT)
        }
        Err(_) => Error::os(format!("rootfs {shown}"), Errno::NOENT).hint(
            match path.to_str().and_then(cli::nearest_command) {
                Some(near) => format!("did you mean: launch {near}"),
                None => "ROOTFS is a directory, an archive, or an image that 'launch images' lists; nothing is fetched".into(),
            },
        ),
    }
}

/// True for an image layout, which no root file system looks like.
fn directory(spec: &Spec, look: &OwnedFd) -> Result<bool> {
    let bare = check(&spec.rootfs, look)?;
    if bare && blobs::Layout::of(look).is_some() {
        return Ok(true);
    }
    if !spares_it(spec) && is_hosts(look) {
        return Err(Error::new(format!(
            "rootfs {}: refusing to use the host's own root writable",
            spec.rootfs.display()
        ))
        .hint("add --ephemeral (changes vanish with the container) or --read-only"));
    }
    Ok(false)
}

/// What is written does not end up in the root file system, so that it may be the host's.
pub fn spares_it(spec: &Spec) -> bool {
    spec.ephemeral || spec.read_only || spec.keep.is_some()
}

/// The host's own root, by whatever name.
pub fn is_hosts(rootfs: &OwnedFd) -> bool {
    match (rustix::fs::fstat(rootfs), rustix::fs::stat("/")) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

/// /proc, /sys and /dev must be ordinary directories: an image that makes them links wants
/// something mounted, or written, elsewhere. True where there is none of them.
fn check(shown: &Path, rootfs: &OwnedFd) -> Result<bool> {
    let mut bare = true;
    for name in ["proc", "sys", "dev"] {
        let Ok(s) = rustix::fs::statat(rootfs, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        bare = false;
        let kind = match FileType::from_raw_mode(s.st_mode) {
            FileType::Directory => continue,
            FileType::Symlink => "a symlink",
            _ => "not a directory",
        };
        let shown = shown.display();
        return Err(Error::new(format!("rootfs {shown}: /{name} is {kind}"))
            .hint(format!("/{name} must be an ordinary directory, or absent")));
    }
    Ok(bare)
}

/// --entrypoint counts for directories, too.
fn with_entrypoint(spec: &Spec) -> Result<Cow<'_, Spec>> {
    match &spec.entrypoint {
        None => Ok(Cow::Borrowed(spec)),
        Some(_) => configured(spec, &image::config::Config::default()).map(Cow::Owned),
    }
}

fn configured(spec: &Spec, config: &image::config::Config) -> Result<Spec> {
    let shown = spec.rootfs.display();
    apply::apply(spec, config)
        .map_err(|why| Error::new(format!("rootfs {shown}: its image's {why}")))
}

/// A file, a pipe, or an image layout.
fn archive<'a>(spec: &'a Spec, host: &Host) -> Result<Found<'a>> {
    if host.only_look {
        return match look::look(&spec.rootfs, &spec.image)? {
            Seen::There(found) => opened(spec, found),
            Seen::Pending(pending) => unseen(spec, pending),
        };
    }
    let mut progress = |done, total| (host.progress)(done, total);
    let answer = image::open(&spec.rootfs, host, &spec.image, &mut progress)?;
    let mut found = opened(spec, answer.found)?;
    found.warnings.extend(answer.warnings);
    Ok(found)
}

fn opened(spec: &Spec, found: Opened) -> Result<Found<'_>> {
    match found {
        Opened::Image(record) => kept(spec, *record),
        Opened::Disk { file, fstype } => {
            let shown = blobs::shown(&spec.rootfs);
            let tree = image::disk::mount(&file, fstype, &shown)?;
            check(&spec.rootfs, &tree)?;
            let again = |e| Error::os(format!("rootfs {shown}"), e);
            let look = rustix::io::fcntl_dupfd_cloexec(&tree, 3).map_err(again)?;
            Ok(Found {
                spec: with_entrypoint(spec)?,
                root: Root::Disk(tree),
                image_id: String::new(),
                base: String::new(),
                look,
                whole: spec.layers.is_empty() && spec.keep.is_none(),
                held: Vec::new(),
                warnings: Vec::new(),
                fills: Vec::new(),
            })
        }
    }
}

/// An image that is not unpacked: nothing but users can be looked up in it.
fn unseen<'a>(spec: &'a Spec, pending: Box<Pending>) -> Result<Found<'a>> {
    let mut found = empty(spec)?;
    found.whole = false;
    found.spec = Cow::Owned(configured(spec, &pending.config)?);
    found.image_id = pending.id.to_string();
    found.base.clone_from(&found.image_id);
    let layers = pending.layers.iter().map(|l| l.id.clone()).collect();
    let dir = image::store::place()?.join("layers");
    found.root = Root::Image { dir, layers, pending: Some(pending) };
    Ok(found)
}

/// An image of the store. Of one with one layer everything can be looked up in that; of
/// others the store has the two files of etc/ aside.
fn kept(spec: &Spec, record: Record) -> Result<Found<'_>> {
    let (aside, dir) = image::directories(&record)?;
    let failed = |e| Error::os(format!("lock image {}", record.id), e);
    rustix::fs::flock(&aside, FlockOperation::NonBlockingLockShared).map_err(failed)?;
    let single = match record.layers.as_slice() {
        [one] => Some(open(&dir.join(one).join("fs")).map_err(failed)?),
        _ => None,
    };
    let whole = single.is_some() && spec.layers.is_empty() && spec.keep.is_none();
    let (look, held) = match single {
        Some(look) => (look, vec![aside]),
        None => {
            let look = rustix::io::fcntl_dupfd_cloexec(&aside, 3).map_err(failed)?;
            (look, vec![aside])
        }
    };
    check(&spec.rootfs, &look)?;
    Ok(Found {
        spec: Cow::Owned(configured(spec, &record.config)?),
        root: Root::Image { dir, layers: record.layers, pending: None },
        image_id: record.id.to_string(),
        base: record.id.to_string(),
        look,
        whole,
        held,
        warnings: Vec::new(),
        fills: Vec::new(),
    })
}

fn empty(spec: &Spec) -> Result<Found<'_>> {
    // Nothing is found below what is no directory.
    let look = rustix::fs::open("/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let look = look.map_err(|e| Error::os("open /dev/null", e))?;
    let whole = spec.layers.is_empty() && spec.keep.is_none();
    let (spec, root) = (with_entrypoint(spec)?, Root::Empty);
    let (base, image_id) = (String::new(), String::new());
    let (held, warnings, fills) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Found { spec, root, image_id, base, look, whole, held, warnings, fills })
}

/// The directory of an upper layer that is kept, made where it is missing, and nobody else's
/// meanwhile.
fn keep(dir: &Path, host: &Host, found: &Found<'_>) -> Result<OwnedFd> {
    let failed = |e| Error::os(format!("--keep {}", dir.display()), e);
    apart(dir, found)?;
    if !host.only_look {
        for place in [dir.to_owned(), dir.join("upper"), dir.join("work")] {
            match rustix::fs::mkdir(&place, Mode::from_raw_mode(0o755)) {
                Ok(()) if place.ends_with("upper") => {
                    let mode = rustix::fs::fstat(&found.look).map_or(0o755, |s| s.st_mode & 0o777);
                    rustix::fs::chmod(&place, Mode::from_raw_mode(mode)).map_err(failed)?;
                }
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(failed(e)),
            }
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed)?;
    let base = dir.join(image::commit::BASE);
    match std::fs::read_to_string(&base) {
        Ok(other) if other != found.base => {
            let said =
                format!("--keep {}: what it has is of {other}, not of {}", quote(dir), found.base);
            return Err(Error::new(said));
        }
        Ok(_) => {}
        Err(_) if host.only_look => {}
        Err(_) => std::fs::write(&base, &found.base)
            .map_err(|e| Error::os(format!("write {}", base.display()), e))?,
    }
    match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN) => {
            let said = format!("--keep {}: another container has it now", quote(dir));
            Err(Error::new(said))
        }
        locked => locked.map(|()| fd).map_err(failed),
    }
}

/// What is kept must not be a part of what it lies over: an overlay then shows neither whole.
fn apart(dir: &Path, found: &Found<'_>) -> Result<()> {
    let path = absolute(dir)?;
    let there = std::fs::canonicalize(&path);
    let above = |_| std::fs::canonicalize(path.parent().unwrap_or(Path::new("/")));
    // What else is wrong with it is told when it is made.
    let Ok(there) = there.or_else(above) else { return Ok(()) };
    let root = matches!(found.root, Root::Directory).then_some(&found.spec.rootfs);
    for lower in found.spec.layers.iter().chain(root) {
        let real = std::fs::canonicalize(absolute(lower)?).unwrap_or_default();
        if real.parent().is_some() && there.starts_with(&real) {
            let (dir, lower) = (plain(dir), plain(lower));
            return Err(Error::new(format!(
                "--keep {dir}: lies in {lower}, over which it is to be"
            ))
            .hint("give a directory beside it"));
        }
    }
    Ok(())
}

/// Host paths that must not be covered while layers are put together.
pub fn in_use(spec: &Spec) -> Result<Vec<PathBuf>> {
    spec.layers.iter().chain(&spec.keep).map(|dir| real(dir)).collect()
}

/// Without links: what covers a path can be told by its beginning.
pub fn real(dir: &Path) -> Result<PathBuf> {
    let path = absolute(dir)?;
    std::fs::canonicalize(&path).map_err(|e| Error::os(format!("layer {}", dir.display()), e))
}

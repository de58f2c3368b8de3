//! Images: what ROOTFS can be besides a directory.
//!
//! An archive is unpacked once, into the store, and found there again: by the file it is
//! (device, inode, size, times), by a name, by its digest.

pub mod apply;
pub mod blobs;
pub mod commit;
pub mod config;
pub mod decompress;
pub mod digest;
pub mod disk;
pub mod docker;
pub mod document;
pub mod export;
pub mod feed;
pub mod fill;
#[cfg(test)]
mod fuzz_tests;
pub mod kind;
mod layer;
pub mod look;
pub mod manage;
pub mod oci;
pub mod owner;
pub mod record;
mod source;
pub mod store;
pub mod volume;
mod work;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::unpack::{Skipped, Unset};
use digest::Digest;
use kind::Kind;
use oci::Choice;
use record::Record;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use store::{Lock, Store};
use work::Work;

/// What the user says of an archive besides its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    pub choice: Choice,
    pub limits: Unset,
}

/// Hears of progress: bytes done, of how many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// What a file or directory turned out to be.
pub enum Found {
    Image(Box<Record>),
    /// A file system to be mounted.
    Disk {
        file: OwnedFd,
        fstype: &'static std::ffi::CStr,
    },
}

/// What a look into an archive gave.
pub struct Answer {
    pub found: Found,
    /// What the image calls itself.
    pub names: Vec<String>,
    /// What could not be unpacked as it is.
    pub warnings: Vec<String>,
}

impl Answer {
    fn plain(found: Found) -> Answer {
        let names = match &found {
            Found::Image(record) => record.names.clone(),
            Found::Disk { .. } => Vec::new(),
        };
        Answer { found, names, warnings: Vec::new() }
    }
}

/// An image of the store by its name, or by the beginning of its id.
pub fn by_name(name: &str) -> Result<Option<Record>> {
    let Some(store) = Store::existing()? else { return Ok(None) };
    find_named(&store, name)
}

pub fn find_named(store: &Store, name: &str) -> Result<Option<Record>> {
    if let Some(id) = store.leads_to("names", &full_name(name))? {
        return store.image(&id);
    }
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    if hex.len() < 6 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let begins = |id: &String| id.starts_with(hex) || hex.starts_with(id.as_str());
    let ids: Vec<String> = store.list("images")?.into_iter().filter(begins).collect();
    let [id] = ids.as_slice() else { return Ok(None) };
    let text = store.read(&format!("images/{id}/image.json"))?.unwrap_or_default();
    Ok(Record::parse(&text).filter(|r| r.id.hex().starts_with(hex)))
}

/// docker's rules: without a tag it is `latest`, and docker.io is not said.
pub fn full_name(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let tag = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if tag { name.to_owned() } else { format!("{name}:latest") }
}

/// An archive that may have been unpacked already: a look, no more.
pub fn known(file: &OwnedFd, wishes: &Wishes) -> Result<Option<Record>> {
    match Store::existing()? {
        Some(store) => known_to(&store, file, wishes),
        None => Ok(None),
    }
}

fn known_to(store: &Store, file: &OwnedFd, wishes: &Wishes) -> Result<Option<Record>> {
    if wishes.choice != Choice::default() {
        return Ok(None);
    }
    let (key, _) = store::source_key(file.as_fd())?;
    match store.leads_to("sources", &key)? {
        Some(id) => store.image(&id),
        None => Ok(None),
    }
}

/// A file, or a directory that is an image layout, unpacked into the store if it is not
/// there yet. `-` is standard input.
pub fn open(path: &Path, host: &Host, wishes: &Wishes, progress: Progress<'_>) -> Result<Answer> {
    match start(path, wishes)? {
        Start::There(found) => Ok(Answer::plain(found)),
        Start::File(file) => of_file(file, path, host, wishes, progress),
    }
}

/// What is to be unpacked, or has been.
enum Start {
    There(Found),
    File(OwnedFd),
}

fn start(path: &Path, wishes: &Wishes) -> Result<Start> {
    let shown = blobs::shown(path);
    if path == Path::new("-") {
        let stdin = rustix::io::dup(rustix::stdio::stdin())
            .map_err(|e| Error::os("read standard input", e))?;
        return Ok(Start::File(stdin));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|e| Error::os(format!("rootfs {shown}"), e))?;
    let stat = rustix::fs::fstat(&file).map_err(|e| Error::os(format!("rootfs {shown}"), e))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Ok(Start::File(file)),
        FileType::RegularFile => {}
        // A pipe by name: <(docker export ...). Whoever writes may open it after us.
        FileType::Fifo => {
            let flags = flags - OFlags::NONBLOCK;
            let file = rustix::fs::open(path, flags, Mode::empty())
                .map_err(|e| Error::os(format!("rootfs {shown}"), e))?;
            return Ok(Start::File(file));
        }
        _ => {
            let not = rustix::io::Errno::NOTDIR;
            return Err(Error::os(format!("rootfs {shown}"), not));
        }
    }
    if let Some(record) = known(&file, wishes)? {
        return Ok(Start::There(Found::Image(Box::new(record))));
    }
    let mut head = [0; kind::HEAD];
    let file = File::from(file);
    let n = file.read_at(&mut head, 0).map_err(|e| Error::os(format!("read {shown}"), e))?;
    match kind::of(&head[..n], &shown)? {
        Kind::Disk(fstype) => Ok(Start::There(Found::Disk { file: file.into(), fstype })),
        Kind::Tar(_) => Ok(Start::File(file.into())),
    }
}

/// The same of an open file; `path` is what it is called.
pub fn of_file(
    file: OwnedFd,
    path: &Path,
    host: &Host,
    wishes: &Wishes,
    progress: Progress<'_>,
) -> Result<Answer> {
    let shown = &blobs::shown(path);
    let place = store::place()?;
    let ids = owner::ids(host)?;
    let power = owner::power(ids.as_ref());
    let answer = owner::work(ids.as_ref(), 0, || {
        let store = Store::make(&place)?;
        let lock = store.lock()?;
        let (skipped, added) = (Skipped::default(), Vec::new());
        let mut work = Work { lock: &lock, shown, path, wishes, power, progress, skipped, added };
        let result = work.image(file);
        (work.progress)(0, 0);
        if result.is_err() {
            work.undo();
        }
        let (record, names) = result?;
        let mut lines = vec![record.id.to_string(), names.join("\t")];
        lines.extend(work.warnings());
        Ok(lines.join("\n"))
    })?;
    let mut lines = answer.lines();
    let id = lines.next().and_then(Digest::parse);
    let id = id.ok_or_else(|| Error::new("the store gave no answer"))?;
    let names =
        lines.next().unwrap_or_default().split('\t').filter(|n| !n.is_empty()).map(str::to_owned);
    let names = names.collect();
    let store = Store::at(place)?.ok_or_else(|| Error::new("the store of images is gone"))?;
    let record = store.image(&id)?.ok_or_else(|| Error::new("the image is gone from the store"))?;
    let warnings = lines.map(str::to_owned).collect();
    Ok(Answer { found: Found::Image(Box::new(record)), names, warnings })
}

/// The record, with the two files of etc/ that are looked up before a start.
pub fn keep(lock: &Lock<'_>, record: &Record) -> Result<()> {
    let layers = record.layers.iter().rev().map(|id| lock.store.layer(id));
    let layers = layers.collect::<std::result::Result<_, _>>();
    let stack =
        crate::unpack::Stack::new(layers.map_err(|e| Error::os("open the image's layers", e))?);
    lock.new_directory("image")?;
    lock.new_directory("image/etc")?;
    for name in ["passwd", "group"] {
        let path = [b"etc".to_vec(), name.as_bytes().to_vec()];
        let Some(file) = stack.open(&path) else { continue };
        let mut text = Vec::new();
        let mut file = std::io::Read::take(File::from(file), 1 << 20);
        if std::io::Read::read_to_end(&mut file, &mut text).is_ok() {
            lock.write_new(&format!("image/etc/{name}"), &text)?;
        }
    }
    lock.write_new("image/image.json", record.to_text().as_bytes())?;
    lock.put("image", "images", &record.id.short())
}

pub fn now() -> u64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec as u64
}

/// The image's directory with what is looked up at a start, and the layers' directory.
pub fn directories(record: &Record) -> Result<(OwnedFd, PathBuf)> {
    let store = Store::existing()?.ok_or_else(|| Error::new("the store of images is gone"))?;
    let name = format!("images/{}", record.id.short());
    let dir = store.directory(&name);
    let dir =
        dir.map_err(|e| Error::os(format!("open {}", store.path.join(&name).display()), e))?;
    Ok((dir, store.path.join("layers")))
}

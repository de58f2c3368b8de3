//! The pieces of an image in whatever holds them: a directory, or an archive of archives.

use crate::archive::Kind;
use crate::archive::input::{Input, Part};
use crate::archive::read::{Problem, Reader};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::quote::quote;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub enum Blobs {
    Directory(OwnedFd, Layout),
    Archive { file: File, index: Index },
}

/// What a descriptor says of one.
pub struct Blob {
    pub digest: Digest,
    pub size: Option<u64>,
}

/// How a directory names what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// OCI's: index.json, and blobs/.
    Oci,
    /// podman's and skopeo's `dir:`, one flat directory: manifest.json, and blobs by their
    /// digests alone.
    Flat,
}

impl Layout {
    /// None for a directory that is no image.
    pub fn of(dir: impl AsFd) -> Option<Layout> {
        let there = |name| rustix::fs::statat(&dir, name, rustix::fs::AtFlags::empty()).is_ok();
        // One that lacks half of it is an image all the same, which cannot be read.
        if there("oci-layout") && (there("index.json") || there("blobs")) {
            return Some(Layout::Oci);
        }
        if !(there("version") && there("manifest.json")) {
            return None;
        }
        let version = crate::beneath::read_in_root(dir.as_fd(), Path::new("version"), 256).ok()?;
        version?.starts_with(b"Directory Transport Version: 1.").then_some(Layout::Flat)
    }
}

/// Where the files of an archive are in it.
#[derive(Debug, Default)]
pub struct Index {
    files: HashMap<Vec<u8>, (u64, u64)>,
    /// Older versions of docker put layers that are the same there only once.
    links: HashMap<Vec<u8>, Vec<u8>>,
}

/// Documents are small; a layer's is not among them.
const DOCUMENT_MOST: u64 = 4 << 20;
/// More files than this has no archive of an image.
const FILES_MOST: usize = 100_000;

impl Blobs {
    /// A file of it; `shown` is how the whole is called.
    pub fn open(&self, name: &str, shown: &str) -> Result<Part> {
        match self {
            Blobs::Directory(dir, _) => {
                let failed = |e| Error::os(format!("{shown}: read {name}"), e);
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                let fd = crate::beneath::open_in_root(
                    dir.as_fd(),
                    Path::new(name),
                    flags,
                    Mode::empty(),
                );
                let fd = fd.map_err(failed)?;
                let stat = rustix::fs::fstat(&fd).map_err(failed)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(Error::new(format!("{shown}: {name} is no file")));
                }
                Ok(Part::new(File::from(fd), 0, stat.st_size as u64))
            }
            Blobs::Archive { file, index } => {
                let place = index.find(name.as_bytes());
                let (start, length) =
                    place.ok_or_else(|| Error::new(format!("{shown}: {name} is not in it")))?;
                let file = file.try_clone().map_err(|e| Error::os(format!("read {shown}"), e))?;
                Ok(Part::new(file, start, length))
            }
        }
    }

    pub fn has(&self, name: &str) -> bool {
        match self {
            Blobs::Directory(dir, _) => {
                let there = rustix::fs::statat(dir, name, rustix::fs::AtFlags::empty());
                there.is_ok()
            }
            Blobs::Archive { index, .. } => index.find(name.as_bytes()).is_some(),
        }
    }

    /// A document of it.
    pub fn read(&self, name: &str, shown: &str) -> Result<Vec<u8>> {
        let mut part = self.open(name, shown)?;
        if part.length() > DOCUMENT_MOST {
            let said = format!(
                "{shown}: {name} has {} bytes, at most {DOCUMENT_MOST} make sense",
                part.length()
            );
            return Err(Error::new(said));
        }
        let mut text = Vec::new();
        let read = std::io::Read::read_to_end(&mut part, &mut text);
        read.map_err(|e| Error::os(format!("{shown}: read {name}"), e))?;
        Ok(text)
    }

    pub fn flat(&self) -> bool {
        matches!(self, Blobs::Directory(_, Layout::Flat))
    }

    pub fn name(&self, digest: &Digest) -> String {
        if self.flat() { digest.hex() } else { format!("blobs/sha256/{}", digest.hex()) }
    }

    /// Of a manifest that is not the first one.
    pub fn manifest_name(&self, digest: &Digest) -> String {
        if self.flat() { format!("{}.manifest.json", digest.hex()) } else { self.name(digest) }
    }

    /// A document by its name, with size and digest, which are checked.
    pub fn document(&self, name: &str, blob: &Blob, shown: &str) -> Result<Vec<u8>> {
        self.sized(name, blob.size, shown)?;
        let text = self.read(name, shown)?;
        check(name, shown, &blob.digest, &Digest::of(&text))?;
        Ok(text)
    }

    /// A file of the size that is said of it.
    pub fn sized(&self, name: &str, size: Option<u64>, shown: &str) -> Result<Part> {
        let part = self.open(name, shown)?;
        let found = part.length();
        match size.filter(|size| *size != found) {
            Some(said) => Err(Error::new(format!(
                "{shown}: {name} is damaged: it has {found} bytes, its descriptor says {said}"
            ))),
            None => Ok(part),
        }
    }
}

pub fn check(name: &str, shown: &str, wanted: &Digest, found: &Digest) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    Err(Error::new(format!("{shown}: {name} is damaged: its digest is {found}, not {wanted}")))
}

impl Index {
    fn find(&self, name: &[u8]) -> Option<(u64, u64)> {
        let mut name = plain(name);
        for _ in 0..8 {
            if let Some(place) = self.files.get(&name) {
                return Some(*place);
            }
            let target = self.links.get(&name)?;
            name.clone_from(target);
        }
        None
    }
}

/// What an archive is, by what is in it.
pub enum Contents {
    /// A root file system.
    Root,
    Image(Index),
}

/// Looks through an archive: as soon as it has a name that no archive of an image has, it is
/// a root file system.
pub fn look<I: Input>(input: I, shown: &str) -> Result<Contents> {
    let mut reader = Reader::new(input);
    let mut index = Index::default();
    let mut image = false;
    while let Some(member) = reader.next().map_err(|p| problem(shown, p))? {
        let name = plain(&member.entry.path);
        if name.is_empty() && member.entry.kind == Kind::Directory {
            continue;
        }
        let first = name.split(|b| *b == b'/').next().unwrap_or_default();
        if !of_an_image(first) {
            return Ok(Contents::Root);
        }
        image |= matches!(name.as_slice(), b"manifest.json" | b"index.json");
        match member.entry.kind {
            Kind::File if member.pieces.is_none() => {
                index.files.insert(name, (member.start, member.stored));
            }
            Kind::Symlink => {
                let dir = name.iter().rposition(|b| *b == b'/').map_or(&b""[..], |at| &name[..at]);
                let target = [dir, b"/", &member.entry.link].concat();
                index.links.insert(name, plain(&target));
            }
            Kind::HardLink => drop(index.links.insert(name, plain(&member.entry.link))),
            _ => {}
        }
        if index.files.len() + index.links.len() > FILES_MOST {
            return Err(Error::new(format!("{shown}: more than {FILES_MOST} files for one image")));
        }
    }
    match index.files.is_empty() {
        _ if image => Ok(Contents::Image(index)),
        true => Ok(Contents::Root),
        false => Err(Error::new(format!("{shown}: an image without manifest.json or index.json"))),
    }
}

pub fn problem(shown: &str, p: Problem) -> Error {
    match p {
        Problem::Broken { offset, why } => Error::new(format!("{shown}: offset {offset}: {why}")),
        Problem::Io(e) if e.raw_os_error().is_some() => Error::os(format!("read {shown}"), e),
        Problem::Io(e) => Error::new(format!("{shown}: {e}")),
    }
}

/// Names at the top of what `docker save`, podman and skopeo write.
fn of_an_image(name: &[u8]) -> bool {
    let known: [&[u8]; 5] =
        [b"manifest.json", b"index.json", b"oci-layout", b"blobs", b"repositories"];
    let stem = name.strip_suffix(b".json").or_else(|| name.strip_suffix(b".tar")).unwrap_or(name);
    let hex = stem.len() == 64 && stem.iter().all(u8::is_ascii_hexdigit);
    known.contains(&name) || hex
}

/// Without `.` and `..`, which are resolved.
pub fn plain(path: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|b| *b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            _ => names.push(name),
        }
    }
    names.join(&b'/')
}

/// For messages.
pub fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        return "standard input".into();
    }
    let bytes = path.as_os_str().as_bytes();
    if bytes.iter().all(|b| !b.is_ascii_control()) {
        return path.display().to_string();
    }
    quote(OsStr::from_bytes(bytes))
}

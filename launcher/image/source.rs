//! What is to become an image, before any of it is unpacked: a root file system, or documents
//! and layers.

use super::blobs::{self, Blobs, Contents, Layout};
use super::decompress::Compression;
use super::document::Document;
use super::feed::{Feed, Wanted};
use super::kind::{self, Kind};
use super::store::Lock;
use super::{Wishes, docker, oci};
use crate::archive::input::Part;
use crate::error::{Error, Result, describe};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

pub enum Source {
    /// An archive of one, compressed or not.
    Root(Part),
    Image(Blobs, Box<Document>),
}

/// Where a copy is made of what cannot be read in any order: a pipe, or a compressed archive
/// of archives.
pub enum Room<'a> {
    Store(&'a Lock<'a>),
    /// A file without a name.
    Nameless,
}

impl Source {
    pub fn open(file: OwnedFd, shown: &str, wishes: &Wishes, room: &Room<'_>) -> Result<Source> {
        let stat = rustix::fs::fstat(&file).map_err(|e| Error::os(format!("read {shown}"), e))?;
        let mut file = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let layout = Layout::of(&file).unwrap_or(Layout::Oci);
                let blobs = Blobs::Directory(file, layout);
                let document = oci::read(&blobs, shown, &wishes.choice)?;
                return Ok(Source::Image(blobs, Box::new(document)));
            }
            FileType::RegularFile => File::from(file),
            _ => room.copy(File::from(file), Compression::None, shown, wishes)?,
        };
        let failed = |e| Error::os(format!("read {shown}"), e);
        let mut head = [0; kind::HEAD];
        let n = file.read_at(&mut head, 0).map_err(failed)?;
        let Kind::Tar(compression) = kind::of(&head[..n], shown)? else {
            let said = format!("{shown}: a file system image cannot be read from a pipe");
            return Err(Error::new(said));
        };
        let part = |file: &File| file.try_clone().and_then(Part::whole).map_err(failed);
        let contents = match compression {
            Compression::None => blobs::look(part(&file)?, shown)?,
            _ => blobs::look(Feed::start(part(&file)?, Wanted::default(), shown)?, shown)?,
        };
        let Contents::Image(mut index) = contents else {
            return Ok(Source::Root(part(&file)?));
        };
        if compression != Compression::None {
            file = room.copy(file, compression, shown, wishes)?;
            match blobs::look(part(&file)?, shown)? {
                Contents::Image(again) => index = again,
                Contents::Root => {
                    return Err(Error::new(format!("{shown}: it changed meanwhile")));
                }
            }
        }
        let blobs = Blobs::Archive { file, index };
        let document = match blobs.has("manifest.json") {
            true => docker::read(&blobs, shown, &wishes.choice)?,
            false => oci::read(&blobs, shown, &wishes.choice)?,
        };
        Ok(Source::Image(blobs, Box::new(document)))
    }
}

impl Room<'_> {
    fn path(&self) -> PathBuf {
        match self {
            Room::Store(lock) => lock.store.path.clone(),
            Room::Nameless => std::env::temp_dir(),
        }
    }

    fn create(&self) -> Result<File> {
        match self {
            Room::Store(lock) => lock.create("spool"),
            Room::Nameless => {
                let (place, mode) = (self.path(), Mode::RUSR | Mode::WUSR);
                let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
                let file = rustix::fs::open(&place, flags, mode);
                let failed = |e| Error::os(format!("make a file in {}", place.display()), e);
                file.map(File::from).map_err(|e| {
                    failed(e).hint("TMPDIR=DIRECTORY names another place for a copy of it")
                })
            }
        }
    }

    fn hint(&self, e: Errno) -> Option<String> {
        match self {
            Room::Store(lock) => lock.store.hint(e),
            Room::Nameless if matches!(e, Errno::NOSPC | Errno::DQUOT) => {
                Some("TMPDIR=DIRECTORY names a place with more room".into())
            }
            Room::Nameless => None,
        }
    }

    /// Decompressed.
    fn copy(
        &self,
        mut from: File,
        compression: Compression,
        shown: &str,
        wishes: &Wishes,
    ) -> Result<File> {
        let failed = |e: std::io::Error| Error::new(format!("{shown}: {}", words(&e)));
        let mut to = self.create()?;
        let size = from.metadata().map_or(0, |m| m.len());
        let most = wishes.limits.for_size(size.max(1 << 30)).bytes;
        let copied = if compression == Compression::None {
            std::io::copy(&mut std::io::Read::take(&mut from, most + 1), &mut to)
        } else {
            let feed = Feed::start(Part::whole(from).map_err(failed)?, Wanted::default(), shown)?;
            std::io::copy(&mut std::io::Read::take(feed, most + 1), &mut to)
        };
        let bytes = copied.map_err(|e| match e.raw_os_error().map(Errno::from_raw_os_error) {
            Some(os) if let Some(hint) = self.hint(os) => {
                let said = format!("{shown}: write a copy of it to {}", self.path().display());
                Error::os(said, os).hint(hint)
            }
            _ => failed(e),
        })?;
        if bytes > most {
            let said = format!("{shown}: unpacks to more than {}", crate::size::human(most));
            return Err(Error::new(said).hint("--max-size raises it"));
        }
        to.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(to)
    }
}

fn words(e: &std::io::Error) -> String {
    match e.raw_os_error() {
        Some(n) => describe(Errno::from_raw_os_error(n)),
        None => e.to_string(),
    }
}

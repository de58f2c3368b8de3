//! What an archive would become, without unpacking it: for `--explain`, which changes nothing.

use super::blobs::{self, Blobs};
use super::config::Config;
use super::decompress::Compression;
use super::digest::Digest;
use super::feed::{Feed, Wanted};
use super::record::Record;
use super::source::{Room, Source};
use super::store::Store;
use super::{Found, Start, Wishes, layer};
use crate::archive::Kind;
use crate::archive::input::{Input, Part};
use crate::archive::read::{Problem, Reader};
use crate::error::{Error, Result};
use std::io::BufRead;
use std::path::{Path, PathBuf};

pub enum Seen {
    /// Nothing is to be unpacked.
    There(Found),
    Pending(Box<Pending>),
}

/// An image that the store has not.
pub struct Pending {
    pub archive: PathBuf,
    pub id: Digest,
    pub config: Config,
    /// Where they would be; the lowest one first.
    pub layers: Vec<Layer>,
    pub names: Names,
}

pub struct Layer {
    /// The store's name for it.
    pub id: String,
    pub there: bool,
    /// A file of the archive, which is a directory itself, or not; else the archive.
    pub file: Option<(String, bool)>,
    pub compression: Compression,
}

/// etc/passwd and etc/group of the image, where users are looked up.
#[derive(Default)]
pub struct Names([Option<Vec<u8>>; 2]);

const NAMES: [&str; 2] = ["etc/passwd", "etc/group"];
/// The two are no longer.
const TEXT_MOST: u64 = 1 << 20;

impl Names {
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        let at = NAMES.iter().position(|name| *name == path)?;
        self.0[at].clone()
    }

    /// As one more layer (or else the whole root) has them.
    fn add<I: Input>(
        &mut self,
        reader: &mut Reader<I>,
        layer: bool,
    ) -> std::result::Result<(), Problem> {
        let mut own = [None, None];
        let mut gone = [false; 2];
        while let Some(member) = reader.next()? {
            let name = blobs::plain(&member.entry.path);
            match name.as_slice() {
                b".wh.etc" | b".wh..wh..opq" | b"etc/.wh..wh..opq" => gone = [layer; 2],
                b"etc/.wh.passwd" => gone[0] = layer,
                b"etc/.wh.group" => gone[1] = layer,
                _ => {}
            }
            let Some(at) = NAMES.iter().position(|n| n.as_bytes() == name) else { continue };
            let plain = member.entry.kind == Kind::File && member.pieces.is_none();
            own[at] = Some(match plain && member.stored <= TEXT_MOST {
                true => Some(reader.all(TEXT_MOST)?),
                false => None,
            });
        }
        for ((known, own), gone) in self.0.iter_mut().zip(own).zip(gone) {
            match own {
                Some(own) => *known = own,
                None if gone => *known = None,
                None => {}
            }
        }
        Ok(())
    }
}

/// As `image::open`, but nothing is made, neither the image nor the store.
pub fn look(path: &Path, wishes: &Wishes) -> Result<Seen> {
    let file = match super::start(path, wishes)? {
        Start::There(found) => return Ok(Seen::There(found)),
        Start::File(file) => file,
    };
    let shown = &blobs::shown(path);
    let store = Store::existing()?;
    let there = |id: &Digest| -> Result<Option<Seen>> {
        let record = store.as_ref().map(|s| s.image(id)).transpose()?.flatten();
        Ok(record.map(|r: Record| Seen::There(Found::Image(Box::new(r)))))
    };
    let mut pending = match Source::open(file, shown, wishes, &Room::Nameless)? {
        Source::Root(part) => of_root(part, path, shown)?,
        Source::Image(blobs, document) => {
            if let Some(seen) = there(&document.id)? {
                return Ok(seen);
            }
            let mut pending = Pending::new(path, document.id);
            let directory = matches!(blobs, Blobs::Directory(..));
            let mut chain = None;
            for (blob, diff) in &document.layers {
                let part = blobs.sized(&blob.name, blob.size, shown)?;
                let shown = format!("{shown}: {}", blob.name);
                let of = Some((blob.name.clone(), directory));
                let layer = Reading { part, shown: &shown, digest: blob.digest, diff: Some(*diff) };
                pending.read(layer, chain.as_ref(), of)?;
                chain = Some(layer::chain(chain.as_ref(), diff));
            }
            pending.config = document.config;
            pending
        }
    };
    if let Some(seen) = there(&pending.id)? {
        return Ok(seen);
    }
    for layer in &mut pending.layers {
        layer.there = store.as_ref().is_some_and(|s| s.has_layer(&layer.id));
    }
    Ok(Seen::Pending(Box::new(pending)))
}

fn of_root(part: Part, path: &Path, shown: &str) -> Result<Pending> {
    let mut pending = Pending::new(path, Digest::of(b""));
    let whole = Reading { part, shown, digest: None, diff: None };
    pending.id = pending.read(whole, None, None)?;
    Ok(pending)
}

struct Reading<'a> {
    part: Part,
    shown: &'a str,
    digest: Option<Digest>,
    diff: Option<Digest>,
}

impl Pending {
    fn new(archive: &Path, id: Digest) -> Pending {
        let (layers, names) = (Vec::new(), Names::default());
        Pending { archive: archive.to_owned(), id, config: Config::default(), layers, names }
    }

    /// All of one layer; the digest of its contents.
    fn read(
        &mut self,
        from: Reading<'_>,
        below: Option<&Digest>,
        file: Option<(String, bool)>,
    ) -> Result<Digest> {
        let Reading { mut part, shown, digest, diff } = from;
        let compression =
            Compression::of(part.fill_buf().map_err(|e| Error::new(format!("{shown}: {e}")))?);
        let wanted = Wanted { file: digest.is_some(), contents: true };
        let mut feed = Feed::start(part, wanted, shown)?;
        let mut reader = Reader::new(&mut feed as &mut dyn Input);
        let names = self.names.add(&mut reader, file.is_some());
        let ended = names.and_then(|()| reader.drain(u64::MAX).map(drop));
        let found = layer::ended(feed, shown, digest, diff, ended.err())?;
        let id = layer::chain(below, &found).short();
        self.layers.push(Layer { id, there: false, file, compression });
        Ok(found)
    }
}

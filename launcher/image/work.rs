//! One archive, opened, looked through, and unpacked layer by layer.

use super::blobs::Blobs;
use super::digest::Digest;
use super::document::{Document, LayerBlob};
use super::oci::Choice;
use super::record::Record;
use super::source::{Room, Source};
use super::store::{self, Lock};
use super::{Progress, Wishes, config, keep, known_to, layer, now};
use crate::archive::input::Part;
use crate::error::{Error, Result};
use crate::unpack::{Limits, Power, Skipped};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::FileType;
use std::path::Path;

/// One archive on its way into the store.
pub struct Work<'a> {
    pub lock: &'a Lock<'a>,
    pub shown: &'a str,
    pub path: &'a Path,
    pub wishes: &'a Wishes,
    pub power: Power,
    pub progress: Progress<'a>,
    pub skipped: Skipped,
    /// Layers that the store has from this work.
    pub added: Vec<String>,
}

impl Work<'_> {
    pub fn image(&mut self, file: OwnedFd) -> Result<(Record, Vec<String>)> {
        let stat =
            rustix::fs::fstat(&file).map_err(|e| Error::os(format!("read {}", self.shown), e))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        // Whoever had the lock before may have unpacked the same.
        if kind != FileType::Directory
            && let Some(record) = known_to(self.lock.store, &file, self.wishes)?
        {
            let names = record.names.clone();
            return Ok((record, names));
        }
        let (key, size) = store::source_key(file.as_fd())?;
        let found = match Source::open(file, self.shown, self.wishes, &Room::Store(self.lock))? {
            Source::Root(part) => self.root(part)?,
            Source::Image(blobs, document) => self.layers(&blobs, *document)?,
        };
        let regular = kind == FileType::RegularFile;
        if regular && size > 0 && self.wishes.choice == Choice::default() {
            self.forget_older(&key)?;
            self.lock.write("sources", &key, found.0.id.to_string().as_bytes())?;
        }
        Ok(found)
    }

    /// The same file in an older state is no more.
    fn forget_older(&self, key: &str) -> Result<()> {
        let mut parts = key.splitn(3, '-');
        let same =
            format!("{}-{}-", parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        for name in self.lock.store.list("sources")? {
            if name.starts_with(&same) {
                self.lock.remove("sources", &name)?;
            }
        }
        Ok(())
    }

    /// A plain archive is an image of one layer.
    fn root(&mut self, part: Part) -> Result<(Record, Vec<String>)> {
        let total = part.length();
        let limits = self.wishes.limits.for_size(total);
        let source =
            layer::Source { part, shown: self.shown, digest: None, diff: None, layer: false };
        let unpacked = self.unpack(source, &[], None, &limits, 0, total)?;
        // Of a layer the digest says so.
        self.skipped.end = unpacked.skipped.end;
        let record = Record {
            id: unpacked.diff,
            layers: vec![unpacked.id],
            diff_ids: vec![unpacked.diff],
            names: Vec::new(),
            config: config::Config::default(),
            platform: String::new(),
            bytes: unpacked.bytes,
            made: now(),
            source: self.path.display().to_string(),
        };
        keep(self.lock, &record)?;
        Ok((record, Vec::new()))
    }

    fn layers(&mut self, blobs: &Blobs, document: Document) -> Result<(Record, Vec<String>)> {
        let names = document.names.clone();
        if let Some(record) = self.lock.store.image(&document.id)?
            && record.layers.iter().all(|l| self.lock.store.has_layer(l))
        {
            return Ok((record, names));
        }
        let open = |blob: &LayerBlob| blobs.sized(&blob.name, blob.size, self.shown);
        let parts =
            document.layers.iter().map(|(blob, _)| open(blob)).collect::<Result<Vec<_>>>()?;
        let total: u64 = parts.iter().map(Part::length).sum();
        let mut limits = self.wishes.limits.for_size(total);
        let (mut ids, mut parent, mut bytes, mut done) = (Vec::new(), None, 0, 0);
        for (part, (blob, diff)) in parts.into_iter().zip(&document.layers) {
            let chain = layer::chain(parent.as_ref(), diff);
            let length = part.length();
            if self.lock.store.has_layer(&chain.short()) {
                let (id, size) = self.there(&chain)?;
                ids.push(id);
                bytes += size;
            } else {
                let shown = format!("{}: {}", self.shown, blob.name);
                let source = layer::Source {
                    part,
                    shown: &shown,
                    digest: blob.digest,
                    diff: Some(*diff),
                    layer: true,
                };
                let unpacked = self.unpack(source, &ids, parent.as_ref(), &limits, done, total)?;
                limits.bytes = limits.bytes.saturating_sub(unpacked.bytes);
                bytes += unpacked.bytes;
                ids.push(unpacked.id);
            }
            done += length;
            parent = Some(chain);
        }
        let record = Record {
            id: document.id,
            layers: ids,
            diff_ids: document.layers.iter().map(|(_, diff)| *diff).collect(),
            names: names.clone(),
            config: document.config,
            platform: document.platform,
            bytes,
            made: now(),
            source: self.path.display().to_string(),
        };
        keep(self.lock, &record)?;
        Ok((record, names))
    }

    /// A layer of the store that is really this one, and its size.
    fn there(&self, chain: &Digest) -> Result<(String, u64)> {
        let id = chain.short();
        let meta = self.lock.store.read(&format!("layers/{id}/meta"))?.unwrap_or_default();
        let meta = String::from_utf8_lossy(&meta).into_owned();
        let field = |key: &str| meta.lines().find_map(|l| l.strip_prefix(key)).map(str::trim);
        if field("chain ") != Some(chain.to_string().as_str()) {
            return Err(Error::new(format!("the store's layer {id} is another one than {chain}")));
        }
        Ok((id, field("bytes ").and_then(|n| n.parse().ok()).unwrap_or(0)))
    }

    fn unpack(
        &mut self,
        source: layer::Source<'_>,
        below: &[String],
        parent: Option<&Digest>,
        limits: &Limits,
        done: u64,
        total: u64,
    ) -> Result<layer::Unpacked> {
        let progress = &mut *self.progress;
        let mut report = |bytes| progress(done + bytes, total);
        let mut ways = layer::Ways { power: self.power, limits, report: &mut report };
        let unpacked = layer::unpack(self.lock, source, below, parent, &mut ways)?;
        self.added.extend(unpacked.new.then(|| unpacked.id.clone()));
        self.skipped.devices += unpacked.skipped.devices;
        self.skipped.owners += unpacked.skipped.owners;
        self.skipped.attributes += unpacked.skipped.attributes;
        Ok(unpacked)
    }

    /// The store as it was: what failed is the error to be told.
    pub fn undo(&self) {
        for id in self.added.iter().rev() {
            let _ = self.lock.remove("layers", id);
        }
    }

    pub fn warnings(&self) -> Vec<String> {
        warnings(self.shown, &self.skipped, self.power)
    }
}

/// What was left out, in words.
pub fn warnings(shown: &str, skipped: &Skipped, power: Power) -> Vec<String> {
    let Skipped { devices, owners, attributes, end } = *skipped;
    let mut said = Vec::new();
    if end {
        said.push(format!("{shown}: it has no end mark, as if it were cut off"));
    }
    if devices > 0 {
        said.push(format!("{shown}: {devices} devices left out, which only root can make"));
    }
    if owners > 0 {
        let range = match power {
            Power::Single => "there are no subordinate ids for you in /etc/subuid",
            _ => "your subordinate ids do not reach that far",
        };
        said.push(format!("{shown}: {owners} files are yours instead of their owners': {range}"));
    }
    if attributes > 0 {
        said.push(format!("{shown}: {attributes} extended attributes could not be set"));
    }
    said
}

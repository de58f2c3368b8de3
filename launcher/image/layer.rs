//! One layer into the store: read once, checked, unpacked, and given its name when whole.

use crate::archive::input::{Input, Part};
use crate::archive::read::{Problem, Reader};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::feed::{Feed, Wanted};
use crate::image::store::Lock;
use crate::unpack::{self, Limits, Options, Power, Skipped, Stack};
use rustix::fs::Mode;

/// What is to be unpacked, and what it must turn out to be.
pub struct Source<'a> {
    pub part: Part,
    /// For messages: `image.tar: blobs/sha256/...`.
    pub shown: &'a str,
    /// Of the file as it is.
    pub digest: Option<Digest>,
    /// Of its contents.
    pub diff: Option<Digest>,
    /// A layer of an image, with whiteouts; else a whole root.
    pub layer: bool,
}

pub struct Ways<'a> {
    pub power: Power,
    pub limits: &'a Limits,
    /// Hears how many bytes of the file are done.
    pub report: &'a mut dyn FnMut(u64),
}

pub struct Unpacked {
    /// The store's name for it.
    pub id: String,
    /// It was not there before.
    pub new: bool,
    pub diff: Digest,
    pub bytes: u64,
    pub skipped: Skipped,
}

/// What the whole stack up to a layer is called (OCI image specification, config.md).
pub fn chain(below: Option<&Digest>, diff: &Digest) -> Digest {
    match below {
        None => *diff,
        Some(below) => Digest::of(format!("{below} {diff}").as_bytes()),
    }
}

/// Unpacks on top of the layers `below` (the lowest one first), which are `parent` together.
pub fn unpack(
    lock: &Lock<'_>,
    source: Source<'_>,
    below: &[String],
    parent: Option<&Digest>,
    ways: &mut Ways<'_>,
) -> Result<Unpacked> {
    let shown = source.shown;
    lock.new_directory("layer")?;
    let fs = lock.new_directory("layer/fs")?;
    rustix::fs::fchmod(&fs, Mode::RWXU).map_err(|e| Error::os("unpack", e))?;
    let stack =
        below.iter().rev().map(|id| lock.store.layer(id)).collect::<std::result::Result<_, _>>();
    let stack = Stack::new(stack.map_err(|e| Error::os("open the layers below", e))?);
    let wanted = Wanted { file: source.digest.is_some(), contents: true };
    let mut feed = Feed::start(source.part, wanted, shown)?;
    let done = feed.count();
    let mut reader = Reader::new(&mut feed as &mut dyn Input);
    let options = Options { power: ways.power, layer: source.layer, limits: ways.limits.clone() };
    let report = &mut *ways.report;
    let below = (!stack.is_empty()).then_some(&stack);
    let skipped = unpack::unpack(&mut reader, fs, below, &options, &mut |_| report(done.get()));
    let skipped = match skipped {
        Ok(skipped) => skipped,
        Err(f) => {
            let damaged = damaged(shown, &mut feed, source.digest);
            return Err(damaged.unwrap_or_else(|| failed(lock, shown, &f)));
        }
    };
    let bytes = reader.offset();
    let drained = reader.drain(ways.limits.bytes);
    let broken = drained.err();
    let diff = ended(feed, shown, source.digest, source.diff, broken)?;
    let chain = chain(parent, &diff);
    let new = put(lock, &chain, &diff, bytes)?;
    Ok(Unpacked { id: chain.short(), new, diff, bytes, skipped })
}

/// The digest of the contents, all of which were read, or `broken` says why not.
pub fn ended(
    mut feed: Feed,
    shown: &str,
    digest: Option<Digest>,
    diff: Option<Digest>,
    broken: Option<Problem>,
) -> Result<Digest> {
    let damage = damaged(shown, &mut feed, digest);
    if let Some(p) = broken {
        // A sum of the compression's own at the very end says less.
        return Err(damage.unwrap_or_else(|| crate::image::blobs::problem(shown, p)));
    }
    let found = feed.digest();
    if let Some(wanted) = diff.filter(|wanted| *wanted != found) {
        return Err(Error::new(format!(
            "{shown}: damaged: its contents' digest is {found}, not {wanted}"
        )));
    }
    match damage {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// What was unpacked by its name, unless that is there already.
fn put(lock: &Lock<'_>, chain: &Digest, diff: &Digest, bytes: u64) -> Result<bool> {
    let meta = format!("chain {chain}\ndiff {diff}\nbytes {bytes}\n");
    lock.write_new("layer/meta", meta.as_bytes())?;
    if lock.store.has_layer(&chain.short()) {
        return lock.discard("layer").map(|()| false);
    }
    lock.put("layer", "layers", &chain.short()).map(|()| true)
}

/// None where the file is what it should be, whatever else is wrong. Reads it to its end.
fn damaged(shown: &str, feed: &mut Feed, wanted: Option<Digest>) -> Option<Error> {
    let wanted = wanted?;
    match feed.rest() {
        Ok(found) if found == wanted => None,
        Ok(found) => {
            Some(Error::new(format!("{shown}: damaged: its digest is {found}, not {wanted}")))
        }
        Err(e) => Some(Error::new(format!("{shown}: {e}"))),
    }
}

fn failed(lock: &Lock<'_>, shown: &str, f: &unpack::Failure) -> Error {
    let entry = if f.path.is_empty() {
        String::new()
    } else {
        format!(", entry {}", unpack::shown(&f.path))
    };
    let error = Error::new(format!("{shown}: offset {}{entry}: {}", f.offset, f.why));
    match f.os.and_then(|e| lock.store.hint(e)).or_else(|| f.hint.map(str::to_owned)) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

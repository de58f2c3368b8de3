//! `launch commit DIR NAME`: what a container has kept becomes the top layer of a new image.

use crate::archive::input::Part;
use crate::archive::pack::{self, Owners, Style};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::record::Record;
use crate::image::store::Lock;
use crate::image::{Answer, Found, Wishes, full_name, layer, manage, owner};
use crate::sys::ns;
use crate::unpack::{Power, Unset};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::path::Path;

/// The file beside the upper layer that says what is below it: the image's id.
pub const BASE: &str = "base";

pub fn commit(dir: &Path, name: &str, host: &Host) -> Result<Vec<String>> {
    let shown = dir.display();
    let failed = |e| Error::os(format!("commit {shown}"), e);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let kept = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed)?;
    if rustix::fs::flock(&kept, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Error::new(format!("commit {shown}: a container is running on it")));
    }
    let not_kept = || Error::new(format!("commit {shown}: not a directory of --keep"));
    let base = std::fs::read_to_string(dir.join(BASE)).map_err(|_| not_kept())?;
    let base = base.trim().to_owned();
    let upper = rustix::fs::openat(&kept, "upper", flags, Mode::empty()).map_err(|_| not_kept())?;
    let below = below(&base, host)?;
    let ids = owner::ids(host)?;
    let power = owner::power(ids.as_ref());
    let name = full_name(name);
    // In a user namespace of one's own there is no directory that forbids to look in.
    let namespaces = if ids.is_some() { ns::NEWNS } else { 0 };
    let text = manage::change_as(ids.as_ref(), namespaces, |lock| {
        let record = add(lock, &upper, below.as_ref(), power, &shown.to_string())?;
        lock.write("names", &name, record.id.to_string().as_bytes())?;
        Ok(format!(
            "{name}: {} layers, {}, {}",
            record.layers.len(),
            crate::size::human(record.bytes),
            record.id
        ))
    })?;
    Ok(vec![text])
}

/// The image below, or a directory as the image that it is made into.
fn below(base: &str, host: &Host) -> Result<Option<Record>> {
    if base.is_empty() {
        return Ok(None);
    }
    if Digest::parse(base).is_some() {
        let found = crate::image::by_name(base)?;
        return found
            .map(Some)
            .ok_or_else(|| Error::new(format!("commit: the image below, {base}, is gone")));
    }
    // The directory as it is now.
    let wishes = Wishes::default();
    let file = host_tar(Path::new(base), host, &wishes)?;
    let mut progress = |_, _| {};
    let Answer { found, .. } =
        crate::image::of_file(file, Path::new(base), host, &wishes, &mut progress)?;
    match found {
        Found::Image(record) => Ok(Some(*record)),
        Found::Disk { .. } => Err(Error::new("commit: a file system image below")),
    }
}

/// An archive of a directory in a file without a name.
fn host_tar(dir: &Path, host: &Host, wishes: &Wishes) -> Result<OwnedFd> {
    let place = std::env::temp_dir();
    let failed = |e| Error::os(format!("make a file in {}", place.display()), e);
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::open(&place, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    let out = rustix::io::dup(&file).map_err(failed)?;
    crate::image::export::export(dir, None, out, host, wishes)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).map_err(failed)?;
    Ok(file)
}

fn add(
    lock: &Lock<'_>,
    upper: &OwnedFd,
    below: Option<&Record>,
    power: Power,
    shown: &str,
) -> Result<Record> {
    // As an archive first: its digest is what a layer is known by.
    let file = lock.create("commit.tar")?;
    let out = file.try_clone().map_err(|e| Error::os("write the layer", e))?;
    let owners = match power {
        Power::Single => Owners::CallerIsRoot,
        _ => Owners::AsTheyAre,
    };
    let style = Style { owners, layer: true };
    let out = std::io::BufWriter::with_capacity(256 << 10, out);
    let failed = |f| crate::image::export::failed("commit", Path::new(shown), &f);
    pack::pack(upper.as_fd(), out, style).map_err(failed)?;
    let part = Part::whole(file).map_err(|e| Error::os("read the layer", e))?;
    let limits = Unset { bytes: Some(u64::MAX), ..Unset::default() }.for_size(0);
    let mut report = |_| {};
    let mut ways = layer::Ways { power, limits: &limits, report: &mut report };
    let parent = below.map(chain_of);
    let ids = below.map(|r| r.layers.clone()).unwrap_or_default();
    let source = layer::Source { part, shown, digest: None, diff: None, layer: below.is_some() };
    let unpacked = layer::unpack(lock, source, &ids, parent.as_ref(), &mut ways)?;
    let mut diff_ids = below.map(|r| r.diff_ids.clone()).unwrap_or_default();
    diff_ids.push(unpacked.diff);
    let mut layers = ids;
    layers.push(unpacked.id);
    let mut record = Record {
        id: unpacked.diff,
        layers,
        diff_ids,
        names: Vec::new(),
        config: below.map_or_else(Config::default, |r| r.config.clone()),
        platform: below.map(|r| r.platform.clone()).unwrap_or_default(),
        bytes: below.map_or(0, |r| r.bytes) + unpacked.bytes,
        made: crate::image::now(),
        source: shown.to_owned(),
    };
    // As an image's configuration would: by what it is made of.
    let made_of = format!("{:?} {}", record.diff_ids, record.config.to_json());
    record.id = Digest::of(made_of.as_bytes());
    crate::image::keep(lock, &record)?;
    Ok(record)
}

fn chain_of(record: &Record) -> Digest {
    let mut chain = None;
    for diff in &record.diff_ids {
        chain = Some(layer::chain(chain.as_ref(), diff));
    }
    chain.unwrap_or(record.id)
}

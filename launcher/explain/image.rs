//! What would have to be done first: an archive unpacked, a volume filled.

use super::quote;
use crate::image::decompress::Compression;
use crate::image::look::{Layer, Pending};
use crate::image::{blobs, store};
use crate::plan::Fill;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub fn words(pending: &Pending) -> String {
    let (all, there) = (pending.layers.len(), pending.layers.iter().filter(|l| l.there).count());
    let layers = match (all, there) {
        (1, 0) => "one layer".to_owned(),
        (_, 0) => format!("{all} layers"),
        _ => format!("{all} layers, {there} of them there already"),
    };
    format!("unpack {} into the store: {}, {layers}", blobs::shown(&pending.archive), pending.id)
}

pub fn fill(fill: &Fill) -> String {
    let (volume, target) = (fill.volume.display(), fill.target.display());
    format!("fill volume {volume}, which is empty, with what the rootfs has at {target}")
}

pub fn fill_shell(fill: &Fill) -> Vec<String> {
    let path = |p: &Path| quote(p.as_os_str().as_bytes());
    let below = fill.target.strip_prefix("/").unwrap_or(&fill.target);
    let copy = |dir: &PathBuf| {
        format!("cp -a {} {}", path(&dir.join(below).join(".")), path(&fill.volume))
    };
    let made = format!("mkdir -p {}", path(&fill.volume));
    std::iter::once(made).chain(fill.from.iter().map(copy)).collect()
}

pub fn shell(pending: &Pending) -> Vec<String> {
    let Ok(place) = store::place() else { return Vec::new() };
    let missing = pending.layers.iter().filter(|l| !l.there);
    missing.map(|l| unpack(l, &pending.archive, &place.join("layers"))).collect()
}

fn unpack(layer: &Layer, archive: &Path, layers: &Path) -> String {
    let path = |p: &Path| quote(p.as_os_str().as_bytes());
    let to = path(&layers.join(&layer.id).join("fs"));
    // GNU tar looks for itself, but not into a pipe.
    let piped = match layer.compression {
        Compression::None => "-f -",
        Compression::Gzip => "-z -f -",
        Compression::Zstd => "--zstd -f -",
        Compression::Xz => "-J -f -",
    };
    let tar = format!("tar --numeric-owner --xattrs --xattrs-include='*' -C {to} -xp");
    let archived = path(archive);
    let unpack = match &layer.file {
        None if archive == Path::new("-") => format!("{tar} {piped}"),
        None => format!("{tar} -f {archived}"),
        Some((name, true)) => format!("{tar} -f {}", path(&archive.join(name))),
        Some((name, false)) => {
            format!("tar -xO -f {archived} {} | {tar} {piped}", quote(name.as_bytes()))
        }
    };
    format!("mkdir -p {to}; {unpack}")
}

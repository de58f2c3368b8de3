//! Volumes by name: directories of the store, made and filled where they are missing.

use super::rootfs::{Fill, Found, Root, is_hosts};
use crate::error::Result;
use crate::host::Host;
use crate::image::fill::{self, Source};
use crate::image::store::{self, Store};
use crate::spec::MountOp;
use rustix::fd::AsFd;
use std::path::PathBuf;

/// The spec's mounts get the directories in place of the names.
pub fn by_name(found: &mut Found<'_>, host: &Host) -> Result<()> {
    if found.spec.named_volumes.is_empty() {
        return Ok(());
    }
    let place = store::place()?;
    if !host.only_look {
        Store::make(&place)?;
    }
    for named in found.spec.named_volumes.clone() {
        let Some(MountOp::Bind { source, target, .. }) = found.spec.mounts.get(named.mount) else {
            continue;
        };
        let (dir, target) = (place.join("volumes").join(source), target.clone());
        let below = if named.copy { below(found) } else { None };
        if host.only_look {
            if let Some(below) = below
                && fill::is_wanted(&dir)
            {
                let from = match below {
                    Source::Directories(all) => all.into_iter().rev().collect(),
                    Source::Disk(_) => Vec::new(),
                };
                found.fills.push(Fill { volume: dir.clone(), target, from });
            }
        } else {
            let (held, warnings) = fill::take(&dir, &target, below.as_ref(), host)?;
            found.held.push(held);
            found.warnings.extend(warnings);
        }
        if let Some(MountOp::Bind { source, .. }) = found.spec.to_mut().mounts.get_mut(named.mount)
        {
            *source = dir;
        }
    }
    Ok(())
}

/// What the container's root is made of. The host's own is nobody's to copy.
fn below<'a>(found: &'a Found<'_>) -> Option<Source<'a>> {
    let spec = &found.spec;
    let kept = spec.keep.iter().map(|dir| dir.join("upper")).filter(|dir| dir.exists());
    let mut all: Vec<PathBuf> = kept.chain(spec.layers.iter().rev().cloned()).collect();
    match &found.root {
        Root::Directory if is_hosts(&found.look) => return None,
        Root::Directory => all.push(spec.rootfs.clone()),
        Root::Image { dir, layers, .. } => {
            all.extend(layers.iter().rev().map(|id| dir.join(id).join("fs")));
        }
        // Below layers it is mounted by the container alone.
        Root::Disk(tree) => return all.is_empty().then_some(Source::Disk(tree.as_fd())),
        Root::Empty if all.is_empty() => return None,
        Root::Empty => {}
    }
    Some(Source::Directories(all))
}

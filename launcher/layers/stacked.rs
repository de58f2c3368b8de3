//! A root of several layers: of an image, of `--layer`, below a layer that is new or kept.

use super::{empty_root, overlay_data, scratch_beside};
use crate::error::{Error, Result};
use crate::plan::{Builder, Root, absolute, c_path, c_str, in_use, real};
use crate::quote::plain;
use crate::spec::Owners;
use crate::step::{ChildStep, Overlay};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The kernel takes the options of a mount on one page.
const OPTIONS_MOST: usize = 4095;

/// The lower layers as the mount names them, the topmost one first, seen from one directory.
struct Lowers {
    names: Vec<Vec<u8>>,
    /// The slot of that directory.
    from: usize,
    /// Mounts of their own: where they are attached first.
    attached: Vec<(usize, &'static CStr)>,
}

pub fn add(b: &mut Builder<'_>) -> Result<()> {
    let at = scratch_beside(&in_use(b.spec)?)?;
    let bare = matches!(b.root, Root::Empty) && b.spec.layers.is_empty();
    if bare && b.spec.keep.is_none() {
        return nothing(b, at);
    }
    if b.host_root {
        return Err(Error::new("--layer and --keep: the host's own root has no layers")
            .hint("--ephemeral gives it one that vanishes"));
    }
    if b.spec.keep.is_some() && b.sends_trees() {
        return Err(Error::new("--keep: not with a user namespace for root")
            .hint("what it wrote would belong to ids that only this container has"));
    }
    for dir in &b.spec.layers {
        let failed = |e: Errno| Error::os(format!("layer {}", plain(dir)), e);
        let stat = rustix::fs::stat(dir).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(failed(Errno::NOTDIR));
        }
    }
    let lowers = lowers(b, at)?;
    let mode = root_mode(b);
    let (upper, work) = match &b.spec.keep {
        Some(dir) => (real(dir)?.join("upper"), real(dir)?.join("work")),
        None => (Path::new(at).join("upper"), Path::new(at).join("work")),
    };
    let mut dirs =
        vec![(c_str(format!("{at}/root"))?, mode), (c_str(format!("{at}/empty"))?, mode)];
    if b.spec.keep.is_none() {
        dirs.extend([(c_path(&upper)?, mode), (c_path(&work)?, 0o700)]);
    }
    b.become_mapped();
    b.child.push(ChildStep::Scratch { at: c_str(at)?, dirs });
    for (slot, target) in lowers.attached {
        b.child.push(ChildStep::AttachTree { slot, target });
    }
    let data = data(&lowers.names, &upper, &work, b.binds_devices())?;
    let root = c_str(format!("{at}/root"))?;
    b.child.push(ChildStep::Overlay(Box::new(Overlay {
        lower: lowers.from,
        target: root,
        read_only: false,
        data,
        source: b.spec.rootfs.clone(),
        from: match b.root {
            Root::Image { dir, .. } => dir.clone(),
            Root::Directory => b.spec.rootfs.clone(),
            Root::Disk(_) | Root::Empty => "/".into(),
        },
        kept: b.spec.keep.is_some(),
    })));
    b.child.push(ChildStep::Enter { root });
    Ok(())
}

/// The new upper layer's, which is what a container sees.
fn root_mode(b: &Builder<'_>) -> u32 {
    let stat = match b.root {
        Root::Empty => return 0o755,
        Root::Image { dir, layers, .. } => {
            let top = layers.last().map(String::as_str).unwrap_or_default();
            rustix::fs::stat(dir.join(top).join("fs"))
        }
        Root::Directory | Root::Disk(_) => rustix::fs::fstat(b.rootfs),
    };
    stat.map_or(0o755, |s| s.st_mode & 0o7777)
}

/// `scratch`: all of it is volumes.
fn nothing(b: &mut Builder<'_>, at: &str) -> Result<()> {
    b.become_mapped();
    let root = c_str(format!("{at}/root"))?;
    b.child.push(ChildStep::Scratch { at: c_str(at)?, dirs: vec![(root, 0o755)] });
    b.child.push(empty_root(root));
    b.child.push(ChildStep::Enter { root });
    Ok(())
}

fn lowers(b: &mut Builder<'_>, at: &str) -> Result<Lowers> {
    let mut lowers = Lowers { names: Vec::new(), from: 0, attached: Vec::new() };
    let trees = b.sends_trees();
    let attach = |lowers: &mut Lowers, slot| -> Result<()> {
        let name = format!("{at}/lower{}", lowers.attached.len());
        lowers.attached.push((slot, c_str(name.as_str())?));
        lowers.names.push(name.into_bytes());
        lowers.from = slot;
        Ok(())
    };
    for dir in b.spec.layers.iter().rev() {
        if trees {
            let slot = b.tree(Some(dir), false, Owners::Natural)?;
            attach(&mut lowers, slot)?;
        } else {
            lowers.names.push(escaped(real(dir)?.as_os_str().as_bytes()));
        }
    }
    match b.root {
        Root::Directory if trees => {
            let slot = b.tree(None, false, Owners::Natural)?;
            attach(&mut lowers, slot)?;
        }
        Root::Directory => {
            lowers.from = b.open_source(&b.spec.rootfs.clone())?;
            lowers.names.push(b".".to_vec());
        }
        Root::Image { dir, layers, .. } => {
            let (dir, layers): (PathBuf, Vec<String>) = (dir.clone(), layers.clone());
            if !trees {
                lowers.from = b.open_source(&dir)?;
            }
            for id in layers.iter().rev() {
                let name = format!("{id}/fs");
                if trees {
                    let slot = b.tree(Some(&dir.join(&name)), false, Owners::OnDisk)?;
                    attach(&mut lowers, slot)?;
                } else {
                    lowers.names.push(name.into_bytes());
                }
            }
        }
        Root::Disk(_) => {
            let slot = b.slots;
            b.slots += 1;
            b.tree_slot = Some(slot);
            attach(&mut lowers, slot)?;
        }
        Root::Empty => {
            if lowers.names.is_empty() {
                lowers.names.push(format!("{at}/empty").into_bytes());
            }
            if !trees {
                lowers.from = b.open_source(Path::new("/"))?;
            }
        }
    }
    Ok(lowers)
}

fn data(names: &[Vec<u8>], upper: &Path, work: &Path, userns: bool) -> Result<&'static CStr> {
    let path = |p: &Path| -> Result<Vec<u8>> { Ok(escaped(absolute(p)?.as_os_str().as_bytes())) };
    let data = overlay_data(&names.join(&b':'), &path(upper)?, &path(work)?, userns)?;
    if data.to_bytes().len() > OPTIONS_MOST {
        return Err(Error::new(format!("{} layers are more than one mount takes", names.len())));
    }
    Ok(data)
}

/// Overlayfs splits its options at commas and colons.
pub fn escaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in path {
        if b"\\,:".contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

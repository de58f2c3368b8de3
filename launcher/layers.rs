//! Throw-away layers: `--ephemeral`, and the host's own root as a root file system.

mod stacked;

pub use stacked::escaped;

use crate::error::{Error, Result};
use crate::plan::{Builder, Root, c_path, c_str};
use crate::spec::Owners;
use crate::step::{Bind, ChildStep, Mount, Overlay};
use crate::table;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Adds the steps up to standing in the new root.
pub fn add(b: &mut Builder<'_>) -> Result<()> {
    let stacked = !b.spec.layers.is_empty() || b.spec.keep.is_some();
    match b.root {
        Root::Directory if !stacked && b.host_root => host_root(b),
        Root::Directory if !stacked => one_layer(b),
        _ => stacked::add(b),
    }
}

/// One overlay over the whole rootfs.
fn one_layer(b: &mut Builder<'_>) -> Result<()> {
    let at = scratch_place()?;
    let source = b.spec.rootfs.clone();
    let trees = b.sends_trees();
    let lower = if trees { b.tree(None, false, Owners::Natural)? } else { b.open_source(&source)? };
    let mode = rustix::fs::fstat(b.rootfs).map_or(0o755, |s| s.st_mode & 0o7777);
    let dirs = ["upper", "work", "root"].map(|d| Ok((c_str(format!("{at}/{d}"))?, mode)));
    let dirs = dirs.into_iter().collect::<Result<_>>()?;
    b.become_mapped();
    b.child.push(ChildStep::Scratch { at: c_str(at)?, dirs });
    if trees {
        b.child.push(ChildStep::AttachTree { slot: lower, target: c_str(format!("{at}/lower"))? });
    }
    let (upper, work) = (format!("{at}/upper"), format!("{at}/work"));
    let data = overlay_data(b".", upper.as_bytes(), work.as_bytes(), b.binds_devices())?;
    let root = c_str(format!("{at}/root"))?;
    let (from, kept) = (source.clone(), false);
    b.child.push(ChildStep::Overlay(Box::new(Overlay {
        lower,
        target: root,
        read_only: false,
        data,
        source,
        from,
        kept,
    })));
    b.child.push(ChildStep::Enter { root });
    Ok(())
}

/// For mount(2): the lower layers, and the two directories of the upper one.
fn overlay_data(lower: &[u8], upper: &[u8], work: &[u8], userns: bool) -> Result<&'static CStr> {
    // Other extended attributes than user.* are not for a user namespace to set.
    let xattr: &[u8] = if userns { b",userxattr" } else { b"" };
    c_str([b"lowerdir=", lower, b",upperdir=", upper, b",workdir=", work, xattr].concat())
}

/// Some directory of the host to put a tmpfs over; only our mount namespace sees it.
pub fn scratch_place() -> Result<&'static str> {
    scratch_beside(&[])
}

/// One that does not cover any of these.
pub fn scratch_beside(in_use: &[PathBuf]) -> Result<&'static str> {
    ["/tmp", "/run", "/var", "/mnt", "/dev"]
        .into_iter()
        .filter(|dir| !in_use.iter().any(|path| path.starts_with(dir)))
        .find(|dir| std::fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir()))
        .ok_or_else(|| Error::new("throw-away layers need one of /tmp, /run, /var, /mnt, /dev"))
}

/// The host's root, one layer for each top-level directory: an overlay shows one file
/// system only, and a user namespace may not look behind what is mounted in it.
fn host_root(b: &mut Builder<'_>) -> Result<()> {
    let at = scratch_place()?;
    let root = format!("{at}/root");
    let mounts = std::fs::read("/proc/self/mountinfo")
        .map_err(|e| Error::os("read /proc/self/mountinfo", e))?;
    let mut dirs: Vec<(&'static CStr, u32)> = Vec::new();
    for d in ["upper", "work", "root", "lower"] {
        dirs.push((c_str(format!("{at}/{d}"))?, 0o755));
    }
    let inside = b.host.rootless || b.host.nested.is_some();
    let mut later = Vec::new();
    let failed = |e| Error::os("read /", e);
    for (n, entry) in std::fs::read_dir("/").map_err(failed)?.enumerate() {
        let entry = entry.map_err(failed)?;
        let source = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        let target = c_path(&Path::new(&root).join(entry.file_name()))?;
        if kind.is_symlink() {
            let link = std::fs::read_link(&source).map_err(|e| Error::os("read a link in /", e))?;
            later.push(ChildStep::MakeLink { path: target, target: c_path(&link)? });
        } else if kind.is_dir() && !standard(&source) {
            if !readable(&source) {
                // As empty as it is to the caller; what is written to it vanishes, too.
                later.push(ChildStep::MakeDir { path: target });
            } else if can_layer(&source, &mounts, inside) {
                for d in ["upper", "work"] {
                    dirs.push((c_str(format!("{at}/{d}/{n}"))?, mode(&source)));
                }
                let lower = lower_layer(b, &source, format!("{at}/lower/{n}"), &mut later)?;
                let (upper, work) = (format!("{at}/upper/{n}"), format!("{at}/work/{n}"));
                let xattr = b.binds_devices();
                let data = overlay_data(b".", upper.as_bytes(), work.as_bytes(), xattr)?;
                let (read_only, from, kept) = (b.spec.read_only, source.clone(), false);
                later.push(ChildStep::MakeDir { path: target });
                later.push(ChildStep::Overlay(Box::new(Overlay {
                    lower,
                    target,
                    read_only,
                    data,
                    source,
                    from,
                    kept,
                })));
            } else {
                later.push(read_only(b, source, target, true)?);
            }
        } else if kind.is_file() {
            later.push(read_only(b, source, target, false)?);
        }
    }
    b.become_mapped();
    b.child.push(ChildStep::Scratch { at: c_str(at)?, dirs });
    let root = c_str(root)?;
    b.child.push(empty_root(root));
    later.push(ChildStep::Enter { root });
    b.child.append(&mut later);
    Ok(())
}

/// A directory of the host's; as a mount of its own it is put somewhere first.
fn lower_layer(
    b: &mut Builder<'_>,
    source: &Path,
    place: String,
    later: &mut Vec<ChildStep>,
) -> Result<usize> {
    let slot = b.source(source, false, Owners::Natural)?;
    if b.sends_trees() {
        later.push(ChildStep::AttachTree { slot, target: c_str(place)? });
    }
    Ok(slot)
}

fn empty_root(target: &'static CStr) -> ChildStep {
    ChildStep::Mount(Box::new(Mount::tmpfs(target, 0, c"mode=755")))
}

fn read_only(
    b: &mut Builder<'_>,
    source: PathBuf,
    target: &'static CStr,
    directory: bool,
) -> Result<ChildStep> {
    let slot = b.source(&source, true, Owners::Natural)?;
    let parents = Vec::new();
    Ok(ChildStep::Bind(Box::new(Bind {
        slot,
        tree: b.sends_trees(),
        target,
        parents,
        directory,
        read_only: true,
        source,
    })))
}

/// Mounted afresh in every container.
fn standard(path: &Path) -> bool {
    table::MOUNTS.iter().any(|m| m.target.to_bytes() == path.as_os_str().as_bytes())
}

fn readable(path: &Path) -> bool {
    use rustix::fs::Access;
    rustix::fs::access(path, Access::READ_OK | Access::EXEC_OK).is_ok()
}

fn mode(path: &Path) -> u32 {
    rustix::fs::stat(path).map_or(0o755, |s| s.st_mode & 0o7777)
}

/// A disk's file system can be a lower layer; a user namespace must also find nothing
/// mounted below.
fn can_layer(path: &Path, mountinfo: &[u8], rootless: bool) -> bool {
    const DISKS: [u64; 6] =
        [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994, 0x794c_7630];
    let known = rustix::fs::statfs(path).is_ok_and(|s| DISKS.contains(&(s.f_type as u64)));
    known && !(rootless && covered_below(path, mountinfo))
}

fn covered_below(path: &Path, mountinfo: &[u8]) -> bool {
    let mut prefix = path.as_os_str().as_bytes().to_vec();
    prefix.push(b'/');
    mountinfo.split(|b| *b == b'\n').any(|line| {
        line.split(|b| *b == b' ').nth(4).is_some_and(|point| point.starts_with(&prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_directory() {
        let info = b"21 1 0:20 / /mnt/a rw - ext4 x rw\n22 1 0:21 / /usr rw - ext4 x rw\n";
        assert!(covered_below(Path::new("/mnt"), info));
        assert!(!covered_below(Path::new("/usr"), info));
        assert!(!covered_below(Path::new("/mn"), info));
    }
}

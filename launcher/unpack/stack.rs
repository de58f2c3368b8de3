//! The layers below the one that is being unpacked, read as overlayfs would show them.

use super::attributes::Meta;
use crate::archive::pack::{is_opaque, xattrs};
use crate::tree;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FileType, Mode, OFlags, Stat};

/// Directories of layers, the topmost one first.
pub struct Stack {
    layers: Vec<OwnedFd>,
}

/// Something of a lower layer: its directory there, by descriptor, and its attributes.
pub struct Node {
    pub dir: OwnedFd,
    pub stat: Stat,
}

impl Stack {
    pub fn new(layers: Vec<OwnedFd>) -> Stack {
        Stack { layers }
    }

    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// What is at `names`, the names before the last being directories. None for what is not
    /// there or was deleted.
    pub fn find(&self, names: &[Vec<u8>]) -> Option<Node> {
        for layer in &self.layers {
            match find_in(layer.as_fd(), names) {
                Look::Found(node) => return Some(node),
                Look::Ends => return None,
                Look::GoesOn => {}
            }
        }
        None
    }

    /// The attributes of a directory, so that a layer that only passes through it can repeat
    /// them.
    pub fn meta(&self, names: &[Vec<u8>]) -> Option<Meta> {
        let node = match names.is_empty() {
            true => None,
            false => Some(self.find(names)?),
        };
        let (dir, name) = match &node {
            Some(node) => (&node.dir, names.last()?.as_slice()),
            None => (self.layers.first()?, &b"."[..]),
        };
        // Of one that its owner may not read only root has these.
        let fd = fs::openat(dir, name, tree::DIRECTORY, Mode::empty());
        let stat = node.as_ref().map_or_else(|| fs::fstat(dir), |n| Ok(n.stat)).ok()?;
        Some(Meta {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Some((stat.st_mtime, stat.st_mtime_nsec as u32)),
            xattrs: fd.and_then(|fd| xattrs(fd.as_fd())).unwrap_or_default(),
            opaque: false,
        })
    }

    /// Contents of a small file at a path without links, for what is looked up in images.
    pub fn open(&self, names: &[Vec<u8>]) -> Option<OwnedFd> {
        let node = self.find(names)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        fs::openat(&node.dir, names.last()?.as_slice(), flags, Mode::empty()).ok()
    }
}

enum Look {
    Found(Node),
    /// The layers below may have it.
    GoesOn,
    /// They may not: deleted, or hidden.
    Ends,
}

fn find_in(root: BorrowedFd<'_>, names: &[Vec<u8>]) -> Look {
    let Ok(mut dir) = fs::openat(root, c".", tree::DIRECTORY, Mode::empty()) else {
        return Look::Ends;
    };
    let mut opaque = false;
    for (n, name) in names.iter().enumerate() {
        let stat = match tree::look(dir.as_fd(), name) {
            Ok(Some(stat)) => stat,
            Ok(None) if !opaque => return Look::GoesOn,
            _ => return Look::Ends,
        };
        if is_whiteout(&stat) {
            return Look::Ends;
        }
        if n + 1 == names.len() {
            return Look::Found(Node { dir, stat });
        }
        if tree::kind(&stat) != FileType::Directory {
            return Look::Ends;
        }
        match fs::openat(&dir, name.as_slice(), tree::DIRECTORY, Mode::empty()) {
            Ok(next) => dir = next,
            Err(_) => return Look::Ends,
        }
        opaque |= is_opaque(dir.as_fd());
    }
    Look::GoesOn
}

pub fn is_whiteout(stat: &Stat) -> bool {
    tree::kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

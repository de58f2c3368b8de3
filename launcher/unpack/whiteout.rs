//! Whiteouts: what a layer deletes of those below it (OCI image specification, layer.md).

use super::stack::is_whiteout;
use super::{Path, Result, Unpacker, Wrong, names};
use crate::tree;
use rustix::fd::AsFd;
use rustix::fs::{self, FileType, Mode};

impl Unpacker<'_> {
    /// `name` begins with `.wh.`. A layer does not delete what it brings itself, wherever in
    /// the archive the mark stands.
    pub fn whiteout(&mut self, parent: Path, name: &[u8]) -> Result<()> {
        let gone = &name[b".wh.".len()..];
        if gone == b".wh..opq" {
            if self.has_below() {
                self.directory_meta(&parent).opaque = true;
            }
            return Ok(());
        }
        if gone.starts_with(b".wh.") {
            return Ok(()); // aufs's own files
        }
        if matches!(gone, b"" | b"." | b"..") {
            return Err(Wrong::Said("a whiteout of nothing".into()));
        }
        let place = [parent.as_slice(), &[gone.to_vec()]].concat();
        let Some(below) = self.below.filter(|b| !b.is_empty()) else { return Ok(()) };
        let dir = self.tree.dir(&parent)?;
        match tree::look(dir.as_fd(), gone)? {
            Some(stat) if tree::kind(&stat) == FileType::Directory => {
                self.directory_meta(&place).opaque = true;
            }
            Some(_) => {}
            None if below.find(&place).is_some() => {
                // Anybody may make this one device (Linux 5.8).
                fs::mknodat(dir.as_fd(), gone, FileType::CharacterDevice, Mode::empty(), 0)?;
            }
            None => {}
        }
        Ok(())
    }

    pub fn has_below(&self) -> bool {
        self.below.is_some_and(|b| !b.is_empty())
    }

    /// Makes way for a new entry. True where what comes must hide what is below it.
    pub fn clear(&mut self, parent: &[Vec<u8>], name: &[u8]) -> Result<bool> {
        let place = [parent, &[name.to_vec()]].concat();
        let dir = self.tree.dir(parent)?;
        let Some(stat) = tree::look(dir.as_fd(), name)? else { return Ok(false) };
        let hides = is_whiteout(&stat) || tree::kind(&stat) != FileType::Directory;
        tree::remove(dir.as_fd(), name)?;
        if tree::kind(&stat) == FileType::Directory {
            self.tree.forget(&place);
            self.last_parent = None;
            let path = names::joined(&place);
            let inside = [path.as_slice(), b"/"].concat();
            self.directories.retain(|p, _| *p != path && !p.starts_with(&inside));
        } else if tree::kind(&stat) == FileType::Symlink {
            self.last_parent = None;
        }
        Ok(hides)
    }
}

//! An archive's entries into a directory tree: safely, and as they are meant.
//!
//! Every entry is made below a descriptor of its parent directory, which is found name by
//! name; links on the way are resolved as if the tree were `/`. The tree is one layer of
//! maybe several; what a layer leaves unsaid (a directory on the way to a file, the target of
//! a hard link) is taken from the layers below it, which are only read.

mod attributes;
mod limits;
mod names;
mod place;
mod stack;
mod whiteout;

pub use limits::{Limits, Unset};
pub use stack::Stack;

use crate::archive::input::Input;
use crate::archive::read::{Member, Problem, Reader};
use crate::archive::{Entry, Kind};
use crate::error::describe;
use crate::tree::{self, Tree};
use attributes::Meta;
use limits::Used;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub type Path = Vec<Vec<u8>>;

/// Who unpacks, and so what is possible.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Root: owners and devices as they are.
    Root,
    /// Root of a user namespace with ids from 0 up to this one: owners, but no devices.
    Mapped(u32),
    /// All belongs to the caller.
    Single,
}

pub struct Options {
    pub power: Power,
    /// Whiteouts are marks, and become overlayfs's.
    pub layer: bool,
    pub limits: Limits,
}

/// What could not be made as the archive has it; each is told once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Skipped {
    pub devices: u64,
    pub owners: u64,
    pub attributes: u64,
    /// The archive may have been cut off between two entries.
    pub end: bool,
}

pub struct Unpacker<'a> {
    tree: Tree,
    below: Option<&'a Stack>,
    options: &'a Options,
    used: Used,
    /// Directories of this layer; their attributes are set last, when nothing is made in them
    /// any more.
    directories: HashMap<Vec<u8>, Meta>,
    /// The parent of the last entry, as the archive names it, and what it is.
    last_parent: Option<(Vec<u8>, Path)>,
    pub skipped: Skipped,
    /// Devices that only root can make, for their other names.
    left_out: Vec<Path>,
}

/// What is wrong, at which offset of the archive and with which entry.
#[derive(Debug)]
pub struct Failure {
    pub offset: u64,
    pub path: Vec<u8>,
    pub why: String,
    pub hint: Option<&'static str>,
    /// Of making it, not of reading.
    pub os: Option<Errno>,
}

/// Wrong with one entry.
pub enum Wrong {
    Os(Errno),
    Said(String),
    Limit(String, &'static str),
}

impl From<Errno> for Wrong {
    fn from(e: Errno) -> Wrong {
        Wrong::Os(e)
    }
}

pub type Result<T> = std::result::Result<T, Wrong>;

/// Reads the archive to the end of its entries. `report` hears how many bytes are done, now
/// and then. What is below the root directory of `tree` is nobody else's meanwhile.
#[inline(never)]
pub fn unpack(
    reader: &mut Reader<&mut dyn Input>,
    tree: OwnedFd,
    below: Option<&Stack>,
    options: &Options,
    report: &mut dyn FnMut(u64),
) -> std::result::Result<Skipped, Failure> {
    let mut unpacker = Unpacker {
        tree: Tree::new(tree),
        below,
        options,
        used: Used::default(),
        directories: HashMap::new(),
        last_parent: None,
        skipped: Skipped::default(),
        left_out: Vec::new(),
    };
    unpacker.start().map_err(|e| failure(0, &[], e.into()))?;
    loop {
        let offset = reader.offset();
        let Some(member) = reader.next().map_err(|p| problem(offset, &[], p))? else { break };
        unpacker.member(reader, &member)?;
        report(reader.offset());
    }
    let offset = reader.offset();
    unpacker.finish().map_err(|(path, e)| failure(offset, &path, e.into()))?;
    unpacker.skipped.end = !reader.marked();
    Ok(unpacker.skipped)
}

fn failure(offset: u64, path: &[u8], wrong: Wrong) -> Failure {
    let (why, hint, os) = match wrong {
        Wrong::Os(e) => (describe(e), None, Some(e)),
        Wrong::Said(why) => (why, None, None),
        Wrong::Limit(why, hint) => (why, Some(hint), None),
    };
    Failure { offset, path: path.to_vec(), why, hint, os }
}

fn problem(offset: u64, path: &[u8], p: Problem) -> Failure {
    match p {
        Problem::Broken { offset, why } => failure(offset, path, Wrong::Said(why)),
        Problem::Io(e) => {
            let why = match e.raw_os_error() {
                Some(n) => describe(Errno::from_raw_os_error(n)),
                None => e.to_string(),
            };
            failure(offset, path, Wrong::Said(why))
        }
    }
}

impl Unpacker<'_> {
    fn member<I: Input>(
        &mut self,
        reader: &mut Reader<I>,
        member: &Member,
    ) -> std::result::Result<(), Failure> {
        let entry = &member.entry;
        let at = |wrong| failure(member.offset, &entry.path, wrong);
        self.used.count(member, &self.options.limits).map_err(at)?;
        let names = names::clean(&entry.path).map_err(at)?;
        if names.len() > self.options.limits.depth {
            let said =
                format!("{} directories deep, at most {}", names.len(), self.options.limits.depth);
            return Err(at(Wrong::Limit(said, "--max-depth raises it")));
        }
        let Some((name, above)) = names.split_last() else {
            return self.root(entry).map_err(at);
        };
        let mark = self.options.layer && name.starts_with(b".wh.");
        let parent = match self.parent(&entry.path, above, !mark) {
            // Of what the layer has made a file, or a link to nothing, there is nothing to delete.
            Err(Wrong::Os(Errno::NOTDIR | Errno::NOENT)) if mark => return Ok(()),
            parent => parent.map_err(at)?,
        };
        if mark {
            return self.whiteout(parent, name).map_err(at);
        }
        if entry.kind == Kind::File {
            let made = self.file(reader, &parent, name, member);
            return made.map_err(|e| match e {
                Ok(wrong) => at(wrong),
                Err(p) => problem(member.offset, &entry.path, p),
            });
        }
        self.other(entry, parent, name).map_err(at)
    }

    /// `./`: the tree's own attributes.
    fn root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Wrong::Said("the root of the archive is no directory".into()));
        }
        self.directories.insert(Vec::new(), Meta::of(entry));
        Ok(())
    }

    fn start(&mut self) -> tree::Result<()> {
        // What the archive does not say of its root is as below, or as roots are.
        let meta = self.below.and_then(|below| below.meta(&[])).unwrap_or_default();
        self.directories.insert(Vec::new(), meta);
        rustix::fs::fchmod(self.tree.root(), rustix::fs::Mode::RWXU)
    }

    /// The attributes of all directories, the deepest ones first: making something in one, or
    /// passing through one that forbids it, comes before.
    fn finish(&mut self) -> std::result::Result<(), (Vec<u8>, Errno)> {
        let mut paths: Vec<Vec<u8>> = self.directories.keys().cloned().collect();
        paths.sort_unstable_by(|a, b| b.cmp(a));
        for path in paths {
            let Some(meta) = self.directories.remove(&path) else { continue };
            let names: Path =
                path.split(|b| *b == b'/').filter(|n| !n.is_empty()).map(<[u8]>::to_vec).collect();
            let power = self.options.power;
            let dir = self.tree.dir(&names).map_err(|e| (path.clone(), e))?;
            attributes::set(&dir, &meta, power, &mut self.skipped)
                .map_err(|e| (path.clone(), e))?;
        }
        Ok(())
    }
}

/// For messages: any bytes on one line.
pub fn shown(path: &[u8]) -> String {
    crate::quote::quote(OsStr::from_bytes(path))
}

#[cfg(test)]
#[path = "unpack/tests.rs"]
mod tests;

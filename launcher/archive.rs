//! tar archives: ustar with the extensions of POSIX (pax), GNU and star.

#[cfg(test)]
mod fuzz_tests;
pub mod header;
pub mod input;
pub mod pack;
mod pax;
pub mod read;
mod sparse;
pub mod write;

/// What an entry of an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    /// Another name of a file that the archive has already.
    HardLink,
    Character,
    Block,
    Fifo,
}

/// One entry, its extensions already taken into account.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub kind: Kind,
    /// As in the archive; nobody has checked it.
    pub path: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// The lower twelve bits alone.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Bytes of the file, holes included.
    pub size: u64,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    pub device: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// An empty one of root's, from 1970, that nobody may use.
    pub fn new(kind: Kind, path: Vec<u8>) -> Entry {
        Entry {
            kind,
            path,
            link: Vec::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: (0, 0),
            device: (0, 0),
            xattrs: Vec::new(),
        }
    }
}

pub const BLOCK: usize = 512;

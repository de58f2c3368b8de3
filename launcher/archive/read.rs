//! Reading an archive, piece by piece and in bounded memory, whatever it claims. A reader of
//! our own: every error has its offset, and an extension may be no longer than it can need.

use super::header::{self, Block};
use super::input::Input;
use super::pax::Records;
use super::sparse;
use super::{BLOCK, Entry, Kind};
use std::io::ErrorKind;

/// What is wrong with an archive, or with reading it.
#[derive(Debug)]
pub enum Problem {
    Io(std::io::Error),
    /// `offset` counts the bytes of the (unpacked) archive.
    Broken {
        offset: u64,
        why: String,
    },
}

pub type Result<T> = std::result::Result<T, Problem>;

impl From<std::io::Error> for Problem {
    fn from(e: std::io::Error) -> Problem {
        Problem::Io(e)
    }
}

/// One entry with its place in the archive.
#[derive(Debug)]
pub struct Member {
    pub entry: Entry,
    /// Of its header.
    pub offset: u64,
    /// Of its data, and how much of it the archive holds.
    pub start: u64,
    pub stored: u64,
    /// Of a sparse file: where in the file the stored bytes go, as offset and length.
    pub pieces: Option<Vec<(u64, u64)>>,
}

/// Longer names, or sets of attributes, than this no program writes.
const EXTENSION_MOST: u64 = 1 << 20;

pub struct Reader<I: Input> {
    input: I,
    offset: u64,
    /// Of the current entry's data.
    left: u64,
    pad: u64,
    ended: bool,
    /// By a block of zeros, and not only by the end of the file.
    marked: bool,
}

impl<I: Input> Reader<I> {
    pub fn new(input: I) -> Reader<I> {
        Reader { input, offset: 0, left: 0, pad: 0, ended: false, marked: false }
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// At the end: it was said to be the end, or else something may be missing.
    pub fn marked(&self) -> bool {
        self.marked
    }

    pub fn broken(&self, why: impl Into<String>) -> Problem {
        Problem::Broken { offset: self.offset, why: why.into() }
    }

    /// The next entry; what is left of the last one's data is passed over.
    pub fn next(&mut self) -> Result<Option<Member>> {
        let mut records = Records::default();
        let mut first = None;
        let mut extensions = 0;
        loop {
            self.pass(self.left + self.pad)?;
            (self.left, self.pad) = (0, 0);
            let offset = self.offset;
            let Some(block) = self.block()? else {
                return match first {
                    None => Ok(None),
                    Some(_) => Err(self.broken("the archive ends after an extension")),
                };
            };
            let start = *first.get_or_insert(offset);
            let at = |why: &str| Problem::Broken { offset, why: why.to_owned() };
            if !header::has_checksum(&block) {
                let tar = &block[header::MAGIC][..5] == b"ustar";
                let why = if tar { "a header's checksum is wrong" } else { "not a tar header" };
                return Err(at(why));
            }
            let size = header::number(&block[header::SIZE]);
            let size = size.and_then(|n| u64::try_from(n).ok()).filter(|n| *n < 1 << 63);
            let size = size.ok_or_else(|| at("a size that is no size"))?;
            let kind = block[header::TYPE];
            if matches!(kind, b'x' | b'X' | b'L' | b'K') {
                extensions += size;
            }
            // One longer than that says so itself.
            if extensions > EXTENSION_MOST && size <= EXTENSION_MOST {
                return Err(at(&format!("extensions of more than {EXTENSION_MOST} bytes")));
            }
            match kind {
                b'x' | b'X' => {
                    let text = self.extension(size)?;
                    records.parse(&text).map_err(|why| at(&why))?;
                }
                b'L' => records.path = Some(header::text(&self.extension(size)?).to_vec()),
                b'K' => records.link = Some(header::text(&self.extension(size)?).to_vec()),
                // For all that follows: nothing that a file system has.
                b'g' | b'V' => {
                    self.extension(size)?;
                    if records.is_empty() {
                        first = None;
                    }
                }
                _ => return self.member(&block, kind, size, start, records).map(Some),
            }
        }
    }

    fn member(
        &mut self,
        block: &Block,
        kind: u8,
        size: u64,
        offset: u64,
        records: Records,
    ) -> Result<Member> {
        let at = |why: &str| Problem::Broken { offset, why: why.to_owned() };
        let ustar = block[header::MAGIC].starts_with(b"ustar\0");
        let mut path = header::text(&block[header::NAME]).to_vec();
        let prefix = header::text(&block[header::PREFIX]);
        if ustar && !prefix.is_empty() {
            path = [prefix, b"/", &path].concat();
        }
        let path = records.path.clone().unwrap_or(path);
        let kind = entry_kind(kind, &path).ok_or_else(|| {
            at(&format!("an entry of a type that is not known: '{}'", kind.escape_ascii()))
        })?;
        let sparse_header = block[header::TYPE] == b'S';
        let stored = match (kind, block[header::TYPE]) {
            // A GNU dump keeps a list of names there.
            (Kind::File, _) | (_, b'D') => records.size.unwrap_or(size),
            _ => 0,
        };
        if stored >= 1 << 63 {
            return Err(at("a size that is no size"));
        }
        self.left = stored;
        self.pad = stored.next_multiple_of(BLOCK as u64) - stored;
        let entry = describe(block, kind, path, &records).map_err(|why| at(&why))?;
        let mut member = Member { entry, offset, start: self.offset, stored, pieces: None };
        if sparse_header {
            self.old_sparse(block, &mut member)?;
        } else if records.sparse.any() && kind == Kind::File {
            self.pax_sparse(&records, &mut member)?;
        } else if kind == Kind::File {
            member.entry.size = stored;
        }
        if let Some(pieces) = &member.pieces {
            sparse::check(pieces, member.entry.size, member.stored).map_err(at)?;
        }
        Ok(member)
    }

    /// GNU's own form: four pieces in the header, more in blocks behind it.
    fn old_sparse(&mut self, block: &Block, member: &mut Member) -> Result<()> {
        let bad = |r: &Self| r.broken("a sparse file's list is broken");
        let size = header::number(&block[header::SPARSE_SIZE]).and_then(|n| u64::try_from(n).ok());
        member.entry.size = size.ok_or_else(|| bad(self))?;
        let mut pieces = Vec::new();
        let mut more = block[header::SPARSE_MORE] != 0;
        sparse::old(&block[header::SPARSE], &mut pieces).ok_or_else(|| bad(self))?;
        while more {
            let Some(next) = self.block()? else {
                return Err(self.broken("the archive is cut off"));
            };
            sparse::old(&next[..504], &mut pieces).ok_or_else(|| bad(self))?;
            more = next[504] != 0;
        }
        member.start = self.offset;
        member.pieces = Some(pieces);
        Ok(())
    }

    /// The list is in the records, or (version 1.0) before the data.
    fn pax_sparse(&mut self, records: &Records, member: &mut Member) -> Result<()> {
        let sparse = &records.sparse;
        member.entry.size = sparse.size.unwrap_or(member.stored);
        if let Some(name) = &sparse.name {
            member.entry.path.clone_from(name);
        }
        let pieces = if sparse.in_data {
            let mut list = sparse::List::default();
            let mut whole = false;
            while !whole {
                if self.left < BLOCK as u64 {
                    return Err(self.broken("a sparse file's list is broken"));
                }
                let Some(block) = self.block()? else {
                    return Err(self.broken("the archive is cut off"));
                };
                self.left -= BLOCK as u64;
                whole = list.add(&block).map_err(|why| self.broken(why))?;
            }
            member.stored = self.left;
            member.start = self.offset;
            list.pieces
        } else {
            sparse.pieces.clone()
        };
        member.pieces = Some(pieces);
        Ok(())
    }

    /// Bytes of the current entry's data that are there; none at its end.
    pub fn data(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let bytes = self.input.fill_buf()?;
        if bytes.is_empty() {
            return Err(Problem::Broken {
                offset: self.offset,
                why: "the archive is cut off".into(),
            });
        }
        let n = (bytes.len() as u64).min(self.left) as usize;
        Ok(&bytes[..n])
    }

    pub fn consume(&mut self, n: usize) {
        self.input.consume(n);
        self.offset += n as u64;
        self.left -= n as u64;
    }

    /// All of the current entry, which must not be longer than `most`.
    pub fn all(&mut self, most: u64) -> Result<Vec<u8>> {
        if self.left > most {
            return Err(self.broken(format!("{} bytes, at most {most} make sense here", self.left)));
        }
        let mut text = Vec::with_capacity(self.left as usize);
        loop {
            let bytes = self.data()?;
            if bytes.is_empty() {
                return Ok(text);
            }
            let n = bytes.len();
            text.extend_from_slice(bytes);
            self.consume(n);
        }
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        self.left = size;
        self.pad = size.next_multiple_of(BLOCK as u64) - size;
        self.all(EXTENSION_MOST)
    }

    fn pass(&mut self, n: u64) -> Result<()> {
        if n == 0 {
            return Ok(());
        }
        match self.input.skip(n) {
            Ok(()) => self.offset += n,
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                return Err(self.broken("the archive is cut off"));
            }
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    /// None at the end of the archive: a block of zeros, or the end of the file.
    fn block(&mut self) -> Result<Option<Block>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK && !self.ended {
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() {
                self.ended = true;
                if filled > 0 {
                    self.offset += filled as u64;
                    return Err(self.broken("the archive is cut off"));
                }
                return Ok(None);
            }
            let n = bytes.len().min(BLOCK - filled);
            block[filled..filled + n].copy_from_slice(&bytes[..n]);
            self.input.consume(n);
            filled += n;
        }
        self.offset += filled as u64;
        if filled == 0 || block.iter().all(|b| *b == 0) {
            self.marked |= filled > 0;
            self.ended = true;
            return Ok(None);
        }
        Ok(Some(block))
    }

    /// Reads what is behind the end, which counts for a digest; at most `most` bytes.
    pub fn drain(mut self, most: u64) -> Result<I> {
        let mut left = most;
        loop {
            let n = self.input.fill_buf()?.len();
            if n == 0 {
                return Ok(self.input);
            }
            self.input.consume(n);
            self.offset += n as u64;
            left =
                left.checked_sub(n as u64).ok_or_else(|| self.broken("too much behind the end"))?;
        }
    }
}

fn entry_kind(kind: u8, path: &[u8]) -> Option<Kind> {
    Some(match kind {
        // Before POSIX a directory was a file whose name ends with a slash.
        b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::Character,
        b'4' => Kind::Block,
        b'5' | b'D' => Kind::Directory,
        b'6' => Kind::Fifo,
        _ => return None,
    })
}

fn describe(
    block: &Block,
    kind: Kind,
    path: Vec<u8>,
    records: &Records,
) -> std::result::Result<Entry, String> {
    let field = |range, name: &str| {
        header::number(&block[range]).ok_or_else(|| format!("the field {name} is no number"))
    };
    let id = |range, name: &str, given: Option<u32>| match given {
        Some(id) => Ok(id),
        None => match u32::try_from(field(range, name)?) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => Err(format!("a {name} that is none")),
        },
    };
    let device =
        |range, name: &str| field(range, name).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let devices = matches!(kind, Kind::Character | Kind::Block);
    let mtime = match records.mtime {
        Some(mtime) => mtime,
        None => (field(header::MTIME, "mtime")?.clamp(i64::MIN.into(), i64::MAX.into()) as i64, 0),
    };
    Ok(Entry {
        kind,
        path,
        link: records.link.clone().unwrap_or_else(|| header::text(&block[header::LINK]).to_vec()),
        mode: (field(header::MODE, "mode")? & 0o7777) as u32,
        uid: id(header::UID, "uid", records.uid)?,
        gid: id(header::GID, "gid", records.gid)?,
        size: 0,
        mtime,
        device: if devices {
            (device(header::MAJOR, "major")?, device(header::MINOR, "minor")?)
        } else {
            (0, 0)
        },
        xattrs: records.xattrs.clone().into_iter().collect(),
    })
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;

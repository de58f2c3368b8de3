//! Writing an archive: ustar, with pax records for what ustar cannot hold.

use super::header::{self, Block};
use super::{BLOCK, Entry, Kind, pax};
use std::io::{Result, Write};

pub struct Writer<W: Write> {
    out: W,
    /// Bytes of the current entry's data that fill its last block.
    pad: usize,
}

impl<W: Write> Writer<W> {
    pub fn new(out: W) -> Writer<W> {
        Writer { out, pad: 0 }
    }

    /// An entry; of a file, `size` bytes of `data` must follow.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.fill()?;
        let records = records(entry);
        if !records.is_empty() {
            let mut block = plain(b"././@PaxHeader", b'x');
            octal(&mut block[header::SIZE], records.len() as u64);
            self.out.write_all(&sealed(block))?;
            self.out.write_all(&records)?;
            self.pad = padding(records.len() as u64);
            self.fill()?;
        }
        self.out.write_all(&sealed(block(entry)))?;
        self.pad = if entry.kind == Kind::File { padding(entry.size) } else { 0 };
        Ok(())
    }

    pub fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)
    }

    fn fill(&mut self) -> Result<()> {
        let pad = std::mem::take(&mut self.pad);
        self.out.write_all(&[0; BLOCK][..pad])
    }

    /// The end of the archive.
    pub fn finish(mut self) -> Result<W> {
        self.fill()?;
        self.out.write_all(&[0; BLOCK * 2])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

fn block(entry: &Entry) -> Block {
    let kind = match entry.kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::Character => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    };
    let mut block = plain(b"", kind);
    match split(&entry.path) {
        Some((prefix, name)) => {
            block[header::NAME][..name.len()].copy_from_slice(name);
            block[header::PREFIX][..prefix.len()].copy_from_slice(prefix);
        }
        // The whole is in a pax record; this is for programs that do not read those.
        None => cut(&mut block[header::NAME], &entry.path),
    }
    cut(&mut block[header::LINK], &entry.link);
    octal(&mut block[header::MODE], u64::from(entry.mode));
    octal(&mut block[header::UID], u64::from(entry.uid));
    octal(&mut block[header::GID], u64::from(entry.gid));
    octal(&mut block[header::MTIME], entry.mtime.0.max(0) as u64);
    if entry.kind == Kind::File {
        octal(&mut block[header::SIZE], entry.size);
    }
    if matches!(entry.kind, Kind::Character | Kind::Block) {
        octal(&mut block[header::MAJOR], u64::from(entry.device.0));
        octal(&mut block[header::MINOR], u64::from(entry.device.1));
    }
    block
}

fn plain(name: &[u8], kind: u8) -> Block {
    let mut block = [0; BLOCK];
    cut(&mut block[header::NAME], name);
    for field in [
        header::MODE,
        header::UID,
        header::GID,
        header::SIZE,
        header::MTIME,
        header::MAJOR,
        header::MINOR,
    ] {
        octal(&mut block[field], 0);
    }
    block[header::TYPE] = kind;
    block[header::MAGIC].copy_from_slice(header::USTAR);
    block
}

fn sealed(mut block: Block) -> Block {
    let sum = format!("{:06o}\0 ", header::checksum(&block));
    block[header::CHECKSUM].copy_from_slice(sum.as_bytes());
    block
}

/// The largest number of the field where this one is too large: a pax record has it.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let most = 8u64.saturating_pow(digits as u32).saturating_sub(1);
    let text = format!("{:0digits$o}", value.min(most));
    field[..digits].copy_from_slice(text.as_bytes());
    field[digits] = 0;
}

fn cut(field: &mut [u8], text: &[u8]) {
    let n = text.len().min(field.len());
    field[..n].copy_from_slice(&text[..n]);
}

/// At a slash, so that the parts fit into prefix and name.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= header::NAME.len() {
        return Some((b"", path));
    }
    let fits = |at: &usize| {
        let (prefix, name) = (&path[..*at], &path[at + 1..]);
        (1..=header::PREFIX.len()).contains(&prefix.len())
            && (1..=header::NAME.len()).contains(&name.len())
    };
    let slashes = path.iter().enumerate().rev().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    let at = { slashes }.find(fits)?;
    Some((&path[..at], &path[at + 1..]))
}

/// What ustar has no room for.
fn records(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| record(&mut out, key, value);
    if split(&entry.path).is_none() {
        add(b"path", &entry.path);
    }
    if entry.link.len() > header::LINK.len() {
        add(b"linkpath", &entry.link);
    }
    if entry.size >= 8 << 30 {
        add(b"size", entry.size.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if id >= 1 << 21 {
            add(key, id.to_string().as_bytes());
        }
    }
    match entry.mtime {
        (seconds @ 0.., 0) if seconds < 1 << 33 => {}
        (seconds @ 0.., nanoseconds) => {
            add(b"mtime", format!("{seconds}.{nanoseconds:09}").as_bytes());
        }
        (seconds, 0) => add(b"mtime", seconds.to_string().as_bytes()),
        // -1.25 is a quarter of a second before 23:59:59.
        (seconds, nanoseconds) => {
            let text = format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds);
            add(b"mtime", text.as_bytes());
        }
    }
    for (name, value) in &entry.xattrs {
        add(&[b"SCHILY.xattr.", pax::escape(name).as_slice()].concat(), value);
    }
    out
}

/// `LENGTH KEY=VALUE\n`, the length's own digits counted.
pub fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_length_counts_itself() {
        for n in [0, 1, 80, 85, 86, 87, 88, 89, 90, 980, 990, 1000] {
            let mut out = Vec::new();
            record(&mut out, b"path", &vec![b'x'; n]);
            let text = String::from_utf8(out.clone()).expect("text");
            assert_eq!(text.split(' ').next(), Some(out.len().to_string().as_str()));
        }
    }

    #[test]
    fn long_names_are_split_where_they_can_be() {
        let dir = "d".repeat(120);
        let path = format!("{dir}/{}", "n".repeat(100));
        assert_eq!(split(path.as_bytes()).map(|(p, n)| (p.len(), n.len())), Some((120, 100)));
        assert_eq!(split("n".repeat(101).as_bytes()), None);
        assert_eq!(split(format!("{}/x", "d".repeat(156)).as_bytes()), None);
    }
}

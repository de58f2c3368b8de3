//! Archives of anybody's: none makes the reader panic, or go on for ever; and what is read
//! can be written, and is the same then.

use super::header::{self, Block};
use super::pax::Records;
use super::read::{Problem, Reader};
use super::write::{Writer, record};
use super::{BLOCK, Entry, Kind};
use crate::fuzz::fuzz;
use std::time::{Duration, Instant};

const LIST: &[u8] = b"2\n0\n5\n100\n7\n";
const RECORDS: [(&str, &[u8]); 6] = [
    ("path", b"a/b"),
    ("mtime", b"-12.25000"),
    ("uid", b"70000"),
    ("gid", b"70"),
    ("SCHILY.xattr.user.x", b"a=\0\nb"),
    ("linkpath", b"x"),
];
const HOLES: [(&str, &[u8]); 4] = [
    ("GNU.sparse.major", b"1"),
    ("GNU.sparse.minor", b"0"),
    ("GNU.sparse.name", b"holes"),
    ("GNU.sparse.realsize", b"1000"),
];
const PIECES: [(&str, &[u8]); 5] = [
    ("GNU.sparse.size", b"2000"),
    ("GNU.sparse.offset", b"1"),
    ("GNU.sparse.numbytes", b"2"),
    ("GNU.sparse.map", b"10,2,100,3,900,1"),
    ("size", b"512"),
];

fn text(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    records.iter().for_each(|(key, value)| record(&mut out, key.as_bytes(), value));
    out
}

/// A header with a right sum, and what follows it.
fn part(kind: u8, data: &[u8], change: impl Fn(&mut Block)) -> Vec<u8> {
    let mut block = [0; BLOCK];
    block[header::NAME][..5].copy_from_slice(b"dir/f");
    block[header::MODE].copy_from_slice(b"0000644\0");
    let size = format!("{:011o}\0", data.len());
    block[header::SIZE].copy_from_slice(size.as_bytes());
    block[header::TYPE] = kind;
    block[header::MAGIC].copy_from_slice(header::USTAR);
    change(&mut block);
    let mut out = block.to_vec();
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    sealed(&mut out);
    out
}

/// A changed header would not be looked into for its sum.
fn sealed(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(BLOCK) {
        let block: &mut Block = block.try_into().expect("a block");
        if block[header::MAGIC].starts_with(b"ustar") {
            let sum = format!("{:06o}\0 ", header::checksum(block));
            block[header::CHECKSUM].copy_from_slice(sum.as_bytes());
        }
    }
}

fn examples() -> Vec<Vec<u8>> {
    let plain = |_: &mut Block| {};
    let long = vec![b'n'; 300];
    let list = [LIST, &[0; BLOCK][LIST.len()..], b"fivebsevenby"].concat();
    let gnu = part(b'S', b"abcd", |b| {
        b[header::SPARSE][..23].copy_from_slice(b"00000000000\x0000000000002");
        b[header::SPARSE][24..47].copy_from_slice(b"00000000020\x0000000000002");
        b[header::SPARSE_SIZE].copy_from_slice(b"00000000022\0");
    });
    let device = part(b'3', b"", |b| {
        b[header::MAJOR].copy_from_slice(b"0000001\0");
        b[header::MINOR].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 3]);
    });
    vec![
        [part(b'5', b"", plain), part(b'0', b"hello", plain), vec![0; 2 * BLOCK]].concat(),
        [part(b'x', &text(&RECORDS), plain), part(b'0', b"hello", plain)].concat(),
        [part(b'g', &text(&RECORDS), plain), part(b'2', b"", |b| b[header::LINK].fill(b'l'))]
            .concat(),
        [part(b'L', &long, plain), part(b'K', &long, plain), part(b'1', b"", plain)].concat(),
        [part(b'x', &text(&HOLES), plain), part(b'0', &list, plain)].concat(),
        [part(b'x', &text(&PIECES), plain), part(b'0', &[7; 512], plain)].concat(),
        [gnu, device].concat(),
    ]
}

type Found = Vec<(Entry, Vec<u8>)>;

/// What was read before the end, or before what is wrong; sparse files apart.
fn read(archive: &[u8]) -> (Found, Result<(), String>) {
    let mut reader = Reader::new(archive);
    let mut found = Vec::new();
    let text = |p| match p {
        Problem::Broken { offset, why } => {
            assert!(offset <= archive.len() as u64, "{why} at {offset}");
            why
        }
        Problem::Io(e) => e.to_string(),
    };
    loop {
        match reader.next().map_err(text) {
            Ok(None) => return (found, Ok(())),
            Ok(Some(member)) => match reader.all(1 << 16).map_err(text) {
                Ok(data) if member.pieces.is_none() => found.push((member.entry, data)),
                Ok(_) => {}
                Err(why) => return (found, Err(why)),
            },
            Err(why) => return (found, Err(why)),
        }
    }
}

/// What no file system has, and no header takes.
fn is_real(entry: &Entry) -> bool {
    let device = entry.device.0.max(entry.device.1) < 1 << 20;
    let directory = entry.path.ends_with(b"/") && entry.kind == Kind::File;
    device && !directory && entry.mtime.0 > i64::MIN
}

#[test]
fn archives() {
    let examples = examples();
    for example in &examples {
        assert_eq!(read(example).1, Ok(()), "{:?}", String::from_utf8_lossy(example));
    }
    let examples: Vec<&[u8]> = examples.iter().map(Vec::as_slice).collect();
    fuzz(&examples, |bytes| {
        let _ = read(bytes);
        let mut bytes = bytes.to_vec();
        sealed(&mut bytes);
        let (mut found, _) = read(&bytes);
        found.retain(|(entry, _)| is_real(entry));
        let mut writer = Writer::new(Vec::new());
        for (entry, data) in &found {
            writer.entry(entry).expect("entry");
            if entry.kind == Kind::File {
                writer.data(data).expect("data");
            }
        }
        let (mut again, result) = read(&writer.finish().expect("end"));
        assert_eq!(result, Ok(()));
        for (entry, data) in &mut found {
            // A dump's directory had a list of names.
            if entry.kind != Kind::File {
                data.clear();
            }
        }
        again.iter_mut().for_each(|(e, _)| e.xattrs.sort());
        found.iter_mut().for_each(|(e, _)| e.xattrs.sort());
        assert_eq!(again, found);
    });
}

#[test]
fn records() {
    fuzz(&[&text(&RECORDS), &text(&HOLES), &text(&PIECES)], |text| {
        let mut records = Records::default();
        let _ = records.parse(text);
        let most = text.len();
        assert!(records.xattrs.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>() <= most);
        assert!(records.sparse.pieces.len() <= most);
    });
}

/// Each is as large as it may be, and made to be slow.
#[test]
fn no_archive_takes_long() {
    let plain = |_: &mut Block| {};
    let mut names = Vec::new();
    for n in 0..40_000 {
        record(&mut names, format!("SCHILY.xattr.{n:05}").as_bytes(), b"");
    }
    let list = ["100000\n".to_owned(), "0000001\n".repeat(1 << 17)].concat().into_bytes();
    for (what, archive) in [
        ("attributes", [part(b'x', &names, plain), part(b'0', b"", plain)].concat()),
        ("pieces", [part(b'x', &text(&HOLES), plain), part(b'0', &list, plain)].concat()),
    ] {
        let begun = Instant::now();
        let _ = read(&archive);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "{what}: {took:?}");
    }
}

/// Extensions without end are not kept without end.
#[test]
fn extensions_have_an_end() {
    let plain = |_: &mut Block| {};
    let value = vec![b'v'; 1 << 19];
    let mut archive = Vec::new();
    for n in 0..8 {
        let text = text(&[(&format!("SCHILY.xattr.user.{n}"), &value)]);
        archive.extend(part(b'x', &text, plain));
    }
    archive.extend(part(b'0', b"", plain));
    assert_eq!(read(&archive).1, Err("extensions of more than 1048576 bytes".into()));
}

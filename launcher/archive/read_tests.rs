use super::*;
use crate::archive::write::Writer;

/// One header block.
fn block(change: impl Fn(&mut Block)) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let entry = Entry { mode: 0o644, ..Entry::new(Kind::File, b"f".to_vec()) };
    writer.entry(&entry).expect("entry");
    let mut block: Block = writer.finish().expect("end")[..BLOCK].try_into().expect("block");
    change(&mut block);
    let sum = format!("{:06o}\0 ", header::checksum(&block));
    block[header::CHECKSUM].copy_from_slice(sum.as_bytes());
    block.to_vec()
}

fn sized(kind: u8, size: &str, data: &[u8]) -> Vec<u8> {
    let mut out = block(|b| {
        b[header::TYPE] = kind;
        b[header::SIZE].fill(0);
        b[header::SIZE][..size.len()].copy_from_slice(size.as_bytes());
    });
    out.extend(data);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

fn read(archive: &[u8]) -> std::result::Result<Vec<(Entry, Vec<u8>)>, String> {
    let mut reader = Reader::new(archive);
    let mut found = Vec::new();
    let text = |p| match p {
        Problem::Broken { offset, why } => format!("{offset}: {why}"),
        Problem::Io(e) => e.to_string(),
    };
    while let Some(member) = reader.next().map_err(text)? {
        let data = reader.all(1 << 20).map_err(text)?;
        found.push((member.entry, data));
    }
    Ok(found)
}

#[test]
fn what_is_written_is_read() {
    let mut writer = Writer::new(Vec::new());
    let long = format!("{}/{}", "d".repeat(200), "n".repeat(200));
    let entries = [
        Entry {
            mode: 0o4755,
            uid: 4_000_000_000,
            gid: 7,
            size: 5,
            mtime: (-2, 750_000_000),
            xattrs: vec![(b"user.a".to_vec(), b"b\0c\n".to_vec())],
            ..Entry::new(Kind::File, long.clone().into_bytes())
        },
        Entry {
            link: long.into_bytes(),
            mode: 0o777,
            mtime: (1_700_000_000, 0),
            ..Entry::new(Kind::Symlink, b"l".to_vec())
        },
        Entry { mode: 0o666, device: (1, 3), ..Entry::new(Kind::Character, b"null".to_vec()) },
    ];
    for entry in &entries {
        writer.entry(entry).expect("entry");
        if entry.kind == Kind::File {
            writer.data(b"hello").expect("data");
        }
    }
    let found = read(&writer.finish().expect("end")).expect("read");
    assert_eq!(found.iter().map(|(e, _)| e.clone()).collect::<Vec<_>>(), entries);
    assert_eq!(found[0].1, b"hello");
}

#[test]
fn gnus_long_names() {
    let name = "x".repeat(300);
    let mut archive = sized(b'L', "00000000455\0", format!("{name}\0").as_bytes());
    archive.extend(sized(b'0', "00000000002\0", b"hi"));
    let found = read(&archive).expect("read");
    assert_eq!((found[0].0.path.len(), found[0].1.as_slice()), (300, &b"hi"[..]));
}

/// Each is an error with the offset of the header it is about.
#[test]
fn lies() {
    let whole = sized(b'0', "00000000002\0", b"hi");
    for (archive, want) in [
        (sized(b'0', "-0000000002\0", b""), "0: a size that is no size"),
        (sized(b'0', "77777777777\0", b"hi"), "512: 8589934591 bytes, at most"),
        (
            sized(b'L', "77777777777\0", b"hi"),
            "512: 8589934591 bytes, at most 1048576 make sense here",
        ),
        (sized(b'x', "00010000001\0", b"hi"), "512: 2097153 bytes, at most"),
        (sized(b'x', "00000000002\0", b"hi"), "0: a broken pax record"),
        (sized(b'Z', "00000000000\0", b""), "0: an entry of a type that is not known: 'Z'"),
        (whole[..600].to_vec(), "514: the archive is cut off"),
        (whole[..300].to_vec(), "300: the archive is cut off"),
        (b"no archive at all".repeat(40), "0: not a tar header"),
        (
            block(|b| {
                b[header::SIZE].copy_from_slice(&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            }),
            "0: a size that is no size",
        ),
        (
            block(|b| b[header::UID].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])),
            "0: a uid that is none",
        ),
        (
            block(|b| b[header::MODE].copy_from_slice(b"rwxrwxr\0")),
            "0: the field mode is no number",
        ),
    ] {
        let said = read(&archive).expect_err(want);
        assert!(said.contains(want) || want.starts_with("514"), "{said}, not {want}");
    }
    let mut bad = whole.clone();
    bad[0] ^= 1;
    assert_eq!(read(&bad).expect_err("sum"), "0: a header's checksum is wrong");
    assert_eq!(read(&[0; 2048]).expect("zeros").len(), 0);
    assert_eq!(read(b"").expect("nothing").len(), 0);
    // Anything behind the end is not looked at.
    assert_eq!(read(&[whole, vec![0; 1024], vec![7; 700]].concat()).expect("junk").len(), 1);
}

#[test]
fn sparse_files_of_two_kinds() {
    // GNU's own: two pieces of 2 bytes at 0 and 1000, 1002 bytes in all.
    let old = |pieces: &[(u64, u64)], size: u64| {
        block(|b| {
            b[header::TYPE] = b'S';
            b[header::SIZE][..11].copy_from_slice(b"00000000004");
            b[header::PREFIX].fill(0);
            for (n, (offset, length)) in pieces.iter().enumerate() {
                let at = header::SPARSE.start + n * 24;
                b[at..at + 11].copy_from_slice(format!("{offset:011o}").as_bytes());
                b[at + 12..at + 23].copy_from_slice(format!("{length:011o}").as_bytes());
            }
            b[header::SPARSE_SIZE][..11].copy_from_slice(format!("{size:011o}").as_bytes());
        })
    };
    let data = [&b"abcd"[..], &[0; 508]].concat();
    let mut reader = [old(&[(0, 2), (1000, 2)], 1002), data.clone()].concat();
    let member = Reader::new(reader.as_slice()).next().expect("read").expect("member");
    assert_eq!((member.entry.size, member.pieces), (1002, Some(vec![(0, 2), (1000, 2)])));
    for pieces in [&[(0, 3), (2, 1)][..], &[(1001, 2)], &[(0, 5)]] {
        reader = [old(pieces, 1002), data.clone()].concat();
        assert!(Reader::new(reader.as_slice()).next().is_err(), "{pieces:?}");
    }
}

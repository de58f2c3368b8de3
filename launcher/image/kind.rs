//! What a file is, by what is in it.

use crate::archive::header;
use crate::error::{Error, Result};
use crate::image::decompress::Compression;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tar(Compression),
    /// A file system for a loop device, by mount(2)'s name.
    Disk(&'static std::ffi::CStr),
}

/// So much of the beginning is looked at.
pub const HEAD: usize = 4096;

pub fn of(head: &[u8], shown: &str) -> Result<Kind> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    let compression = Compression::of(head);
    if compression != Compression::None {
        return Ok(Kind::Tar(compression));
    }
    if at(0, b"hsqs") {
        return Ok(Kind::Disk(c"squashfs"));
    }
    if at(1024, &[0xe2, 0xe1, 0xf5, 0xe0]) {
        return Ok(Kind::Disk(c"erofs"));
    }
    // One of nothing is zeros; but so is the first block of a disk.
    let empty = head.len() >= 512 && head.iter().all(|b| *b == 0);
    if head.first_chunk().is_some_and(header::has_checksum) || empty || at(257, b"ustar") {
        return Ok(Kind::Tar(Compression::None));
    }
    let error = |what: &str| Error::new(format!("{shown}: {what}"));
    Err(match head {
        [] => error("an empty file"),
        [b'B', b'Z', b'h', ..] => error("bzip2 is not read").hint("bunzip2 it first"),
        [0x04, 0x22, 0x4d, 0x18, ..] => error("lz4 is not read").hint("unlz4 it first"),
        [b'P', b'K', 3, 4, ..] => {
            error("a zip file, which has no owners and modes").hint("a tar archive has them")
        }
        [0x7f, b'E', b'L', b'F', ..] => error("a program, not a root file system")
            .hint(format!("launch stage ./root {shown} makes a root file system of it")),
        _ if at(1080, &[0x53, 0xef]) => {
            error("an ext file system, which is not mounted from a file")
                .hint("mount it, and give its directory")
        }
        _ if at(0, b"QFI\xfb") => error("a qcow2 disk"),
        _ => error("neither a directory nor an archive or image that is known").hint(
            "tar (also with gzip, zstd or xz), docker and OCI archives, squashfs and erofs are",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_content() {
        assert_eq!(of(b"hsqs....", "x").expect("squashfs"), Kind::Disk(c"squashfs"));
        assert_eq!(of(&[0x1f, 0x8b, 8], "x").expect("gzip"), Kind::Tar(Compression::Gzip));
        let mut erofs = vec![0; 2000];
        erofs[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
        erofs[0] = 1;
        assert_eq!(of(&erofs, "x").expect("erofs"), Kind::Disk(c"erofs"));
        assert_eq!(of(&[0; 1024], "x").expect("tar"), Kind::Tar(Compression::None));
        let mut ext = vec![0; 2000];
        ext[1080..1082].copy_from_slice(&[0x53, 0xef]);
        assert!(of(&ext, "x").expect_err("refused").to_string().contains("an ext file system"));
        for (head, said) in [
            (&b""[..], "x: an empty file"),
            (b"BZh9", "bzip2"),
            (b"\x7fELF", "launch stage ./root x"),
            (b"#!/bin/sh", "neither a directory"),
        ] {
            let error = of(head, "x").expect_err("refused").to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}

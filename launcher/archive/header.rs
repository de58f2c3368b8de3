//! One header block (tar(5)): fields, numbers, checksum.

use super::BLOCK;
use std::ops::Range;

pub type Block = [u8; BLOCK];

pub const NAME: Range<usize> = 0..100;
pub const MODE: Range<usize> = 100..108;
pub const UID: Range<usize> = 108..116;
pub const GID: Range<usize> = 116..124;
pub const SIZE: Range<usize> = 124..136;
pub const MTIME: Range<usize> = 136..148;
pub const CHECKSUM: Range<usize> = 148..156;
pub const TYPE: usize = 156;
pub const LINK: Range<usize> = 157..257;
pub const MAGIC: Range<usize> = 257..265;
pub const MAJOR: Range<usize> = 329..337;
pub const MINOR: Range<usize> = 337..345;
pub const PREFIX: Range<usize> = 345..500;
/// GNU's list of the pieces of a sparse file, in place of the prefix.
pub const SPARSE: Range<usize> = 386..482;
pub const SPARSE_MORE: usize = 482;
pub const SPARSE_SIZE: Range<usize> = 483..495;

pub const USTAR: &[u8; 8] = b"ustar\x0000";

/// Up to the first NUL.
pub fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// Octal, or base 256 where the first bit is set (GNU, star).
pub fn number(field: &[u8]) -> Option<i128> {
    match field.first()? {
        0x80 | 0xff => {
            let (sign, rest) = (field[0] == 0xff, &field[1..]);
            // Sixteen bytes are more than any field has.
            let start = if sign { -1i128 } else { 0 };
            Some(rest.iter().fold(start, |n, b| n << 8 | i128::from(*b)))
        }
        _ => octal(field),
    }
}

/// Spaces before, a space or NUL behind; all of it empty is 0.
fn octal(field: &[u8]) -> Option<i128> {
    let text = field.trim_ascii_start();
    let end = text.iter().position(|b| matches!(b, 0 | b' ')).unwrap_or(text.len());
    let digits = &text[..end];
    let octal = |n: i128, b: &u8| matches!(b, b'0'..=b'7').then(|| n * 8 + i128::from(b - b'0'));
    digits.iter().try_fold(0, octal)
}

/// The sum of all bytes with the field itself as spaces; some old programs took signed ones.
pub fn has_checksum(block: &Block) -> bool {
    let Some(stored) = octal(&block[CHECKSUM]) else { return false };
    stored == i128::from(checksum(block)) || stored == signed_checksum(block)
}

pub fn checksum(block: &Block) -> u32 {
    let bytes = block.iter().enumerate();
    bytes.map(|(at, b)| u32::from(if CHECKSUM.contains(&at) { b' ' } else { *b })).sum()
}

fn signed_checksum(block: &Block) -> i128 {
    let bytes = block.iter().enumerate();
    bytes
        .map(|(at, b)| i128::from(if CHECKSUM.contains(&at) { b' ' as i8 } else { *b as i8 }))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777777 "), Some((1 << 33) - 1));
        assert_eq!(number(&[0x80, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]), Some(2 << 56));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), Some(-2));
        assert_eq!(number(b"0000648\0"), None);
        assert_eq!(number(b"-1\0"), None);
    }
}

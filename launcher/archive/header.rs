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
pub const USTAR: &[u8; 8] = b"ustar\x0000";

/// The sum of all bytes, with the field itself as spaces.
pub fn checksum(block: &Block) -> u32 {
    let bytes = block.iter().enumerate();
    bytes.map(|(at, b)| u32::from(if CHECKSUM.contains(&at) { b' ' } else { *b })).sum()
}

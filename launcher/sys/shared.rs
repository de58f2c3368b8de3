//! Memory that a copy of this process (`fork`) shares with it.

use super::map;
use rustix::io::Result;
use std::ops::Range;

/// Who writes where, and when, the two processes agree upon by other means. Given back when
/// this value is; the other process keeps its own view of it.
pub struct Shared {
    at: usize,
    length: usize,
}

impl Shared {
    pub fn new(length: usize) -> Result<Shared> {
        Ok(Shared { at: map(length, libc::MAP_SHARED)?, length })
    }

    /// To read: nobody may write there meanwhile. Should the other process do so all the same,
    /// the bytes are any bytes: decide by a copy.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        // SAFETY: the mapping has `length` bytes and lives as long as this value; the range is
        // checked against them.
        let all = unsafe { std::slice::from_raw_parts(self.at as *const u8, self.length) };
        all.get(range).unwrap_or_default()
    }

    /// To write: nobody may read there meanwhile.
    pub fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        // SAFETY: as above, and this value is borrowed for as long.
        let all = unsafe { std::slice::from_raw_parts_mut(self.at as *mut u8, self.length) };
        all.get_mut(range).unwrap_or_default()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: what `map` gave; nobody borrows it any more.
        unsafe { libc::munmap(self.at as *mut libc::c_void, self.length) };
    }
}

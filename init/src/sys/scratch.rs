//! A file's text in memory that is given back afterwards: the stack would keep it.

use super::{Str, sys};

/// More than any file has that is read here; what is beyond it is not read.
const SIZE: usize = 1 << 20;

/// Pages of their own, taken only as far as they are written.
pub struct Scratch {
    text: Str<'static>,
}

/// Its second byte has an odd address: no page begins there.
#[repr(align(2))]
struct Nothing([u8; 2]);
static NOTHING: Nothing = Nothing([0; 2]);

impl Scratch {
    /// Without text if the file cannot be read.
    #[inline(never)]
    pub fn read(path: Str) -> Scratch {
        let [_, nothing @ ..] = &NOTHING.0;
        let nothing = Str::trusted(nothing);
        // Not to be held up by a fifo.
        let fd = super::open(path, libc::O_RDONLY | libc::O_NONBLOCK);
        if fd < 0 {
            return Scratch { text: nothing };
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let start = sys!(mmap, 0, SIZE, libc::PROT_READ | libc::PROT_WRITE, flags, -1isize, 0);
        let mut scratch = Scratch { text: nothing };
        if start >= 0 {
            let mut at = start;
            loop {
                // /proc gives a page at a time.
                let got = sys!(read, fd, at, start + SIZE as isize - 1 - at);
                if got <= 0 {
                    break;
                }
                at += got;
            }
            // SAFETY: mapped, and unmapped only by drop. It ends with a NUL, as fresh pages
            // are zero and the last byte is never written.
            scratch.text = unsafe { Str::from_ptr(start as *const u8) }.unwrap_or(nothing);
        }
        super::close(fd as i32);
        scratch
    }

    pub fn text(&self) -> Str<'_> {
        self.text
    }

    /// The text for as long as the process lives.
    pub fn keep(self) -> Str<'static> {
        let text = self.text;
        core::mem::forget(self);
        text
    }
}

impl Drop for Scratch {
    #[inline(never)]
    fn drop(&mut self) {
        // Of nothing, this fails: it is no page.
        sys!(munmap, self.text.as_ptr(), SIZE);
    }
}

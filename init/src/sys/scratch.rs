//! A file's text in memory that is given back afterwards: the stack would keep it.

use super::{Str, sys, z};

/// More than any file has that is read here; what is beyond it is not read.
const SIZE: usize = 1 << 20;

/// Pages of their own, taken only as far as they are written.
pub struct Scratch {
    start: *mut u8,
    len: usize,
    /// Why there is no text: -errno, or 0.
    pub error: isize,
}

impl Scratch {
    pub fn read(path: Str) -> Scratch {
        // Not to be held up by a fifo.
        let fd = super::open(path, libc::O_RDONLY | libc::O_NONBLOCK);
        if fd < 0 {
            return Scratch { start: core::ptr::null_mut(), len: 0, error: fd };
        }
        let scratch = Scratch::read_from(fd as i32);
        super::close(fd as i32);
        scratch
    }

    fn read_from(fd: i32) -> Scratch {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let start = sys!(mmap, 0, SIZE, libc::PROT_READ | libc::PROT_WRITE, flags, -1isize, 0);
        if (-4095..0).contains(&start) {
            return Scratch { start: core::ptr::null_mut(), len: 0, error: start };
        }
        let mut scratch = Scratch { start: start as *mut u8, len: 0, error: 0 };
        // /proc gives a page at a time.
        while scratch.len < SIZE - 1 {
            let got =
                sys!(read, fd, scratch.start.wrapping_add(scratch.len), SIZE - 1 - scratch.len);
            if got <= 0 {
                scratch.error = got;
                break;
            }
            scratch.len += got as usize;
        }
        scratch
    }

    /// Ends with a NUL, as fresh pages are zero and the last byte is never written.
    pub fn text(&self) -> Str<'_> {
        // SAFETY: mapped, and unmapped only by drop.
        unsafe { Str::from_ptr(self.start) }.unwrap_or(z(c""))
    }
}

impl Scratch {
    #[cfg(feature = "inittab")]
    /// The text for as long as the process lives.
    pub fn keep(self) -> Str<'static> {
        let start = self.start;
        core::mem::forget(self);
        // SAFETY: mapped for good.
        unsafe { Str::from_ptr(start) }.unwrap_or(z(c""))
    }
}

impl Drop for Scratch {
    #[inline(never)]
    fn drop(&mut self) {
        if !self.start.is_null() {
            sys!(munmap, self.start, SIZE);
        }
    }
}

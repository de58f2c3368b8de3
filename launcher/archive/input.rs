//! What an archive is read from.

use rustix::fd::{AsRawFd, RawFd};
use std::fs::File;
use std::io::{BufRead, Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileExt;

/// Bytes in order, of which many can be passed over at once where that is possible.
pub trait Input: BufRead {
    /// Fewer than `n` bytes are left: UnexpectedEof.
    fn skip(&mut self, mut n: u64) -> Result<()> {
        while n > 0 {
            let there = self.fill_buf()?.len() as u64;
            if there == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let step = there.min(n);
            self.consume(step as usize);
            n -= step;
        }
        Ok(())
    }
}

impl Input for &[u8] {}
impl<R: Read> Input for std::io::BufReader<R> {}
impl<I: Input + ?Sized> Input for Box<I> {
    fn skip(&mut self, n: u64) -> Result<()> {
        (**self).skip(n)
    }
}

impl<I: Input + ?Sized> Input for &mut I {
    fn skip(&mut self, n: u64) -> Result<()> {
        (**self).skip(n)
    }
}

const BUFFER: usize = 256 << 10;

/// A file, or a part of one: an archive within an archive.
#[derive(Debug)]
pub struct Part {
    file: File,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
    filled: usize,
}

impl Part {
    pub fn new(file: File, start: u64, length: u64) -> Part {
        let end = start.saturating_add(length);
        Part { file, at: start, end, buffer: Vec::new(), used: 0, filled: 0 }
    }

    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub fn length(&self) -> u64 {
        self.end - self.at
    }

    /// The next bytes of the file, past what is in the buffer.
    fn next(&mut self, out: &mut [u8]) -> Result<usize> {
        let want = out.len().min((self.end - self.at) as usize);
        let n = loop {
            match self.file.read_at(&mut out[..want], self.at) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if n == 0 && want > 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the file is cut off"));
        }
        self.at += n as u64;
        Ok(n)
    }

    pub fn whole(file: File) -> Result<Part> {
        let length = file.metadata()?.len();
        Ok(Part::new(file, 0, length))
    }
}

impl BufRead for Part {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.used == self.filled {
            self.buffer.resize(BUFFER, 0);
            let mut buffer = std::mem::take(&mut self.buffer);
            let filled = self.next(&mut buffer);
            (self.buffer, self.filled, self.used) = (buffer, 0, 0);
            self.filled = filled?;
        }
        Ok(&self.buffer[self.used..self.filled])
    }

    fn consume(&mut self, n: usize) {
        self.used = (self.used + n).min(self.filled);
    }
}

impl Read for Part {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        // Much at once need not go through the buffer.
        if self.used == self.filled && out.len() >= BUFFER / 4 {
            return self.next(out);
        }
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

impl Input for Part {
    fn skip(&mut self, n: u64) -> Result<()> {
        let buffered = (self.filled - self.used) as u64;
        if n <= buffered {
            self.consume(n as usize);
            return Ok(());
        }
        let beyond = n - buffered;
        (self.used, self.filled) = (0, 0);
        if beyond > self.end - self.at {
            self.at = self.end;
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.at += beyond;
        Ok(())
    }
}

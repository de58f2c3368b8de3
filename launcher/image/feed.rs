//! What is in a file, read and decompressed by a process of its own.
//!
//! Whoever writes the tree has a second processor that way, and decoders of anybody's data
//! are where nothing is: the process has that file, a socket, the memory between the two, and
//! the ten system calls that this takes. It hashes the file as it is. The contents, by which a
//! layer is known, are hashed on this side wherever a decoder made them.
//!
//! The memory is a ring of pieces. A piece that is full is told by a message and used in place;
//! one that was used is given back by a byte.

mod process;

use super::decompress::Compression;
use super::digest::{Digest, Hashed};
use crate::archive::input::{Input, Part};
use crate::error::{Error, Result};
use crate::sys::{self, Shared};
use process::Process;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitOptions, getpid, waitpid};
use sha2::{Digest as _, Sha256};
use std::cell::Cell;
use std::io::{self, BufRead, ErrorKind, Read};
use std::rc::Rc;

/// Together they fit into the processor's cache.
const PIECES: usize = 8;
const PIECE: usize = 128 << 10;

/// What failed.
const START: &str = "start a process that reads it";

/// To the other process: a piece was used; no more contents, please.
const USED: u8 = b'u';
const ENOUGH: u8 = b'e';

/// Which digests will be asked for: to hash costs as much as to write a file.
#[derive(Clone, Copy, Default)]
pub struct Wanted {
    pub file: bool,
    pub contents: bool,
}

pub struct Feed {
    ring: Shared,
    socket: OwnedFd,
    process: Option<Pid>,
    /// The piece at hand, and how much of it.
    piece: usize,
    used: usize,
    filled: usize,
    /// The last message was heard: the file's digest.
    end: Option<Digest>,
    /// Of the contents, where a decoder made them.
    sum: Option<Sha256>,
    /// Those of the piece at hand, which are read and hashed: not what a decoder that somebody
    /// has taken over could change in between.
    copy: Vec<u8>,
    /// Bytes of the file.
    done: Rc<Cell<u64>>,
}

/// What the process says.
enum Said {
    Piece {
        length: usize,
        done: u64,
    },
    /// The contents cannot be read further; the file may be.
    Broken(io::Error),
    /// Nor the file.
    Unread(io::Error),
    End(Digest),
}

impl Feed {
    /// `shown` is for the message when it does not start.
    pub fn start(mut part: Part, wanted: Wanted, shown: &str) -> Result<Feed> {
        let head = part.fill_buf().map_err(|e| Error::new(format!("{shown}: {e}")))?;
        let compression = Compression::of(head);
        let failed = |e: Errno| Error::os(format!("{shown}: {START}"), e);
        let ring = Shared::new(PIECES * PIECE).map_err(failed)?;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(failed)?;
        // Its end is ours to see.
        sys::default_disposition(libc::SIGCHLD).map_err(failed)?;
        let parent = getpid();
        let plain = compression == Compression::None;
        let Some(process) = sys::fork(0).map_err(failed)? else {
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            if rustix::process::getppid() != Some(parent) {
                sys::exit_now(1);
            }
            if sys::close_all_but(0, &mut [part.descriptor(), theirs.as_raw_fd()]).is_err() {
                sys::exit_now(1);
            }
            let mut file = Hashed::wanted(part, wanted.file || plain && wanted.contents);
            let mut process = Process::new(ring, theirs);
            sys::exit_now(process.serve(&mut file, compression).is_err().into());
        };
        Ok(Feed {
            ring,
            socket: ours,
            process: Some(process),
            piece: PIECES - 1,
            used: 0,
            filled: 0,
            end: None,
            sum: (wanted.contents && !plain).then(Sha256::new),
            copy: Vec::new(),
            done: Rc::default(),
        })
    }

    /// Bytes of the file that are done, to be looked at while the reader is elsewhere.
    pub fn count(&self) -> Rc<Cell<u64>> {
        self.done.clone()
    }

    /// The file's digest, which is read to its end, whatever its contents are like.
    pub fn rest(&mut self) -> io::Result<Digest> {
        if self.end.is_none() {
            // One that is no more will not answer.
            let _ = rustix::io::write(&self.socket, &[ENOUGH]);
        }
        loop {
            match self.end {
                Some(digest) => return Ok(digest),
                None => match self.hear()? {
                    Said::Unread(e) => return Err(e),
                    Said::End(digest) => self.end = Some(digest),
                    Said::Piece { .. } | Said::Broken(_) => {}
                },
            }
        }
    }

    /// Of the contents, all of which have been read.
    pub fn digest(self) -> Digest {
        match (&self.sum, self.end) {
            (Some(sum), _) => Digest::finished(sum.clone()),
            (None, end) => end.unwrap_or_else(|| Digest::of(b"")),
        }
    }

    fn hear(&mut self) -> io::Result<Said> {
        let mut message = [0; 256];
        let n = loop {
            match rustix::io::read(&self.socket, &mut message) {
                // Told once, before all that it said: it ended and did not hear us any more.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                n => break n,
            }
        };
        let said = n.ok().and_then(|n| Said::parse(&message[..n]));
        said.ok_or_else(|| self.died())
    }

    /// The process ended too early: why.
    fn died(&mut self) -> io::Error {
        let status = self.process.take().and_then(|process| {
            let _ = rustix::process::kill_process(process, Signal::KILL);
            reap(process)
        });
        let how = match status.map(|s| (s.terminating_signal(), s.exit_status())) {
            Some((Some(signal), _)) => format!(" by signal {signal}"),
            Some((_, Some(status))) => format!(" with status {status}"),
            _ => String::new(),
        };
        io::Error::other(format!("the process that reads it ended early{how}"))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            let _ = rustix::process::kill_process(process, Signal::KILL);
            reap(process);
        }
    }
}

fn reap(process: Pid) -> Option<rustix::process::WaitStatus> {
    let end = rustix::io::retry_on_intr(|| waitpid(Some(process), WaitOptions::empty()));
    end.ok().flatten().map(|(_, status)| status)
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.filled && self.end.is_none() {
            if self.filled > 0 {
                self.filled = 0;
                // One that is no more says nothing either.
                let _ = rustix::io::write(&self.socket, &[USED]);
            }
            self.used = 0;
            match self.hear()? {
                Said::Piece { length, done } => {
                    self.piece = (self.piece + 1) % PIECES;
                    self.filled = length;
                    self.done.set(done);
                    if self.sum.is_some() {
                        let start = self.piece * PIECE;
                        self.copy.clear();
                        self.copy.extend_from_slice(self.ring.bytes(start..start + length));
                    }
                }
                Said::Broken(e) | Said::Unread(e) => return Err(e),
                Said::End(digest) => self.end = Some(digest),
            }
        }
        let start = self.piece * PIECE;
        Ok(match self.sum {
            Some(_) => &self.copy[self.used..self.filled],
            None => self.ring.bytes(start + self.used..start + self.filled),
        })
    }

    fn consume(&mut self, n: usize) {
        let n = n.min(self.filled - self.used);
        if let Some(sum) = &mut self.sum {
            sum.update(&self.copy[self.used..self.used + n]);
        }
        self.used += n;
    }
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

/// Passing over bytes hashes them, too.
impl Input for Feed {}

impl Said {
    fn parse(message: &[u8]) -> Option<Said> {
        let (kind, rest) = message.split_first()?;
        let error = || {
            let (number, text) = rest.split_first_chunk()?;
            let text = String::from_utf8_lossy(text).into_owned();
            Some(match i32::from_le_bytes(*number) {
                0 => io::Error::other(text),
                -1 => io::Error::new(ErrorKind::UnexpectedEof, text),
                number => io::Error::from_raw_os_error(number),
            })
        };
        Some(match kind {
            b'p' => {
                let (length, done) = rest.split_first_chunk()?;
                let length = u32::from_le_bytes(*length) as usize;
                let done = u64::from_le_bytes(done.try_into().ok()?);
                (1..=PIECE).contains(&length).then_some(Said::Piece { length, done })?
            }
            b'b' => Said::Broken(error()?),
            b'f' => Said::Unread(error()?),
            b'e' => Said::End(Digest::from_bytes(rest.try_into().ok()?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;

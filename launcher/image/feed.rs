//! What is in a file, read and decompressed by a process of its own.
//!
//! Whoever writes the tree has a second processor that way, and decoders of anybody's data
//! are where nothing is: the process has that file, a socket, the memory between the two, and
//! the ten system calls that this takes. It hashes the file as it is. The contents, by which a
//! layer is known, are hashed on this side wherever a decoder made them.
//!
//! The memory is a ring of pieces. A piece that is full is told by a message and used in place;
//! one that was used is given back by a byte.

use super::decompress::{Compression, decompress};
use super::digest::{Digest, Hashed};
use crate::archive::input::{Input, Part};
use crate::error::{Error, Result, describe};
use crate::seccomp::bpf::{self, Assembler, Insn};
use crate::seccomp::table::Arch;
use crate::sys::{self, Shared};
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
            sys::close_all_but([part.descriptor(), theirs.as_raw_fd()]);
            let mut file = Hashed::wanted(part, wanted.file || plain && wanted.contents);
            let mut process = Process { ring, socket: theirs, free: PIECES, next: 0 };
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

/// The other process.
struct Process {
    ring: Shared,
    socket: OwnedFd,
    free: usize,
    next: usize,
}

impl Process {
    /// Closes nothing, which it may not.
    fn serve(&mut self, file: &mut Hashed<Part>, compression: Compression) -> io::Result<()> {
        let here =
            rustix::thread::set_no_new_privs(true).and_then(|()| sys::load_filter(&filter(), 0));
        if let Err(e) = here {
            let why = format!("load its filter of system calls: {}", describe(e));
            return self.say_error(b'f', &io::Error::other(format!("{START}: {why}")));
        }
        let count = file.count();
        let mut contents = decompress(compression, &mut *file);
        while self.may_go_on()? {
            let start = self.next * PIECE;
            let (n, end) = fill(&mut contents, self.ring.bytes_mut(start..start + PIECE));
            if n > 0 {
                let message =
                    [&b"p"[..], &(n as u32).to_le_bytes(), &count.get().to_le_bytes()].concat();
                rustix::io::write(&self.socket, &message)?;
                self.next = (self.next + 1) % PIECES;
                self.free -= 1;
            }
            match end {
                Ok(false) => {}
                Ok(true) => break,
                Err(e) => {
                    self.say_error(b'b', &e)?;
                    break;
                }
            }
        }
        drop(contents);
        loop {
            match file.fill_buf().map(<[u8]>::len) {
                Ok(0) => break,
                Ok(n) => file.consume(n),
                Err(e) => return self.say_error(b'f', &e),
            }
        }
        let message = [&b"e"[..], file.digest().as_bytes()].concat();
        rustix::io::write(&self.socket, &message)?;
        Ok(())
    }

    /// Waits for a piece of the ring; false when enough was read.
    fn may_go_on(&mut self) -> io::Result<bool> {
        while self.free == 0 {
            let mut byte = [0];
            match rustix::io::read(&self.socket, &mut byte)? {
                0 => return Err(ErrorKind::BrokenPipe.into()),
                _ if byte[0] == ENOUGH => return Ok(false),
                _ => self.free += 1,
            }
        }
        Ok(true)
    }

    fn say_error(&self, kind: u8, e: &io::Error) -> io::Result<()> {
        let number = match e.raw_os_error() {
            Some(number) => number,
            None if e.kind() == ErrorKind::UnexpectedEof => -1,
            None => 0,
        };
        let text = e.to_string();
        let text = &text.as_bytes()[..text.len().min(200)];
        let message = [&[kind][..], &number.to_le_bytes(), text].concat();
        rustix::io::write(&self.socket, &message)?;
        Ok(())
    }
}

/// How much was read, and whether that is all.
fn fill(input: &mut dyn Read, out: &mut [u8]) -> (usize, io::Result<bool>) {
    let mut filled = 0;
    while filled < out.len() {
        match input.read(&mut out[filled..]) {
            Ok(0) => return (filled, Ok(true)),
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return (filled, Err(e)),
        }
    }
    (filled, Ok(false))
}

/// To read, to tell, to allocate (nothing that could be executed), and to end.
fn filter() -> Vec<Insn> {
    const KILL: u32 = 0x8000_0000;
    const ALLOW: u32 = 0x7fff_0000;
    #[cfg(target_pointer_width = "32")]
    const MAP: libc::c_long = libc::SYS_mmap2;
    #[cfg(not(target_pointer_width = "32"))]
    const MAP: libc::c_long = libc::SYS_mmap;
    let mut out = Assembler::default();
    let (kill, allow) = (out.ret(KILL), out.ret(ALLOW));
    let executable = out.branch(bpf::EQUAL, 0, allow, kill);
    let executable = out.mask(libc::PROT_EXEC as u32, executable);
    let executable = out.load(bpf::argument(2).0, executable);
    let mut next = out.branch(bpf::EQUAL, MAP as u32, executable, kill);
    for number in [
        libc::SYS_pread64,
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_exit_group,
        libc::SYS_exit,
    ] {
        next = out.branch(bpf::EQUAL, number as u32, allow, next);
    }
    let mut first = out.load(bpf::NUMBER, next);
    if let Some(arch) = Arch::named(std::env::consts::ARCH) {
        first = out.branch(bpf::EQUAL, arch.audit(), first, kill);
        first = out.load(bpf::ARCH, first);
    }
    out.finish(first)
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;

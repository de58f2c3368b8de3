//! The process that reads a file and decompresses it, without rights.

use super::{ENOUGH, PIECE, PIECES, START};
use crate::archive::input::Part;
use crate::error::describe;
use crate::image::decompress::{Compression, decompress};
use crate::image::digest::Hashed;
use crate::seccomp::bpf::{self, Assembler, Insn};
use crate::seccomp::table::Arch;
use crate::sys::{self, Shared};
use rustix::fd::OwnedFd;
use std::io::{self, BufRead, ErrorKind, Read};

/// The other process.
pub struct Process {
    ring: Shared,
    socket: OwnedFd,
    free: usize,
    next: usize,
}

impl Process {
    pub fn new(ring: Shared, socket: OwnedFd) -> Process {
        Process { ring, socket, free: PIECES, next: 0 }
    }

    /// Closes nothing, which it may not.
    pub fn serve(&mut self, file: &mut Hashed<Part>, compression: Compression) -> io::Result<()> {
        let here =
            rustix::thread::set_no_new_privs(true).and_then(|()| sys::load_filter(&filter(), 0));
        if let Err(e) = here {
            let why = format!("load its filter of system calls: {}", describe(e));
            return self.say_error(b'f', &io::Error::other(format!("{START}: {why}")));
        }
        let count = file.count();
        let mut contents = decompress(compression, &mut *file);
        let mut broken = None;
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
                    broken = Some(e);
                    break;
                }
            }
        }
        drop(contents);
        if let Some(e) = broken {
            self.say_error(b'b', &told(e, compression, file))?;
        }
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

/// What is wrong with compressed data, in one way for all decoders: they end too early, or not.
fn told(e: io::Error, compression: Compression, file: &mut Hashed<Part>) -> io::Error {
    if e.raw_os_error().is_some() || compression == Compression::None {
        return e;
    }
    let (kind, at) = (compression.name(), file.count().get());
    // Only gzip's says by itself which of the two it is: a wrong checksum may be the last word.
    let ended = compression != Compression::Gzip || e.kind() == ErrorKind::UnexpectedEof;
    io::Error::other(match file.fill_buf() {
        Ok([]) if ended => format!("cut off: its {kind} data have no end after {at} bytes"),
        _ => format!("broken {kind} data before byte {at}: {e}"),
    })
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
pub fn filter() -> Vec<Insn> {
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

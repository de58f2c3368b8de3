//! The caller's terminal on one side, the container's pty on the other.

use crate::error::{Error, Result};
use crate::spec::Tty;
use crate::sys;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::{OptionalActions, Termios};

const BUFFER: usize = 4096;
/// So many buffers of output before input and signals have their turn.
const AT_ONCE: usize = 16;

/// Copies both ways; raw mode while it lives, the old mode restored when dropped.
pub struct Terminal {
    master: OwnedFd,
    /// The caller's settings, if standard input is a terminal.
    saved: Option<Termios>,
    /// Typed, and not yet taken by the pty.
    pending: Vec<u8>,
    input_open: bool,
    output_open: bool,
    hangup: bool,
    /// Standard output takes no more: `| head`, a full disk.
    reader_gone: bool,
}

/// Gives a pty the size of the caller's terminal, if there is one.
pub fn copy_size(pty: BorrowedFd<'_>) {
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout()] {
        if let Ok(size) = rustix::termios::tcgetwinsize(fd) {
            let _ = rustix::termios::tcsetwinsize(pty, size);
            return;
        }
    }
}

/// A job in the background takes no input from the shell in front: there is none for the
/// payload, whom no job control stops; with `-t` we stop, as any job that wants the terminal.
pub fn leave_to_the_front(tty: Tty) -> rustix::io::Result<()> {
    // The group of a caller outside our pid namespace has no number: asked for only where needed.
    let own = rustix::process::getpgrp;
    match rustix::termios::tcgetpgrp(rustix::stdio::stdin()) {
        Ok(front) if front != own() && tty == Tty::Always => {
            rustix::process::kill_process_group(own(), Signal::TTIN)
        }
        Ok(front) if front != own() => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let null = rustix::fs::open("/dev/null", flags, Mode::empty())?;
            rustix::stdio::dup2_stdin(null)
        }
        // No terminal, or that of another session.
        _ => Ok(()),
    }
}

/// Child: the other end of the container's pty. Before Linux 4.13 by its number, below a
/// /dev/pts that is nobody else's.
pub fn peer(master: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    match sys::pty_peer(master) {
        Err(Errno::NOTTY | Errno::INVAL | Errno::NOSYS) => {}
        other => return other,
    }
    let path = sys::pty_path(master)?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let peer = rustix::fs::open(path.as_c_str()?, flags, Mode::empty())?;
    // Unix98 terminals: what else it may be is not ours.
    match rustix::fs::major(rustix::fs::fstat(&peer)?.st_rdev) {
        136..=143 => Ok(peer),
        _ => Err(Errno::NOTTY),
    }
}

impl Terminal {
    pub fn new(master: OwnedFd) -> Result<Terminal> {
        rustix::io::ioctl_fionbio(&master, true).map_err(|e| Error::os("pty", e))?;
        let saved = rustix::termios::tcgetattr(rustix::stdio::stdin()).ok();
        let terminal = Terminal {
            master,
            saved,
            pending: Vec::new(),
            input_open: true,
            output_open: true,
            hangup: false,
            reader_gone: false,
        };
        terminal.resume();
        Ok(terminal)
    }

    /// Raw mode and the right size: at the start, and again after a stop.
    pub fn resume(&self) {
        if let Some(saved) = &self.saved {
            let mut raw = saved.clone();
            raw.make_raw();
            let _ =
                rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &raw);
        }
        self.resize();
    }

    /// The caller's settings as they were.
    pub fn restore(&self) {
        if let Some(saved) = &self.saved {
            let _ =
                rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, saved);
        }
    }

    pub fn resize(&self) {
        copy_size(self.master.as_fd());
    }

    /// True once, when the caller's terminal has gone away.
    pub fn take_hangup(&mut self) -> bool {
        std::mem::take(&mut self.hangup)
    }

    /// Waits for input on either side or a signal, and copies what there is.
    pub fn poll(
        &mut self,
        signals: PollFd<'_>,
        timeout: Option<&Timespec>,
    ) -> rustix::io::Result<usize> {
        let (from_user, from_master) = {
            let mut master_events = PollFlags::empty();
            if self.output_open {
                master_events |= PollFlags::IN;
            }
            if !self.pending.is_empty() {
                master_events |= PollFlags::OUT;
            }
            let mut fds = vec![signals];
            if !master_events.is_empty() {
                fds.push(PollFd::new(&self.master, master_events));
            }
            let user_at = fds.len();
            let stdin = rustix::stdio::stdin();
            // One buffer's worth at a time: a payload that does not read stops the typing.
            if self.input_open && self.pending.is_empty() {
                fds.push(PollFd::new(&stdin, PollFlags::IN));
            }
            poll(&mut fds, timeout)?;
            let ready = |i: usize| fds.get(i).is_some_and(|f| !f.revents().is_empty());
            (ready(user_at), !master_events.is_empty() && ready(1))
        };
        if from_user {
            self.read_user();
        }
        if !self.pending.is_empty() {
            self.write_master();
        }
        if from_master {
            self.read_master();
        }
        Ok(1)
    }

    fn read_user(&mut self) {
        let mut buffer = [0u8; BUFFER];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(n) if n > 0 => self.pending.extend_from_slice(&buffer[..n]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // A terminal ends only by hanging up; a pipe's end is an end of file typed.
            _ => {
                self.input_open = false;
                match self.saved {
                    Some(_) => self.hangup = true,
                    None => self.pending.push(4),
                }
            }
        }
    }

    fn write_master(&mut self) {
        match rustix::io::write(&self.master, &self.pending) {
            Ok(n) => drop(self.pending.drain(..n)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.pending.clear(),
        }
    }

    /// False when there is nothing more. A pty gives a page at a time, and has often filled
    /// another by the time the first is passed on.
    fn read_master(&mut self) -> bool {
        let mut buffer = [0u8; BUFFER];
        for _ in 0..AT_ONCE {
            match rustix::io::read(&self.master, &mut buffer) {
                Ok(n) if n > 0 => self.pass_on(&buffer[..n]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                // EIO: nobody has the other end open any more.
                _ => {
                    self.output_open = false;
                    return false;
                }
            }
        }
        true
    }

    fn pass_on(&mut self, output: &[u8]) {
        if !self.reader_gone && !write_all(rustix::stdio::stdout(), output) {
            // As when a terminal is closed; what it still writes is read all the same, or
            // it could not end.
            self.reader_gone = true;
            self.hangup = true;
        }
    }

    /// What the payload wrote last.
    pub fn drain(&mut self) {
        while self.output_open && self.read_master() {}
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}

fn write_all(fd: BorrowedFd<'_>, mut data: &[u8]) -> bool {
    while !data.is_empty() {
        match rustix::io::write(fd, data) {
            Ok(n) => data = &data[n..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let fd = fd.as_fd();
                let _ = poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None);
            }
            Err(_) => return false,
        }
    }
    true
}

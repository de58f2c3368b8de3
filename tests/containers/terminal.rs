//! A terminal for tests: what a user sits in front of, with a shell's session on it.

use crate::common::*;
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{Termios, Winsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub struct Terminal {
    master: Option<File>,
    slave: OwnedFd,
    child: Option<Child>,
    pub seen: String,
}

impl Terminal {
    /// The command as leader of a session that has this terminal. None (and a skip): no
    /// busybox on the host.
    pub fn start(command: &Command, rows: u16, columns: u16) -> Option<Terminal> {
        let master =
            rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
                .unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).unwrap();
        let mut c = Command::new(busybox()?);
        c.args(["setsid", "-c"]).arg(command.get_program()).args(command.get_args());
        let end = || Stdio::from(slave.try_clone().unwrap());
        c.stdin(end()).stdout(end()).stderr(end());
        let child = Some(c.spawn().unwrap());
        Some(Terminal { master: Some(master.into()), slave, child, seen: String::new() })
    }

    pub fn settings(&self) -> Termios {
        rustix::termios::tcgetattr(&self.slave).unwrap()
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(self.master.as_ref().unwrap(), size).unwrap();
    }

    pub fn type_in(&mut self, text: &str) {
        self.master.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Reads until the text has been shown since the last call; the rest stays for the next.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(Instant::now() < deadline, "no {text:?} in {:?}", self.seen);
            self.read_some(Duration::from_millis(100));
        }
    }

    fn read_some(&mut self, patience: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let master = self.master.as_mut().unwrap();
        let timeout = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
        let ready = {
            let fd = master.as_fd();
            poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).unwrap_or(0)
        };
        let mut buffer = [0; 4096];
        match if ready > 0 { master.read(&mut buffer) } else { Ok(0) } {
            Ok(n) => {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
                n > 0
            }
            Err(_) => false,
        }
    }

    /// The end of the command and all it has shown since the last `expect`.
    #[track_caller]
    pub fn end(&mut self) -> (i32, String) {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            self.read_some(Duration::from_millis(20));
            if let Some(status) = self.ended() {
                while self.read_some(Duration::from_millis(20)) {}
                return (status_code(status), std::mem::take(&mut self.seen));
            }
            assert!(Instant::now() < deadline, "a hang; seen: {:?}", self.seen);
        }
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().unwrap().try_wait().unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The window is closed: hangs up.
    pub fn close(&mut self) {
        self.master = None;
    }

    /// The command, to be waited for after `close`.
    pub fn take_child(&mut self) -> Child {
        self.child.take().unwrap()
    }
}

/// Lines as shown, without the carriage returns.
pub fn lines(text: &str) -> Vec<&str> {
    text.split("\r\n").filter(|l| !l.is_empty()).collect()
}

//! The socket between parent and child.
//!
//! ```text
//! parent                         child
//!   Tree + descriptor ───────────>       (only in a user namespace of root's)
//!   Go, for each AwaitGo ────────>       (end of file instead: the parent is gone; where both
//!                                         share memory, a number there)
//!      <── Terminal + descriptor ──      (only with a pty)
//!      <── Failed(step, errno) ────      or
//!      <── end of file ────────────      exec happened: the socket is close-on-exec
//! ```
//! Messages have one fixed size and no text.

use crate::sys::CStrings;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::{Errno, Result, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::thread::futex;
use rustix::time::Timespec;
use std::io::{IoSlice, IoSliceMut};
use std::sync::atomic::{AtomicU32, Ordering};

const SIZE: usize = 16;
const FAILED: u32 = 1;
const TERMINAL: u32 = 2;
const KILL: u32 = 3;
/// No detail.
const NONE: u32 = u32::MAX;

/// The child's last message; nothing where it has a copy of the memory.
static LAST: [AtomicU32; SIZE / 4] = [const { AtomicU32::new(0) }; SIZE / 4];

/// Goes that were given and are not yet taken, where both have the same memory.
static GIVEN: AtomicU32 = AtomicU32::new(0);
/// The child waits, or is about to: 1, until it is woken.
static AWAITED: AtomicU32 = AtomicU32::new(0);

/// From one look whether the parent is still there to the next.
const A_WHILE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// One message of the child's.
#[derive(Debug, PartialEq)]
pub enum Report {
    Failed {
        step: usize,
        errno: Errno,
        /// Which one, where a step does many things.
        detail: Option<usize>,
    },
    Terminal,
    /// A test wants the launcher killed at this very step (`--fault kill:N`).
    Kill,
}

impl Report {
    fn encode(&self) -> [u8; SIZE] {
        let words = match self {
            Report::Failed { step, errno, detail } => {
                let detail = detail.map_or(NONE, |n| n as u32);
                [FAILED, *step as u32, errno.raw_os_error() as u32, detail]
            }
            Report::Terminal => [TERMINAL, 0, 0, 0],
            Report::Kill => [KILL, 0, 0, 0],
        };
        let mut out = [0; SIZE];
        for (place, word) in out.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        out
    }

    fn decode(b: &[u8; SIZE]) -> Option<Report> {
        let word = |at: usize| u32::from_ne_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        match word(0) {
            FAILED => Some(Report::Failed {
                step: word(4) as usize,
                errno: Errno::from_raw_os_error(word(8) as i32),
                detail: (word(12) != NONE).then_some(word(12) as usize),
            }),
            TERMINAL => Some(Report::Terminal),
            KILL => Some(Report::Kill),
            _ => None,
        }
    }
}

/// Two ends of a new socket pair: the parent's and the child's.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// The child's end, with the environment that exec needs. The number is the same in both
/// processes, the descriptor is not: each closes its own.
pub struct Channel {
    fd: BorrowedFd<'static>,
    env: CStrings,
    /// The child runs in its parent's memory.
    shared: bool,
}

impl Channel {
    /// For the next child; `shared`: it will run in our memory.
    pub fn new(fd: BorrowedFd<'static>, env: CStrings, shared: bool) -> Channel {
        // What an earlier child has said is not this one's.
        LAST.iter().for_each(|word| word.store(0, Ordering::Release));
        GIVEN.store(0, Ordering::SeqCst);
        AWAITED.store(0, Ordering::SeqCst);
        Channel { fd, env, shared }
    }

    pub fn env(&self) -> &CStrings {
        &self.env
    }

    /// Blocks until the parent says go. ECONNRESET if it is gone.
    pub fn await_go(&self) -> Result<()> {
        if !self.shared {
            return self.await_message();
        }
        while !take() {
            AWAITED.store(1, Ordering::SeqCst);
            match futex::wait(&GIVEN, futex::Flags::PRIVATE, 0, Some(&A_WHILE)) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                // It may have died before it was asked to take us with it.
                Err(Errno::TIMEDOUT) => self.check_parent()?,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn await_message(&self) -> Result<()> {
        let mut byte = [0u8; 1];
        match retry_on_intr(|| rustix::io::read(self.fd, &mut byte))? {
            0 => Err(Errno::CONNRESET),
            _ => Ok(()),
        }
    }

    /// The next tree that the parent sends. ECONNRESET if it is gone.
    pub fn receive_tree(&self) -> Result<OwnedFd> {
        let mut byte = [0u8; 1];
        match receive_with(self.fd, &mut byte)? {
            (0, _) => Err(Errno::CONNRESET),
            // The kernel drops what there is no number for.
            (_, fd) => fd.ok_or(Errno::MFILE),
        }
    }

    /// ECONNRESET if the parent is gone, whatever it has sent that is still to be read.
    pub fn check_parent(&self) -> Result<()> {
        let mut end = [PollFd::new(&self.fd, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        retry_on_intr(|| poll(&mut end, Some(&at_once)))?;
        match end[0].revents().contains(PollFlags::HUP) {
            true => Err(Errno::CONNRESET),
            false => Ok(()),
        }
    }

    /// A failure to report is that of a parent that is gone; or of a filter that lets
    /// nothing be sent, so it is left in the memory that both share, too.
    pub fn send(&self, report: &Report) {
        let data = report.encode();
        for (place, word) in LAST.iter().zip(data.chunks_exact(4)) {
            let word = word.try_into().map_or(0, u32::from_ne_bytes);
            place.store(word, Ordering::Release);
        }
        let _ = rustix::net::send(self.fd, &data, SendFlags::NOSIGNAL);
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd
    }

    /// No longer close-on-exec, so that it shows whether the call that makes all descriptors
    /// so has done anything.
    pub fn mark(&self) -> Result<()> {
        rustix::io::fcntl_setfd(self.fd, rustix::io::FdFlags::empty())
    }

    pub fn send_terminal(&self, master: BorrowedFd<'_>) -> Result<()> {
        send_with(self.fd, &Report::Terminal.encode(), master)
    }
}

fn send_with(socket: BorrowedFd<'_>, data: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(data)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Bytes received, and the descriptor that came along.
fn receive_with(socket: BorrowedFd<'_>, data: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let n = {
        let mut slices = [IoSliceMut::new(data)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        retry_on_intr(|| rustix::net::recvmsg(socket, &mut slices, &mut control, flags))?.bytes
    };
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((n, fd))
}

pub fn send_tree(parent: BorrowedFd<'_>, tree: BorrowedFd<'_>) -> Result<()> {
    send_with(parent, &[1], tree)
}

/// `shared`: what the child's channel was made with.
pub fn send_go(parent: BorrowedFd<'_>, shared: bool) -> Result<()> {
    if !shared {
        return rustix::net::send(parent, &[1], SendFlags::NOSIGNAL).map(drop);
    }
    GIVEN.fetch_add(1, Ordering::SeqCst);
    match AWAITED.swap(0, Ordering::SeqCst) {
        0 => Ok(()),
        _ => futex::wake(&GIVEN, futex::Flags::PRIVATE, 1).map(drop),
    }
}

fn take() -> bool {
    GIVEN.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

/// Of a child that has ended: it ran in our memory and has left no report there.
pub fn had_nothing_to_say() -> bool {
    LAST[0].load(Ordering::Acquire) == 0
}

/// The child's next report, with the descriptor that came along; None at end of file.
pub fn receive(parent: BorrowedFd<'_>) -> Result<Option<(Report, Option<OwnedFd>)>> {
    let mut data = [0u8; SIZE];
    let (n, fd) = receive_with(parent, &mut data)?;
    if n == 0 {
        return Ok(unsent());
    }
    match (n == SIZE).then(|| Report::decode(&data)).flatten() {
        Some(report) => Ok(Some((report, fd))),
        None => Err(Errno::PROTO),
    }
}

/// What a child could not send, taken once.
fn unsent() -> Option<(Report, Option<OwnedFd>)> {
    let mut data = [0u8; SIZE];
    for (place, word) in data.chunks_exact_mut(4).zip(&LAST) {
        place.copy_from_slice(&word.swap(0, Ordering::Acquire).to_ne_bytes());
    }
    let report = Report::decode(&data)?;
    matches!(report, Report::Failed { .. }).then_some((report, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::{AsFd, AsRawFd};

    #[test]
    fn reports_survive_the_wire() {
        let failed = |detail| Report::Failed { step: 7, errno: Errno::PERM, detail };
        for report in [failed(None), failed(Some(3)), Report::Terminal] {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        assert_eq!(Report::decode(&[9; SIZE]), None);
    }

    /// One test for both ways: the counters are the program's.
    #[test]
    fn each_go_is_taken_once_and_a_parent_that_is_gone_is_an_end_of_file() {
        for shared in [false, true] {
            let (parent, child) = pair().unwrap();
            let child = crate::sys::borrow(child.as_raw_fd());
            let channel = Channel::new(child, CStrings::new(Vec::new()), shared);
            send_go(parent.as_fd(), shared).unwrap();
            assert_eq!(channel.await_go(), Ok(()));
            assert_eq!(channel.check_parent(), Ok(()));
            // Sooner and later than it is waited for.
            std::thread::scope(|both| {
                let give = || (0..20_000).try_for_each(|_| send_go(parent.as_fd(), shared));
                let given = both.spawn(give);
                assert_eq!((0..20_000).try_for_each(|_| channel.await_go()), Ok(()));
                assert_eq!(given.join().unwrap(), Ok(()));
            });
            assert!(had_nothing_to_say());
            if shared {
                // Something else that is still to be read.
                send_tree(parent.as_fd(), rustix::stdio::stderr()).unwrap();
            }
            drop(parent);
            assert_eq!(channel.check_parent(), Err(Errno::CONNRESET));
            assert_eq!(channel.await_go(), Err(Errno::CONNRESET));
            channel.send(&Report::Failed { step: 1, errno: Errno::IO, detail: None });
            assert!(!had_nothing_to_say());
        }
    }
}

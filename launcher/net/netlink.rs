//! Netlink messages (netlink(7)): made in a buffer, sent in one call, answered at once.
//!
//! The kernel works on a message inside the sender's send(2), so that all answers are
//! there when it returns; nothing waits.

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, socket_with,
};

pub const REQUEST: u16 = 1;
pub const ACK: u16 = 4;
pub const DUMP: u16 = 0x300;
pub const CREATE: u16 = 0x400;
pub const EXCL: u16 = 0x200;
pub const APPEND: u16 = 0x800;

const NESTED: u16 = 0x8000;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;

/// Messages in the order in which they are carried out.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where each message begins.
    starts: Vec<usize>,
}

/// What was refused: the number of the message in its batch, and why.
#[derive(Debug, PartialEq)]
pub struct Refused {
    pub message: usize,
    pub errno: Errno,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Begins a message with its fixed part; attributes follow. REQUEST is added.
    pub fn message(&mut self, kind: u16, flags: u16, fixed: &[u8]) -> &mut Batch {
        self.starts.push(self.bytes.len());
        // The length is set when it is known.
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend((self.starts.len() as u32).to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(fixed);
        self.close()
    }

    pub fn attr(&mut self, kind: u16, value: &[u8]) -> &mut Batch {
        self.bytes.extend(((value.len() + 4) as u16).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.close()
    }

    /// A name, with the NUL at its end that the kernel wants.
    pub fn name(&mut self, kind: u16, name: &str) -> &mut Batch {
        self.attr(kind, &[name.as_bytes(), b"\0"].concat())
    }

    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Batch {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// nf_tables has its numbers in network order.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Batch {
        self.attr(kind, &value.to_be_bytes())
    }

    /// An attribute made of attributes; at most 64 KiB long.
    pub fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Batch)) -> &mut Batch {
        self.nest_with(kind, &[], inner)
    }

    /// The same, with a fixed part before the attributes.
    pub fn nest_with(
        &mut self,
        kind: u16,
        fixed: &[u8],
        inner: impl FnOnce(&mut Batch),
    ) -> &mut Batch {
        let start = self.bytes.len();
        self.attr(kind | NESTED, fixed);
        inner(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.close()
    }

    /// Fills up to the alignment of four, and sets the last message's length.
    fn close(&mut self) -> &mut Batch {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        if let Some(&start) = self.starts.last() {
            let length = (self.bytes.len() - start) as u32;
            self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        }
        self
    }
}

pub struct Socket(OwnedFd);

impl Socket {
    /// Links, addresses and routes (NETLINK_ROUTE, which is 0) of the network namespace this process is in now.
    pub fn route() -> Result<Socket> {
        Socket::open(None)
    }

    /// nf_tables, likewise.
    pub fn netfilter() -> Result<Socket> {
        Socket::open(Some(netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> Result<Socket> {
        let flags = SocketFlags::CLOEXEC;
        socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol).map(Socket)
    }

    /// To the end of the process: closing one by which rules were deleted waits for the kernel
    /// to have forgotten them.
    pub fn leave_open(self) {
        std::mem::forget(self);
    }

    /// Sends all messages at once. Errors: the first message that was refused.
    pub fn call(&self, batch: &Batch) -> std::result::Result<(), Refused> {
        self.exchange(batch, &mut |_, _| {})
    }

    /// The same; `each` gets kind and content of every answer.
    pub fn exchange(
        &self,
        batch: &Batch,
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> std::result::Result<(), Refused> {
        let all = |errno| Refused { message: 0, errno };
        if batch.bytes.len() > 128 << 10 {
            // The kernel takes a whole batch or none of it. Needs CAP_NET_ADMIN.
            rustix::net::sockopt::set_socket_send_buffer_size_force(&self.0, batch.bytes.len() * 2)
                .map_err(all)?;
        }
        let sent = rustix::net::send(&self.0, &batch.bytes, SendFlags::empty()).map_err(all)?;
        if sent != batch.bytes.len() {
            return Err(all(Errno::MSGSIZE));
        }
        let mut refused: Option<Refused> = None;
        let mut buffer = [0; 16 << 10];
        loop {
            let flags = RecvFlags::DONTWAIT;
            let length = match rustix::net::recv(self.0.as_fd(), &mut buffer[..], flags) {
                Ok((_, length)) => length.min(buffer.len()),
                Err(Errno::AGAIN) => return refused.map_or(Ok(()), Err),
                Err(Errno::INTR) => continue,
                Err(e) => return Err(all(e)),
            };
            each_message(&buffer[..length], &mut |kind, number, content| match kind {
                ERROR => {
                    let errno = i32::from_ne_bytes(word(content, 0));
                    if errno != 0 && refused.is_none() {
                        let message = (number as usize).saturating_sub(1);
                        let errno = Errno::from_raw_os_error(-errno);
                        refused = Some(Refused { message, errno });
                    }
                }
                DONE => {}
                _ => each(kind, content),
            });
        }
    }
}

fn each_message(mut bytes: &[u8], each: &mut dyn FnMut(u16, u32, &[u8])) {
    while bytes.len() >= HEADER {
        let length = u32::from_ne_bytes(word(bytes, 0)) as usize;
        if length < HEADER || length > bytes.len() {
            return;
        }
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        each(kind, u32::from_ne_bytes(word(bytes, 8)), &bytes[HEADER..length]);
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
}

/// Four bytes of an answer; zeros where it is too short.
pub fn word(bytes: &[u8], at: usize) -> [u8; 4] {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).unwrap_or_default()
}

/// The attributes that follow a fixed part of `skip` bytes.
pub fn attributes(content: &[u8], skip: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = content.get(skip.next_multiple_of(4)..).unwrap_or_default();
    std::iter::from_fn(move || {
        let head = rest.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & !NESTED;
        let value = rest.get(4..length)?;
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        Some((kind, value))
    })
}

/// One attribute's value.
pub fn attribute(content: &[u8], skip: usize, kind: u16) -> Option<&[u8]> {
    attributes(content, skip).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_lengths_and_alignment() {
        let mut b = Batch::default();
        b.message(16, ACK, &[1, 2, 3, 4]).name(3, "lo").nest(18, |b| {
            b.u32(1, 7);
        });
        b.message(17, 0, &[]);
        // Header, fixed part, "lo" with NUL and filling, nest with one number.
        assert_eq!(b.starts, [0, 16 + 4 + 8 + 4 + 8]);
        assert_eq!(b.bytes[..4], 40u32.to_ne_bytes());
        assert_eq!(b.bytes[6..8], (ACK | REQUEST).to_ne_bytes());
        assert_eq!(b.bytes.len(), 40 + 16);
        let found: Vec<_> = attributes(&b.bytes[16..40], 4).map(|(k, v)| (k, v.len())).collect();
        assert_eq!(found, [(3, 3), (18, 8)]);
        assert_eq!(attribute(&b.bytes[16..40], 4, 3), Some(&b"lo\0"[..]));
        assert_eq!(attribute(&b.bytes[16..40], 4, 9), None);
    }

    #[test]
    fn broken_answers_end() {
        let mut seen = 0;
        each_message(&[0; 40], &mut |_, _, _| seen += 1);
        each_message(&200u32.to_ne_bytes().repeat(10), &mut |_, _, _| seen += 1);
        assert_eq!(seen, 0);
        assert_eq!(attributes(&[1, 0, 1, 0, 9], 0).count(), 0);
        assert_eq!(attributes(&[200, 0, 1, 0, 9], 0).count(), 0);
    }
}

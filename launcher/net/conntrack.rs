//! Flows that the kernel remembers (linux/netfilter/nfnetlink_conntrack.h). Where the first
//! packet of one went, all others go: a sender of UDP that keeps its port and never pauses
//! would never reach a container that was started, or started again, meanwhile.

use crate::error::{Error, Result};
use crate::net::netlink::{ACK, Batch, DUMP, Socket, attribute, attributes};
use crate::net::state::Published;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use rustix::io::Errno;
use std::net::UdpSocket;

const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
/// Attributes of a flow.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ZONE: u16 = 18;
/// struct nfgenmsg.
const HEAD: usize = 4;
const UDP: u8 = 17;

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tuple {
    protocol: u8,
    source: IpAddr,
    target: IpAddr,
    port: u16,
}

/// Flows to these ports that lead to `inside`, one of the container's addresses.
pub fn forget_translated(socket: &Socket, ports: &[Published], inside: &[IpAddr]) -> Result<()> {
    forget(socket, ports, &|_, reply| inside.contains(&reply.source))
}

/// Flows to these ports of the host's own, from before they were published.
pub fn forget_own(socket: &Socket, ports: &[Published]) -> Result<()> {
    forget(socket, ports, &|original, reply| {
        reply.source == original.target && is_ours(original.target)
    })
}

/// Only an address of this host's can be bound.
fn is_ours(ip: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

fn forget(
    socket: &Socket,
    ports: &[Published],
    which: &dyn Fn(Tuple, Tuple) -> bool,
) -> Result<()> {
    let udp: Vec<&Published> = ports.iter().filter(|p| p.udp).collect();
    if udp.is_empty() {
        return Ok(());
    }
    let chosen = |original: Tuple, reply: Tuple| {
        let meets = |p: &&Published| {
            p.outside == original.port && p.ip.is_none_or(|ip| ip == original.target)
        };
        original.protocol == UDP && udp.iter().any(meets) && which(original, reply)
    };
    let mut delete = Batch::default();
    let mut each = |_: u16, content: &[u8]| {
        let tuple = |kind| attribute(content, HEAD, kind).and_then(tuple);
        let (Some(original), Some(reply)) = (tuple(ORIGINAL), tuple(REPLY)) else { return };
        if chosen(original, reply) {
            let family = content.first().copied().unwrap_or_default();
            let message = delete.message(DELETE, ACK, &[family, 0, 0, 0]);
            message.nest(ORIGINAL, |b| {
                let parts = attribute(content, HEAD, ORIGINAL).unwrap_or_default();
                for (kind, value) in attributes(parts, 0) {
                    b.attr(kind, value);
                }
            });
            if let Some(zone) = attribute(content, HEAD, ZONE) {
                message.attr(ZONE, zone);
            }
        }
    };
    let mut list = Batch::default();
    list.message(GET, DUMP, &[0; HEAD]);
    let done = socket.exchange(&list, &mut each).and_then(|()| match delete.is_empty() {
        true => Ok(()),
        false => socket.call(&delete),
    });
    match done.map_err(|refused| refused.errno) {
        // Ended by itself; or a kernel without ctnetlink, where they end by themselves, too,
        // half a minute after the last packet.
        Err(Errno::NOENT | Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        other => other.map_err(|e| Error::os("forget flows to published ports of UDP", e)),
    }
}

fn tuple(parts: &[u8]) -> Option<Tuple> {
    let (ip, protocol) = (attribute(parts, 0, 1)?, attribute(parts, 0, 2)?);
    let address = |four, six| match attribute(ip, 0, four) {
        Some(bytes) => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        None => {
            Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(attribute(ip, 0, six)?).ok()?)))
        }
    };
    Some(Tuple {
        protocol: *attribute(protocol, 0, 1)?.first()?,
        source: address(1, 3)?,
        target: address(2, 4)?,
        // Protocols without ports have none here.
        port: attribute(protocol, 0, 3)
            .map_or(Some(0), |b| Some(u16::from_be_bytes(b.try_into().ok()?)))?,
    })
}

//! Links, addresses and routes (rtnetlink(7)): the few messages that a bridge needs.

use crate::error::{Error, Result};
use crate::net::hash;
use crate::net::netlink::{ACK, Batch, CREATE, DUMP, EXCL, Refused, Socket, attribute, word};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use rustix::io::Errno;

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_TABLE: u16 = 15;
const IFF_UP: u32 = 1;
const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u32 = 255;
const PROTOCOL_BOOT: u8 = 3;

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub ip: IpAddr,
    pub bits: u8,
}

/// A link that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub index: u32,
    pub mtu: u32,
    pub mac: [u8; 6],
    /// `bridge`, `veth`; empty for hardware.
    pub kind: String,
}

/// struct ifinfomsg.
fn link_head(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut head = [0; 16];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..16].copy_from_slice(&change.to_ne_bytes());
    head
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

/// Makes a bridge, not up yet; with a hardware address of its own, or it would take
/// over that of some port, and change it with the ports. EEXIST: there is a link `name`.
pub fn make_bridge(
    socket: &Socket,
    name: &str,
    mac: [u8; 6],
    mtu: u32,
) -> std::result::Result<(), Errno> {
    let mut b = Batch::default();
    b.message(NEWLINK, ACK | CREATE | EXCL, &link_head(0, 0, 0))
        .name(IFLA_IFNAME, name)
        .attr(IFLA_ADDRESS, &mac)
        .u32(IFLA_MTU, mtu)
        .nest(IFLA_LINKINFO, |b| {
            b.attr(IFLA_INFO_KIND, b"bridge");
        });
    socket.call(&b).map_err(|r| r.errno)
}

/// ENODEV: there is none.
pub fn remove(socket: &Socket, index: u32) -> std::result::Result<(), Errno> {
    let mut b = Batch::default();
    b.message(DELLINK, ACK, &link_head(index, 0, 0));
    socket.call(&b).map_err(|r| r.errno)
}

/// None: there is no link of that name.
pub fn find(socket: &Socket, name: &str) -> Result<Option<Link>> {
    let mut b = Batch::default();
    b.message(GETLINK, 0, &link_head(0, 0, 0)).name(IFLA_IFNAME, name);
    get(socket, &b).map_err(|e| Error::os(format!("look for link {name}"), e))
}

fn get(socket: &Socket, b: &Batch) -> std::result::Result<Option<Link>, Errno> {
    let mut found = None;
    let result = socket.exchange(b, &mut |kind, content| {
        if kind != NEWLINK {
            return;
        }
        let number =
            |kind| attribute(content, 16, kind).map_or(0, |v| u32::from_ne_bytes(word(v, 0)));
        let info = attribute(content, 16, IFLA_LINKINFO).unwrap_or_default();
        let name = attribute(info, 0, IFLA_INFO_KIND).unwrap_or_default();
        let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
        let index = u32::from_ne_bytes(word(content, 4));
        let mac = attribute(content, 16, IFLA_ADDRESS).unwrap_or_default();
        let mac = mac.try_into().unwrap_or_default();
        found = Some(Link { index, mtu: number(IFLA_MTU), mac, kind: name });
    });
    match result {
        Ok(()) => Ok(found),
        Err(Refused { errno: Errno::NODEV, .. }) => Ok(None),
        Err(refused) => Err(refused.errno),
    }
}

/// A pair of links to be made: one end on a bridge of the host's, one inside.
#[derive(Clone, Debug)]
pub struct Plug {
    /// What the outer end's name is made from.
    pub key: String,
    pub inner: String,
    /// Index of the bridge.
    pub bridge: u32,
    pub mac: [u8; 6],
    pub mtu: u32,
    pub addresses: Vec<Prefix>,
    pub gateways: Vec<IpAddr>,
}

impl Plug {
    /// `host` is a socket of the bridge's network namespace, `inside` one of the namespace
    /// this process is in.
    pub fn connect(&self, host: &Socket, inside: &Socket) -> std::result::Result<(), Errno> {
        let name = hash(&self.key);
        // Another pair may have the same name by chance.
        for salt in 0..16 {
            match self.make_pair(host, &format!("veth{:08x}", (name + salt) as u32)) {
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e),
                Ok(()) => {
                    let link = find(inside, &self.inner).ok().flatten().ok_or(Errno::NODEV)?;
                    return configure(inside, link.index, &self.addresses, &self.gateways);
                }
            }
        }
        Err(Errno::EXIST)
    }

    /// One message makes both, in their namespaces and on the bridge.
    fn make_pair(&self, host: &Socket, outer: &str) -> std::result::Result<(), Errno> {
        let mut b = Batch::default();
        b.message(NEWLINK, ACK | CREATE | EXCL, &link_head(0, IFF_UP, IFF_UP))
            .name(IFLA_IFNAME, outer)
            .u32(IFLA_MTU, self.mtu)
            .u32(IFLA_MASTER, self.bridge)
            .nest(IFLA_LINKINFO, |b| {
                b.attr(IFLA_INFO_KIND, b"veth").nest(IFLA_INFO_DATA, |b| {
                    // Not up yet: that wants both ends to be there.
                    b.nest_with(VETH_INFO_PEER, &link_head(0, 0, 0), |b| {
                        b.name(IFLA_IFNAME, &self.inner)
                            .attr(IFLA_ADDRESS, &self.mac)
                            .u32(IFLA_MTU, self.mtu)
                            .u32(IFLA_NET_NS_PID, std::process::id());
                    });
                });
            });
        host.call(&b).map_err(|r| r.errno)
    }
}

/// Addresses of a link (`index`), and it up; in one call together with `gateways`, the
/// default routes.
pub fn configure(
    socket: &Socket,
    index: u32,
    addresses: &[Prefix],
    gateways: &[IpAddr],
) -> std::result::Result<(), Errno> {
    let mut b = Batch::default();
    for address in addresses {
        let mut head = [family(address.ip), address.bits, 0, 0, 0, 0, 0, 0];
        head[4..8].copy_from_slice(&index.to_ne_bytes());
        let ip = octets(address.ip);
        b.message(NEWADDR, ACK | CREATE | EXCL, &head).attr(IFA_LOCAL, &ip).attr(IFA_ADDRESS, &ip);
        // Ours alone by the lease: usable at once.
        b.u32(IFA_FLAGS, IFA_F_NODAD);
    }
    b.message(NEWLINK, ACK, &link_head(index, IFF_UP, IFF_UP));
    for gateway in gateways {
        let unicast = 1;
        let head = [family(*gateway), 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, 0, unicast, 0, 0, 0, 0];
        b.message(NEWROUTE, ACK | CREATE | EXCL, &head)
            .attr(RTA_GATEWAY, &octets(*gateway))
            .u32(RTA_OIF, index);
    }
    socket.call(&b).map_err(|r| r.errno)
}

/// IPv6 has no route_localnet: an answer that was translated back to ::1 is for this host only
/// where its link has a route that says so. What comes as ::1 is dropped before that (ip6_rcv).
pub fn lead_to_loopback(socket: &Socket, index: u32) -> std::result::Result<(), Errno> {
    let (ip, local, after_the_own) = (Ipv6Addr::LOCALHOST, 2, 2048);
    let table = TABLE_LOCAL as u8;
    let head = [family(ip.into()), 128, 0, 0, table, PROTOCOL_BOOT, 0, local, 0, 0, 0, 0];
    let mut b = Batch::default();
    b.message(NEWROUTE, ACK | CREATE | EXCL, &head)
        .attr(RTA_DST, &ip.octets())
        .u32(RTA_OIF, index)
        .u32(RTA_PRIORITY, after_the_own);
    socket.call(&b).map_err(|r| r.errno)
}

/// Every network this host has a route to, default routes left out.
pub fn networks(socket: &Socket) -> Result<Vec<Prefix>> {
    let mut b = Batch::default();
    b.message(GETROUTE, DUMP, &[0; 12]);
    let mut found = Vec::new();
    let each = &mut |kind: u16, content: &[u8]| {
        if kind == NEWROUTE
            && let Some(prefix) = destination(content)
        {
            found.push(prefix);
        }
    };
    socket.exchange(&b, each).map_err(|r| Error::os("list the routes", r.errno))?;
    Ok(found)
}

/// The destination of a route (struct rtmsg and attributes).
fn destination(content: &[u8]) -> Option<Prefix> {
    let bits = *content.get(1)?;
    let table = attribute(content, 12, RTA_TABLE).map(|t| u32::from_ne_bytes(word(t, 0)));
    let address = attribute(content, 12, RTA_DST)?;
    let ip = match address.len() {
        4 => IpAddr::V4(Ipv4Addr::from(word(address, 0))),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
        _ => return None,
    };
    // Multicast and link-local routes of IPv6 are on every link.
    let everywhere = matches!(ip, IpAddr::V6(ip) if ip.octets()[0] == 0xff);
    (bits > 0 && !(everywhere && table == Some(TABLE_LOCAL))).then_some(Prefix { ip, bits })
}

/// The link that leads to the rest of the world; None: there is none.
pub fn uplink(socket: &Socket) -> Result<Option<Link>> {
    let mut out = None;
    // Addresses for documentation: asked about, never sent to.
    for ip in [IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])] {
        let mut b = Batch::default();
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let head = [family(ip), bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        b.message(GETROUTE, 0, &head).attr(RTA_DST, &octets(ip));
        let asked = socket.exchange(&b, &mut |kind, content| {
            if kind == NEWROUTE && out.is_none() {
                out = attribute(content, 12, RTA_OIF).map(|v| u32::from_ne_bytes(word(v, 0)));
            }
        });
        if asked.is_ok() && out.is_some() {
            break;
        }
    }
    let Some(index) = out else { return Ok(None) };
    let mut b = Batch::default();
    b.message(GETLINK, 0, &link_head(index, 0, 0));
    get(socket, &b).map_err(|e| Error::os("look at the uplink", e))
}

impl Prefix {
    /// Whether two networks have addresses in common.
    pub fn overlaps(&self, other: &Prefix) -> bool {
        let bits = self.bits.min(other.bits);
        match (self.ip, other.ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                u32::from(a) & mask == u32::from(b) & mask
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                u128::from(a) & mask == u128::from(b) & mask
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(ip: &str, bits: u8) -> Prefix {
        Prefix { ip: ip.parse().unwrap(), bits }
    }

    #[test]
    fn overlapping_networks() {
        let net = prefix("10.88.0.0", 22);
        for (ip, bits, same) in [
            ("10.88.3.255", 32, true),
            ("10.88.4.0", 22, false),
            ("10.0.0.0", 8, true),
            ("0.0.0.0", 0, true),
            ("fd00::", 8, false),
        ] {
            assert_eq!(net.overlaps(&prefix(ip, bits)), same, "{ip}/{bits}");
            assert_eq!(prefix(ip, bits).overlaps(&net), same, "{ip}/{bits}");
        }
        assert!(prefix("fd00::1", 64).overlaps(&prefix("fd00::", 8)));
    }
}

//! Our own nftables table, `inet launch`: written as a whole in one transaction, or, for
//! one container's ports, a few elements of it. Nobody else's tables are looked at.
//!
//! `nft list table inet launch` shows it; encode.rs is how it is said.

mod encode;

use crate::net::link::Prefix;
use crate::net::netlink::{EXCL, Socket};
use crate::net::state::{Bridge, Lease, State};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use encode::{ACCEPT, DROP, EQ, JUMP, Meta, NEQ, R32, REG, Transaction, link_name};
use rustix::io::Errno;

/// nft's numbers for what sets hold; concatenated ones take six bits each.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_PROTO: u32 = 12;
const TYPE_PORT: u32 = 13;
const TYPE_IFNAME: u32 = 41;

const LOOPBACK4: Prefix = Prefix { ip: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), bits: 8 };
const LOOPBACK6: Prefix = Prefix { ip: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 };

/// The maps from published ports to containers, by family and with the host's address or not.
const MAPS: [(&str, bool, bool); 4] = [
    ("ports4", false, false),
    ("ports4ip", false, true),
    ("ports6", true, false),
    ("ports6ip", true, true),
];

fn concat(types: &[u32]) -> u32 {
    types.iter().fold(0, |all, one| all << 6 | one)
}

/// Makes the table what `state` says, in one step; with no bridges it is removed.
pub fn write(socket: &Socket, state: &State) -> Result<(), Errno> {
    match replace(socket, state, false) {
        Err(Errno::EXIST | Errno::NOENT) => replace(socket, state, true),
        other => other,
    }
}

/// `old`: there may be a table, or none. What is deleted is waited for when the socket is
/// closed, ten milliseconds, which the first bridge need not pay.
fn replace(socket: &Socket, state: &State, old: bool) -> Result<(), Errno> {
    let mut t = Transaction::new();
    if old {
        // Deleting needs one to be there.
        t.make_table(0);
    }
    if old || state.bridges.is_empty() {
        t.drop_table();
    }
    if !state.bridges.is_empty() {
        t.make_table(if old { 0 } else { EXCL });
        sets(&mut t, state);
        to_containers(&mut t, state.bridged6);
        from_containers(&mut t, &state.bridges);
        between(&mut t, state);
        for (map, ..) in MAPS {
            let all = state.leases.iter().flat_map(|l| elements(state, l, map)).collect::<Vec<_>>();
            t.elements(true, map, &all);
        }
    }
    t.commit(socket).map_err(|r| r.errno)
}

fn sets(t: &mut Transaction, state: &State) {
    t.set(1, "bridges", (TYPE_IFNAME, 16), None);
    t.set(2, "internal", (TYPE_IFNAME, 16), None);
    for (id, (name, six, with_ip)) in (3..).zip(MAPS) {
        let (ip, length) = if six { (TYPE_IPV6, 16) } else { (TYPE_IPV4, 4) };
        let key = match with_ip {
            true => (concat(&[ip, TYPE_PROTO, TYPE_PORT]), length + 8),
            false => (concat(&[TYPE_PROTO, TYPE_PORT]), 8),
        };
        t.set(id, name, key, Some((concat(&[ip, TYPE_PORT]), length + 4)));
    }
    let names = |some: &dyn Fn(&Bridge) -> bool| -> Vec<_> {
        let chosen = state.bridges.iter().filter(|b| some(b));
        chosen.map(|b| (link_name(&b.name), Vec::new())).collect()
    };
    t.elements(true, "bridges", &names(&|_| true));
    t.elements(true, "internal", &names(&|b| b.internal));
    t.set(3 + MAPS.len() as u32, "outer", (TYPE_IFNAME, 16), None);
    let outer: Vec<_> = state.outer.iter().map(|link| (link_name(link), Vec::new())).collect();
    t.elements(true, "outer", &outer);
}

/// Published ports: what comes to this host, or from it to itself, goes to a container.
fn to_containers(t: &mut Transaction, bridged6: bool) {
    t.chain("published", None);
    for (map, six, with_ip) in MAPS {
        t.rule("published", |r| {
            let mut register = R32;
            if with_ip {
                // Without the check the bytes of another family might match.
                let (family, offset, length) = if six { (10, 24, 16) } else { (2, 16, 4) };
                r.meta(Meta::Family, REG).compare(EQ, &[family]).load(1, offset, length, R32);
                register += length / 4;
            }
            r.meta(Meta::Protocol, register).load(2, 2, 2, register + 1);
            r.lookup(map, R32, Some(R32)).translate(if six { 10 } else { 2 });
        });
    }
    for (chain, hook) in [("prerouting", 0), ("output", 3)] {
        t.chain(chain, Some(("nat", hook, -100)));
        if chain == "output" && bridged6 {
            // An answer is translated back to ::1 before the kernel looks for packets that
            // pretend to be loopback's, and drops them. Programs that try ::1 before
            // 127.0.0.1 would wait for one, so it is refused at once.
            t.rule(chain, |r| r.address(false, LOOPBACK6).verdict(ACCEPT, None));
        }
        if chain == "prerouting" {
            // A neighbour's packet to loopback: translated, it would no longer be one that the
            // kernel drops. Connections of the host's own come by the other chain.
            t.rule(chain, |r| r.address(false, LOOPBACK4).verdict(ACCEPT, None));
        }
        t.rule(chain, |r| r.ends_here().verdict(JUMP, Some("published")));
    }
    // A bridge routes 127.0.0.0/8 for the host's own connections to published ports; what
    // a container sends there must not get to services that listen on loopback alone.
    t.chain("loopback", Some(("filter", 0, -300)));
    t.rule("loopback", |r| {
        r.link_in(Meta::IifName, "bridges").address(false, LOOPBACK4).verdict(DROP, None);
    });
}

/// What leaves by another link than the bridge has the host's address.
fn from_containers(t: &mut Transaction, bridges: &[Bridge]) {
    t.chain("postrouting", Some(("nat", 4, 100)));
    for b in bridges {
        for net in b.networks() {
            if !b.internal {
                t.rule("postrouting", |r| {
                    r.address(true, net).link(Meta::OifName, NEQ, &b.name).masquerade();
                });
            }
            // To a neighbour by the host's address: the answer has to come back this way.
            t.rule("postrouting", |r| {
                r.address(true, net).link(Meta::OifName, EQ, &b.name);
                r.tracked(2, 1 << 5).masquerade();
            });
        }
        for loopback in std::iter::once(LOOPBACK4).chain(b.gateway6.map(|_| LOOPBACK6)) {
            t.rule("postrouting", |r| {
                r.address(true, loopback).link(Meta::OifName, EQ, &b.name).masquerade();
            });
        }
    }
}

/// Bridges are closed towards each other and the outside, but for published ports; and where
/// a host forwards only because of them, its links are, too, but for what others translate.
fn between(t: &mut Transaction, state: &State) {
    t.chain("forward", Some(("filter", 2, 0)));
    // What stays on a bridge nobody forwards, though the kernel may show it here (br_netfilter).
    for bridge in state.bridges.iter().map(|b| &b.name).chain(&state.outer_bridges) {
        t.rule("forward", |r| {
            r.link(Meta::IifName, EQ, bridge).link(Meta::OifName, EQ, bridge);
            r.verdict(ACCEPT, None);
        });
    }
    t.rule("forward", |r| r.link_in(Meta::IifName, "internal").verdict(DROP, None));
    t.rule("forward", |r| r.tracked(2, 1 << 5).verdict(ACCEPT, None));
    // Established and related.
    t.rule("forward", |r| r.tracked(0, 2 | 4).verdict(ACCEPT, None));
    t.rule("forward", |r| r.link_in(Meta::OifName, "bridges").verdict(DROP, None));
    t.rule("forward", |r| r.tracked(2, 1 << 5).verdict(ACCEPT, None));
    for (ours, family) in [(state.forward4, 2), (state.forward6, 10)] {
        if ours {
            t.rule("forward", |r| {
                r.meta(Meta::Family, REG).compare(EQ, &[family]);
                r.link_in(Meta::IifName, "outer").verdict(DROP, None);
            });
        }
    }
}

/// A lease's ports as elements of one of the maps.
fn elements(state: &State, lease: &Lease, map: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some((_, six, with_ip)) = MAPS.into_iter().find(|(name, ..)| *name == map) else {
        return Vec::new();
    };
    let Some(bridge) = state.bridge(&lease.bridge) else { return Vec::new() };
    let to = if six { bridge.second(lease.ip) } else { Some(IpAddr::V4(lease.ip)) };
    let Some(to) = to else { return Vec::new() };
    let ports = lease.ports.iter().filter(|p| p.ip.is_some() == with_ip);
    ports
        .filter(|p| p.ip.is_none_or(|ip| ip.is_ipv6() == six))
        .map(|p| {
            let mut key = p.ip.map(octets).unwrap_or_default();
            key.extend([if p.udp { 17 } else { 6 }, 0, 0, 0]);
            key.extend([&p.outside.to_be_bytes()[..], &[0; 2]].concat());
            let data = [&octets(to)[..], &p.inside.to_be_bytes(), &[0; 2]].concat();
            (key, data)
        })
        .collect()
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Adds or deletes one lease's ports. ENOENT: the table is not what it was.
pub fn ports(socket: &Socket, state: &State, lease: &Lease, add: bool) -> Result<(), Errno> {
    let mut t = Transaction::new();
    for (map, ..) in MAPS {
        t.elements(add, map, &elements(state, lease, map));
    }
    t.commit(socket).map_err(|r| r.errno)
}

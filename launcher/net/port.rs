//! Published ports: kept from other programs, and led to the container by the rules.

use crate::error::{Error, Result};
use crate::net::netlink::Socket;
use crate::net::place::Locked;
use crate::net::state::{Lease, Published, protocol};
use crate::net::{Wanted, bridge, conntrack, nft, shown, sysctl};
use crate::spec::Port;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
use std::os::unix::ffi::OsStrExt;

/// More than these are looked at and let go: a descriptor each is too much.
const HELD_MOST: usize = 256;
/// Ports that the kernel picks and that turn out to be published already.
const TRIES: u32 = 64;

/// The first bridge's lease gets all ports. Errors: taken, by whom where it can be seen.
/// Returned: sockets bound to the ports, which keep them from others.
pub fn publish(locked: &mut Locked, wanted: &Wanted) -> Result<Vec<OwnedFd>> {
    let Some(at) = locked.state.leases.iter().position(|l| l.id == wanted.id) else {
        return Err(Error::new("no lease to publish ports of"));
    };
    let bridge = locked.state.bridge(&locked.state.leases[at].bridge);
    let six = bridge.is_some_and(|b| b.gateway6.is_some());
    let mut held = Vec::new();
    for port in &wanted.options.ports {
        let (published, socket) = reserve(locked, port, six)?;
        locked.state.leases[at].ports.push(published);
        if held.len() < HELD_MOST {
            held.push(socket);
        }
    }
    let before = std::mem::replace(&mut locked.state.bridged6, sysctl::shows_bridged6());
    locked.save()?;
    let lease = &locked.state.leases[at];
    let socket = Socket::netfilter().map_err(bridge::rules_error)?;
    let others = if locked.state.bridged6 == before { Ok(()) } else { Err(Errno::NOENT) };
    match others.and_then(|()| nft::ports(&socket, &locked.state, lease, true)) {
        // Somebody flushed the rules of the whole host, or they have to be others now.
        Err(Errno::NOENT) => nft::write(&socket, &locked.state),
        other => other,
    }
    .map_err(bridge::rules_error)?;
    conntrack::forget_own(&socket, &lease.ports)?;
    Ok(held)
}

fn reserve(locked: &Locked, port: &Port, six: bool) -> Result<(Published, OwnedFd)> {
    if port.ip.is_some_and(|ip| ip.is_ipv6()) && !six {
        let title = format!("--publish {}", shown(port));
        return Err(
            Error::new(format!("{title}: the bridge has no IPv6")).hint("make it with --ipv6")
        );
    }
    choose(port, six, |p| locked.state.owner(p).map(Lease::title))
}

/// For a program that opens them itself, which it does when these are free again: right after.
pub fn free(ports: &[Port]) -> Result<Vec<Published>> {
    let mut held = Vec::new();
    let mut found = Vec::new();
    for port in ports {
        let (published, socket) = choose(port, false, |_| None)?;
        found.push(published);
        held.push(socket);
    }
    Ok(found)
}

/// The first that is free, held. `owner`: who has one that no socket tells of.
fn choose(
    port: &Port,
    six: bool,
    owner: impl Fn(&Published) -> Option<String>,
) -> Result<(Published, OwnedFd)> {
    let title = format!("--publish {}", shown(port));
    let published =
        |outside| Published { udp: port.udp, ip: port.ip, outside, inside: port.inside };
    let Some((first, last)) = port.outside else {
        for _ in 0..TRIES {
            let (socket, number) = hold(port, 0, six).map_err(|e| Error::os(&*title, e))?;
            let published = published(number);
            if owner(&published).is_none() {
                return Ok((published, socket));
            }
        }
        return Err(Error::os(title, Errno::ADDRINUSE));
    };
    let mut why = None;
    for outside in first..=last {
        let published = published(outside);
        if let Some(owner) = owner(&published) {
            why.get_or_insert_with(|| Error::new(format!("{title}: in use by {owner}")));
            continue;
        }
        match hold(port, outside, six) {
            Ok((socket, _)) => return Ok((published, socket)),
            Err(e) => {
                why.get_or_insert_with(|| refused(&title, port, outside, e));
            }
        }
    }
    Err(why.unwrap_or_else(|| Error::os(title, Errno::ADDRINUSE)))
}

fn refused(title: &str, port: &Port, outside: u16, e: Errno) -> Error {
    match e {
        Errno::ADDRINUSE => match listening(port.udp, outside) {
            Some(who) => Error::new(format!("{title}: in use by {who}")),
            None => Error::os(title, e).hint("another program listens there"),
        },
        Errno::ACCESS => Error::os(title, e)
            .hint("ports below 1024 are root's (sysctl net.ipv4.ip_unprivileged_port_start)"),
        Errno::ADDRNOTAVAIL => {
            Error::os(title, e).hint("the address before the port must be one of this host's")
        }
        _ => Error::os(title, e),
    }
}

/// A socket bound to the port; it never listens, and gets nothing: the rules come before.
fn hold(port: &Port, number: u16, six: bool) -> std::result::Result<(OwnedFd, u16), Errno> {
    let any: IpAddr = if six { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let ip = port.ip.unwrap_or(any);
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if port.udp { SocketType::DGRAM } else { SocketType::STREAM };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if port.udp {
        // Two that say so may share a port of UDP.
    } else {
        // What the last listener's connections left behind does not count.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if port.ip.is_none() && six {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind(&socket, &SocketAddr::new(ip, number))?;
    let bound = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((socket, bound.port()))
}

/// The process that listens on a port of the host, as `nginx (process 123)`.
fn listening(udp: bool, port: u16) -> Option<String> {
    let inode = ["", "6"].iter().find_map(|six| {
        let text = std::fs::read_to_string(format!("/proc/net/{}{six}", protocol(udp))).ok()?;
        listener(&text, udp, port)
    })?;
    let wanted = format!("socket:[{inode}]");
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name();
        if !pid.as_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let Ok(fds) = std::fs::read_dir(entry.path().join("fd")) else { continue };
        let has = fds.flatten().any(|fd| {
            std::fs::read_link(fd.path())
                .is_ok_and(|to| to.as_os_str().as_bytes() == wanted.as_bytes())
        });
        if has {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {})", name.trim(), pid.display()));
        }
    }
    None
}

/// The inode in a table of /proc/net whose local port this is.
fn listener(table: &str, udp: bool, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
        let number = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        let listens = udp || *state == "0A";
        (number == port && listens).then(|| inode.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_who_listens() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 11 1 x\n\
            1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1 x\n";
        assert_eq!(listener(table, false, 8080), Some(22));
        assert_eq!(listener(table, true, 8080), Some(11));
        assert_eq!(listener(table, false, 80), None);
        assert_eq!(listener("", false, 80), None);
    }
}

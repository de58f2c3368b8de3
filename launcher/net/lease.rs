//! Leases: an address of a bridge's range for one container, and the links that use it.

use crate::error::{Error, Result};
use crate::net::bridge::Unused;
use crate::net::link::{self, Plug, Prefix};
use crate::net::netlink::Socket;
use crate::net::place::Locked;
use crate::net::state::{Bridge, Lease, State};
use crate::net::{Wanted, bridge, conntrack, hosts, nft};
use core::net::{IpAddr, Ipv4Addr};
use rustix::io::Errno;
use std::path::Path;

/// A lease on each bridge, saved before it is used.
pub fn take(socket: &Socket, locked: &mut Locked, wanted: &Wanted) -> Result<Vec<Plug>> {
    let mut plugs = Vec::new();
    for (number, name) in wanted.bridges.iter().enumerate() {
        let first = number == 0;
        let asked = wanted.options.ip.filter(|_| first);
        let ip = choose(&mut locked.state, name, asked)?;
        let hosts = wanted.own_hosts.then(|| own_names(&locked.state, name, wanted));
        locked.state.leases.push(Lease {
            id: wanted.id.clone(),
            bridge: name.clone(),
            ip,
            names: wanted.names.clone(),
            ports: Vec::new(),
            hosts,
        });
        let Some(there) = locked.state.bridge(name) else { continue };
        let Some(link) = link::find(socket, name)? else {
            return Err(Error::os(format!("look for bridge {name}"), Errno::NODEV));
        };
        plugs.push(plug(there, link.index, ip, number, wanted));
    }
    locked.save()?;
    Ok(plugs)
}

fn plug(bridge: &Bridge, index: u32, ip: Ipv4Addr, number: usize, wanted: &Wanted) -> Plug {
    let key = format!("{} {}", wanted.id, bridge.name);
    let mut addresses = vec![Prefix { ip: ip.into(), bits: bridge.gateway.bits }];
    if let (Some(ip), Some(net)) = (bridge.second(ip), bridge.gateway6) {
        addresses.push(Prefix { ip, bits: net.bits });
    }
    // The first bridge leads out of the container, if any does.
    let way_out = number == 0 && !bridge.internal;
    let gateways = if way_out { bridge.networks() } else { Vec::new() };
    Plug {
        key: key.clone(),
        inner: format!("eth{number}"),
        bridge: index,
        mac: wanted.options.mac.filter(|_| number == 0).unwrap_or_else(|| bridge::mac_of(&key)),
        mtu: bridge.mtu,
        addresses,
        gateways: gateways.iter().map(|p| p.ip).collect(),
    }
}

/// The address asked for, or the next free one after the last that was given.
fn choose(state: &mut State, name: &str, asked: Option<Ipv4Addr>) -> Result<Ipv4Addr> {
    let State { bridges, leases, .. } = state;
    let Some(bridge) = bridges.iter_mut().find(|b| b.name == name) else {
        return Err(Error::new(format!("bridge {name} is gone")));
    };
    let taken = |ip: Ipv4Addr| leases.iter().find(|l| l.bridge == name && l.ip == ip);
    let (size, gateway) = (bridge.size(), bridge.gateway);
    if let Some(ip) = asked {
        let host = bridge.host_part(ip);
        if !bridge.contains(ip) || host == 0 || host == size - 1 {
            return Err(Error::new(format!("--ip {ip}: bridge {name} has the range of {gateway}")));
        }
        if IpAddr::V4(ip) == gateway.ip {
            return Err(Error::new(format!("--ip {ip}: this is bridge {name} itself")));
        }
        return match taken(ip) {
            Some(lease) => Err(Error::new(format!("--ip {ip}: in use by {}", lease.title()))),
            None => Ok(ip),
        };
    }
    // Host parts 0 and the highest are the network's; 1 is the bridge.
    let room = size - 3;
    for n in 0..room {
        let host = 2 + (bridge.last.saturating_sub(1) + n) % room;
        let ip = bridge.address(host);
        if taken(ip).is_none() {
            bridge.last = host;
            return Ok(ip);
        }
    }
    Err(Error::new(format!("bridge {name}: all {room} addresses of {gateway} are in use"))
        .hint("another bridge has others: --net bridge:NAME"))
}

fn own_names(state: &State, bridge: &str, wanted: &Wanted) -> Vec<(IpAddr, String)> {
    let gateway = state.bridge(bridge).map(|b| b.gateway.ip);
    let names = wanted.options.hosts.iter();
    names.filter_map(|(name, ip)| Some((ip.or(gateway)?, name.clone()))).collect()
}

/// Whether giving back means that rules or links are deleted, which takes tens of milliseconds.
pub fn takes_long(state: &State, id: &str) -> bool {
    let (gone, stay): (Vec<_>, Vec<_>) = state.leases.iter().partition(|l| l.id == id);
    let last = |l: &&Lease| !stay.iter().any(|s| s.bridge == l.bridge);
    gone.iter().any(|l| !l.ports.is_empty() || last(l))
}

/// Leases whose containers have no record: nobody else would give them back.
pub fn forget_dead(locked: &mut Locked) -> Result<()> {
    // What cannot be looked for may be there.
    let dead = |l: &&Lease| {
        let record = rustix::fs::lstat(Path::new("/run/launch").join(&l.id));
        record.is_err_and(|e| e == Errno::NOENT)
    };
    let dead: Vec<String> = locked.state.leases.iter().filter(dead).map(|l| l.id.clone()).collect();
    dead.iter().try_for_each(|id| give_back(locked, id, &Unused::Stay))?;
    if dead.is_empty() { Ok(()) } else { locked.save() }
}

/// All leases of one container, and what nobody uses any more.
pub fn give_back(locked: &mut Locked, id: &str, unused: &Unused) -> Result<()> {
    let all = std::mem::take(&mut locked.state.leases);
    let (gone, stay): (Vec<_>, Vec<_>) = all.into_iter().partition(|l| l.id == id);
    locked.state.leases = stay;
    for lease in gone.iter().filter(|l| !l.ports.is_empty()) {
        unpublish(&locked.state, lease)?;
    }
    let _ = std::fs::remove_file(hosts::own(&locked.dir, id));
    bridge::remove_unused(locked, unused)
}

/// The rules without this lease's ports. `state` has it no more.
fn unpublish(state: &State, lease: &Lease) -> Result<()> {
    let done = Socket::netfilter().and_then(|s| {
        let done = match nft::ports(&s, state, lease, false) {
            // Some were never there, or are gone: then say what is to be left.
            Err(Errno::NOENT) => nft::write(&s, state),
            other => other,
        };
        done.map(|()| s)
    });
    let socket = match done {
        Err(e) if bridge::no_nftables(e) => return Ok(()),
        other => other.map_err(bridge::rules_error)?,
    };
    let six = state.bridge(&lease.bridge).and_then(|b| b.second(lease.ip));
    let inside: Vec<IpAddr> = six.into_iter().chain([lease.ip.into()]).collect();
    let forgotten = conntrack::forget_translated(&socket, &lease.ports, &inside);
    socket.leave_open();
    forgotten
}

impl Lease {
    /// The container, as messages name it.
    pub fn title(&self) -> String {
        match self.names.first() {
            Some(name) if *name != self.id => format!("container {name} ({})", self.id),
            _ => format!("container {}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(bits: u8) -> State {
        let gateway = Prefix { ip: "10.0.0.1".parse().unwrap(), bits };
        let bridge = Bridge {
            name: "b".into(),
            gateway,
            gateway6: None,
            mtu: 1500,
            internal: false,
            last: 1,
        };
        State { bridges: vec![bridge], ..State::default() }
    }

    fn lease(state: &mut State, asked: Option<&str>) -> std::result::Result<String, String> {
        let ip = choose(state, "b", asked.map(|ip| ip.parse().unwrap()));
        let ip = ip.map_err(|e| e.to_string())?;
        state.leases.push(Lease {
            id: "x".into(),
            bridge: "b".into(),
            ip,
            names: vec!["x".into()],
            ports: Vec::new(),
            hosts: None,
        });
        Ok(ip.to_string())
    }

    #[test]
    fn addresses_in_turn_until_none_is_left() {
        let mut s = state(29);
        for host in 2..=6 {
            assert_eq!(lease(&mut s, None), Ok(format!("10.0.0.{host}")));
        }
        let said = lease(&mut s, None).unwrap_err();
        assert!(said.contains("all 5 addresses of 10.0.0.1/29"), "{said}");
        s.leases.retain(|l| l.ip.octets()[3] != 4);
        assert_eq!(lease(&mut s, None), Ok("10.0.0.4".into()));
        s.leases.clear();
        // Not the one that was given back last.
        assert_eq!(lease(&mut s, None), Ok("10.0.0.5".into()));
        let mut s = state(30);
        assert_eq!(lease(&mut s, None), Ok("10.0.0.2".into()));
        assert!(lease(&mut s, None).is_err());
    }

    #[test]
    fn addresses_asked_for() {
        let mut s = state(24);
        assert_eq!(lease(&mut s, Some("10.0.0.77")), Ok("10.0.0.77".into()));
        for (ip, why) in [
            ("10.0.0.77", "in use by container x"),
            ("10.0.0.1", "itself"),
            ("10.0.0.0", "range"),
            ("10.0.0.255", "range"),
            ("10.0.1.5", "range"),
        ] {
            let said = lease(&mut s, Some(ip)).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        assert_eq!(lease(&mut s, None), Ok("10.0.0.2".into()));
    }
}

//! What bridges and leases there are in a network namespace, and as text: a line each,
//! `bridge`, `lease`, and what was switched on for them.

use crate::net::link::Prefix;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fmt::Write;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub bridges: Vec<Bridge>,
    pub leases: Vec<Lease>,
    /// Forwarding was off, and we switched it on.
    pub forward4: bool,
    pub forward6: bool,
    /// Links that were there then, for which it stays off.
    pub outer: Vec<String>,
    /// Those of them that are bridges: what stays on one of these passes.
    pub outer_bridges: Vec<String>,
    /// The kernel showed bridged packets to the rules when they were written.
    pub bridged6: bool,
    /// Which start of the kernel it is of: by the next one all is gone but this text, where
    /// /run is on a disk. Empty where that is not known.
    pub boot: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    pub name: String,
    /// The bridge's own address, and its network.
    pub gateway: Prefix,
    pub gateway6: Option<Prefix>,
    pub mtu: u32,
    /// No way out of it.
    pub internal: bool,
    /// Host part of the last address given: the next one is looked for after it, so that
    /// no neighbour remembers another container by it.
    pub last: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The container's name, as in its record.
    pub id: String,
    pub bridge: String,
    pub ip: Ipv4Addr,
    /// For the hosts file; the first is the host name.
    pub names: Vec<String>,
    pub ports: Vec<Published>,
    /// Lines of a hosts file of its own, in place of the one that its bridge shares.
    pub hosts: Option<Vec<(IpAddr, String)>>,
}

/// A port of the host that leads to one of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    pub udp: bool,
    /// The host's address; None: all of them.
    pub ip: Option<IpAddr>,
    pub outside: u16,
    pub inside: u16,
}

impl Bridge {
    /// Its networks, with the gateway's address.
    pub fn networks(&self) -> Vec<Prefix> {
        std::iter::once(self.gateway).chain(self.gateway6).collect()
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.gateway.bits)).unwrap_or(0)
    }

    fn network(&self) -> u32 {
        match self.gateway.ip {
            IpAddr::V4(ip) => u32::from(ip) & self.mask(),
            IpAddr::V6(_) => 0,
        }
    }

    /// How many addresses its network has, the first (network) and last (broadcast) too.
    pub fn size(&self) -> u32 {
        (!self.mask()).saturating_add(1)
    }

    pub fn host_part(&self, ip: Ipv4Addr) -> u32 {
        u32::from(ip) & !self.mask()
    }

    pub fn address(&self, host: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.network() | host)
    }

    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        u32::from(ip) & self.mask() == self.network()
    }

    /// The IPv6 address beside an IPv4 one: the same host part.
    pub fn second(&self, ip: Ipv4Addr) -> Option<IpAddr> {
        match self.gateway6?.ip {
            IpAddr::V6(net) => {
                let net = u128::from(net) & !u128::from(u64::MAX);
                Some(IpAddr::V6(Ipv6Addr::from(net | u128::from(self.host_part(ip)))))
            }
            IpAddr::V4(_) => None,
        }
    }
}

impl Published {
    /// As docker has it: `80/tcp -> 0.0.0.0:8080`.
    pub fn words(&self) -> String {
        format!("{}/{} -> {}", self.inside, protocol(self.udp), self.outside())
    }

    /// For a list: `0.0.0.0:8080->80/tcp`.
    pub fn arrow(&self) -> String {
        format!("{}->{}/{}", self.outside(), self.inside, protocol(self.udp))
    }

    fn outside(&self) -> String {
        match self.ip {
            None => format!("0.0.0.0:{}", self.outside),
            Some(ip) => SocketAddr::new(ip, self.outside).to_string(),
        }
    }
}

impl State {
    pub fn bridge(&self, name: &str) -> Option<&Bridge> {
        self.bridges.iter().find(|b| b.name == name)
    }

    /// Who has this port of the host's, and where the two meet.
    pub fn owner(&self, port: &Published) -> Option<&Lease> {
        let meets = |p: &&Published| {
            let same = p.udp == port.udp && p.outside == port.outside;
            same && (p.ip.is_none() || port.ip.is_none() || p.ip == port.ip)
        };
        self.leases.iter().find(|l| l.ports.iter().any(|p| meets(&p)))
    }

    pub fn encode(&self) -> String {
        let mut out = String::new();
        if !self.boot.is_empty() {
            let _ = writeln!(out, "boot {}", self.boot);
        }
        let on = [self.forward4, self.forward6, self.bridged6];
        for (on, line) in on.into_iter().zip(["forward4\n", "forward6\n", "bridged6\n"]) {
            out += if on { line } else { "" };
        }
        if !self.outer.is_empty() {
            let _ = writeln!(out, "outer {}", self.outer.join(" "));
        }
        if !self.outer_bridges.is_empty() {
            let _ = writeln!(out, "outer-bridges {}", self.outer_bridges.join(" "));
        }
        for b in &self.bridges {
            let second = b.gateway6.map_or("-".to_owned(), |p| p.to_string());
            let (name, gateway, mtu) = (&b.name, b.gateway, b.mtu);
            let internal = if b.internal { "internal" } else { "-" };
            let _ = writeln!(out, "bridge {name} {gateway} {second} {mtu} {internal} {}", b.last);
        }
        for l in &self.leases {
            let _ = write!(out, "lease {} {} {} {}", l.id, l.bridge, l.ip, l.names.join(","));
            for p in &l.ports {
                let _ = write!(out, " {p}");
            }
            if let Some(hosts) = &l.hosts {
                out.push_str(" hosts");
                for (ip, name) in hosts {
                    let _ = write!(out, " {ip}={name}");
                }
            }
            out.push('\n');
        }
        out
    }

    /// Lines that a later version wrote are not understood, and left out.
    pub fn decode(text: &str) -> State {
        let mut state = State::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["boot", id] => state.boot = id.to_owned(),
                ["forward4"] => state.forward4 = true,
                ["forward6"] => state.forward6 = true,
                ["bridged6"] => state.bridged6 = true,
                ["outer", ref links @ ..] => state.outer = owned(links),
                ["outer-bridges", ref links @ ..] => state.outer_bridges = owned(links),
                ["bridge", ..] => state.bridges.extend(decode_bridge(&words)),
                ["lease", ..] => state.leases.extend(decode_lease(&words)),
                _ => {}
            }
        }
        state
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn decode_prefix(text: &str) -> Option<Prefix> {
    let (ip, bits) = text.split_once('/')?;
    Some(Prefix { ip: ip.parse().ok()?, bits: bits.parse().ok()? })
}

fn decode_bridge(words: &[&str]) -> Option<Bridge> {
    let &[_, name, gateway, second, mtu, internal, last] = words else { return None };
    Some(Bridge {
        name: name.to_owned(),
        gateway: decode_prefix(gateway)?,
        gateway6: decode_prefix(second),
        mtu: mtu.parse().ok()?,
        internal: internal == "internal",
        last: last.parse().ok()?,
    })
}

fn decode_lease(words: &[&str]) -> Option<Lease> {
    let &[_, id, bridge, ip, names, ref rest @ ..] = words else { return None };
    let (ports, hosts) = match rest.iter().position(|w| *w == "hosts") {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let host = |word: &&str| {
        let (ip, name) = word.split_once('=')?;
        Some((ip.parse().ok()?, name.to_owned()))
    };
    Some(Lease {
        id: id.to_owned(),
        bridge: bridge.to_owned(),
        ip: ip.parse().ok()?,
        names: names.split(',').map(str::to_owned).collect(),
        ports: ports.iter().filter_map(|p| decode_port(p)).collect(),
        hosts: hosts.map(|words| words.iter().filter_map(host).collect()),
    })
}

/// `tcp:8080:80`, `udp:53:53@192.0.2.1`
pub fn decode_port(text: &str) -> Option<Published> {
    let (ports, ip) = match text.split_once('@') {
        Some((ports, ip)) => (ports, Some(ip.parse().ok()?)),
        None => (text, None),
    };
    let mut parts = ports.split(':');
    let udp = parts.next()? == "udp";
    Some(Published {
        udp,
        ip,
        outside: parts.next()?.parse().ok()?,
        inside: parts.next()?.parse().ok()?,
    })
}

impl std::fmt::Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", protocol(self.udp), self.outside, self.inside)?;
        self.ip.map_or(Ok(()), |ip| write!(f, "@{ip}"))
    }
}

pub fn protocol(udp: bool) -> &'static str {
    if udp { "udp" } else { "tcp" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let gateway = Prefix { ip: "10.88.0.1".parse().unwrap(), bits: 22 };
        let gateway6 = Some(Prefix { ip: "fd12::1".parse().unwrap(), bits: 64 });
        let bridge = |name: &str| Bridge {
            name: name.into(),
            gateway,
            gateway6,
            mtu: 1400,
            internal: false,
            last: 2,
        };
        let port = |udp, ip: Option<&str>, outside| Published {
            udp,
            ip: ip.map(|ip| ip.parse().unwrap()),
            outside,
            inside: 80,
        };
        State {
            bridges: vec![
                bridge("launch0"),
                Bridge { internal: true, gateway6: None, ..bridge("b") },
            ],
            leases: vec![Lease {
                id: "0123abcd".into(),
                bridge: "launch0".into(),
                ip: "10.88.0.2".parse().unwrap(),
                names: vec!["web".into(), "web2".into()],
                ports: vec![port(false, None, 8080), port(true, Some("::1"), 53)],
                hosts: Some(vec![("10.0.0.9".parse().unwrap(), "db".into())]),
            }],
            forward4: true,
            forward6: false,
            outer: vec!["eth0".into(), "br0".into()],
            outer_bridges: vec!["br0".into()],
            bridged6: true,
            boot: "1b9d6bcd".into(),
        }
    }

    #[test]
    fn there_and_back() {
        let state = state();
        assert_eq!(State::decode(&state.encode()), state);
        let later = state.encode() + "zebra 1 2\nlease\nbridge x\n\n";
        assert_eq!(State::decode(&later), state);
    }

    #[test]
    fn addresses() {
        let state = state();
        let b = &state.bridges[0];
        assert_eq!(b.size(), 1024);
        assert_eq!(b.address(5), Ipv4Addr::new(10, 88, 0, 5));
        assert!(b.contains(Ipv4Addr::new(10, 88, 3, 255)));
        assert!(!b.contains(Ipv4Addr::new(10, 88, 4, 0)));
        let second: IpAddr = "fd12::107".parse().unwrap();
        assert_eq!(b.second(Ipv4Addr::new(10, 88, 1, 7)), Some(second));
        assert_eq!(state.bridges[1].second(b.address(7)), None);
    }

    #[test]
    fn owners_of_ports() {
        let state = state();
        let owner = |udp, ip: Option<&str>, outside| {
            let ip = ip.map(|ip| ip.parse().unwrap());
            state.owner(&Published { udp, ip, outside, inside: 1 }).map(|l| l.id.as_str())
        };
        assert_eq!(owner(false, None, 8080), Some("0123abcd"));
        assert_eq!(owner(false, Some("127.0.0.1"), 8080), Some("0123abcd"));
        assert_eq!(owner(true, None, 8080), None);
        assert_eq!(owner(true, None, 53), Some("0123abcd"));
        assert_eq!(owner(true, Some("::2"), 53), None);
    }
}

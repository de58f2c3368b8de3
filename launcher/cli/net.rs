//! `--net` and what goes with it.

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::spec::{DEFAULT_BRIDGE, Net, NetOptions, Port, UserMode};
use core::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// The kernel's IFNAMSIZ, less its NUL.
const LINK_NAME_MOST: usize = 15;
/// More is a slip of the keyboard, and a descriptor each.
const PORTS_MOST: usize = 20_000;

/// `none`, `host`, `bridge[:NAME]`, `ns:PATH`; many times for several bridges.
pub fn net(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    let (kind, rest) = match text.split_once(':') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (text, None),
    };
    draft.nets.push(match (kind, rest) {
        ("none", None) => Net::None,
        ("host", None) => Net::Host,
        ("bridge", None) => Net::Bridge(vec![DEFAULT_BRIDGE.to_owned()]),
        ("bridge", Some(name)) => Net::Bridge(vec![link_name(given, name)?]),
        ("pasta", None) => Net::UserMode(UserMode::Pasta),
        ("slirp4netns", None) => Net::UserMode(UserMode::Slirp),
        ("container", Some(name)) => Net::Container(crate::record::name::check(name.as_ref())?),
        ("container", None) => return Err(given.bad("container wants a name: container:NAME")),
        ("ns", Some("")) => return Err(given.bad("the path after ns: is empty")),
        ("ns", Some(path)) => Net::Namespace(PathBuf::from(path)),
        ("ns", None) => return Err(given.bad("ns wants a path: ns:/run/netns/NAME")),
        ("default", None) => return Err(given.bad("unknown network").hint("--net bridge")),
        _ => {
            let error = given.bad("unknown network (none, host, bridge, bridge:NAME, container:NAME, ns:PATH, pasta or slirp4netns)");
            return Err(match link_name(given, text) {
                Ok(name) => error.hint(format!("a bridge of that name: --net bridge:{name}")),
                Err(_) => error,
            });
        }
    });
    Ok(())
}

fn link_name(given: Given, name: &str) -> Result<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if name.is_empty() {
        return Err(given.bad("the bridge's name is empty"));
    }
    if name.len() > LINK_NAME_MOST {
        let length = name.len();
        return Err(given.bad(format!(
            "the bridge's name has {length} bytes, at most {LINK_NAME_MOST} are possible"
        )));
    }
    if !name.chars().all(allowed) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(given.bad("a bridge's name has only letters, digits, '.', '-' and '_', and begins with a letter or digit"));
    }
    if ["all", "default", "lo"].contains(&name) {
        return Err(given.bad(format!("no bridge can be called {name}")));
    }
    Ok(name.to_owned())
}

/// `[IP:]HOST:CONTAINER[/tcp|udp]`, `CONTAINER`; ranges `8000-8009`.
pub fn publish(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    let (rest, udp) = match text.rsplit_once('/') {
        None => (text, false),
        Some((rest, "tcp")) => (rest, false),
        Some((rest, "udp")) => (rest, true),
        Some((_, other)) => {
            return Err(given.bad(format!("{} is neither tcp nor udp", quote(other))));
        }
    };
    let form = || given.bad("not [IP:]HOST:CONTAINER[/tcp|udp], HOST:CONTAINER or CONTAINER");
    let (ip, rest) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (ip, rest) = rest.split_once("]:").ok_or_else(form)?;
            (Some(ip), rest)
        }
        None if rest.matches(':').count() == 2 => {
            let (ip, rest) = rest.split_once(':').ok_or_else(form)?;
            (Some(ip), rest)
        }
        None => (None, rest),
    };
    let ip = ip.map(|ip| address(given, ip)).transpose()?;
    // The address that means all of them.
    let ip = ip.filter(|ip| !ip.is_unspecified());
    let (outside, inside) = match rest.split_once(':') {
        Some((_, inside)) if inside.contains(':') => return Err(form()),
        // `IP::CONTAINER`
        Some(("", inside)) => (None, range(given, inside)?),
        Some((outside, inside)) => (Some(range(given, outside)?), range(given, inside)?),
        None => (None, range(given, rest)?),
    };
    let count = usize::from(inside.1 - inside.0) + 1;
    if draft.spec.net_options.ports.len() + count > PORTS_MOST {
        return Err(given.bad(format!("more than {PORTS_MOST} ports")));
    }
    let ports = &mut draft.spec.net_options.ports;
    match outside {
        // One port inside and several outside: the first of those that is free.
        Some(_) if count == 1 => ports.push(Port { udp, ip, outside, inside: inside.0 }),
        Some((first, last)) if usize::from(last - first) + 1 == count => {
            for (outside, inside) in (first..=last).zip(inside.0..=inside.1) {
                ports.push(Port { udp, ip, outside: Some((outside, outside)), inside });
            }
        }
        Some(_) => return Err(given.bad("the two ranges are not of the same length")),
        None => {
            ports.extend((inside.0..=inside.1).map(|inside| Port { udp, ip, outside, inside }));
        }
    }
    Ok(())
}

fn range(given: Given, text: &str) -> Result<(u16, u16)> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u16>() {
            Ok(n) if digits && n > 0 => Ok(n),
            _ => Err(given.bad(format!("port {} is not a number from 1 to 65535", quote(text)))),
        }
    };
    match text.split_once('-') {
        None => port(text).map(|n| (n, n)),
        Some((first, last)) => {
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(given.bad(format!("the range {text} runs backwards")));
            }
            Ok((first, last))
        }
    }
}

fn address(given: Given, text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| given.bad(format!("{} is not an IP address", quote(text))))
}

pub fn dns(draft: &mut Draft, given: Given) -> Result<()> {
    let ip = address(given, given.text()?)?;
    draft.spec.net_options.dns.push(ip);
    Ok(())
}

pub fn search(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    host_name(given, text)?;
    draft.spec.net_options.search.push(text.to_owned());
    Ok(())
}

/// As in resolv.conf(5): `ndots:2`.
pub fn dns_option(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(given.bad("not an option of resolv.conf, such as ndots:2"));
    }
    draft.spec.net_options.dns_options.push(text.to_owned());
    Ok(())
}

pub fn alias(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    host_name(given, text)?;
    draft.spec.net_options.aliases.push(text.to_owned());
    Ok(())
}

/// `NAME:IP`, the IP of version 6 with or without brackets, or `host-gateway`.
pub fn add_host(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    let (name, ip) = text.split_once([':', '=']).ok_or_else(|| given.bad("not NAME:IP"))?;
    host_name(given, name)?;
    let ip = match ip {
        "host-gateway" => None,
        _ => Some(address(given, ip.trim_start_matches('[').trim_end_matches(']'))?),
    };
    draft.spec.net_options.hosts.push((name.to_owned(), ip));
    Ok(())
}

fn host_name(given: Given, name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if name.is_empty() || name.len() > 253 || !name.chars().all(allowed) {
        return Err(given.bad(format!("{} is not a host name", quote(name))));
    }
    Ok(())
}

pub fn ip(draft: &mut Draft, given: Given) -> Result<()> {
    let ip = given.text()?.parse().map_err(|_| given.bad("not an IPv4 address"))?;
    draft.spec.net_options.ip = Some(ip);
    Ok(())
}

pub fn mac(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    let bytes: Vec<u8> = text
        .split(':')
        .filter(|part| part.len() == 2)
        .filter_map(|part| u8::from_str_radix(part, 16).ok())
        .collect();
    let form = || given.bad("not a hardware address like 02:00:0a:00:00:05");
    let mac: [u8; 6] = bytes.try_into().map_err(|_| form())?;
    if text.len() != 17 {
        return Err(form());
    }
    if mac[0] & 1 != 0 || mac == [0; 6] {
        return Err(given.bad("a link's address is neither a group's nor zero"));
    }
    draft.spec.net_options.mac = Some(mac);
    Ok(())
}

/// `10.1.2.0/24`
pub fn subnet(draft: &mut Draft, given: Given) -> Result<()> {
    let form = || given.bad("not an IPv4 network like 10.1.2.0/24");
    let (ip, bits) = given.text()?.split_once('/').ok_or_else(form)?;
    let ip: Ipv4Addr = ip.parse().map_err(|_| form())?;
    let bits: u8 = bits.parse().map_err(|_| form())?;
    if !(8..=30).contains(&bits) {
        return Err(given.bad("the prefix has 8 to 30 bits"));
    }
    if u32::from(ip) & (u32::MAX >> bits) != 0 {
        let first = Ipv4Addr::from(u32::from(ip) & !(u32::MAX >> bits));
        return Err(given.bad(format!("the network begins at {first}/{bits}")));
    }
    if ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() {
        return Err(given.bad("not a range for hosts"));
    }
    draft.spec.net_options.subnet = Some((ip, bits));
    Ok(())
}

/// What was said about the network, taken together.
pub fn settle(draft: &mut Draft) -> Result<()> {
    let options = &draft.spec.net_options;
    let mut nets = std::mem::take(&mut draft.nets);
    if nets.is_empty() {
        let mut wants = wants_bridge(options);
        nets.extend(match (wants.next(), wants.next()) {
            (None, _) => None,
            (Some("--publish"), None) => Some(Net::ForPorts),
            _ => Some(Net::Bridge(vec![DEFAULT_BRIDGE.to_owned()])),
        });
    }
    let mut all: Option<Net> = None;
    for net in nets {
        all = Some(match (all, net) {
            (None, net) => net,
            (Some(Net::Bridge(mut have)), Net::Bridge(more)) => {
                for name in more {
                    if have.contains(&name) {
                        return Err(Error::new(format!("--net bridge:{name}: given twice")));
                    }
                    have.push(name);
                }
                Net::Bridge(have)
            }
            (Some(have), net) if have == net => net,
            // As docker and podman do: the last one alone is not what was asked for.
            _ => return Err(Error::new("--net: only bridges can be had together")),
        });
    }
    let net = all.unwrap_or_default();
    let carried = matches!(net, Net::UserMode(_) | Net::ForPorts);
    if !matches!(net, Net::Bridge(_))
        && let Some(option) = wants_bridge(options).find(|o| !(carried && *o == "--publish"))
    {
        return Err(Error::new(format!("{option} needs a bridge"))
            .hint("leave --net away, or write --net bridge"));
    }
    if options.internal && !options.ports.is_empty() {
        return Err(Error::new("--publish: an --internal bridge cannot be reached from outside"));
    }
    draft.spec.net = net;
    Ok(())
}

/// The options given that have no meaning without a bridge.
fn wants_bridge(options: &NetOptions) -> impl Iterator<Item = &'static str> {
    let given = [
        (!options.ports.is_empty(), "--publish"),
        (options.ip.is_some(), "--ip"),
        (options.mac.is_some(), "--mac"),
        (options.subnet.is_some(), "--subnet"),
        (options.ipv6, "--ipv6"),
        (options.internal, "--internal"),
        (!options.aliases.is_empty(), "--network-alias"),
    ];
    given.into_iter().filter(|(given, _)| *given).map(|(_, name)| name)
}

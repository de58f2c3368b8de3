//! Bridges: made for their first container, gone with their last.

use crate::error::{Error, Result};
use crate::net::link::{self, Prefix};
use crate::net::netlink::Socket;
use crate::net::place::Locked;
use crate::net::state::{Bridge, State};
use crate::net::{hash, hosts, nft, sysctl};
use crate::spec::NetOptions;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use rustix::io::Errno;

/// As many addresses as a bridge has ports (BR_MAX_PORTS).
const BITS: u8 = 22;
/// Where free ranges are looked for: little used by others' defaults.
const RANGES: [(Ipv4Addr, u8); 2] =
    [(Ipv4Addr::new(10, 213, 0, 0), 11), (Ipv4Addr::new(172, 24, 0, 0), 14)];

/// What lets packets pass from link to link (ip-sysctl.rst).
const FORWARD4: &str = "ipv4/ip_forward";
const FORWARD6: &str = "ipv6/conf/all/forwarding";

/// The bridge is there, up, and in the rules afterwards, as `options` want it.
pub fn ensure(
    socket: &Socket,
    locked: &mut Locked,
    name: &str,
    options: &NetOptions,
) -> Result<()> {
    let there = link::find(socket, name)?;
    if let Some(bridge) = locked.state.bridge(name) {
        suits(bridge, options)?;
        if there.is_some() {
            return Ok(());
        }
        // Somebody removed it.
        let bridge = bridge.clone();
        return make(socket, &locked.state, &bridge);
    }
    if let Some(link) = &there {
        if link.kind == "bridge" && link.mac == own_mac(name) {
            // Ours, of which the notes are lost.
            link::remove(socket, link.index).map_err(|e| bridge_error(name, e))?;
            return ensure(socket, locked, name, options);
        }
        return Err(Error::new(format!(
            "bridge {name}: there is a link of that name, which launch did not make"
        ))
        .hint("choose another name: --net bridge:NAME"));
    }
    let bridge = describe(socket, &locked.state, name, options)?;
    locked.state.bridges.push(bridge.clone());
    switch_forwarding_on(socket, &mut locked.state, &bridge, false)?;
    locked.state.bridged6 = sysctl::shows_bridged6();
    locked.save()?;
    make(socket, &locked.state, &bridge)?;
    switch_forwarding_on(socket, &mut locked.state, &bridge, true)
}

fn suits(bridge: &Bridge, options: &NetOptions) -> Result<()> {
    let has = |what: String| {
        Err(Error::new(format!("bridge {}: {what}", bridge.name))
            .hint("others are on it; choose another: --net bridge:NAME"))
    };
    if let Some((ip, bits)) = options.subnet
        && (bits != bridge.gateway.bits || !bridge.contains(ip))
    {
        return has(format!("has the range of {}, not {ip}/{bits}", bridge.gateway));
    }
    if options.ipv6 && bridge.gateway6.is_none() {
        return has("was made without --ipv6".into());
    }
    if options.internal && !bridge.internal {
        return has("was made without --internal".into());
    }
    if bridge.internal && !options.ports.is_empty() {
        return has("was made with --internal, so no port can be published".into());
    }
    Ok(())
}

fn describe(socket: &Socket, state: &State, name: &str, options: &NetOptions) -> Result<Bridge> {
    let mut taken = link::networks(socket)?;
    // Bridges that somebody removed, whose containers live.
    taken.extend(state.bridges.iter().flat_map(Bridge::networks));
    let range = match options.subnet {
        Some((ip, bits)) => {
            let range = Prefix { ip: ip.into(), bits };
            if let Some(other) = taken.iter().find(|t| t.overlaps(&range)) {
                return Err(Error::new(format!(
                    "--subnet {range}: this host has a route to {other}"
                ))
                .hint("choose a range that is free, or leave --subnet away"));
            }
            range
        }
        None => free_range(&taken).ok_or_else(|| {
            Error::new(format!("bridge {name}: no free range")).hint("give one: --subnet NET/BITS")
        })?,
    };
    let gateway = Prefix { ip: first(range.ip), bits: range.bits };
    let gateway6 = options.ipv6.then(|| unique_local(name, &taken));
    let mtu = link::uplink(socket)?.map_or(1500, |l| l.mtu.clamp(576, 65_535));
    // IPv6 does not work below 1280.
    let mtu = if options.ipv6 { mtu.max(1280) } else { mtu };
    let internal = options.internal;
    Ok(Bridge { name: name.into(), gateway, gateway6, mtu, internal, last: 1 })
}

/// The first of ours that overlaps nothing.
fn free_range(taken: &[Prefix]) -> Option<Prefix> {
    RANGES.iter().find_map(|&(start, bits)| {
        (0..1u32 << (BITS - bits)).find_map(|n| {
            let ip = Ipv4Addr::from(u32::from(start) + (n << (32 - BITS)));
            let range = Prefix { ip: ip.into(), bits: BITS };
            (!taken.iter().any(|t| t.overlaps(&range))).then_some(range)
        })
    })
}

fn first(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from(u32::from(ip) | 1)),
        other => other,
    }
}

/// RFC 4193, with an identifier of the machine's and the bridge's: the same every time.
fn unique_local(name: &str, taken: &[Prefix]) -> Prefix {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let mut salt = 0;
    loop {
        let id = u128::from(hash(&format!("{machine}{name}{salt}"))) & 0xff_ffff_ffff;
        let ip = IpAddr::V6(Ipv6Addr::from(0xfd << 120 | id << 80 | 1));
        let range = Prefix { ip, bits: 64 };
        salt += 1;
        if salt > 100 || !taken.iter().any(|t| t.overlaps(&range)) {
            return range;
        }
    }
}

/// What is in the state, in the kernel.
fn make(socket: &Socket, state: &State, bridge: &Bridge) -> Result<()> {
    let name = &bridge.name;
    let failed = |e| bridge_error(name, e);
    link::make_bridge(socket, name, own_mac(name), bridge.mtu).map_err(failed)?;
    let Some(link) = link::find(socket, name)? else { return Err(failed(Errno::NODEV)) };
    // Before there is anybody on it who could announce routes to the host.
    sysctl::write_if_there(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
    let (six, value) = match bridge.gateway6 {
        None => ("disable_ipv6", "1"),
        // Its addresses are ours alone, and of use at once: neighbours are asked by them.
        Some(_) => ("accept_dad", "0"),
    };
    sysctl::write_if_there(&format!("ipv6/conf/{name}/{six}"), value)?;
    // The host's own connections to ports published on 127.0.0.1 (see nft.rs).
    sysctl::write(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    link::configure(socket, link.index, &bridge.networks(), &[]).map_err(failed)?;
    if bridge.gateway6.is_some() {
        link::lead_to_loopback(socket, link.index).map_err(failed)?;
    }
    rules(state)
}

/// The whole table anew.
pub fn rules(state: &State) -> Result<()> {
    Socket::netfilter().and_then(|s| nft::write(&s, state)).map_err(rules_error)
}

pub fn rules_error(e: Errno) -> Error {
    let error = Error::os("write nftables table inet launch", e);
    if no_nftables(e) || e == Errno::NOENT {
        return error.hint("the kernel needs nf_tables with nat, masq, fib and ct (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NFT_FIB_INET, CONFIG_NFT_CT)");
    }
    error
}

pub fn no_nftables(e: Errno) -> bool {
    matches!(e, Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT)
}

fn bridge_error(name: &str, e: Errno) -> Error {
    let error = Error::os(format!("make bridge {name}"), e);
    match e {
        Errno::OPNOTSUPP => error.hint("the kernel has no bridges (modprobe bridge)"),
        Errno::PERM => {
            error.hint("this needs CAP_NET_ADMIN on the host; an ordinary user has --net pasta")
        }
        _ => error,
    }
}

/// By which a bridge is known to be ours.
fn own_mac(name: &str) -> [u8; 6] {
    mac_of(&format!("bridge {name}"))
}

/// A hardware address that is locally administered and the same for the same name.
pub fn mac_of(name: &str) -> [u8; 6] {
    let h = hash(name).to_be_bytes();
    [0x02, h[1] ^ h[0], h[2], h[3], h[4] ^ h[6], h[5] ^ h[7]]
}

/// Packets pass between links only where this is on; off again with the last bridge.
/// First noted (and saved), then done.
fn switch_forwarding_on(
    socket: &Socket,
    state: &mut State,
    bridge: &Bridge,
    now: bool,
) -> Result<()> {
    if bridge.internal {
        return Ok(());
    }
    if !now {
        let before = state.forward4 || state.forward6;
        state.forward4 |= sysctl::read(FORWARD4).as_deref() == Some("0");
        state.forward6 |=
            bridge.gateway6.is_some() && sysctl::read(FORWARD6).as_deref() == Some("0");
        if !before && (state.forward4 || state.forward6) {
            state.outer = links();
            state.outer.retain(|link| state.bridges.iter().all(|b| b.name != *link));
            let found = |name: &&String| link::find(socket, name).ok().flatten();
            let is_bridge = |name: &&String| found(name).is_some_and(|link| link.kind == "bridge");
            state.outer_bridges = state.outer.iter().filter(is_bridge).cloned().collect();
        }
        return Ok(());
    }
    if state.forward4 && sysctl::read(FORWARD4).as_deref() == Some("0") {
        sysctl::write(FORWARD4, "1")?;
    }
    if state.forward6 && sysctl::read(FORWARD6).as_deref() == Some("0") {
        keep_router_advertisements()?;
        sysctl::write(FORWARD6, "1")?;
    }
    Ok(())
}

/// Links of this network namespace, loopback not.
fn links() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names = table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    names.filter(|name| *name != "lo").map(str::to_owned).collect()
}

/// A host that forwards believes no router's announcements unless told so (ip-sysctl.rst):
/// it would lose its own default route. 2 is: believe them all the same.
fn keep_router_advertisements() -> Result<()> {
    let Ok(links) = std::fs::read_dir("/proc/sys/net/ipv6/conf") else { return Ok(()) };
    for link in links.flatten() {
        let name = format!("ipv6/conf/{}/accept_ra", link.file_name().to_string_lossy());
        if sysctl::read(&name).as_deref() == Some("1") {
            sysctl::write(&name, "2")?;
        }
    }
    Ok(())
}

/// What becomes of bridges without a lease.
pub enum Unused {
    Go,
    Stay,
    /// Those of these names that have given no address since (`Bridge::last`).
    GoIfStill(Vec<(String, u32)>),
}

/// Bridges without a lease go, with their rules; forwarding is as it was when the last
/// one is gone.
pub fn remove_unused(locked: &mut Locked, unused: &Unused) -> Result<()> {
    let State { bridges, leases, .. } = &mut locked.state;
    let used = |b: &Bridge| {
        leases.iter().any(|l| l.bridge == b.name)
            || match unused {
                Unused::Go => false,
                Unused::Stay => true,
                Unused::GoIfStill(then) => {
                    !then.iter().any(|(name, last)| *name == b.name && *last == b.last)
                }
            }
    };
    let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(bridges).into_iter().partition(used);
    locked.state.bridges = stay;
    if go.is_empty() {
        return Ok(());
    }
    let socket = Socket::route().map_err(|e| Error::os("open a netlink socket", e))?;
    let nothing_left = locked.state.bridges.is_empty();
    locked.state.bridged6 = !nothing_left && sysctl::shows_bridged6();
    let off = close(&mut locked.state);
    match Socket::netfilter().and_then(|s| {
        let done = nft::write(&s, &locked.state);
        s.leave_open();
        done
    }) {
        Err(e) if !(nothing_left && no_nftables(e)) => return Err(rules_error(e)),
        _ => {}
    }
    for bridge in &go {
        if let Some(link) = link::find(&socket, &bridge.name)? {
            match link::remove(&socket, link.index) {
                Ok(()) | Err(Errno::NODEV) => {}
                Err(e) => return Err(Error::os(format!("remove bridge {}", bridge.name), e)),
            }
        }
    }
    let hosts = go.iter().map(|bridge| hosts::shared(&locked.dir, &bridge.name));
    hosts.for_each(|file| drop(std::fs::remove_file(file)));
    off.into_iter().flatten().try_for_each(|setting| sysctl::write(setting, "0"))
}

/// Notes that forwarding is off again where no bridge needs it. Returned: what then has to be
/// switched off.
fn close(state: &mut State) -> [Option<&'static str>; 2] {
    let mut out = state.bridges.iter().filter(|b| !b.internal);
    let (open4, open6) = (out.clone().next().is_some(), out.any(|b| b.gateway6.is_some()));
    let four = (state.forward4 && !open4).then_some(FORWARD4);
    let six = (state.forward6 && !open6).then_some(FORWARD6);
    (state.forward4, state.forward6) = (state.forward4 && open4, state.forward6 && open6);
    if !state.forward4 && !state.forward6 {
        state.outer.clear();
        state.outer_bridges.clear();
    }
    [four, six]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_is_free() {
        let range = |ip: &str, bits| Prefix { ip: ip.parse().unwrap(), bits };
        assert_eq!(free_range(&[]), Some(range("10.213.0.0", 22)));
        assert_eq!(free_range(&[range("10.213.0.9", 32)]), Some(range("10.213.4.0", 22)));
        assert_eq!(free_range(&[range("10.0.0.0", 8)]), Some(range("172.24.0.0", 22)));
        assert_eq!(free_range(&[range("10.0.0.0", 8), range("172.16.0.0", 12)]), None);
    }

    #[test]
    fn hardware_addresses() {
        assert_ne!(mac_of("a"), mac_of("b"));
        assert_eq!(mac_of("web"), mac_of("web"));
        assert_eq!(mac_of("web")[0] & 3, 2);
    }
}

//! /etc/hosts of containers on bridges: one file for each bridge, bound into all its
//! containers and rewritten in place, so that those that run see who comes and goes.

use crate::error::{Error, Result};
use crate::net::place::Locked;
use crate::net::state::{Bridge, Lease, State};
use core::net::IpAddr;
use std::fmt::Write;
use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What every hosts file begins with.
pub const LOOPBACK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
/// What the host is called, as docker's and podman's users know it.
const HOST_NAMES: &str = "host.docker.internal host.containers.internal";

/// The file that all containers of a bridge share.
pub fn shared(dir: &Path, bridge: &str) -> PathBuf {
    dir.join(format!("{bridge}.hosts"))
}

/// The one of a container with names of its own, or on several bridges.
pub fn own(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("@{id}.hosts"))
}

/// The one that a container on bridges has, by its name.
pub fn of(dir: &Path, id: &str) -> Option<PathBuf> {
    let state = State::decode(&std::fs::read_to_string(dir.join("state")).ok()?);
    let lease = state.leases.iter().find(|l| l.id == id)?;
    Some(match lease.hosts {
        Some(_) => own(dir, id),
        None => shared(dir, &lease.bridge),
    })
}

/// All files as the state has it.
pub fn write(locked: &Locked) -> Result<()> {
    let state = &locked.state;
    for bridge in &state.bridges {
        let text = text(state, std::slice::from_ref(bridge), &[]);
        replace(&shared(&locked.dir, &bridge.name), &text)?;
    }
    let mut done: Vec<&str> = Vec::new();
    for lease in state.leases.iter().filter(|l| l.hosts.is_some()) {
        if done.contains(&lease.id.as_str()) {
            continue;
        }
        done.push(&lease.id);
        let leases = state.leases.iter().filter(|l| l.id == lease.id);
        let bridges: Vec<Bridge> =
            leases.filter_map(|l| state.bridge(&l.bridge).cloned()).collect();
        let names = lease.hosts.as_deref().unwrap_or_default();
        replace(&own(&locked.dir, &lease.id), &text(state, &bridges, names))?;
    }
    Ok(())
}

fn text(state: &State, bridges: &[Bridge], more: &[(IpAddr, String)]) -> String {
    let mut out = LOOPBACK.to_owned();
    if let Some(first) = bridges.first() {
        let _ = writeln!(out, "{}\t{HOST_NAMES}", first.gateway.ip);
    }
    for (ip, name) in more {
        let _ = writeln!(out, "{ip}\t{name}");
    }
    for bridge in bridges {
        for lease in state.leases.iter().filter(|l| l.bridge == bridge.name) {
            line(&mut out, bridge, lease);
        }
    }
    out
}

fn line(out: &mut String, bridge: &Bridge, lease: &Lease) {
    let ips = std::iter::once(IpAddr::V4(lease.ip)).chain(bridge.second(lease.ip));
    for ip in ips {
        let _ = writeln!(out, "{ip}\t{}", lease.names.join(" "));
    }
}

/// In place, as it is bound by its inode. Who reads meanwhile sees whole lines: what is
/// longer grows at its end, what is shorter is filled with empty lines and then cut off.
fn replace(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = text.as_bytes().to_vec();
        let before = file.metadata()?.len();
        if before == 0 {
            // Read inside by whomever, whatever our umask.
            file.set_permissions(Permissions::from_mode(0o644))?;
        }
        bytes.resize(bytes.len().max(before as usize), b'\n');
        file.write_all_at(&bytes, 0)?;
        if bytes.len() > text.len() { file.set_len(text.len() as u64) } else { Ok(()) }
    };
    write().map_err(|e| Error::os(format!("write {}", path.display()), e))
}

/// A resolv.conf for inside: the host's, or what was asked for.
pub struct Resolver<'a> {
    /// The host's own file.
    pub host: &'a str,
    pub dns: &'a [IpAddr],
    pub search: &'a [String],
    pub options: &'a [String],
    /// The host's loopback is the container's, too.
    pub same_loopback: bool,
}

impl Resolver<'_> {
    pub fn text(&self) -> String {
        let mut out = String::new();
        for line in self.host.lines() {
            let mut words = line.split_whitespace();
            let keep = match words.next() {
                Some("nameserver") => {
                    self.dns.is_empty() && words.next().is_some_and(|ip| self.reachable(ip))
                }
                Some("search" | "domain") => self.search.is_empty(),
                Some("options") => true,
                _ => false,
            };
            if keep {
                out.push_str(line.trim());
                out.push('\n');
            }
        }
        for ip in self.dns {
            let _ = writeln!(out, "nameserver {ip}");
        }
        if !self.search.is_empty() {
            let _ = writeln!(out, "search {}", self.search.join(" "));
        }
        for option in self.options {
            let _ = writeln!(out, "options {option}");
        }
        out
    }

    fn reachable(&self, ip: &str) -> bool {
        // A zone (`fe80::1%eth0`) names one of the host's links.
        match ip.parse::<IpAddr>() {
            Ok(ip) => self.same_loopback || !(ip.is_loopback() || ip.is_unspecified()),
            Err(_) => self.same_loopback,
        }
    }
}

/// Whether the host's first resolver cannot be reached from another network namespace.
pub fn first_is_loopback() -> bool {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let first = text.lines().find_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok());
    first.is_none_or(|ip: IpAddr| ip.is_loopback())
}

/// The host's resolv.conf; where systemd-resolved answers on loopback, the list of the
/// servers that it asks itself (resolved.conf(5)).
pub fn resolv_conf(same_loopback: bool) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let text = read("/etc/resolv.conf");
    let stub = |l: &str| l.split_whitespace().eq(["nameserver", "127.0.0.53"]);
    if !same_loopback && text.lines().any(stub) {
        let behind = read("/run/systemd/resolve/resolv.conf");
        if !behind.is_empty() {
            return behind;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_resolvers_less_its_own() {
        let host = "# made by dhcp\nnameserver 127.0.0.1\nnameserver 192.0.2.7\n nameserver ::1\nsearch a.example b.example\noptions ndots:2\nnameserver fe80::1%eth0\n";
        let none = Resolver { host, dns: &[], search: &[], options: &[], same_loopback: false };
        assert_eq!(
            none.text(),
            "nameserver 192.0.2.7\nsearch a.example b.example\noptions ndots:2\n"
        );
        let dns = ["9.9.9.9".parse().unwrap()];
        let search = ["c.example".to_owned()];
        let asked = Resolver { dns: &dns, search: &search, ..none };
        assert_eq!(asked.text(), "options ndots:2\nnameserver 9.9.9.9\nsearch c.example\n");
        let more = ["rotate".to_owned()];
        let more = Resolver { options: &more, ..asked };
        assert!(more.text().ends_with("search c.example\noptions rotate\n"));
        let same = Resolver { dns: &[], search: &[], same_loopback: true, ..asked };
        assert_eq!(same.text().matches("nameserver").count(), 4);
    }

    #[test]
    fn files_keep_their_inode() {
        use std::os::unix::fs::MetadataExt;
        let dir = crate::scratch::Scratch::new("hosts");
        let path = dir.path().join("hosts");
        replace(&path, "one\ntwo\n").unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        for text in ["one\ntwo\nthree\n", "two\n", ""] {
            replace(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    }
}

//! /etc/hosts, /etc/hostname and /etc/resolv.conf, mounted: the rootfs keeps its own.

use super::{Builder, c_path, parents};
use crate::beneath;
use crate::error::{Error, Result};
use crate::net::{self, hosts};
use crate::record;
use crate::spec::{Net, Owners, Spec};
use crate::step::{Bind, ChildStep, Provided};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// What another container's network comes with, so much of each file.
const OTHERS_MOST: u64 = 1 << 20;

/// The option's, or that of the container whose network it has, or its own name.
pub fn hostname(spec: &Spec, id: &str) -> Result<String> {
    if let (None, Net::Container(name)) = (&spec.hostname, &spec.net) {
        // One that is not ready yet has said nothing of its name.
        record::find(name.as_ref())?.ready_process()?;
    }
    Ok(hostname_of(spec, id, 8))
}

/// Of so many containers, one in the network of the other.
fn hostname_of(spec: &Spec, id: &str, most: u32) -> String {
    let others = || {
        let Net::Container(name) = &spec.net else { return None };
        let found = record::look_for(name).ok()?.filter(|_| most > 0)?;
        Some(hostname_of(&*found.spec().ok()?, &found.name, most - 1))
    };
    spec.hostname.clone().or_else(others).unwrap_or_else(|| id.to_owned())
}

impl Builder<'_> {
    /// The hosts file of the bridge is opened while the host's files are still to be seen.
    pub fn open_hosts(&mut self) -> Result<()> {
        let path = match (&self.net, &self.spec.net) {
            (Some(wanted), _) => {
                let dir = net::place::here()?;
                match &wanted.bridges[..] {
                    [bridge] if !wanted.own_hosts => hosts::shared(&dir, bridge),
                    _ => hosts::own(&dir, &wanted.id),
                }
            }
            // Its hosts file, too, if it is on a bridge.
            (None, Net::Container(name)) if self.spec.net_options.hosts.is_empty() => {
                match hosts::of(&net::place::here()?, name) {
                    Some(path) => path,
                    None => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        self.hosts_slot = Some(self.source(&path, false, Owners::Hosts)?);
        Ok(())
    }

    pub fn names(&mut self, hostname: &str) -> Result<()> {
        let options = &self.spec.net_options;
        let all = self.spec.net != Net::None;
        if all || !options.hosts.is_empty() {
            let must = !options.hosts.is_empty();
            let others = if must { None } else { self.others("/etc/hosts")? };
            let text = match others.filter(|_| self.hosts_slot.is_none()) {
                Some(text) => Some(text),
                None => self.hosts_file()?,
            };
            self.provide("/etc/hosts", text, must)?;
        }
        if all {
            self.provide("/etc/hostname", Some(format!("{hostname}\n")), false)?;
        }
        let given = [options.search.is_empty(), options.dns_options.is_empty()];
        let must = !options.dns.is_empty() || given.contains(&false);
        if all || must {
            let others = if must { None } else { self.others("/etc/resolv.conf")? };
            let text = others.unwrap_or_else(|| self.resolver());
            self.provide("/etc/resolv.conf", Some(text), must)?;
        }
        Ok(())
    }

    /// The file as the container has it whose network this one gets, if it does.
    fn others(&self, path: &str) -> Result<Option<String>> {
        let Net::Container(name) = &self.spec.net else { return Ok(None) };
        let failed = |e| Error::os(format!("read {path} of container {name}"), e);
        let (pid, _alive) = record::find(name.as_ref())?.ready_process()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = format!("/proc/{}/root", pid.as_raw_nonzero());
        let root = rustix::fs::open(root, flags, Mode::empty()).map_err(failed)?;
        match beneath::read_in_root(root.as_fd(), Path::new(path), OTHERS_MOST) {
            Ok(text) => Ok(text.and_then(|text| String::from_utf8(text).ok())),
            // A link to a device or the like: it wants no such file.
            Err(Errno::NODEV | Errno::FBIG) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    /// None: the one that is opened.
    fn hosts_file(&self) -> Result<Option<String>> {
        if self.hosts_slot.is_some() {
            return Ok(None);
        }
        let mut text = match self.spec.net {
            Net::Host => std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
            _ => hosts::LOOPBACK.to_owned(),
        };
        for (name, ip) in &self.spec.net_options.hosts {
            let host = (self.spec.net == Net::Host).then(|| [127, 0, 0, 1].into());
            let ip = ip.or(host).ok_or_else(|| {
                Error::new(format!("--add-host {name}:host-gateway: only on a bridge"))
            })?;
            let _ = writeln!(text, "{ip}\t{name}");
        }
        Ok(Some(text))
    }

    fn resolver(&self) -> String {
        let options = &self.spec.net_options;
        let own = match &self.spec.net {
            // As ip-netns(8) has it.
            Net::Namespace(path) => path.file_name().and_then(|name| {
                std::fs::read_to_string(Path::new("/etc/netns").join(name).join("resolv.conf")).ok()
            }),
            _ => None,
        };
        let same_loopback = own.is_some() || self.spec.net == Net::Host;
        let host = own.unwrap_or_else(|| hosts::resolv_conf(same_loopback));
        let (dns, search, options) = (&options.dns, &options.search, &options.dns_options);
        let resolver = hosts::Resolver { host: &host, dns, search, options, same_loopback };
        let mut text = resolver.text();
        if let Net::UserMode(program) = self.spec.net
            && !text.contains("nameserver")
        {
            let _ = writeln!(text, "nameserver {}", program.resolver());
        }
        text
    }

    /// What the user mounts there goes before.
    fn provide(&mut self, path: &str, text: Option<String>, must: bool) -> Result<()> {
        let path = Path::new(path);
        let users = self.spec.mounts.iter().any(|m| m.target() == path);
        let Some(target) = self.resolve(path).filter(|_| !users) else { return Ok(()) };
        // The bridge's is not this container's alone.
        let shared = text.is_none();
        let bind = Bind {
            slot: self.hosts_slot.unwrap_or_default(),
            tree: shared && self.sends_trees(),
            target: c_path(&target)?,
            parents: parents(&target)?,
            directory: false,
            read_only: shared || self.spec.read_only,
            source: path.to_owned(),
        };
        let text = text.map(String::into_bytes);
        self.child.push(ChildStep::Provide(Box::new(Provided { bind, text, must })));
        Ok(())
    }

    /// Where a link of the image's leads, even when nothing is there yet: /etc/resolv.conf
    /// is often one into /run. None: to a device or the like, so the image wants no such file.
    fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..8 {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(fd) = beneath::open_in_root(self.rootfs, &path, flags, Mode::empty()) else {
                break;
            };
            let Ok(target) = rustix::fs::readlinkat(&fd, "", Vec::new()) else { break };
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            let mut joined = path.parent().unwrap_or(Path::new("/")).join(target);
            joined = plain(&joined);
            path = joined;
        }
        let kernel = ["/proc", "/sys", "/dev"].iter().any(|dir| path.starts_with(dir));
        (!kernel && path != Path::new("/")).then_some(path)
    }
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => drop(out.pop()),
            _ => {}
        }
    }
    out
}

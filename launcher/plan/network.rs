//! The network as steps of the parent's.

use super::Builder;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::net::state::Published;
use crate::net::step::NetStep;
use crate::net::usermode::UserMode;
use crate::net::{self, Wanted, place, port};
use crate::record::{self, RecordItem};
use crate::spec::{Net, Spec};
use crate::step::HostStep;

/// What the container is to have on bridges, if it is to be on any.
pub fn wanted(spec: &Spec, host: &Host, id: &str, hostname: &str) -> Result<Option<Wanted>> {
    let Net::Bridge(bridges) = &spec.net else { return Ok(None) };
    if host.rootless {
        return Err(Error::new("--net bridge: only root can put a link on a bridge of the host")
            .hint("an ordinary user has --net pasta"));
    }
    let mut names = vec![hostname.to_owned()];
    if hostname != id {
        names.push(id.to_owned());
    }
    names.extend(spec.net_options.aliases.iter().cloned());
    Ok(Some(Wanted {
        id: id.to_owned(),
        names,
        bridges: bridges.clone(),
        options: spec.net_options.clone(),
        own_hosts: bridges.len() > 1 || !spec.net_options.hosts.is_empty(),
    }))
}

impl Builder<'_> {
    /// The child is made together with a network namespace that is its own.
    pub fn born_in_network(&self) -> bool {
        match self.spec.net {
            Net::None => !self.apart(),
            // Its user namespace owns it.
            Net::Bridge(_) => self.ids.is_some(),
            Net::UserMode(_) => true,
            Net::Host | Net::Namespace(_) | Net::Container(_) | Net::ForPorts => false,
        }
    }

    pub fn network_item(&self) -> Result<Option<RecordItem>> {
        let Some(wanted) = &self.net else { return Ok(None) };
        let (namespace, id) = (place::namespace()?, wanted.id.clone());
        Ok(Some(RecordItem::Network { namespace, id }))
    }

    /// The host's ports that lead to it, where a program carries them.
    pub fn carried(&self) -> Result<Vec<Published>> {
        match self.spec.net {
            Net::UserMode(_) => port::free(&self.spec.net_options.ports),
            _ => Ok(Vec::new()),
        }
    }

    /// Before the child is made.
    pub fn network_before(&self) -> Result<Vec<HostStep>> {
        if let Net::Namespace(path) = &self.spec.net {
            let namespace = net::open_namespace(path)?;
            return Ok(vec![HostStep::Net(NetStep::Enter { path: path.clone(), namespace })]);
        }
        if let Net::Container(name) = &self.spec.net {
            let (path, namespace) = net::of_container(name)?;
            return Ok(vec![HostStep::Net(NetStep::Enter { path, namespace })]);
        }
        let Some(wanted) = &self.net else { return Ok(Vec::new()) };
        let bridges = &wanted.bridges;
        let mut steps = vec![NetStep::Lock(Box::new(wanted.clone()))];
        steps.extend(bridges.iter().cloned().map(NetStep::MakeBridge));
        steps.push(NetStep::Lease { bridges: bridges.clone() });
        if !wanted.options.ports.is_empty() {
            steps.push(NetStep::Publish(wanted.options.ports.clone()));
        }
        let mut steps: Vec<_> = steps.into_iter().map(HostStep::Net).collect();
        if !self.apart() && !self.born_in_network() {
            // The child inherits it, and finds it when it mounts /sys.
            steps.extend([HostStep::NewNetwork, HostStep::LoopbackUp]);
            steps.extend(self.plug());
        }
        Ok(steps)
    }

    /// While the child mounts.
    pub fn network_after(&self, id: &str, ports: Vec<Published>) -> Result<Vec<HostStep>> {
        let mut steps = Vec::new();
        if let Net::UserMode(kind) = self.spec.net {
            if !self.host.rootless {
                return Err(Error::new(format!("--net {}: for ordinary users", kind.name()))
                    .hint("root has --net bridge"));
            }
            let (place, _) = record::own_place()?;
            steps.push(HostStep::Net(NetStep::UserMode(Box::new(UserMode {
                kind,
                program: kind.find()?,
                ports,
                file: place.join(format!(".{id}.{}", kind.name())),
            }))));
        }
        if self.apart() {
            steps.push(HostStep::NewNetwork);
            if self.loopback_later() {
                steps.push(HostStep::Go);
            }
            steps.push(HostStep::LoopbackUp);
            steps.extend(self.plug());
        } else if self.net.is_some() && self.born_in_network() {
            steps.push(HostStep::Net(NetStep::EnterChild));
            steps.extend(self.plug());
        }
        Ok(steps)
    }

    /// The child need not wait for it, but before it executes anything.
    pub fn loopback_later(&self) -> bool {
        self.apart() && self.net.is_none()
    }

    fn plug(&self) -> Option<HostStep> {
        let bridges = self.net.as_ref()?.bridges.clone();
        Some(HostStep::Net(NetStep::Plug { bridges }))
    }
}

//! What the parent does for a container's network: steps, their words, and what comes
//! closest with ip(8), nft(8) and sysctl(8).

use crate::error::{Error, Result};
use crate::net::state::protocol;
use crate::net::usermode::UserMode;
use crate::net::{Session, Wanted, list, open_namespace};
use crate::spec::Port;
use crate::sys;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Pid;
use std::path::PathBuf;

/// Undone all together, by `Session::end`.
pub enum NetStep {
    /// Nobody else takes or gives back addresses and ports meanwhile.
    Lock(Box<Wanted>),
    /// It is there, with a range, rules and a way out, unless it is already.
    MakeBridge(String),
    /// An address on each, and the container's name for its neighbours.
    Lease {
        bridges: Vec<String>,
    },
    Publish(Vec<Port>),
    /// A link pair for each bridge, into the network namespace made before.
    Plug {
        bridges: Vec<String>,
    },
    /// A program that carries what the container sends.
    UserMode(Box<UserMode>),
    /// The one that the child has in its user namespace.
    EnterChild,
    /// A namespace that exists; the child is born in it.
    Enter {
        path: PathBuf,
        namespace: OwnedFd,
    },
}

impl NetStep {
    /// What is to be ended comes into `session` and `helper`.
    pub fn run(
        &self,
        session: &mut Option<Session>,
        helper: &mut Option<Pid>,
        child: Option<Pid>,
    ) -> Result<()> {
        let child = || child.ok_or_else(|| Error::new("there is no child"));
        match self {
            NetStep::UserMode(program) => {
                *helper = Some(program.start(child()?)?);
                return Ok(());
            }
            NetStep::EnterChild => {
                session.iter_mut().for_each(Session::unlock);
                let child = child()?;
                let file = format!("/proc/{}/ns/net", child.as_raw_nonzero());
                let namespace = open_namespace(file.as_ref())?;
                let entered = sys::join(namespace.as_raw_fd(), sys::ns::NEWNET);
                return entered.map_err(|e| self.error(e));
            }
            NetStep::Lock(wanted) => {
                *session = Some(Session::begin(wanted)?);
                return Ok(());
            }
            NetStep::Enter { namespace, .. } => {
                let entered = sys::join(namespace.as_raw_fd(), sys::ns::NEWNET);
                return entered.map_err(|e| self.error(e));
            }
            _ => {}
        }
        let session = session.as_mut().ok_or_else(|| Error::new("no network was begun"))?;
        match self {
            NetStep::MakeBridge(name) => session.bridge(name),
            NetStep::Lease { .. } => session.lease(),
            NetStep::Publish(_) => session.publish(),
            _ => session.plug().map_err(|e| self.error(e)),
        }
    }

    /// The words that this step has for an error of the kernel's.
    pub fn error(&self, errno: Errno) -> Error {
        let error = Error::os(self.words(), errno);
        match (self, errno) {
            (NetStep::Enter { .. }, Errno::PERM) => {
                error.hint("this needs CAP_SYS_ADMIN over that namespace: root's, mostly")
            }
            (NetStep::Plug { .. }, Errno::OPNOTSUPP) => {
                error.hint("the kernel has no veth (modprobe veth)")
            }
            _ => error,
        }
    }

    pub fn words(&self) -> String {
        match self {
            NetStep::Lock(_) => "look at the bridges there are, and keep others from it".into(),
            NetStep::MakeBridge(name) => format!("make bridge {name}, unless it is there"),
            NetStep::Lease { bridges } => format!("take an address on {}", bridges.join(" and ")),
            NetStep::Publish(ports) => format!("publish {}", list(ports)),
            NetStep::Plug { bridges } => format!("plug it into {}", bridges.join(" and ")),
            NetStep::UserMode(program) => format!("let {} carry its network", program.kind.name()),
            NetStep::EnterChild => "enter its network namespace".into(),
            NetStep::Enter { path, .. } => format!("enter network namespace {}", path.display()),
        }
    }

    pub fn shell(&self) -> Vec<String> {
        match self {
            NetStep::Lock(_) => vec!["flock /run/launch/.net/.../lock ...".into()],
            NetStep::MakeBridge(name) => bridge(name),
            NetStep::Lease { .. } => vec!["echo $IP $NAME >> /run/launch/.net/.../hosts".into()],
            NetStep::Publish(ports) => publish(ports),
            NetStep::Plug { bridges } => plug(bridges),
            NetStep::UserMode(program) => vec![program.shell()],
            NetStep::EnterChild => vec!["nsenter --net --target $PID ...".into()],
            NetStep::Enter { path, .. } => vec![format!("nsenter --net={} ...", path.display())],
        }
    }
}

fn bridge(name: &str) -> Vec<String> {
    vec![
        format!("ip link add {name} mtu $UPLINK_MTU up type bridge"),
        format!("ip addr add $RANGE.1/22 dev {name}; sysctl -w net.ipv4.conf.{name}.route_localnet=1 net.ipv4.ip_forward=1"),
        "nft add table inet launch; nft add map inet launch ports4 '{ type inet_proto . inet_service : ipv4_addr . inet_service; }'".into(),
        format!("nft add rule inet launch postrouting ip saddr $RANGE oifname != {name} masquerade"),
        "nft add rule inet launch prerouting fib daddr type local dnat ip to meta l4proto . th dport map @ports4 # output too".into(),
        format!("nft add rule inet launch forward oifname {name} iifname != {name} ct state new ct status != dnat drop"),
    ]
}

fn publish(ports: &[Port]) -> Vec<String> {
    let element = |p: &Port| {
        let outside = p.outside.map_or("$FREE".into(), |(first, _)| first.to_string());
        let protocol = protocol(p.udp);
        format!(
            "nft add element inet launch ports4 '{{ {protocol} . {outside} : $IP . {} }}'",
            p.inside
        )
    };
    ports.iter().take(5).map(element).collect()
}

fn plug(bridges: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for (n, bridge) in bridges.iter().enumerate() {
        lines.push(format!(
            "ip -n $HOST link add veth$ID up master {bridge} type veth peer name eth{n} netns $NEW"
        ));
        lines.push(format!("ip addr add $IP/22 dev eth{n}; ip link set eth{n} up"));
    }
    lines.push("ip route add default via $RANGE.1".into());
    lines
}

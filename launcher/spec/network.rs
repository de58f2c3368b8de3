//! The network that was asked for.

use core::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// The bridge that is meant where none is named.
pub const DEFAULT_BRIDGE: &str = "launch0";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Net {
    /// A network namespace with nothing but loopback.
    #[default]
    None,
    /// The caller's network.
    Host,
    /// One that exists, by its file (`ip netns`, /proc/PID/ns/net).
    Namespace(PathBuf),
    /// A network of its own, carried by this program in the caller's name.
    UserMode(UserMode),
    /// The network of another container.
    Container(String),
    /// On these bridges of ours, each the name of a link; never empty.
    Bridge(Vec<String>),
    /// What publishes ports when nothing else was said: root's bridge, an ordinary user's
    /// program. Plans have one of those.
    ForPorts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserMode {
    Pasta,
    Slirp,
}

/// What goes with `Net`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetOptions {
    pub ports: Vec<Port>,
    /// Name servers and search list in place of the host's.
    pub dns: Vec<IpAddr>,
    pub search: Vec<String>,
    /// Options of resolv.conf(5), beside the host's.
    pub dns_options: Vec<String>,
    /// More names by which others on the bridge find it.
    pub aliases: Vec<String>,
    /// `--add-host`; no address: the host's, on the bridge.
    pub hosts: Vec<(String, Option<IpAddr>)>,
    /// On the first bridge, as are the next two.
    pub ip: Option<Ipv4Addr>,
    pub mac: Option<[u8; 6]>,
    /// For a bridge that is not there yet: first address and length of its prefix.
    pub subnet: Option<(Ipv4Addr, u8)>,
    pub ipv6: bool,
    /// Without a way out, and no way in.
    pub internal: bool,
}

/// One port of the container, published.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub udp: bool,
    /// The host's address; None: all of them.
    pub ip: Option<IpAddr>,
    /// The first free one of these, both ends included; None: any.
    pub outside: Option<(u16, u16)>,
    pub inside: u16,
}

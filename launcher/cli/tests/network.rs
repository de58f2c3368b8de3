//! `--net` and its neighbours.

use super::*;
use crate::spec::{NetOptions, Port, UserMode};

fn refused(options: &[&str]) -> String {
    match parse(words(&[options, &["./r", "/app"]].concat())) {
        Err(e) => e.to_string(),
        Ok(other) => panic!("{options:?}: {other:?}"),
    }
}

fn bridge(names: &[&str]) -> Net {
    Net::Bridge(names.iter().map(|n| (*n).to_owned()).collect())
}

#[test]
fn networks() {
    for (options, net) in [
        (&[][..], Net::None),
        (&["--net", "none"], Net::None),
        (&["--network=host"], Net::Host),
        (&["--net", "bridge"], bridge(&["launch0"])),
        (&["--net", "bridge:a", "--net", "bridge:b"], bridge(&["a", "b"])),
        (&["--net", "ns:/run/netns/x:y"], Net::Namespace("/run/netns/x:y".into())),
        (&["--net", "pasta", "-p", "80"], Net::UserMode(UserMode::Pasta)),
        (&["--net", "slirp4netns"], Net::UserMode(UserMode::Slirp)),
        (&["--net", "container:web"], Net::Container("web".into())),
        (&["-p", "80"], Net::ForPorts),
        (&["-p", "80", "--ip", "10.0.0.9"], bridge(&["launch0"])),
        (&["--ipv6"], bridge(&["launch0"])),
        (&["--dns", "9.9.9.9"], Net::None),
    ] {
        assert_eq!(spec(options).net, net, "{options:?}");
    }
}

#[test]
fn ports() {
    let port = |udp, ip: Option<&str>, outside, inside| Port {
        udp,
        ip: ip.map(|ip| ip.parse().unwrap()),
        outside,
        inside,
    };
    for (text, want) in [
        ("8080:80", vec![port(false, None, Some((8080, 8080)), 80)]),
        ("80", vec![port(false, None, None, 80)]),
        ("53:53/udp", vec![port(true, None, Some((53, 53)), 53)]),
        ("127.0.0.1:1:2/tcp", vec![port(false, Some("127.0.0.1"), Some((1, 1)), 2)]),
        ("127.0.0.1::2", vec![port(false, Some("127.0.0.1"), None, 2)]),
        ("0.0.0.0:1:2", vec![port(false, None, Some((1, 1)), 2)]),
        ("[::1]:1:2", vec![port(false, Some("::1"), Some((1, 1)), 2)]),
        ("1-2:3-4", vec![port(false, None, Some((1, 1)), 3), port(false, None, Some((2, 2)), 4)]),
        ("1-9:3", vec![port(false, None, Some((1, 9)), 3)]),
        ("3-4", vec![port(false, None, None, 3), port(false, None, None, 4)]),
    ] {
        assert_eq!(spec(&["-p", text]).net_options.ports, want, "{text}");
    }
}

#[test]
fn names_and_addresses() {
    let options = spec(&[
        "--net",
        "bridge",
        "--dns",
        "9.9.9.9",
        "--dns",
        "::1",
        "--dns-search",
        "a.example",
        "--add-host",
        "db:10.0.0.1",
        "--add-host",
        "v6:[fd00::1]",
        "--add-host",
        "h:host-gateway",
        "--ip",
        "10.0.0.9",
        "--mac",
        "02:00:0a:00:00:05",
        "--subnet",
        "10.0.0.0/24",
        "--internal",
    ])
    .net_options;
    let ip = |text: &str| text.parse().unwrap();
    let host = |name: &str, ip| (name.to_owned(), ip);
    assert_eq!(
        options,
        NetOptions {
            dns: vec![ip("9.9.9.9"), ip("::1")],
            search: vec!["a.example".into()],
            hosts: vec![
                host("db", Some(ip("10.0.0.1"))),
                host("v6", Some(ip("fd00::1"))),
                host("h", None),
            ],
            ip: Some("10.0.0.9".parse().unwrap()),
            mac: Some([2, 0, 10, 0, 0, 5]),
            subnet: Some(("10.0.0.0".parse().unwrap(), 24)),
            internal: true,
            ..NetOptions::default()
        }
    );
}

#[test]
fn refusals() {
    for (options, said) in [
        (&["-p", "0"][..], "port '0' is not a number from 1 to 65535"),
        (&["-p", "99999:80"], "port '99999' is not"),
        (&["-p", "x"], "port 'x' is not"),
        (&["-p", "+1:80"], "port '+1' is not"),
        (&["-p", ""], "port '' is not"),
        (&["-p", "1:2:3:4"], "not [IP:]HOST:CONTAINER"),
        (&["-p", "a:1:2"], "'a' is not an IP address"),
        (&["-p", "::1:1:2"], "not [IP:]HOST:CONTAINER"),
        (&["-p", "[::1:1:2"], "not [IP:]HOST:CONTAINER"),
        (&["-p", "80/sctp"], "'sctp' is neither tcp nor udp"),
        (&["-p", "9-1:9"], "runs backwards"),
        (&["-p", "1-3:1-2"], "not of the same length"),
        (&["-p", "1-65535", "-p", "1-65535"], "more than 20000 ports"),
        (&["--net", ""], "unknown network"),
        (&["--net", "mynet"], "--net bridge:mynet"),
        (&["--net", "bridge:"], "name is empty"),
        (&["--net", "bridge:sixteen-letters-"], "has 16 bytes, at most 15"),
        (&["--net", "bridge:a/b"], "only letters"),
        (&["--net", "bridge:.."], "begins with"),
        (&["--net", "bridge:all"], "no bridge can be called all"),
        (&["--net", "ns:"], "path after ns: is empty"),
        (&["--net", "ns"], "wants a path"),
        (&["--net", "bridge:a", "--net", "bridge:a"], "given twice"),
        (&["--net", "none", "--net", "host"], "only bridges can be had together"),
        (&["--net", "bridge", "--net", "host"], "only bridges can be had together"),
        (&["--net", "pasta", "-p", "80", "--ip", "10.0.0.1"], "--ip needs a bridge"),
        (&["--net", "container:a/b"], "only [a-zA-Z0-9_.-]"),
        (&["--net", "host", "-p", "80"], "--publish needs a bridge"),
        (&["--net", "none", "--ip", "10.0.0.1"], "--ip needs a bridge"),
        (&["--internal", "-p", "80"], "cannot be reached from outside"),
        (&["--dns", "one.example"], "not an IP address"),
        (&["--dns-search", "a b"], "not a host name"),
        (&["--add-host", "db"], "not NAME:IP"),
        (&["--add-host", ":1.1.1.1"], "not a host name"),
        (&["--add-host", "a b:1.1.1.1"], "not a host name"),
        (&["--add-host", "db:x"], "not an IP address"),
        (&["--ip", "fd00::1"], "not an IPv4 address"),
        (&["--ip", "10.0.0"], "not an IPv4 address"),
        (&["--mac", "02:00"], "not a hardware address"),
        (&["--mac", "02:00:00:00:00:0g"], "not a hardware address"),
        (&["--mac", "01:00:00:00:00:01"], "neither a group's nor zero"),
        (&["--subnet", "10.0.0.0"], "not an IPv4 network"),
        (&["--subnet", "10.0.0.1/24"], "begins at 10.0.0.0/24"),
        (&["--subnet", "10.0.0.0/31"], "8 to 30 bits"),
        (&["--subnet", "127.0.0.0/24"], "not a range for hosts"),
    ] {
        let text = refused(options);
        assert!(text.contains(said), "{options:?}: {text}");
    }
}

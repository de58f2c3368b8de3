//! What a neighbour on the host's link, or a container, sends although it should not.

use crate::common::net::*;
use crate::common::*;

const ECHO: &str = "socat TCP-LISTEN:80,fork,reuseaddr 'SYSTEM:echo inside' & wait";

/// Answered within two seconds, or empty.
fn ask(to: &str) -> String {
    format!("socat -t2 - 'TCP:{to},connect-timeout=2' </dev/null 2>/dev/null")
}

/// A host on the same link may send to 127.0.0.1 all the same; a port that is published
/// there is for this host's own programs.
#[test]
fn a_port_on_loopback_is_not_for_the_neighbours() {
    let Some(_s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let options = ["--net", "bridge", "-p", "127.0.0.1:8081:80", "-p", "8080:80"];
    let server = w.serve(&options, ECHO);
    wait_until("the server to listen", || {
        Run::of(w.on_host(&["sh", "-c", &ask("127.0.0.1:8081")])).out == "inside\n"
    });
    w.outside(
        "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
        ip addr del 127.0.0.1/8 dev lo; ip addr add 127.9.9.9/32 dev lo
        ip route add 127.0.0.1 via 192.0.2.2 src 192.0.2.1",
    );
    let sent = |to: &str| Run::of(w.on_outside(&["sh", "-c", &ask(to)])).out;
    // Both directions work; only the address is not for it.
    assert_eq!(sent("192.0.2.2:8080"), "inside\n");
    assert_eq!(sent("127.0.0.1:8081"), "");
    assert_eq!(sent("127.0.0.1:8080"), "");
    drop(server);
    w.check_cleared();
}

/// A host that did not forward does so for containers alone.
#[test]
fn no_router_between_the_hosts_own_links() {
    let Some(_s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    // Another link of the host's, which takes whatever is sent there.
    let far =
        "ip link add far type veth peer name end; ip link set end up; ip link set far arp off up
        ip addr add 198.51.100.1/24 dev far; ip -6 addr add 2001:db8:5::1/64 dev far nodad";
    w.host(far);
    w.outside(
        "ip route add 198.51.100.0/24 via 192.0.2.2; ip -6 route add 2001:db8:5::/64 via 2001:db8::2",
    );
    let sent = || {
        let before = count(&w);
        w.outside(SEND);
        (count(&w) - before) / 1000
    };
    assert_eq!(sent(), 0);
    let server = w.serve(&["--net", "bridge", "--ipv6"], "sleep 30");
    wait_until("the container", || w.state().contains("lease "));
    wait_until("forwarding", || w.host("cat /proc/sys/net/ipv4/ip_forward") == "1");
    assert_eq!(sent(), 0);
    others_work(&w, &sent);
    // Nor does it believe what a container announces as a router (CVE-2020-13401).
    assert_eq!(w.host("cat /proc/sys/net/ipv6/conf/launch0/accept_ra"), "0");
    // The container itself goes there.
    let before = count(&w);
    let options = ["--net", "bridge", "--ipv6", "--ephemeral"];
    Run::of(w.launch_in("/", &options, &["sh", "-c", SEND])).expect(0);
    assert_eq!((count(&w) - before) / 1000, 2);
    drop(server);
    // A host that forwarded before goes on.
    let on = |value: &str| {
        let all = "/proc/sys/net/ipv6/conf/all/forwarding";
        w.host(&format!("echo {value} >/proc/sys/net/ipv4/ip_forward; echo {value} >{all}"));
    };
    wait_until("forwarding to be off", || {
        Run::of(w.launch_in("/", &["--ephemeral"], &["true"])).ok();
        !w.state().contains("lease") && w.host("cat /proc/sys/net/ipv4/ip_forward") == "0"
    });
    wait_until("the notes to go", || w.state().contains("No such file"));
    on("1");
    assert_eq!(sent(), 2);
    let server = w.serve(&["--net", "bridge", "--ipv6"], "sleep 30");
    wait_until("the container", || w.state().contains("lease "));
    assert_eq!(sent(), 2);
    drop(server);
    w.host("ip link del far");
    on("0");
    w.check_cleared();
}

/// It may give itself a route, the host may forward, and the outside answer: none of it passes.
#[test]
fn no_way_out_of_an_internal_bridge() {
    let Some(_s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let answer = ["socat", "TCP-LISTEN:99,fork,reuseaddr", "SYSTEM:echo reached"];
    let _out = server(w.on_outside(&answer));
    wait_until("the outside to listen", || w.outside("ss -Hltn").contains(":99 "));
    w.host("echo 1 >/proc/sys/net/ipv4/ip_forward");
    w.outside("ip route add 10.213.0.0/16 via 192.0.2.2");
    let script = format!(
        "ip route del default 2>/dev/null; own=$(ip -o -4 addr show eth0 | grep -o '10[0-9.]*' | head -1)
        ip route add default via ${{own%.*}}.1 && echo tried; {}",
        ask("192.0.2.1:99")
    );
    let sent = |more: &[&str]| {
        let options = [&["--cap-add", "NET_ADMIN", "--ephemeral"], more].concat();
        Run::of(w.launch_in("/", &options, &["sh", "-c", &script])).out
    };
    // The way is there but for the bridge.
    assert_eq!(sent(&["--net", "bridge:open"]), "tried\nreached\n");
    assert_eq!(sent(&["--net", "bridge:shut", "--internal"]), "tried\n");
    w.host("echo 0 >/proc/sys/net/ipv4/ip_forward");
    w.check_clean();
}

/// What another engine of containers makes meanwhile works: its links, and its ports.
fn others_work(w: &World, sent: &dyn Fn() -> u64) {
    let outside = w.outside_pid();
    w.host(&format!(
        "ip link add late type veth peer name early netns {outside}; ip link set late up
        ip addr add 203.0.113.2/24 dev late; nft 'add table ip other
        add chain ip other to {{ type nat hook prerouting priority -100; }}
        add rule ip other to udp dport 99 dnat to 198.51.100.7'"
    ));
    w.outside(
        "ip addr add 203.0.113.1/24 dev early; ip link set early up
        ip route replace 198.51.100.0/24 via 203.0.113.2",
    );
    assert_eq!(sent(), 1);
    w.host("ip link del late");
    w.outside("ip route add 198.51.100.0/24 via 192.0.2.2");
    assert_eq!(sent(), 0);
    let before = count(w);
    w.outside("head -c 1000 /dev/zero | socat -u - UDP4:192.0.2.2:99");
    assert_eq!((count(w) - before) / 1000, 1);
    w.host("nft delete table ip other");
}

/// A thousand bytes to each network behind the host.
const SEND: &str = "for to in UDP4:198.51.100.7:9 UDP6:[2001:db8:5::7]:9; do
    head -c 1000 /dev/zero | socat -u - $to; done";

/// Bytes that went to the other link, to which the kernel itself sends little.
fn count(w: &World) -> u64 {
    let counts = "sed -n 's/^ *far: *//p' /proc/net/dev | awk '{print $9}'";
    w.host(counts).parse().unwrap()
}

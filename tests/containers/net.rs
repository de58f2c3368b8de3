//! Containers on bridges, beside real programs, in a world of network namespaces.

use crate::common::net::*;
use crate::common::*;
use std::time::Duration;

/// Says who asks, on TCP port 80 and UDP port 53.
const ECHO: &str = "socat TCP-LISTEN:80,fork,reuseaddr 'SYSTEM:echo tcp from $SOCAT_PEERADDR' &
    socat UDP-LISTEN:53,fork 'SYSTEM:echo udp from $SOCAT_PEERADDR' & wait";

fn tcp(to: &str) -> String {
    format!("socat -t2 - 'TCP:{to},connect-timeout=2' </dev/null")
}

fn udp(to: &str) -> String {
    format!("echo | timeout 5 socat -t1 - UDP:{to}")
}

/// Waits until the container answers on this address of it.
fn wait_for(w: &World, address: &str) {
    wait_until("the server to listen", || {
        let ask = w.on_host(&["sh", "-c", &format!("{} 2>&1 | grep -q from", tcp(address))]);
        Run::of(ask).code == 0
    });
}

#[test]
fn one_container_has_an_address_and_a_way_out() {
    let Some(s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let _out = server(w.on_outside(&[
        "socat",
        "TCP-LISTEN:99,fork,reuseaddr",
        "SYSTEM:echo seen as $SOCAT_PEERADDR",
    ]));
    wait_until("the outside to listen", || w.outside("ss -Hltn").contains(":99 "));
    let script = "ip -o -4 addr show eth0; ip route; cat /sys/class/net/eth0/mtu; \
                  cat /sys/class/net/eth0/address; nc 192.0.2.1 99 </dev/null";
    let run = Run::of(w.launch(&s, &["--net", "bridge"], &["sh", "-c", script])).ok();
    for words in
        ["inet 10.213.0.2/22", "default via 10.213.0.1", "\n1400\n02:", "seen as 192.0.2.2"]
    {
        assert!(run.contains(words), "no {words:?} in {run}");
    }
    w.check_clean();
}

#[test]
fn published_ports_lead_inside() {
    let Some(_s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let options = ["--net", "bridge", "-p", "8080:80", "-p", "127.0.0.1:8081:80"];
    let options = [&options[..], &["-p", "5353:53/udp", "--hostname", "srv"]].concat();
    let server = w.serve(&options, ECHO);
    wait_for(&w, "10.213.0.2:80");
    // From the host by any of its addresses, and by the one that was named.
    assert_eq!(w.host(&tcp("127.0.0.1:8080")), "tcp from 10.213.0.1");
    assert_eq!(w.host(&tcp("192.0.2.2:8080")), "tcp from 192.0.2.2");
    assert_eq!(w.host(&tcp("127.0.0.1:8081")), "tcp from 10.213.0.1");
    wait_until("UDP", || w.host(&udp("127.0.0.1:5353")) == "udp from 10.213.0.1");
    // From outside, with its own address; not by a port that is for the host alone.
    assert_eq!(w.outside(&tcp("192.0.2.2:8080")), "tcp from 192.0.2.1");
    wait_until("UDP", || w.outside(&udp("192.0.2.2:5353")) == "udp from 192.0.2.1");
    Run::of(w.on_outside(&["sh", "-c", &tcp("192.0.2.2:8081")])).expect(1);
    // Not without being published, though the outside knows the way.
    w.outside("ip route add 10.213.0.0/22 via 192.0.2.2");
    Run::of(w.on_outside(&["sh", "-c", &tcp("10.213.0.2:80")])).expect(1);
    // By a neighbour, by name and by the host's address.
    let ask = format!("{}; {}; {}", tcp("srv:80"), tcp("192.0.2.2:8080"), tcp("10.213.0.1:8080"));
    let run = Run::of(w.launch_in("/", &["--net", "bridge", "--ephemeral"], &["sh", "-c", &ask]));
    assert_eq!(run.ok(), "tcp from 10.213.0.3\ntcp from 10.213.0.1\ntcp from 10.213.0.1");
    drop(server);
    w.check_cleared();
}

#[test]
fn bridges_are_apart() {
    let Some(_s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let server = w.serve(&["--net", "bridge:red", "-p", "8080:80"], ECHO);
    wait_for(&w, "10.213.0.2:80");
    let ask = |options: &[&str], to: &str| {
        let options = [options, &["--ephemeral"]].concat();
        Run::of(w.launch_in("/", &options, &["sh", "-c", &tcp(to)]))
    };
    ask(&["--net", "bridge:blue"], "10.213.0.2:80").expect(1);
    ask(&["--net", "bridge:red"], "10.213.0.2:80").expect(0);
    // What is published is so for everybody who has a way to the host.
    assert_eq!(ask(&["--net", "bridge:blue"], "192.0.2.2:8080").ok(), "tcp from 10.213.0.1");
    ask(&["--net", "bridge:in", "--internal"], "192.0.2.2:8080").expect(1);
    // On both bridges it reaches both.
    let both = ["--net", "bridge:blue", "--net", "bridge:red"];
    assert_eq!(ask(&both, "10.213.0.2:80").ok(), "tcp from 10.213.0.4");
    // Loopback of the host is not for containers, though the bridge routes it.
    let _own = server_on_loopback(&w);
    let sneak = "ip route add 127.0.0.5 via 10.213.0.1; ip addr del 127.0.0.1/8 dev lo; \
                 sysctl -qw net.ipv4.conf.all.route_localnet=1; \
                 socat -t2 - TCP:127.0.0.5:77,connect-timeout=1";
    let options = ["--net", "bridge:red", "--privileged", "--ephemeral"];
    let run = Run::of(w.launch_in("/", &options, &["sh", "-c", sneak]));
    assert!(!run.out.contains("secret"), "{run:#?}");
    let run = Run::of(server_stop(server)).code;
    assert!(run == 0 || run == 143, "{run}");
}

fn server_on_loopback(w: &World) -> Server {
    let s = server(w.on_host(&[
        "socat",
        "TCP-LISTEN:77,fork,reuseaddr,bind=127.0.0.5",
        "SYSTEM:echo secret",
    ]));
    wait_until("the host to listen", || w.host("ss -Hltn").contains("127.0.0.5:77 "));
    s
}

/// SIGTERM; the command that waits for its end.
fn server_stop(server: Server) -> std::process::Command {
    let mut c = std::process::Command::new("sh");
    c.args(["-c", &format!("kill {}; exit 0", server.pid())]);
    let _ = Run::of(c);
    let run = server.end();
    let mut c = std::process::Command::new("sh");
    c.args(["-c", &format!("exit {}", run.code)]);
    c
}

#[test]
fn internal_bridges_lead_nowhere() {
    let Some(_s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let script = format!("ip route; {}", tcp("192.0.2.1:99"));
    let options = ["--internal", "--ephemeral"];
    let run = Run::of(w.launch_in("/", &options, &["sh", "-c", &script])).expect(1);
    assert!(!run.out.contains("default") && run.out.contains("10.213.0.0/22"), "{run:#?}");
    w.check_clean();
}

#[test]
fn names_of_those_that_come_later() {
    let Some(_s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let first = w.serve(
        &["--net", "bridge", "--hostname", "first", "--add-host", "db:10.9.9.9"],
        "until grep -q second /etc/hosts; do sleep 0.05; done; \
         while grep -q second /etc/hosts; do sleep 0.05; done; cat /etc/hosts",
    );
    wait_until("the first", || w.state().contains("\tfirst "));
    let script = "grep -c . /etc/hosts; getent hosts first; hostname; cat /etc/hostname; sleep 0.5; \
                  echo x >> /etc/hosts";
    let options = ["--net", "bridge", "--hostname", "second", "--ephemeral"];
    let run = Run::of(w.launch_in("/", &options, &["sh", "-c", script])).expect(2);
    assert!(run.out.contains("10.213.0.2      first "), "{run:#?}");
    assert!(run.out.ends_with("second\nsecond\n"), "{run:#?}");
    assert!(run.err.contains("Read-only"), "{run:#?}");
    let run = first.end().expect(0);
    assert!(run.out.contains("10.9.9.9\tdb\n") && run.out.contains("\tfirst "), "{run:#?}");
    assert!(!run.out.contains("second"), "{run:#?}");
}

#[test]
fn twenty_at_once() {
    let Some(s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let script = "ip -o -4 addr show eth0 | grep -o 'inet [0-9.]*'; sleep 1; grep -c 10.213 /etc/hosts; \
                  ping -c1 -q 10.213.0.1 >/dev/null && echo reached";
    let all: Vec<_> = (0..20)
        .map(|_| server(w.launch(&s, &["--net", "bridge", "-p", "80"], &["sh", "-c", script])))
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    for one in all {
        let out = one.end().ok();
        assert!(seen.insert(out.lines().next().unwrap().to_owned()), "twice: {out}");
        assert!(out.ends_with("reached"), "{out}");
    }
    assert_eq!(seen.len(), 20);
    w.check_clean();
}

#[test]
fn what_is_taken_names_its_owner() {
    let Some(s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let _own = server(w.on_host(&["socat", "TCP-LISTEN:7070,fork", "SYSTEM:true"]));
    wait_until("the host to listen", || w.host("ss -Hltn").contains(":7070 "));
    let holder = w.serve(
        &["--name", "holder", "--hostname", "web", "-p", "8080:80", "--ip", "10.213.0.9"],
        "sleep 20",
    );
    wait_until("the other container", || w.state().contains("8080"));
    let refused = |options: &[&str], words: &[&str]| {
        Run::of(w.launch(&s, options, &["true"])).fails(125, words);
    };
    let ports = |options: &[&str]| {
        Run::of(w.on_host(&[&[launch().to_str().unwrap()], options].concat())).ok()
    };
    assert_eq!(ports(&["port", "holder"]), "80/tcp -> 0.0.0.0:8080");
    assert_eq!(ports(&["port", "holder", "80"]), "0.0.0.0:8080");
    let none = w.on_host(&[launch().to_str().unwrap(), "port", "holder", "80/udp"]);
    Run::of(none).fails(125, &["container 'holder': port 80/udp is not published"]);
    assert!(ports(&["ps"]).contains("  0.0.0.0:8080->80/tcp  sh -c "));
    assert!(ports(&["ps", "--json"]).contains("\"addresses\":[\"10.213.0.9\"]"));
    refused(&["-p", "8080:1"], &["--publish 8080/tcp: in use by container web ("]);
    refused(&["-p", "127.0.0.1:8080:1"], &["in use by container web"]);
    refused(&["-p", "7070:1"], &["--publish 7070/tcp: in use by socat (process "]);
    refused(&["-p", "10.1.1.1:70:1"], &["--publish 10.1.1.1:70/tcp", "EADDRNOTAVAIL"]);
    refused(&["--ip", "10.213.0.9"], &["--ip 10.213.0.9: in use by container web"]);
    refused(&["--ip", "10.99.0.9"], &["launch0 has the range of 10.213.0.1/22"]);
    refused(&["--subnet", "10.1.0.0/24"], &["has the range of 10.213.0.1/22"]);
    refused(&["--ipv6"], &["without --ipv6"]);
    refused(&["--net", "bridge:x", "--subnet", "192.0.2.128/25"], &["a route to 192.0.2"]);
    refused(&["--net", "bridge:uplink"], &["which launch did not make"]);
    refused(&["--net", "ns:/proc/self/exe"], &["not a network namespace"]);
    refused(&["--net", "ns:/nowhere"], &["open network namespace /nowhere", "ENOENT"]);
    // The first free one of a range; UDP is another thing.
    let options = ["-p", "8080-8082:80", "-p", "8080:80/udp"];
    Run::of(w.launch(&s, &options, &["true"])).ok();
    drop(holder);
    // A range of two addresses, one of them the bridge's.
    let tiny = ["--net", "bridge:tiny", "--subnet", "10.7.7.0/30"];
    let one = server(w.launch(&s, &tiny, &["sleep", "20"]));
    wait_until("the one", || w.state().contains("10.7.7.2"));
    Run::of(w.launch(&s, &tiny, &["true"]))
        .fails(125, &["all 1 addresses of 10.7.7.1/30 are in use"]);
    drop(one);
    Run::of(w.launch(&s, &[], &["true"])).ok();
    w.check_clean();
}

/// A sender that keeps its port and never pauses reaches whatever is there now.
#[test]
fn flows_of_udp_follow_the_port() {
    let Some(_s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let ask = || {
        let line = "echo x | socat -t0.3 - UDP:192.0.2.2:514,sourceport=4000,reuseaddr 2>&1";
        Run::of(w.on_outside(&["sh", "-c", line])).out
    };
    // Remembered as one of the host's own.
    ask();
    let holder = w.serve(&["--net", "bridge"], "sleep 30");
    for name in ["one", "two"] {
        let options = ["-p", "514:514/udp", "--name", name];
        let serve = format!("socat UDP-LISTEN:514,fork,reuseaddr SYSTEM:'echo {name}'");
        let server = w.serve(&options, &serve);
        wait_until("an answer", || ask() == format!("{name}\n"));
        drop(server);
        Run::of(w.launch_in("/", &["--ephemeral"], &["true"])).ok();
        // Again one of the host's own.
        ask();
    }
    drop(holder);
    w.check_cleared();
}

/// Where /run is on a disk, notes outlive the kernel that they are about.
#[test]
fn notes_from_before_a_reboot() {
    let Some(s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let forge = format!(
        "ns=$(stat -Lc %i /proc/self/ns/net); mkdir -p -m 700 /run/launch/.net/$ns
        printf 'boot 0-0\nforward4\nbridge launch0 10.213.0.1/22 - 1500 - 9\n\
lease ghost launch0 10.213.0.2 ghost tcp:8080:80\n' > /run/launch/.net/$ns/state
        : > /run/launch/.net/$ns/lock
        printf 'started 1\ndetached keep 0\nargv /r\\0sleep\ncwd /\nenv\nnetwork %s ghost\nprocess {} 1 %s\nrunning\n' \
            $ns $(stat -Lc %i /proc/self/ns/pid) > /run/launch/ghost
        echo 1 > /proc/sys/net/ipv4/ip_forward",
        std::process::id()
    );
    w.host(&forge);
    let run =
        w.launch(&s, &["-p", "8080:80"], &["sh", "-c", "ip -4 addr show eth0; cat /etc/hosts"]);
    let out = Run::of(run).ok();
    assert!(out.contains(" 10.213.0.2/22 ") && !out.contains("ghost"), "{out}");
    let ours = launch();
    let verb = |words: &[&str]| Run::of(w.on_host(&[&[ours.to_str().unwrap()], words].concat()));
    let table = verb(&["ps", "-a"]).ok();
    assert!(table.lines().any(|l| l.starts_with("ghost ") && l.contains("ended 137")), "{table}");
    verb(&["rm", "ghost"]).ok();
    // Not switched off: somebody else has switched it on since.
    wait_until("the bridge to go", || !w.host("ip -o link").contains("launch0"));
    assert_eq!(w.host("cat /proc/sys/net/ipv4/ip_forward"), "1");
    w.host("echo 0 > /proc/sys/net/ipv4/ip_forward");
    w.check_clean();
}

#[test]
fn without_nf_tables() {
    let Some(s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    for errno in [libc::EPROTONOSUPPORT, libc::EAFNOSUPPORT] {
        let mut c = w.launch(&s, &["-p", "8080:80"], &["true"]);
        let only = filter::Only::Equal(2, libc::NETLINK_NETFILTER as u32);
        filter::refuse(&mut c, &[filter::Refuse { call: libc::SYS_socket, errno, only }]);
        let run = Run::of(c);
        run.fails(125, &["write nftables table inet launch", "the kernel needs nf_tables"]);
        w.check_clean();
    }
}

#[test]
fn ipv6_too() {
    let Some(_s) = Sandbox::new() else { return };
    // With bridged packets shown to the rules, and without; a namespace begins with the former.
    for bridged in ["1", "0"] {
        ipv6_with(bridged);
    }
}

fn ipv6_with(bridged: &str) {
    let Some(w) = World::new() else { return };
    if !w.shows_bridged("ip6tables", bridged) && bridged == "1" {
        return;
    }
    let _out = server(w.on_outside(&[
        "socat",
        "TCP6-LISTEN:99,fork,reuseaddr",
        "SYSTEM:echo seen as $SOCAT_PEERADDR",
    ]));
    let echo = "socat TCP6-LISTEN:80,fork,reuseaddr 'SYSTEM:echo from $SOCAT_PEERADDR' &
        socat UDP6-LISTEN:53,fork 'SYSTEM:echo from $SOCAT_PEERADDR' & wait";
    let options = ["--net", "bridge", "--ipv6", "-p", "8080:80", "--hostname", "six"];
    let options = [&options[..], &["-p", "[::1]:8081:80", "-p", "5353:53/udp"]].concat();
    let server = w.serve(&options, echo);
    wait_for(&w, "10.213.0.2:80");
    let said = w.outside("socat -t2 - TCP:[2001:db8::2]:8080,connect-timeout=2 </dev/null");
    assert!(said.contains("[2001:0db8:0000:0000:0000:0000:0000:0001]"), "{said}");
    if bridged == "1" {
        // Not translated, as no answer would come; refused, so that the next address is tried.
        let said = w.host(&format!(
            "{}; {}",
            tcp("[::1]:8080").replace("</dev/null", "</dev/null 2>&1"),
            tcp("127.0.0.1:8080")
        ));
        assert!(said.contains("refused") && said.contains("from ["), "{said}");
    } else {
        // From the bridge's own address.
        for port in [8080, 8081] {
            let said = w.host(&tcp(&format!("[::1]:{port}")));
            assert!(said.starts_with("from [fd") && said.ends_with(":0001]"), "{said}");
        }
        wait_until("UDP", || {
            w.host("echo | timeout 5 socat -t1 - 'UDP:[::1]:5353'").starts_with("from [fd")
        });
    }
    let ask = "socat -t2 - 'TCP:[2001:db8::1]:99,connect-timeout=2'; socat -t2 - TCP6:six:80";
    let run = Run::of(w.launch_in("/", &["--net", "bridge", "--ephemeral"], &["sh", "-c", ask]));
    let run = run.ok();
    assert!(run.contains("seen as [2001:0db8:0000:0000:0000:0000:0000:0002]"), "{run}");
    assert!(run.contains("from [fd"), "{run}");
    drop(server);
    w.check_cleared();
}

#[test]
fn a_namespace_by_its_file() {
    let Some(s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let script = "ls /sys/class/net; cat /etc/hosts";
    let path = format!("ns:/proc/{}/ns/net", w.outside_pid());
    let out = Run::of(w.launch(&s, &["--net", &path], &["sh", "-c", script])).ok();
    assert!(out.contains("inlink") && out.contains("localhost"), "{out}");
}

/// Forgets nothing whatever fails, and after a kill the next start clears the rest.
#[test]
fn faults_at_every_step() {
    let Some(s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let options = ["--net", "bridge", "-p", "8080:80", "--add-host", "a:1.2.3.4", "--mem", "50M"];
    let call = |more: &[&str]| {
        let options = [&options[..], more].concat();
        w.launch(&s, &options, &["echo", "ran"])
    };
    let plan = Run::of(call(&["--explain", "--json"])).expect(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.out).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let outside = steps.iter().filter(|s| s["side"] == "outside").count();
    assert!(outside > 8, "{plan}");
    for n in (1..=outside).chain([outside + 3, steps.len() - 4]) {
        let run = Run::within(Duration::from_secs(10), call(&["--fault", &format!("fail:{n}")]));
        assert_eq!((run.code, run.out.as_str()), (125, ""), "fail at {n}: {run:#?}");
        w.check_clean();
        let run = Run::within(Duration::from_secs(10), call(&["--fault", &format!("kill:{n}")]));
        assert_eq!((run.code, run.out.as_str()), (137, ""), "kill at {n}: {run:#?}");
        // Cleared by a start that has nothing to do with networks.
        Run::of(w.launch(&s, &[], &["true"])).ok();
        w.check_clean();
    }
    assert_eq!(Run::of(call(&[])).ok(), "ran");
    w.check_clean();
}

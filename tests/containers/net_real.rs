//! Networks with real programs, and those of an ordinary user.

use crate::common::net::*;
use crate::common::*;
use std::process::Command;

fn need_programs(names: &[&str]) -> Option<()> {
    names.iter().try_for_each(|name| {
        let there =
            ["/usr/bin", "/usr/sbin"].iter().any(|d| std::path::Path::new(d).join(name).exists());
        need(there.then_some(()), &format!("needs {name}"))
    })
}

/// A resolver outside that answers every question with 192.0.2.77.
fn resolver(w: &World) -> Server {
    let program = "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('192.0.2.1', 53))
while True:
    q, a = s.recvfrom(512); end = q.index(0, 12) + 5
    s.sendto(q[:2] + b'\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0' + q[12:end] + b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xc0\\0\\2\\x4d', a)
";
    let dns = server(w.on_outside(&["python3", "-c", program]));
    wait_until("the resolver", || w.outside("ss -Hlun").contains(":53 "));
    dns
}

#[test]
fn nginx_iperf_and_dig() {
    let Some(_s) = Sandbox::new() else { return };
    let Some(()) = need_programs(&["nginx", "curl", "iperf3", "dig", "python3"]) else { return };
    let Some(w) = World::new() else { return };
    let _dns = resolver(&w);
    let script = "mkdir -p /tmp/w; echo from nginx > /tmp/w/index.html; \
        printf 'daemon off; pid /tmp/n.pid; error_log /dev/null; events {} \
        http { access_log off; server { listen 80; root /tmp/w; } }' > /tmp/n.conf; \
        iperf3 -s -1 >/dev/null & nginx -c /tmp/n.conf";
    let options = ["--net", "bridge", "-p", "8080:80", "-p", "5201:5201", "--hostname", "web"];
    let web = w.serve(&options, script);
    wait_until("nginx", || w.host("curl -s -m 2 http://10.213.0.2/; true") == "from nginx");
    assert_eq!(w.outside("curl -s -m 5 http://192.0.2.2:8080/"), "from nginx");
    assert_eq!(w.host("curl -s -m 5 http://127.0.0.1:8080/"), "from nginx");
    let script =
        "curl -s -m 5 http://web/; cat /etc/resolv.conf; dig +short +tries=5 +time=1 any.example";
    let options = ["--net", "bridge", "--ephemeral", "--dns", "192.0.2.1"];
    let out = Run::of(w.launch_in("/", &options, &["sh", "-c", script])).ok();
    assert_eq!(out, "from nginx\nnameserver 192.0.2.1\n192.0.2.77");
    let json = w.outside("iperf3 -c 192.0.2.2 -t 1 -J");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let bits = json["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or_default();
    assert!(bits > 1e8, "{bits} bits a second through a published port");
    drop(web);
    w.check_cleared();
}

#[test]
fn the_network_of_another_container() {
    let Some(s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let first = w.serve(
        &["--net", "bridge", "--name", "first", "--cap-add", "NET_ADMIN"],
        "ip link add mark type veth; sleep 30 & wait",
    );
    let options = ["--net", "container:first", "--name", "second"];
    let mut out = String::new();
    wait_until("the first", || {
        let run =
            Run::of(w.launch(&s, &options, &["sh", "-c", "ls /sys/class/net; cat /etc/hosts"]));
        out = run.out;
        out.contains("veth0")
    });
    assert!(out.contains("eth0\n") && out.contains("10.213.0.2\tfirst\n"), "{out}");
    // All else that belongs to a network is the other's, too, unless options say otherwise.
    let script = "hostname; cat /etc/hostname; cat /etc/hosts /etc/resolv.conf";
    let dns = ["--dns", "192.0.2.9", "--add-host", "db:10.1.1.1", "--hostname", "box"];
    let third = server(w.launch(&s, &[&["--name", "third"], &dns[..]].concat(), &["sleep", "30"]));
    let of_third = ["--net", "container:third", "--name", "fourth"];
    let mut out = String::new();
    wait_until("the third", || {
        out = Run::of(w.launch(&s, &of_third, &["sh", "-c", script])).out;
        !out.is_empty()
    });
    assert!(out.starts_with("box\nbox\n") && out.contains("10.1.1.1\tdb\n"), "{out}");
    assert!(out.ends_with("nameserver 192.0.2.9\n"), "{out}");
    let own = ["--dns", "192.0.2.8", "--hostname", "own"];
    let out = Run::of(w.launch(&s, &[&of_third, &own[..]].concat(), &["sh", "-c", script])).ok();
    assert!(out.starts_with("own\nown\n") && out.ends_with("nameserver 192.0.2.8"), "{out}");
    drop(third);
    let none = w.launch(&s, &["--net", "container:third"], &["true"]);
    Run::of(none).fails(125, &["no container 'third'"]);
    drop(first);
    Run::of(w.launch(&s, &[], &["true"])).ok();
    w.check_clean();
}

/// As a user without any right, with a /dev/net/tun that, as usual, everybody may open.
fn as_a_user(w: &World, s: &Sandbox, options: &[&str], script: &str) -> Command {
    let rootfs = s.rootfs();
    by_a_user(w, s, &[options, &[rootfs.to_str().unwrap(), "sh", "-c", script]].concat())
}

/// On a host whose resolver is outside.
fn by_a_user(w: &World, s: &Sandbox, args: &[&str]) -> Command {
    let program = s.dir.join("launch");
    if !program.exists() {
        std::fs::copy(launch(), &program).unwrap();
        s.give_to(USER, USER);
    }
    let before = "mount -t tmpfs tun /dev/net && mknod -m 666 /dev/net/tun c 10 200 && cd / && \
                  echo nameserver 192.0.2.1 >/dev/net/resolv.conf && \
                  mount --bind /dev/net/resolv.conf /etc/resolv.conf && \
                  exec setpriv --reuid 54321 --regid 54321 --clear-groups \"$@\"";
    let mut words = vec!["unshare", "--mount", "sh", "-c", before, "sh", program.to_str().unwrap()];
    words.extend(args);
    let mut c = w.on_host(&words);
    c.env_remove("XDG_RUNTIME_DIR");
    c
}

fn nobody_is_left() {
    wait_until("the programs to end", || {
        let list = Command::new("ps").args(["-u", "54321", "-o", "stat=,args="]).output().unwrap();
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        !list.lines().any(|l| !l.starts_with('Z') && (l.contains("pasta") || l.contains("slirp")))
    });
}

#[test]
fn an_ordinary_users_networks() {
    let Some(s) = Sandbox::new() else { return };
    let Some(()) = need_programs(&["pasta", "slirp4netns", "setpriv"]) else { return };
    let Some(w) = World::new() else { return };
    if Run::of(as_a_user(&w, &s, &[], "true")).code != 0 {
        return skip("needs user namespaces for ordinary users");
    }
    let _out = server(w.on_outside(&[
        "socat",
        "TCP-LISTEN:99,fork,reuseaddr",
        "SYSTEM:echo seen as $SOCAT_PEERADDR",
    ]));
    wait_until("the outside to listen", || w.outside("ss -Hltn").contains(":99 "));
    let _dns = resolver(&w);
    for program in ["pasta", "slirp4netns"] {
        let script = "timeout 5 nc 192.0.2.1 99 </dev/null; nslookup -type=a any.example";
        let run = Run::of(as_a_user(&w, &s, &["--net", program], script)).expect(0);
        assert!(run.out.starts_with("seen as 192.0.2.2\n"), "{program}: {run:#?}");
        assert!(run.out.contains("192.0.2.77"), "{program}: {run:#?}");
        let options = ["--net", program, "-p", "8080:80"];
        // It answers any number of times: the first asker may have given up. `end` ends it.
        let script = "nc -ll -p 80 -e echo inside & timeout 30 nc -l -p 81 >/dev/null; kill $!";
        let options = [&options[..], &["-p", "8081:81"]].concat();
        let inside = server(as_a_user(&w, &s, &options, script));
        wait_until("an answer from inside", || {
            w.host("socat -t5 - TCP:127.0.0.1:8080 </dev/null 2>&1; true") == "inside"
        });
        w.host("socat -t1 - TCP:127.0.0.1:8081 </dev/null 2>&1; true");
        inside.end().expect(0);
        nobody_is_left();
        // A port that an ordinary user may not have; and nothing left when the launcher is killed.
        let run = Run::of(as_a_user(&w, &s, &["--net", program, "-p", "80:80"], "true"));
        run.fails(125, &["--publish 80/tcp: Permission denied (EACCES)", "ports below 1024"]);
        nobody_is_left();
        let killed = server(as_a_user(&w, &s, &["--net", program, "--name", "killed"], "sleep 30"));
        wait_until("it to run", || {
            std::fs::read_to_string("/tmp/launch-54321/killed")
                .is_ok_and(|r| r.contains("\nprocess "))
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(killed);
        nobody_is_left();
        Run::of(as_a_user(&w, &s, &[], "true")).ok();
    }
    let run = Run::of(as_a_user(&w, &s, &["--net", "bridge"], "true"));
    run.fails(125, &["only root", "--net pasta"]);
}

/// Ports alone are enough to be asked for, and those that were found free are told.
#[test]
fn an_ordinary_users_ports() {
    let Some(s) = Sandbox::new() else { return };
    let Some(()) = need_programs(&["pasta", "setpriv"]) else { return };
    let Some(w) = World::new() else { return };
    if Run::of(as_a_user(&w, &s, &[], "true")).code != 0 {
        return skip("needs user namespaces for ordinary users");
    }
    let verb = |args: &[&str]| Run::of(by_a_user(&w, &s, args));
    let options = ["-d", "--name", "web", "-p", "80", "-p", "8090-8099:81", "-p", "80"];
    let echo = "nc -ll -p 81 -e echo second & nc -ll -p 80 -e echo first";
    Run::of(as_a_user(&w, &s, &options, echo)).ok();
    let ports = verb(&["port", "web"]).ok();
    let numbers: Vec<&str> = ports.lines().filter_map(|l| l.rsplit(':').next()).collect();
    let [one, eight, other] = numbers[..] else { panic!("{ports}") };
    assert!(eight == "8090" && one != other, "{ports}");
    assert!(verb(&["ps"]).ok().contains(&format!("0.0.0.0:{one}->80/tcp,0.0.0.0:8090->81/tcp")));
    for (port, said) in [(one, "first"), (other, "first"), (eight, "second")] {
        wait_until("an answer", || {
            w.host(&format!("socat -t5 - TCP:127.0.0.1:{port} </dev/null 2>&1; true")) == said
        });
    }
    let taken = ["-p", "8090:80"];
    Run::of(as_a_user(&w, &s, &taken, "true")).fails(125, &["8090/tcp: ", "in use"]);
    // With an option of bridges it is a bridge that is meant.
    let run = Run::of(as_a_user(&w, &s, &["-p", "80", "--ip", "10.213.0.9"], "true"));
    run.fails(125, &["only root", "--net pasta"]);
    verb(&["rm", "-f", "web"]).ok();
    nobody_is_left();
}

/// The kernel may show the rules what a bridge of the host's own carries, too.
#[test]
fn a_bridge_of_the_hosts_own_carries_on() {
    let Some(_s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    if !w.shows_bridged("iptables", "1") {
        return skip("needs br_netfilter");
    }
    let mut third = w.on_host(&["unshare", "--net", "sleep", "60"]).spawn().unwrap();
    let (one, two) = (w.outside_pid(), third.id());
    wait_until("a network", || {
        let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        w.host("readlink /proc/self/ns/net") != network(&two.to_string()).display().to_string()
    });
    w.host("ip link add own type bridge; ip link set own up");
    for (pid, end) in [(one, 1), (two, 2)] {
        w.host(&format!(
            "ip link add own{end} type veth peer name end netns {pid}; ip link set own{end} master own up
            nsenter -n -t {pid} ip addr add 203.0.113.{end}/24 dev end
            nsenter -n -t {pid} ip link set end up"
        ));
    }
    let ask = "socat - TCP:203.0.113.2:9,connect-timeout=2 </dev/null 2>&1; true";
    let refused = || w.outside(ask).contains("refused");
    wait_until("an answer", refused);
    let server = w.serve(&["--net", "bridge"], "sleep 30");
    wait_until("forwarding", || w.host("cat /proc/sys/net/ipv4/ip_forward") == "1");
    assert!(refused());
    drop(server);
    w.host("for link in own own1 own2; do ip link del $link; done");
    w.check_cleared();
    third.kill().unwrap();
    third.wait().unwrap();
}

/// A published port on ::1 that can get no answer any more is refused as soon as the next
/// one is published, and answers again after the change is taken back.
#[test]
fn bridged_packets_shown_to_the_rules_later() {
    let Some(s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    if !w.shows_bridged("ip6tables", "0") {
        return skip("needs br_netfilter");
    }
    let echo = "socat TCP6-LISTEN:80,fork,reuseaddr 'SYSTEM:echo answer'";
    let server = w.serve(&["--net", "bridge", "--ipv6", "-p", "8080:80"], echo);
    let ask = || w.host("socat -t2 - 'TCP:[::1]:8080,connect-timeout=2' </dev/null 2>&1; true");
    wait_until("an answer", || ask() == "answer");
    let next = || Run::of(w.launch(&s, &["--net", "bridge", "-p", "8081:80"], &["true"])).ok();
    for (value, words) in [("1", "refused"), ("0", "answer")] {
        assert!(w.shows_bridged("ip6tables", value));
        next();
        let said = ask();
        assert!(said.contains(words), "with {value}: {said}");
    }
    drop(server);
    w.check_cleared();
}

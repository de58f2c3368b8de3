//! A small world: a host with an uplink, and another host at its other end, each a
//! network namespace that a process holds. The machine's own network stays as it is.

use super::{Run, Sandbox, finish, launch, need};
use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const HOST: &str = "192.0.2.2";
pub const OUTSIDE: &str = "192.0.2.1";
pub const HOST6: &str = "2001:db8::2";
pub const OUTSIDE6: &str = "2001:db8::1";

/// A program of the test's that is killed when the test ends.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Its end, with what it wrote.
    #[track_caller]
    pub fn end(mut self) -> Run {
        let null = Command::new("true").spawn().unwrap();
        let child = std::mem::replace(&mut self.0, null);
        Run::from(finish(Duration::from_secs(30), child))
    }
}

pub struct World {
    host: Server,
    outside: Server,
}

impl World {
    /// None (and a skip): not root, or a program is missing.
    pub fn new() -> Option<World> {
        super::need_root()?;
        for program in ["ip", "nft", "socat", "unshare", "nsenter"] {
            let there = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
                .iter()
                .any(|dir| std::path::Path::new(dir).join(program).exists());
            need(there.then_some(()), &format!("needs {program}"))?;
        }
        let world = World { host: holder(), outside: holder() };
        let (host, outside) = (world.host.pid(), world.outside.pid());
        let made = world.on_host(&[
            "sh",
            "-ec",
            &format!(
                "ip link set lo up
                # A new namespace begins with what the machine has.
                echo 0 > /proc/sys/net/ipv4/ip_forward
                echo 0 > /proc/sys/net/ipv6/conf/all/forwarding
                ip link add uplink mtu 1400 type veth peer name inlink mtu 1400 netns {outside}
                ip addr add {HOST}/24 dev uplink
                ip -6 addr add {HOST6}/64 dev uplink nodad
                ip link set uplink up
                nsenter --net=/proc/{outside}/ns/net sh -ec '
                    ip link set lo up
                    ip addr add {OUTSIDE}/24 dev inlink
                    ip -6 addr add {OUTSIDE6}/64 dev inlink nodad
                    ip link set inlink up'
                ip route add default via {OUTSIDE}
                ip -6 route add default via {OUTSIDE6}"
            ),
        ]);
        let made = Run::of(made);
        if made.code != 0 {
            super::skip(&format!("cannot make a small network: {} (host {host})", made.err));
            return None;
        }
        Some(world)
    }

    pub fn outside_pid(&self) -> u32 {
        self.outside.pid()
    }

    pub fn on_host<S: AsRef<OsStr>>(&self, command: &[S]) -> Command {
        on(&self.host, command)
    }

    pub fn on_outside<S: AsRef<OsStr>>(&self, command: &[S]) -> Command {
        on(&self.outside, command)
    }

    /// What a shell says on the host.
    #[track_caller]
    pub fn host(&self, script: &str) -> String {
        Run::of(self.on_host(&["sh", "-c", script])).expect(0).out.trim_end().to_owned()
    }

    #[track_caller]
    pub fn outside(&self, script: &str) -> String {
        Run::of(self.on_outside(&["sh", "-c", script])).expect(0).out.trim_end().to_owned()
    }

    /// Whether the kernel shows bridged packets to iptables or ip6tables, "1" or "0". False where
    /// that is not to be set: there is no br_netfilter.
    pub fn shows_bridged(&self, rules: &str, value: &str) -> bool {
        let setting = format!("/proc/sys/net/bridge/bridge-nf-call-{rules}");
        let set = format!("test -e {setting} && echo {value} > {setting} && cat {setting} || true");
        self.host(&set) == value
    }

    /// `launch OPTIONS ROOTFS COMMAND` on the host.
    pub fn launch(&self, s: &Sandbox, options: &[&str], command: &[&str]) -> Command {
        let rootfs = s.rootfs();
        self.launch_in(rootfs.to_str().unwrap(), options, command)
    }

    /// The same with all of this machine's programs.
    pub fn launch_in(&self, rootfs: &str, options: &[&str], command: &[&str]) -> Command {
        let program = launch();
        let mut words = vec![program.to_str().unwrap()];
        words.extend(options);
        words.push(rootfs);
        words.extend(command);
        self.on_host(&words)
    }

    /// A container that runs until the test ends, or `Server::end`.
    pub fn serve(&self, options: &[&str], script: &str) -> Server {
        let options = [options, &["--ephemeral"]].concat();
        server(self.launch_in("/", &options, &["sh", "-c", script]))
    }

    /// What is noted of the host's bridges.
    pub fn state(&self) -> String {
        self.host("cat /run/launch/.net/$(stat -Lc %i /proc/self/ns/net)/* 2>&1; true")
    }

    /// Clean after the next start, whatever it is: after a kill nobody else clears.
    #[track_caller]
    pub fn check_cleared(&self) {
        super::Run::of(self.launch_in("/", &["--ephemeral"], &["true"])).ok();
        self.check_clean();
    }

    /// Nothing of ours is on the host: links, rules, notes, forwarding. The last one's
    /// bridge stays for a moment.
    #[track_caller]
    pub fn check_clean(&self) {
        super::wait_until("links and rules to vanish", || {
            let own = "ls -d /run/launch/.net/$(stat -Lc %i /proc/self/ns/net) 2>/dev/null";
            let left = self.host(&format!("{own}; nft list tables; ip -o link | cut -d: -f2"));
            left.lines().all(|l| l == " lo" || l.starts_with(" uplink"))
        });
        assert_eq!(self.host("cat /proc/sys/net/ipv4/ip_forward"), "0");
        assert_eq!(self.host("cat /proc/sys/net/ipv6/conf/all/forwarding"), "0");
    }
}

pub fn server(mut command: Command) -> Server {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Server(command.spawn().unwrap())
}

fn holder() -> Server {
    let mut c = Command::new("unshare");
    c.args(["--net", "sleep", "1000"]);
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let server = server(c);
    let file = format!("/proc/{}/ns/net", server.pid());
    super::wait_until("a namespace", || std::fs::read_link(&file).is_ok_and(|ns| ns != own));
    server
}

fn on<S: AsRef<OsStr>>(holder: &Server, command: &[S]) -> Command {
    let mut c = Command::new("nsenter");
    c.arg(format!("--net=/proc/{}/ns/net", holder.pid())).args(command);
    c.stdin(Stdio::null());
    c
}

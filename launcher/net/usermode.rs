//! The network of an ordinary user's container: pasta(1) or slirp4netns(1), as installed,
//! which carry its connections in the user's own name.
//!
//! A process of ours stands by it, for nobody else could end it: a launcher may be killed,
//! and the program itself keeps the container's network namespace alive.

use crate::error::{Error, Result};
use crate::net::state::{Published, protocol};
use crate::net::{helper, hosts};
use crate::spec::{DEFAULT_BRIDGE, Net, UserMode as Kind};
use crate::sys;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// All that is known before the container is there.
#[derive(Clone, Debug)]
pub struct UserMode {
    pub kind: Kind,
    pub program: PathBuf,
    pub ports: Vec<Published>,
    /// For the pid file, or the socket by which ports are asked for; gone when it runs.
    pub file: PathBuf,
}

/// What slirp4netns gives the container, and where it answers for names.
const SLIRP_ADDRESS: &str = "10.0.2.100";
const SLIRP_DNS: &str = "10.0.2.3";
/// Asks the host's first resolver, which may listen on its loopback only.
const PASTA_DNS: &str = "169.254.1.1";

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pasta => "pasta",
            Kind::Slirp => "slirp4netns",
        }
    }

    pub fn resolver(self) -> &'static str {
        match self {
            Kind::Pasta => PASTA_DNS,
            Kind::Slirp => SLIRP_DNS,
        }
    }

    /// The program, where the system has it.
    pub fn find(self) -> Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/bin", "/usr/local/bin", "/bin"].map(PathBuf::from);
        let mut dirs = std::env::split_paths(&path).filter(|p| p.is_absolute()).chain(usual);
        dirs.find_map(|dir| Some(dir.join(self.name())).filter(|p| p.is_file())).ok_or_else(|| {
            let package = if self == Kind::Pasta { "passt" } else { "slirp4netns" };
            Error::new(format!("--net {0}: there is no program {0}", self.name()))
                .hint(format!("Debian and Fedora have it in package {package}"))
        })
    }
}

impl Net {
    /// The network itself, where only its ports were asked for.
    pub fn settle(&mut self, rootless: bool) {
        *self = match std::mem::take(self) {
            Net::ForPorts if !rootless => Net::Bridge(vec![DEFAULT_BRIDGE.to_owned()]),
            Net::ForPorts => {
                let there = [Kind::Pasta, Kind::Slirp].into_iter().find(|k| k.find().is_ok());
                Net::UserMode(there.unwrap_or(Kind::Pasta))
            }
            said => said,
        };
    }
}

impl UserMode {
    /// Starts it for the container whose process 1 is `child`, and returns when the network
    /// is there. Returned: the process of ours that ends it.
    pub fn start(&self, child: Pid) -> Result<Pid> {
        let failed =
            |what: &str, e: Errno| Error::os(format!("{what} for {}", self.kind.name()), e);
        let target =
            pidfd_open(child, PidfdFlags::empty()).map_err(|e| failed("open a pidfd", e))?;
        let flags = rustix::pipe::PipeFlags::CLOEXEC;
        let (said, say) = rustix::pipe::pipe_with(flags).map_err(|e| failed("make a pipe", e))?;
        let own = self.clone();
        let (their_end, keep) = (say.as_raw_fd(), vec![target.as_raw_fd(), say.as_raw_fd()]);
        let helper = helper::start(keep, move || own.stand_by(child, target, say.into()))
            .map_err(|e| failed("make a process", e))?;
        // Our copy, which the closure has.
        sys::close(their_end);
        let mut text = String::new();
        let read = File::from(said).read_to_string(&mut text);
        match (read, text.strip_prefix("ready")) {
            (Ok(_), Some(_)) => Ok(helper),
            (Ok(_), None) => {
                let said = if text.trim().is_empty() { "ended at once" } else { text.trim() };
                let error = Error::new(format!("--net {}: {said}", self.kind.name()));
                let tun = File::options().read(true).write(true).open("/dev/net/tun");
                Err(match tun {
                    Ok(_) => error,
                    Err(_) => error.hint("it needs /dev/net/tun, which you may not open here"),
                })
            }
            (Err(e), _) => Err(Error::os(format!("hear from {}", self.kind.name()), e)),
        }
    }

    pub fn shell(&self) -> String {
        match self.kind {
            Kind::Pasta => {
                let ports: Vec<_> =
                    self.ports.iter().map(|p| format!(" -t {}", forwarded(p))).collect();
                format!("pasta --config-net --no-map-gw --ns-ifname eth0{} $PID", ports.concat())
            }
            Kind::Slirp => "slirp4netns --configure --disable-host-loopback $PID tap0".into(),
        }
    }

    /// In a copy of the launcher: runs the program until process 1 is gone.
    fn stand_by(&self, child: Pid, target: OwnedFd, mut say: File) {
        match self.launch(child) {
            Err(why) => drop(say.write_all(why.as_bytes())),
            Ok(program) => {
                let _ = say.write_all(b"ready");
                drop(say);
                helper::close_standard();
                sys::forget_code();
                let mut wait = [PollFd::new(&target, PollFlags::IN)];
                while poll(&mut wait, None) == Err(Errno::INTR) {}
                let _ = rustix::process::pidfd_send_signal(&program, Signal::KILL);
                let mut gone = [PollFd::new(&program, PollFlags::IN)];
                let _ = poll(&mut gone, None);
                // slirp4netns is a child of ours, pasta is not.
                let _ = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
            }
        }
    }

    /// Its process, as a descriptor, when the network is there; else what it said.
    fn launch(&self, child: Pid) -> std::result::Result<OwnedFd, String> {
        let said = rustix::fs::memfd_create("stderr", rustix::fs::MemfdFlags::CLOEXEC);
        let mut said = File::from(said.map_err(|e| e.to_string())?);
        let copy = said.try_clone().map_err(|e| e.to_string())?;
        let mut command = Command::new(&self.program);
        command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(copy);
        let started = match self.kind {
            Kind::Pasta => self.pasta(child, command),
            Kind::Slirp => self.slirp(child, command),
        };
        let _ = std::fs::remove_file(&self.file);
        started.map_err(|why| {
            let mut text = String::new();
            let _ = said.rewind().and_then(|()| said.read_to_string(&mut text));
            // Its last line is the reason.
            match text.lines().rfind(|l| !l.trim().is_empty()) {
                Some(line) if !why.starts_with("port ") => line.trim().to_owned(),
                _ => why,
            }
        })
    }

    /// It goes into the background when it is ready, and leaves its number in a file.
    fn pasta(&self, child: Pid, mut command: Command) -> std::result::Result<OwnedFd, String> {
        command
            .args(["--config-net", "--quiet", "--ns-ifname", "eth0", "--no-map-gw", "--pid"])
            .arg(&self.file);
        // Answers of the resolver behind it seem to come from PASTA_DNS, whoever was asked.
        if hosts::first_is_loopback() {
            command.args(["--dns-forward", PASTA_DNS]);
        }
        for (udp, option) in [(false, "--tcp-ports"), (true, "--udp-ports")] {
            let mut some = false;
            for port in self.ports.iter().filter(|p| p.udp == udp) {
                command.arg(option).arg(forwarded(port));
                some = true;
            }
            if !some {
                command.args([option, "none"]);
            }
        }
        command.args(["--tcp-ns", "none", "--udp-ns", "none"]);
        command.arg(child.as_raw_nonzero().to_string());
        let status = command.status().map_err(|e| e.to_string())?;
        if !status.success() {
            return Err(status.to_string());
        }
        let text = std::fs::read_to_string(&self.file).map_err(|e| e.to_string())?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or("no process number")?;
        pidfd_open(pid, PidfdFlags::empty()).map_err(|e| e.to_string())
    }

    /// It stays a child of ours, and says on a descriptor when it is ready.
    fn slirp(&self, child: Pid, mut command: Command) -> std::result::Result<OwnedFd, String> {
        let (ready, tell) = rustix::pipe::pipe().map_err(|e| e.to_string())?;
        let keep =
            |fd: &OwnedFd, flags| rustix::io::fcntl_setfd(fd, flags).map_err(|e| e.to_string());
        keep(&ready, rustix::io::FdFlags::CLOEXEC)?;
        command.args(["--configure", "--mtu=65520", "--disable-host-loopback"]);
        command.arg(format!("--ready-fd={}", tell.as_raw_fd()));
        if !self.ports.is_empty() {
            command.arg("--api-socket").arg(&self.file);
        }
        command.arg(child.as_raw_nonzero().to_string()).arg("tap0");
        let process = command.spawn().map_err(|e| e.to_string())?;
        drop(tell);
        let mut one = [0];
        if !matches!(rustix::io::read(ready.as_fd(), &mut one), Ok(1)) {
            return Err("ended at once".into());
        }
        let pid = Pid::from_child(&process);
        let fd = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| e.to_string())?;
        for port in &self.ports {
            if let Err(why) = ask_slirp(&self.file, port) {
                let _ = rustix::process::pidfd_send_signal(&fd, Signal::KILL);
                return Err(why);
            }
        }
        Ok(fd)
    }
}

/// `127.0.0.1/8080:80`
fn forwarded(port: &Published) -> String {
    let ip = port.ip.map_or(String::new(), |ip| format!("{ip}/"));
    format!("{ip}{}:{}", port.outside, port.inside)
}

/// One request a connection: JSON in, JSON out.
fn ask_slirp(socket: &Path, port: &Published) -> std::result::Result<(), String> {
    let outside = port.outside;
    let request = serde_json::json!({ "execute": "add_hostfwd", "arguments": {
        "proto": protocol(port.udp),
        "host_addr": port.ip.map_or("0.0.0.0".to_owned(), |ip| ip.to_string()),
        "host_port": outside,
        "guest_addr": SLIRP_ADDRESS,
        "guest_port": port.inside,
    }});
    let ask = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(request.to_string().as_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    match ask() {
        Ok(answer) if answer.contains("\"return\"") => Ok(()),
        Ok(answer) => Err(format!("port {outside}/{}: {}", protocol(port.udp), answer.trim())),
        Err(e) => Err(e.to_string()),
    }
}

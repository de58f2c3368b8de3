//! Who is swept: launch in several ways, and its peers with what comes closest.

use crate::common::{Sandbox, USER, launch};
use std::io::Result;
use std::path::PathBuf;
use std::process::Command;

pub struct Subject {
    pub name: &'static str,
    pub user: Option<u32>,
    /// The command, without anything that is to fail in it.
    pub command: Box<dyn Fn() -> Command>,
    /// What is to be done after a crash, besides starting again.
    pub clear: Option<Box<dyn Fn() -> Command>>,
    /// A message begins so.
    pub says: &'static [&'static str],
    /// Who is killed when the init is to be: the how many-th process.
    pub init: Option<usize>,
    /// Directories where something could be left.
    pub dirs: Vec<PathBuf>,
    /// Calls of its runtime's own scheduling, which tell nothing.
    pub skip: &'static [libc::c_long],
    /// Facts that are not the same each time.
    pub ignore: &'static [&'static str],
    pub seconds: u64,
    /// It has links and rules on the host.
    pub bridged: bool,
}

const OURS: [&str; 2] = ["launch: ", "init: "];
const BRIDGE: [&str; 4] = ["--net", "bridge", "-p", "8080:80"];
const LIMITS: [&str; 6] = ["--mem", "50M", "--pids-limit", "60", "--cpus", "1.5"];

fn start(s: &Sandbox, user: bool, options: &[&str]) -> Box<dyn Fn() -> Command> {
    let dir = s.dir.clone();
    let volumes = [
        format!("{}:/ro:ro", dir.join("ro").display()),
        format!("{}:/rw", dir.join("rw").display()),
    ];
    let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
    Box::new(move || {
        let mut c = Command::new(if user { dir.join("launch") } else { launch() });
        c.args(["--name", &own_name()]).args(&options);
        c.args(["--hostname", "box", "-v", &volumes[0], "-v", &volumes[1]]);
        c.arg(dir.join("rootfs")).arg("/probe");
        c.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/");
        c.current_dir("/");
        c
    })
}

/// The container's name, the same each time, and nobody else's on this host.
pub fn own_name() -> String {
    format!("sweep-{}", std::process::id())
}

/// launch, in every way that makes a difference to what is to be undone.
pub fn launches(s: &Sandbox) -> Vec<Subject> {
    let subject = |name, user: bool, options: &[&str]| Subject {
        name,
        user: user.then_some(USER),
        command: start(s, user, options),
        clear: None,
        says: &OURS,
        init: Some(1),
        dirs: vec!["/run".into(), "/tmp".into(), "/dev/shm".into()],
        skip: &[],
        ignore: &[],
        seconds: 15,
        bridged: false,
    };
    let bridge = subject("bridge, as root, -p", false, &[&LIMITS[..], &BRIDGE].concat());
    let mut all = vec![
        subject("root", false, &LIMITS),
        subject(
            "root, --ephemeral --read-only",
            false,
            &[&LIMITS[..], &["--ephemeral", "--read-only", "--tmpfs", "/cache", "-u", "1000:1000"]]
                .concat(),
        ),
        subject("root, --userns=auto", false, &[&LIMITS[..], &["--userns", "auto"]].concat()),
        subject("user, one id", true, &[]),
        subject("user, subordinate ids", true, &["--ephemeral", "-u", "1000:1000"]),
    ];
    match network_programs() {
        true => all.push(Subject { bridged: true, ..bridge }),
        false => crate::common::skip("bridges need ip and nft"),
    }
    all
}

/// With which it is seen what is left.
fn network_programs() -> bool {
    let works = |program: &str, args: &[&str]| {
        Command::new(program).args(args).output().is_ok_and(|o| o.status.success())
    };
    works("ip", &["link", "set", "lo", "up"]) && works("nft", &["list", "tables"])
}

/// Whether this start is one of a user who has subordinate ids.
pub fn needs_subordinate_ids(name: &str) -> bool {
    name.contains("subordinate")
}

/// Files over the machine's own, in our mount namespace, that say who has subordinate ids.
pub const FILES: [&str; 3] = ["subuid", "subgid", "passwd"];

/// To be called once.
pub fn cover_files() -> Result<()> {
    for name in FILES {
        let (file, target) = (format!("/tmp/{name}"), format!("/etc/{name}"));
        std::fs::write(&file, "")?;
        if std::path::Path::new(&target).exists() {
            rustix::mount::mount_bind(&file, &target)?;
        }
    }
    Ok(())
}

pub fn subordinate_ids(given: bool) -> Result<()> {
    let line = if given { format!("{USER}:200000:65536\n") } else { String::new() };
    let passwd = format!("root:x:0:0::/:/bin/sh\nsweep:x:{USER}:{USER}::/:/bin/sh\n");
    for (name, text) in FILES.iter().zip([&line, &line, &passwd]) {
        std::fs::write(format!("/tmp/{name}"), text)?;
    }
    Ok(())
}

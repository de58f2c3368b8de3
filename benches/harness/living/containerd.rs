//! containerd with a shim for each container: a daemon of our own, gone at the end.

use super::{Bench, family, quiet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Daemon {
    child: Child,
    ctr: PathBuf,
    socket: String,
    path: String,
}

/// Where the caller has it.
fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists())
}

/// Looks at shim and payload of each of `count` containers, while they are there. None: it is
/// not here, or does not work.
pub fn look(bench: &Bench, count: usize, look: impl Fn(&[Vec<String>])) -> Option<()> {
    let daemon = Daemon::start(&bench.root.with_file_name("containerd"))?;
    let names: Vec<String> = (0..count).map(|n| format!("{}-shim{n}", bench.name)).collect();
    let root = bench.root.display().to_string();
    let start =
        |id: &String| daemon.does(&["run", "-d", "--rootfs", &root, id, "/bin/sleep", "1000"]);
    let seen = names.iter().all(start).then(|| {
        let list = daemon.said(&["task", "ls"]);
        let tasks = list.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        let all = tasks.filter_map(parent).map(|shim| family(&shim)).collect::<Vec<_>>();
        look(&all);
    });
    for id in &names {
        daemon.does(&["task", "rm", "-f", id]);
        daemon.does(&["container", "rm", id]);
    }
    seen
}

fn parent(pid: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(text.lines().find_map(|l| l.strip_prefix("PPid:"))?.trim().to_owned())
}

impl Daemon {
    fn start(dir: &Path) -> Option<Daemon> {
        let (program, ctr) = (found("containerd")?, found("ctr")?);
        let shim = found("containerd-shim-runc-v2")?;
        fs::create_dir_all(dir).ok()?;
        let config = dir.join("config.toml");
        fs::write(&config, "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")
            .ok()?;
        let socket = dir.join("socket").display().to_string();
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", shim.parent()?.display());
        let mut command = Command::new(program);
        command.env("PATH", &path).arg("--config").arg(config).args(["--address", &socket]);
        command.arg("--root").arg(dir.join("root")).arg("--state").arg(dir.join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Daemon { child: command.spawn().ok()?, ctr, socket, path };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !daemon.does(&["version"]) {
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(daemon)
    }

    fn ctr(&self, args: &[&str]) -> Command {
        let mut command = quiet(&self.ctr, &["--address", &self.socket]);
        command.args(args).env("PATH", &self.path);
        command
    }

    fn does(&self, args: &[&str]) -> bool {
        self.ctr(args).status().is_ok_and(|s| s.success())
    }

    fn said(&self, args: &[&str]) -> String {
        let output = self.ctr(args).stdout(Stdio::piped()).output();
        output.map_or_else(|_| String::new(), |o| String::from_utf8_lossy(&o.stdout).into_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

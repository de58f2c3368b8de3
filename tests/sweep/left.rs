//! What a start can leave behind on the host, before and after.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Cgroup,
    Path,
    Mount,
    Link,
    /// A table of nftables, or a setting of the network's.
    Rule,
    Process,
}

const FORWARDING: [&str; 2] =
    ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];

pub type Things = BTreeSet<(Kind, String)>;

/// Everything that is there. `dirs` are looked through whole; cgroups are those whose name
/// begins with one of `names`: others start containers, too. `rules`: look for those, too.
pub fn now(dirs: &[PathBuf], names: &[String], rules: bool) -> Things {
    let mut found = Things::new();
    let text = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let info = text("/proc/self/mountinfo");
    for line in info.lines() {
        found.insert((Kind::Mount, line.to_owned()));
        let point = line.split(' ').nth(4).filter(|_| line.contains(" - cgroup"));
        if let Some(point) = point {
            cgroups(Path::new(point), names, 4, false, &mut found);
        }
    }
    for (name, _) in text("/proc/net/dev").lines().filter_map(|l| l.split_once(':')) {
        found.insert((Kind::Link, name.trim().to_owned()));
    }
    for dir in dirs {
        files(dir, &mut found);
    }
    if rules {
        let nft = std::process::Command::new("nft").args(["list", "tables"]).output();
        let tables =
            nft.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stdout).into());
        found.extend(tables.lines().map(|l| (Kind::Rule, l.to_owned())));
        for file in FORWARDING {
            found.insert((Kind::Rule, format!("{file} {}", text(file).trim())));
        }
    }
    found
}

fn entries(dir: &Path) -> impl Iterator<Item = (PathBuf, bool)> {
    let list = std::fs::read_dir(dir).into_iter().flatten().flatten();
    list.map(|e| (e.path(), e.file_type().is_ok_and(|t| t.is_dir())))
}

fn cgroups(dir: &Path, names: &[String], depth: u32, ours: bool, found: &mut Things) {
    for (path, _) in entries(dir).filter(|(_, is_dir)| *is_dir) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ours = ours || names.iter().any(|n| name.starts_with(n.as_str()));
        if ours {
            found.insert((Kind::Cgroup, path.display().to_string()));
        }
        if depth > 0 {
            cgroups(&path, names, depth - 1, ours, found);
        }
    }
}

fn files(dir: &Path, found: &mut Things) {
    for (path, is_dir) in entries(dir) {
        found.insert((Kind::Path, path.display().to_string()));
        if is_dir {
            files(&path, found);
        }
    }
}

/// What has come, and what has gone: both should not be.
pub fn difference(before: &Things, after: &Things) -> Things {
    before.symmetric_difference(after).cloned().collect()
}

/// Removes it all, so that the next start is judged by what it does itself.
pub fn remove(things: &Things) {
    let mut paths: Vec<&(Kind, String)> = things.iter().collect();
    // Mounts, and what is inside, come first.
    paths.sort_by_key(|(kind, path)| (*kind != Kind::Mount, std::cmp::Reverse(path.len())));
    for (kind, path) in paths {
        let path = Path::new(path);
        match kind {
            Kind::Cgroup => {
                let procs = std::fs::read_to_string(path.join("cgroup.procs"));
                for pid in procs.unwrap_or_default().lines().filter_map(|l| l.parse().ok()) {
                    crate::sys::kill(pid, libc::SIGKILL);
                }
                let _ = std::fs::remove_dir(path);
            }
            Kind::Path if path.is_dir() && !path.is_symlink() => {
                let _ = std::fs::remove_dir(path);
            }
            Kind::Path => drop(std::fs::remove_file(path)),
            Kind::Mount => {
                // As a line of mountinfo.
                let point = path.to_string_lossy().split(' ').nth(4).map(str::to_owned);
                if let Some(point) = point {
                    let flags = rustix::mount::UnmountFlags::DETACH;
                    let _ = rustix::mount::unmount(point, flags);
                }
            }
            _ => {}
        }
    }
}

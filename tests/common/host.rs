//! The host before and after: what a container could leave behind.

use super::USER;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a container could leave behind.
#[derive(Debug)]
pub struct Host {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<String>,
    records: BTreeSet<String>,
    children: BTreeSet<String>,
    links: BTreeSet<String>,
}

impl Host {
    pub fn now() -> Host {
        let lines = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        Host {
            mounts: lines("/proc/self/mountinfo").lines().map(str::to_owned).collect(),
            cgroups: cgroups(),
            records: records(),
            children: children(),
            links: lines("/proc/net/dev")
                .lines()
                .filter_map(|l| l.split_once(':'))
                .map(|(n, _)| n.trim().to_owned())
                .collect(),
        }
    }

    pub fn difference(&self, after: &Host) -> Vec<(&'static str, String)> {
        let pairs = [
            ("mount", &self.mounts, &after.mounts),
            ("cgroup", &self.cgroups, &after.cgroups),
            ("record", &self.records, &after.records),
            ("process", &self.children, &after.children),
            ("network link", &self.links, &after.links),
        ];
        let mut out = Vec::new();
        for (kind, before, after) in pairs {
            out.extend(after.difference(before).map(|x| (kind, x.clone())));
            // Mounts must not vanish, either.
            if kind == "mount" {
                out.extend(before.difference(after).map(|x| ("lost mount", x.clone())));
            }
        }
        out
    }
}

/// A record that is locked, or the cgroup it names: some launcher lives that no test
/// started, for all of ours have ended.
pub fn belongs_to_another(kind: &str, what: &str) -> bool {
    let id = what.rsplit('/').next().unwrap_or_default();
    let id = id.strip_prefix("launch-").unwrap_or(id);
    matches!(kind, "cgroup" | "record")
        && record_places().iter().any(|dir| {
            let Ok(file) = std::fs::File::open(dir.join(id)) else { return false };
            let lock = rustix::fs::FlockOperation::NonBlockingLockShared;
            rustix::fs::flock(&file, lock).is_err()
        })
}

fn cgroups() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let info = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in info.lines().filter(|l| l.contains(" - cgroup")) {
        if let Some(point) = line.split(' ').nth(4) {
            walk_cgroups(Path::new(point), 6, &mut found);
        }
    }
    found
}

fn walk_cgroups(dir: &Path, depth: u32, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.strip_prefix("launch-").unwrap_or_default();
        if !id.is_empty() {
            found.insert(path.display().to_string());
        } else if depth > 0 {
            walk_cgroups(&path, depth - 1, found);
        }
    }
}

fn record_places() -> Vec<PathBuf> {
    let mut dirs = vec![PathBuf::from("/run/launch")];
    for uid in [rustix::process::geteuid().as_raw(), USER] {
        dirs.push(format!("/tmp/launch-{uid}").into());
    }
    dirs.extend(std::env::var_os("XDG_RUNTIME_DIR").map(|d| Path::new(&d).join("launch")));
    dirs
}

fn records() -> BTreeSet<String> {
    record_places()
        .iter()
        .filter_map(|d| std::fs::read_dir(d).ok())
        .flat_map(|entries| entries.flatten())
        .map(|e| e.path().display().to_string())
        .collect()
}

/// Children of this process, adopted ones included, whatever thread made them.
fn children() -> BTreeSet<String> {
    let me = std::process::id();
    let mut found = BTreeSet::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return found };
    for entry in entries.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((name, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let state = fields.next().unwrap_or_default();
        if fields.next().and_then(|p| p.parse().ok()) != Some(me) {
            continue;
        }
        if state == "Z" {
            // An orphan that ended well; nobody else will take its status.
            let _ = rustix::process::waitpid(
                rustix::process::Pid::from_raw(pid as i32),
                rustix::process::WaitOptions::NOHANG,
            );
        } else {
            found.insert(name.to_owned());
        }
    }
    found
}

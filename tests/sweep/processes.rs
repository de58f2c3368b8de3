//! Processes by number: what they run, whose they are, and their end.

use crate::sys::{self, Pid};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Device and inode of the program that it runs.
pub fn file_of(pid: Pid) -> Option<(u64, u64)> {
    file_id(Path::new(&format!("/proc/{pid}/exe")))
}

/// Device and inode.
pub fn file_id(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// The process that a thread is of.
pub fn process_of(pid: Pid) -> Option<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("Tgid:")?.trim().parse().ok())
}

/// All processes below this one.
pub fn descendants() -> Vec<Pid> {
    let mut parents = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<Pid>() else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut fields = rest.split(' ');
        let state = fields.next().unwrap_or("Z").to_owned();
        let parent: Pid = fields.next().and_then(|p| p.parse().ok()).unwrap_or(0);
        parents.insert(pid, (parent, state));
    }
    let me = std::process::id() as Pid;
    let is_below = |pid: Pid| {
        let mut at = pid;
        while let Some((parent, _)) = parents.get(&at).filter(|(p, _)| *p > 0) {
            if *parent == me {
                return true;
            }
            at = *parent;
        }
        false
    };
    let mut found: Vec<Pid> =
        parents.iter().filter(|(p, (_, s))| s != "Z" && is_below(**p)).map(|(p, _)| *p).collect();
    found.sort_unstable();
    found
}

/// Name, state, system call and where it waits.
pub fn describe(pid: Pid) -> String {
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        text.trim().replace('\0', " ")
    };
    let state = read("stat").rsplit_once(") ").and_then(|(_, r)| r.chars().next());
    let call = read("syscall");
    let number = call.split(' ').next().unwrap_or_default();
    format!("{} ({}, call {number}, {})", read("comm"), state.unwrap_or('?'), read("wchan"))
}

/// Kills all that is left, and takes every status.
pub fn end_all() {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        descendants().into_iter().for_each(|p| sys::kill(p, libc::SIGKILL));
        loop {
            match sys::wait_now() {
                Err(_) => return,
                Ok(Some((pid, status))) if libc::WIFSTOPPED(status) => sys::detach(pid, 0),
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        sys::wait_for_change(Duration::from_millis(20));
    }
}

//! Stopping all processes of a container where they are (freezer).

use super::probe::{Layout, is_cgroup};
use super::{Cgroups, put, read, v2};
use crate::error::{Error, Result};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the kernel may take to stop processes that are in it.
const PATIENCE: Duration = Duration::from_secs(2);

/// One of its cgroups that can freeze.
pub fn freezer<'a>(mut dirs: impl Iterator<Item = &'a Path>) -> Option<&'a Path> {
    dirs.find(|dir| {
        let file = if is_cgroup(dir) == Some(true) { "cgroup.freeze" } else { "freezer.state" };
        rustix::fs::access(dir.join(file), rustix::fs::Access::EXISTS).is_ok()
    })
}

/// Whether everything in this freezer stands still.
pub fn is_frozen(dir: &Path) -> bool {
    match read(&dir.join("cgroup.events")) {
        Ok(text) => super::end::field(&String::from_utf8_lossy(&text), "frozen") == Some(1),
        Err(_) => read(&dir.join("freezer.state")).is_ok_and(|t| t.starts_with(b"FROZEN")),
    }
}

/// Where a cgroup for freezing alone can be made.
pub fn place(layout: &Layout, id: &str) -> Option<PathBuf> {
    let name = format!("launch-{id}");
    if let Some(hierarchy) = layout.v1_of("freezer") {
        let own = hierarchy.mounts.iter().find_map(|m| m.own.clone().filter(|_| !m.read_only))?;
        return Some(own.join(name));
    }
    let mut out = Cgroups::default();
    v2::place(&layout.unified()?, &name, &mut out).ok()?;
    out.dirs.pop()
}

/// Moves processes in, until `list` knows of none outside.
pub fn gather(dir: &Path, mut list: impl FnMut() -> Vec<i32>) -> Result<()> {
    let mut inside: Vec<i32> = Vec::new();
    for _ in 0..100 {
        let new: Vec<i32> = list().into_iter().filter(|pid| !inside.contains(pid)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for pid in new {
            match put(&dir.join("cgroup.procs"), &pid.to_string()) {
                Ok(()) | Err(Errno::SRCH) => inside.push(pid),
                Err(e) => {
                    let what = format!("move process {pid} into {}", dir.display());
                    return Err(Error::os(what, e));
                }
            }
        }
    }
    Err(Error::new("the container makes processes faster than they can be frozen"))
}

/// Returns when all stand still.
pub fn freeze(dir: &Path) -> Result<()> {
    let failed = |e| Error::os(format!("freeze {}", dir.display()), e);
    if is_cgroup(dir) == Some(true) {
        put(&dir.join("cgroup.freeze"), "1").map_err(failed)?;
    } else {
        put(&dir.join("freezer.state"), "FROZEN").map_err(failed)?;
    }
    let end = Instant::now() + PATIENCE;
    while !is_frozen(dir) {
        if Instant::now() >= end {
            let _ = thaw(dir);
            return Err(failed(Errno::BUSY));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

pub fn thaw(dir: &Path) -> Result<()> {
    let (file, value) = match is_cgroup(dir) {
        Some(true) => ("cgroup.freeze", "0"),
        _ => ("freezer.state", "THAWED"),
    };
    put(&dir.join(file), value).map_err(|e| Error::os(format!("thaw {}", dir.display()), e))
}

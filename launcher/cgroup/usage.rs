//! What a container's cgroups count.

use super::read;
use std::path::Path;

/// Of one container. None: not counted, because no limit on it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Bytes.
    pub memory: Option<u64>,
    pub memory_limit: Option<u64>,
    /// Microseconds of processor time.
    pub cpu: Option<u64>,
    pub pids: Option<u64>,
    pub pids_limit: Option<u64>,
}

/// Version 1 says "no limit" with a number near 2^63.
const UNLIMITED: u64 = 1 << 62;

fn number(dir: &Path, file: &str) -> Option<u64> {
    let text = read(&dir.join(file)).ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

/// Of a file with lines `NAME NUMBER`.
fn field(dir: &Path, file: &str, name: &str) -> Option<u64> {
    let text = read(&dir.join(file)).ok()?;
    super::end::field(&String::from_utf8_lossy(&text), name)
}

impl Usage {
    /// Bytes used, and the limit.
    pub fn memory_of<'a>(dirs: impl Iterator<Item = &'a Path>) -> Option<(u64, Option<u64>)> {
        let mut dirs = dirs;
        dirs.find_map(|dir| {
            let (used, limit) = match number(dir, "memory.current") {
                Some(used) => (used, number(dir, "memory.max")),
                None => (
                    number(dir, "memory.usage_in_bytes")?,
                    number(dir, "memory.limit_in_bytes").filter(|n| *n < UNLIMITED),
                ),
            };
            Some((used, limit))
        })
    }

    /// All that the cgroups at hand count.
    pub fn of<'a>(dirs: impl Iterator<Item = &'a Path> + Clone) -> Usage {
        let first = |file: &str| dirs.clone().find_map(|dir| number(dir, file));
        let memory = Usage::memory_of(dirs.clone());
        let cpu = dirs.clone().find_map(|d| field(d, "cpu.stat", "usage_usec"));
        Usage {
            memory: memory.map(|(used, _)| used),
            memory_limit: memory.and_then(|(_, limit)| limit),
            cpu: cpu.or_else(|| first("cpuacct.usage").map(|ns| ns / 1000)),
            pids: first("pids.current"),
            pids_limit: first("pids.max"),
        }
    }
}

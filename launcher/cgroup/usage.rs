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
    /// Bytes from and to block devices.
    pub io_read: Option<u64>,
    pub io_written: Option<u64>,
    /// Percent of the last ten seconds in which something waited for memory.
    pub pressure: Option<f64>,
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

/// Of all devices together: version 2's `rbytes=N`, version 1's `MAJOR:MINOR Read N`.
fn bytes(dir: &Path, key: &str, word: &str) -> Option<u64> {
    if let Ok(text) = read(&dir.join("io.stat")) {
        let text = String::from_utf8_lossy(&text).into_owned();
        let of = |w: &str| w.strip_prefix(key)?.parse::<u64>().ok();
        return Some(text.split_whitespace().filter_map(of).sum());
    }
    let text = read(&dir.join("blkio.throttle.io_service_bytes")).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let of = |line: &str| {
        let mut words = line.split(' ').skip(1);
        (words.next()? == word).then(|| words.next()?.parse::<u64>().ok())?
    };
    Some(text.lines().filter_map(of).sum())
}

/// `some avg10=0.12 ...`
fn pressure(dir: &Path) -> Option<f64> {
    let text = read(&dir.join("memory.pressure")).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|l| l.strip_prefix("some avg10="))?;
    line.split(' ').next()?.parse().ok()
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
            io_read: dirs.clone().find_map(|d| bytes(d, "rbytes=", "Read")),
            io_written: dirs.clone().find_map(|d| bytes(d, "wbytes=", "Write")),
            pressure: dirs.clone().find_map(pressure),
        }
    }
}

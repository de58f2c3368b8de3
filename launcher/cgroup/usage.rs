//! What a container's cgroups count.

use super::read;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
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

/// What a list of many containers shows of each: few calls, and short paths.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Glance {
    /// Bytes used, and the limit.
    pub memory: Option<(u64, Option<u64>)>,
    /// Everything in it stands still.
    pub frozen: bool,
}

/// Version 1 says "no limit" with a number near 2^63.
const UNLIMITED: u64 = 1 << 62;

fn number(dir: &Path, file: &str) -> Option<u64> {
    number_at(open(dir)?.as_fd(), file)
}

fn open(dir: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::empty()).ok()
}

/// The beginning of one of its files; the kernel gives short ones in one piece.
fn head<'a>(dir: BorrowedFd<'_>, file: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, file, flags, Mode::empty()).ok()?;
    let n = rustix::io::read(&file, &mut *buffer).ok()?;
    std::str::from_utf8(&buffer[..n]).ok()
}

fn number_at(dir: BorrowedFd<'_>, file: &str) -> Option<u64> {
    head(dir, file, &mut [0; 32])?.trim().parse().ok()
}

/// Version 1's.
fn memory_1(dir: BorrowedFd<'_>) -> Option<(u64, Option<u64>)> {
    let used = number_at(dir, "memory.usage_in_bytes")?;
    Some((used, number_at(dir, "memory.limit_in_bytes").filter(|n| *n < UNLIMITED)))
}

fn memory_2(dir: BorrowedFd<'_>) -> Option<(u64, Option<u64>)> {
    Some((number_at(dir, "memory.current")?, number_at(dir, "memory.max")))
}

/// Version 1 tells where the freezer is, which is rarely where the memory is.
fn frozen_1(dir: BorrowedFd<'_>) -> bool {
    head(dir, "freezer.state", &mut [0; 32]).is_some_and(|t| t.starts_with("FROZEN"))
}

fn frozen_2(dir: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 256];
    let events = head(dir, "cgroup.events", &mut buffer);
    events.and_then(|text| super::end::field(text, "frozen")) == Some(1)
}

/// Whether everything in one of these stands still.
pub fn frozen<'a>(dirs: impl Iterator<Item = &'a Path>) -> bool {
    dirs.filter_map(open).any(|dir| frozen_1(dir.as_fd()) || frozen_2(dir.as_fd()))
}

impl Glance {
    pub fn of<'a>(dirs: impl Iterator<Item = &'a Path>) -> Glance {
        let mut seen = Glance::default();
        for dir in dirs.filter_map(open) {
            let dir = dir.as_fd();
            let version_1 = memory_1(dir);
            seen.frozen |= frozen_1(dir) || version_1.is_none() && frozen_2(dir);
            seen.memory = seen.memory.or(version_1).or_else(|| memory_2(dir));
        }
        seen
    }
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
    /// All that the cgroups at hand count.
    pub fn of<'a>(dirs: impl Iterator<Item = &'a Path> + Clone) -> Usage {
        let first = |file: &str| dirs.clone().find_map(|dir| number(dir, file));
        let memory = Glance::of(dirs.clone()).memory;
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

//! The end of a cgroup: kill what is in it, tell what the kernel counted, remove it.

use super::probe::is_cgroup;
use super::{Cgroups, put, read};
use crate::error::{Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long processes may take to die, and a cgroup to become empty.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for what somebody else left: it must not hold up every start.
const SHORT_PATIENCE: Duration = Duration::from_millis(300);

/// How often a call is made again whose failure would leave something behind, whatever
/// the error is.
pub const RETRIES: u32 = 4;

/// What the kernel counted in the container's memory cgroup. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryReport {
    pub limit: u64,
    /// The most that was in use at once; None before Linux 5.19 on version 2.
    pub peak: Option<u64>,
    /// Processes killed for memory; never 0.
    pub oom_kills: u64,
    /// The limit was hit; false when the machine (or an outer cgroup) ran out.
    pub limit_hit: bool,
}

/// None when nothing was killed for memory, which costs one small read.
pub fn memory_report(cgroups: &Cgroups) -> Option<MemoryReport> {
    let memory = cgroups.memory.as_ref()?;
    let file = |name: &str| memory.dir.join(name);
    let number = |name: &str| -> Option<u64> {
        String::from_utf8(read(&file(name)).ok()?).ok()?.trim().parse().ok()
    };
    let events =
        read(&file(if memory.v2 { "memory.events" } else { "memory.oom_control" })).ok()?;
    let events = String::from_utf8_lossy(&events);
    let oom_kills = field(&events, "oom_kill").filter(|n| *n > 0)?;
    let peak = number(if memory.v2 { "memory.peak" } else { "memory.max_usage_in_bytes" });
    let limit_hit = match memory.v2 {
        true => field(&events, "oom").unwrap_or(0) > 0,
        // Version 1 does not say which limit it was (memory.failcnt stays 0 in Linux 6.18).
        false => peak.is_some_and(|p| p >= memory.limit - memory.limit / 16),
    };
    Some(MemoryReport { limit: memory.limit, peak, oom_kills, limit_hit })
}

/// How many processes of this cgroup the kernel has killed for memory; 0 where it is not
/// one that counts memory.
pub fn oom_kills(dir: &Path) -> u64 {
    let text = read(&dir.join("memory.events")).or_else(|_| read(&dir.join("memory.oom_control")));
    text.ok().and_then(|t| field(&String::from_utf8_lossy(&t), "oom_kill")).unwrap_or(0)
}

/// A line `NAME NUMBER`.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Kills everything in `dir` and below. Returns once nothing is left in it, or with an
/// error when the time is up. A directory that is not there is empty.
fn kill_within(dir: &Path, patience: Duration) -> Result<()> {
    // Version 2 since Linux 5.14: at once, and no fork escapes.
    let all = put(&dir.join("cgroup.kill"), "1").is_ok();
    let mut pause = Pause::new(patience);
    // Where the pids controller is at hand, nothing new comes while we kill.
    let mut first = true;
    loop {
        let left = processes(dir);
        if left.is_empty() {
            return Ok(());
        }
        if first && !all {
            let _ = put(&dir.join("pids.max"), "0");
            first = false;
        }
        if !all {
            kill_each(dir, &left);
        }
        if !pause.wait() {
            let what = format!("kill the processes in {}", dir.display());
            return Err(Error::os(what, Errno::BUSY).hint(format!("first of them: {}", left[0])));
        }
    }
}

/// The number of a process may be another's by the time it is used: a descriptor is
/// opened first, then the list is read again, and only who is still on it is killed.
fn kill_each(dir: &Path, pids: &[i32]) {
    let open = |pid: &i32| {
        let fd = pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty());
        Some((*pid, fd))
    };
    for batch in pids.chunks(64) {
        let opened: Vec<_> = batch.iter().filter_map(open).collect();
        let still = processes(dir);
        for (pid, fd) in opened.into_iter().filter(|(pid, _)| still.contains(pid)) {
            let _ = match (fd, Pid::from_raw(pid)) {
                (Ok(fd), _) => pidfd_send_signal(&fd, Signal::KILL),
                // Before Linux 5.3 there is only the number.
                (Err(Errno::NOSYS | Errno::PERM), Some(pid)) => {
                    rustix::process::kill_process(pid, Signal::KILL)
                }
                _ => Ok(()),
            };
        }
    }
}

/// Process numbers in `dir` and the cgroups below it; ours is never among them.
pub(super) fn processes(dir: &Path) -> Vec<i32> {
    let own = rustix::process::getpid().as_raw_pid();
    let mut list: Vec<i32> = Vec::new();
    for dir in tree(dir) {
        let text = read(&dir.join("cgroup.procs")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        list.extend(text.lines().filter_map(|l| l.parse().ok()).filter(|p| ![0, own].contains(p)));
    }
    list
}

/// Removes `dir` and the cgroups a payload may have made below it. Processes that are
/// just dying are waited for, up to two seconds. Not being there is fine.
pub fn remove(dir: &Path) -> Result<()> {
    remove_within(dir, PATIENCE)
}

fn remove_within(dir: &Path, patience: Duration) -> Result<()> {
    let mut pause = Pause::new(patience);
    let mut odd = 0;
    loop {
        match rustix::fs::rmdir(dir) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY | Errno::INTR) => {}
            // Short of memory, say: what is left behind would stay for good.
            Err(_) if odd < RETRIES => odd += 1,
            Err(e) => return Err(Error::os(format!("remove cgroup {}", dir.display()), e)),
        }
        // Parents come first in the list.
        let below = tree(dir);
        let gone = below.iter().skip(1).rev().filter(|d| rustix::fs::rmdir(*d).is_ok()).count();
        if gone == 0 && !pause.wait() {
            return Err(Error::os(format!("remove cgroup {}", dir.display()), Errno::BUSY)
                .hint("processes that cannot be killed are still in it"));
        }
    }
}

/// Kills and removes what a dead launcher left. True when it is gone; false, with nothing
/// done, when it lies in a cgroup mount that this process does not see.
pub fn clear_left_over(dir: &Path) -> Result<bool> {
    if is_cgroup(dir).is_some() {
        kill_within(dir, SHORT_PATIENCE)?;
        return remove_within(dir, SHORT_PATIENCE).map(|()| true);
    }
    // Gone, perhaps with its parents: then the nearest that is there is a cgroup still.
    let near = dir.ancestors().skip(1).find(|d| rustix::fs::statfs(*d).is_ok());
    Ok(near.is_some_and(|d| is_cgroup(d).is_some()))
}

/// Undoes a controller switched on for our children; that the cgroup is gone is fine.
pub fn switch_off(subtree_control: &Path, value: &str) {
    if subtree_control.parent().is_some_and(|d| is_cgroup(d) == Some(true)) {
        let _ = put(subtree_control, value);
    }
}

/// `dir` and every directory below it, parents before children.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut list = vec![dir.to_owned()];
    let mut next = 0;
    // st_nlink of a cgroup directory is 2 plus its children: most have none to look for.
    while next < list.len() {
        let dir = list[next].clone();
        next += 1;
        if rustix::fs::lstat(&dir).map_or(0, |s| s.st_nlink) > 2 {
            children(&dir, &mut list);
        }
    }
    list
}

fn children(dir: &Path, list: &mut Vec<PathBuf>) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::open(dir, flags, Mode::empty()) else { return };
    let Ok(entries) = rustix::fs::Dir::new(fd) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_bytes();
        if entry.file_type().is_dir() && name != b"." && name != b".." {
            use std::os::unix::ffi::OsStrExt;
            list.push(dir.join(std::ffi::OsStr::from_bytes(name)));
        }
    }
}

/// Waits of 50 microseconds to 20 milliseconds, so many in all.
struct Pause {
    next: Duration,
    end: Instant,
}

impl Pause {
    fn new(patience: Duration) -> Pause {
        Pause { next: Duration::from_micros(50), end: Instant::now() + patience }
    }

    /// False when the time is up.
    fn wait(&mut self) -> bool {
        if Instant::now() >= self.end {
            return false;
        }
        std::thread::sleep(self.next);
        self.next = (self.next * 2).min(Duration::from_millis(20));
        true
    }
}

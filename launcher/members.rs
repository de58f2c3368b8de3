//! The processes of a container, as /proc on the host has them.

use rustix::fd::AsRawFd;
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::path::PathBuf;

/// One process.
#[derive(Debug, Default, PartialEq)]
pub struct Member {
    pub pid: i32,
    /// Its number inside.
    pub inner: i32,
    /// On the host.
    pub uid: u32,
    /// Clock ticks of processor time.
    pub ticks: u64,
    /// Bytes in memory.
    pub resident: u64,
    pub threads: u64,
    pub state: char,
    pub command: String,
}

fn file(pid: i32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn namespace(pid: i32) -> Option<u64> {
    rustix::fs::stat(file(pid, "ns/pid")).ok().map(|s| s.st_ino)
}

/// All numbers of processes that /proc shows.
pub fn all() -> impl Iterator<Item = i32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names.filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// All that are in the pid namespace of this process or in one made below it, itself included.
pub fn of(first: i32) -> Vec<i32> {
    let Some(own) = namespace(first) else { return Vec::new() };
    let here = namespace(rustix::process::getpid().as_raw_pid());
    let inside = |pid: &i32| match namespace(*pid) {
        Some(at) if at == own => true,
        at => at != here && is_below(*pid, own),
    };
    let mut list: Vec<i32> = all().filter(inside).collect();
    list.sort_unstable();
    list
}

/// Whether a pid namespace around this process's is that one.
fn is_below(pid: i32, own: u64) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(file(pid, "ns/pid"), flags, Mode::empty()).map_err(drop);
    while let Ok(fd) = &at {
        if rustix::fs::fstat(fd).is_ok_and(|s| s.st_ino == own) {
            return true;
        }
        at = crate::sys::outer_namespace(fd.as_raw_fd()).map_err(drop);
    }
    false
}

/// None: it has ended.
pub fn look(pid: i32, page: u64) -> Option<Member> {
    // A process gives itself any name.
    let text = |name| Some(String::from_utf8_lossy(&fs::read(file(pid, name)).ok()?).into_owned());
    let stat = text("stat")?;
    let (head, tail) = stat.rsplit_once(") ")?;
    // From the third field of proc_pid_stat(5) on.
    let fields: Vec<&str> = tail.split(' ').collect();
    let number = |field: usize| fields.get(field - 3).and_then(|f| f.parse::<u64>().ok());
    let status = text("status")?;
    let line = |name: &str| status.lines().find_map(|l| l.strip_prefix(name));
    let last = |text: &str| text.split_whitespace().last().and_then(|w| w.parse().ok());
    let words = fs::read(file(pid, "cmdline")).unwrap_or_default();
    let words: Vec<_> = words.split(|b| *b == 0).filter(|w| !w.is_empty()).collect();
    let command = match words.is_empty() {
        true => format!("[{}]", head.split_once('(')?.1),
        false => String::from_utf8_lossy(&words.join(&b' ')).into_owned(),
    };
    Some(Member {
        pid,
        inner: line("NSpid:").and_then(last).unwrap_or(0),
        uid: line("Uid:")?.split_whitespace().next()?.parse().ok()?,
        ticks: number(14)? + number(15)?,
        resident: number(24)? * page,
        threads: number(20)?,
        state: fields.first()?.chars().next()?,
        command: command.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
    })
}

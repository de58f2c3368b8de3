//! What process 1 of a detached container reports: a file of records of four numbers
//! each, `pid status restarts pause`. Written from inside, so nothing of it is relied on
//! but the status that is told.

use super::{Ended, files_of};
use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, OFlags};

/// A status that wait(2) never gives: the payload runs.
const ALIVE: i32 = -1;
const SIZE: usize = 16;

/// The first or the last record, and when the file was last written to (milliseconds after
/// 1970).
fn record(dir: BorrowedFd<'_>, name: &str, last: bool) -> Option<([i32; 4], u64)> {
    let [_, exit] = files_of(name);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, exit, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    let behind = (stat.st_size as u64).checked_sub(SIZE as u64)? / SIZE as u64 * SIZE as u64;
    let mut bytes = [0; SIZE];
    let n = rustix::io::pread(&file, &mut bytes[..], if last { behind } else { 0 }).ok()?;
    if n < SIZE {
        return None;
    }
    let word = |n: usize| i32::from_ne_bytes([0, 1, 2, 3].map(|i| bytes[n * 4 + i]));
    // The payload may have set it, too, to any time.
    let written = (stat.st_mtime as u64).saturating_mul(1000);
    let written = written.saturating_add(stat.st_mtime_nsec as u64 / 1_000_000).min(super::now());
    Some(([0, 1, 2, 3].map(word), written))
}

fn last(dir: BorrowedFd<'_>, name: &str) -> Option<([i32; 4], u64)> {
    record(dir, name, true)
}

/// Whether the payload has ever been executed: the first record says so.
pub fn started(dir: BorrowedFd<'_>, name: &str) -> bool {
    record(dir, name, false).is_some_and(|([_, status, ..], _)| status == ALIVE)
}

/// The exit code as a shell has it, and when; None when process 1 was killed before.
pub(super) fn ended(dir: BorrowedFd<'_>, name: &str) -> Option<(i32, u64)> {
    let ([_, status, _, pause], at) = last(dir, name)?;
    if status == ALIVE || pause >= 0 {
        return None;
    }
    Some((if status & 0x7f == 0 { status >> 8 & 0xff } else { 128 + (status & 0x7f) }, at))
}

/// How often the payload was started again.
pub fn restarts(dir: BorrowedFd<'_>, name: &str) -> u32 {
    last(dir, name).map_or(0, |([_, _, restarts, _], _)| restarts.max(0) as u32)
}

/// What is noted of the end of a container.
pub(super) fn end_of(dir: BorrowedFd<'_>, name: &str, out_of_memory: bool) -> Ended {
    // Without a report it was killed together with its init.
    let report = ended(dir, name);
    let (code, at) = report.unwrap_or((128 + libc::SIGKILL, super::now()));
    Ended { code, at, out_of_memory, known: report.is_some() }
}

//! The log of a detached container. It writes there itself, so there is no process that
//! copies and could stamp times; whoever comes by cuts off the beginning of what has grown
//! too long, and notes how long it was when.

use super::{Entry, Found, files_of, lines, write_all};
use crate::error::{Error, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::ffi::CStr;

/// Bytes, where --log-opt max-size says nothing else.
pub const SIZE: u64 = 1 << 20;
/// Between two notes of the length.
const APART: u64 = 10_000;

pub fn open(found: &Found) -> Result<OwnedFd> {
    open_file(found.dir.as_fd(), &found.name, OFlags::RDONLY).map_err(|e| {
        Error::os(format!("open the log of {}", found.name), e)
            .hint("it was started without one (--log-driver)")
    })
}

fn open_file(dir: BorrowedFd<'_>, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let [log, _] = files_of(name);
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(dir, log, flags, Mode::empty())
}

/// Keeps it short, and notes how long it is. That it cannot is no reason to fail.
pub fn tend(found: &Found) {
    tend_file(found.dir.as_fd(), &found.name, &found.entry);
}

pub(super) fn tend_file(dir: BorrowedFd<'_>, name: &str, entry: &Entry) {
    let Some(size) = cut(dir, name, entry) else { return };
    let (time, length) = entry.marks.last().copied().unwrap_or((entry.facts.started, 0));
    let now = super::now();
    // Ever further apart, or a record that is looked at for months would grow for months.
    let apart = APART << (entry.marks.len() / 512).min(20);
    if size != length && now >= time.saturating_add(apart) {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(record) = rustix::fs::openat(dir, name, flags, Mode::empty()) {
            let _ = write_all(record.as_fd(), lines::mark(now, size).as_bytes());
        }
    }
}

/// Keeps it short; its length as it would be with all that was ever written.
pub(super) fn cut(dir: BorrowedFd<'_>, name: &str, entry: &Entry) -> Option<u64> {
    let [log, _] = files_of(name);
    let stat = rustix::fs::statat(dir, log, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let most = if entry.facts.log_size == 0 { SIZE } else { entry.facts.log_size };
    let size = stat.st_size as u64;
    if stat.st_blocks as u64 * 512 > most {
        let file = open_file(dir, name, OFlags::RDWR).ok()?;
        // Whole pages, so that half of what is allowed stays.
        let end = size.saturating_sub(most / 2) / 4096 * 4096;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if end > 0 && rustix::fs::fallocate(&file, hole, 0, end).is_err() {
            // A file system without holes: all of it or nothing.
            let _ = rustix::fs::ftruncate(&file, 0);
        }
    }
    Some(size)
}

pub(super) fn tend_named(dir: BorrowedFd<'_>, name: &CStr, entry: &Entry) {
    tend_file(dir, &name.to_string_lossy(), entry);
}

/// Where the first byte is that may have been written at `time`.
pub fn mark_before(entry: &Entry, time: u64) -> u64 {
    entry.marks.iter().rev().find(|(at, _)| *at <= time).map_or(0, |(_, length)| *length)
}

/// Where the first byte is that was certainly written after `time`.
pub fn mark_after(entry: &Entry, time: u64) -> u64 {
    entry.marks.iter().find(|(at, _)| *at >= time).map_or(u64::MAX, |(_, length)| *length)
}

/// The next byte that is not in a hole, from `at` on. The container may have made the file as
/// long as it likes: where only a hole follows, the end.
pub fn data_from(file: BorrowedFd<'_>, at: u64) -> u64 {
    // Before the search: what is written after it was not looked at.
    let size = rustix::fs::fstat(file).map_or(at, |s| s.st_size as u64);
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data,
        // Shorter than it was: it has been emptied.
        Err(Errno::NXIO) if size < at => 0,
        Err(Errno::NXIO) => size,
        Err(_) => at,
    }
}

/// Where the last bytes begin and end that are not in a hole.
fn last_data(file: BorrowedFd<'_>, size: u64) -> (u64, u64) {
    let (mut last, mut at) = ((0, size), 0);
    while let Ok(data) = rustix::fs::seek(file, SeekFrom::Data(at)) {
        let end = rustix::fs::seek(file, SeekFrom::Hole(data)).unwrap_or(size);
        last = (data, end);
        at = end.max(data + 1);
    }
    last
}

/// The beginning of a line, at `from` or behind it.
pub fn first(file: BorrowedFd<'_>, from: u64) -> Result<u64> {
    let at = data_from(file, from);
    if at == 0 {
        return Ok(0);
    }
    // Behind a hole the first line may have lost its beginning.
    let mut buffer = vec![0; 64 << 10];
    let before = at - 1;
    let n = rustix::io::pread(file, &mut buffer[..], before)
        .map_err(|e| Error::os("read the log", e))?;
    let end = buffer[..n].iter().position(|b| *b == b'\n');
    Ok(end.map_or(at, |end| before + end as u64 + 1))
}

/// The beginning of the last `lines` lines before `end`, not before `from`.
pub fn last_lines(file: BorrowedFd<'_>, from: u64, end: u64, lines: u64) -> Result<u64> {
    let failed = |e| Error::os("read the log", e);
    let size = rustix::fs::fstat(file).map_err(failed)?.st_size as u64;
    let (start, last) = last_data(file, size);
    let end = last.min(end);
    let from = from.max(start);
    let (mut at, mut left) = (end, lines);
    let mut buffer = vec![0; 64 << 10];
    while at > from {
        let start = at.saturating_sub(buffer.len() as u64).max(from);
        let part = &mut buffer[..(at - start) as usize];
        let n = rustix::io::pread(file, &mut *part, start).map_err(failed)?;
        for i in (0..n).rev() {
            // The last byte ends the last line; it begins none.
            if part[i] == b'\n' && start + i as u64 + 1 < end {
                if left <= 1 {
                    return Ok(if lines == 0 { end } else { start + i as u64 + 1 });
                }
                left -= 1;
            }
        }
        at = start;
    }
    Ok(if lines == 0 { end } else { from })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Whatever is written just when its reader has come to the end.
    #[test]
    fn nothing_of_what_grows_is_missed() {
        const LINES: usize = 20_000;
        let path = std::env::temp_dir().join(format!("launch-log-{}", std::process::id()));
        let mut log = std::fs::File::create_new(&path).expect("made");
        let file = OwnedFd::from(std::fs::File::open(&path).expect("opened"));
        std::fs::remove_file(&path).expect("removed");
        let writer = std::thread::spawn(move || {
            for _ in 0..LINES {
                log.write_all(b"line\n").expect("written");
            }
        });
        let (mut at, mut copied, mut buffer) = (0, 0, [0; 64]);
        let mut last = false;
        loop {
            at = data_from(file.as_fd(), at);
            let n = rustix::io::pread(&file, &mut buffer, at).expect("read");
            (at, copied) = (at + n as u64, copied + n);
            if n == 0 && last {
                break;
            }
            last = writer.is_finished();
        }
        writer.join().expect("no panic");
        assert_eq!(copied, LINES * 5);
    }
}

//! A container that outlives its launcher: from the start of its init to that of the
//! payload, and what the init reports after that.

use crate::error::{Code, Error, Result};
use crate::record::{self, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// How often it is looked whether the payload runs. Only a start waits so.
const STEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000 };

/// Waits until the payload's program has been executed. False: the container ended before.
pub fn await_payload(record: &Record, child: Pid) -> Result<bool> {
    let pidfd = rustix::process::pidfd_open(child, PidfdFlags::empty());
    let pidfd = pidfd.map_err(|e| Error::os("open a pidfd", e))?;
    let started = || record::report::started(record.dir.as_fd(), record.name());
    loop {
        if started() {
            return Ok(true);
        }
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&STEP)) {
            Ok(0) | Err(Errno::INTR) => {}
            // It may have run and ended already.
            Ok(_) => return Ok(started()),
            Err(e) => return Err(Error::os("wait for the command", e)),
        }
    }
}

/// Why the init could not execute the payload: it has written that to the log.
pub fn why_not(record: &Record, code: i32) -> Error {
    let said = record.log_text().unwrap_or_default();
    let said = String::from_utf8_lossy(&said).trim_end().to_owned();
    let error = match said.strip_prefix("launch: ").unwrap_or(&said) {
        "" => Error::new("the container ended before its command ran"),
        words => Error::new(words),
    };
    error.code(match code {
        126 => Code::CannotExecute,
        127 => Code::NotFound,
        _ => Code::Ours,
    })
}

/// `--pidfile` replaces what was there, `--cidfile` does not.
pub fn write_file(path: &Path, name: Option<&str>, child: Option<Pid>) -> std::io::Result<()> {
    let pid = child.map_or(0, Pid::as_raw_pid).to_string();
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    match name {
        Some(_) => options.create_new(true),
        None => options.create(true).truncate(true),
    };
    let text = format!("{}\n", name.unwrap_or(&pid));
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes()))
}

/// systemd's journal takes lines from a stream after a few words on whose they are
/// (systemd-journald(8), its stdout socket).
pub fn journal(id: &str) -> std::io::Result<OwnedFd> {
    let mut stream = UnixStream::connect("/run/systemd/journal/stdout")?;
    // Identifier, unit, priority, level prefixes, and no forwarding to syslog, kmsg, console.
    write!(stream, "{id}\n\n6\n0\n0\n0\n0\n")?;
    Ok(stream.into())
}

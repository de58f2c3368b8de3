//! Work on the store where its owners are: an ordinary user with subordinate ids unpacks,
//! and removes, in a user namespace in which those ids are his.

use crate::error::{Code, Error, Result};
use crate::host::Host;
use crate::idmap::{self, IdMap, Writer};
use crate::spec::Spec;
use crate::sys::{self, ns};
use crate::unpack::Power;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Pid;
use std::fs::File;
use std::io::{Read, Write};

/// The ids an ordinary user has inside; None for root.
pub fn ids(host: &Host) -> Result<Option<IdMap>> {
    if host.rootless { idmap::choose(&Spec::new(), host) } else { Ok(None) }
}

/// What whoever does the work can do.
pub fn power(ids: Option<&IdMap>) -> Power {
    match ids {
        None => Power::Root,
        Some(ids) if ids.writer == Writer::Own => Power::Single,
        Some(ids) => {
            // Up to the first id that is nobody's.
            let last = (0..).take_while(|n| {
                let id = n * 1024 + 1023;
                ids.has_uid(id) && ids.has_gid(id)
            });
            Power::Mapped(last.last().map_or(0, |n| n * 1024 + 1023))
        }
    }
}

/// Does `job` as the store's root, in a process of its own where that takes one. What it
/// gives back is text.
pub fn work(
    ids: Option<&IdMap>,
    namespaces: u64,
    job: impl FnOnce() -> Result<String>,
) -> Result<String> {
    let helpers = ids.is_some_and(|ids| ids.writer == Writer::Helpers);
    if !helpers && namespaces == 0 {
        return job();
    }
    let user = if ids.is_some() { ns::NEWUSER } else { 0 };
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let failed = |e: Errno| Error::os("start a process for the store", e);
    let (go_read, go_write) = pipe().map_err(failed)?;
    let (read, write) = pipe().map_err(failed)?;
    // Its end is ours to see.
    sys::default_disposition(libc::SIGCHLD).map_err(failed)?;
    match sys::fork(namespaces | user).map_err(failed)? {
        None => {
            drop((go_write, read));
            child(go_read, write, job)
        }
        Some(child) => {
            drop((go_read, write));
            let mapped = ids.map_or(Ok(()), |ids| idmap::map_ids(ids, child));
            if mapped.is_ok() {
                // If it is gone already, its end says why.
                let _ = rustix::io::write(&go_write, b"g");
            }
            drop(go_write);
            let answer = mapped.and_then(|()| receive(read));
            reap(child);
            answer
        }
    }
}

fn child(go: OwnedFd, answer: OwnedFd, job: impl FnOnce() -> Result<String>) -> ! {
    let kill = Some(rustix::process::Signal::KILL);
    let _ = rustix::process::set_parent_process_death_signal(kill);
    // Nothing to read: the parent is gone, or could not give us our ids.
    if rustix::io::read(go.as_fd(), &mut [0u8; 1]) == Ok(1) {
        let text = match job() {
            Ok(text) => format!("+{text}"),
            Err(e) => format!("-{e}"),
        };
        let _ = File::from(answer).write_all(text.as_bytes());
    }
    sys::exit_now(0)
}

fn receive(answer: OwnedFd) -> Result<String> {
    let mut text = String::new();
    let read = File::from(answer).read_to_string(&mut text);
    read.map_err(|e| Error::os("hear from the process for the store", e))?;
    match text.split_at_checked(1) {
        Some(("+", text)) => Ok(text.to_owned()),
        Some((_, said)) => {
            let (said, hint) = match said.split_once("\nhint: ") {
                Some((said, hint)) => (said, Some(hint)),
                None => (said, None),
            };
            let error = Error::new(said).code(Code::Ours);
            Err(hint.into_iter().fold(error, |e, hint| e.hint(hint)))
        }
        None => Err(Error::new("the process for the store was killed")),
    }
}

pub fn reap(child: Pid) {
    let options = rustix::process::WaitOptions::empty();
    while let Err(Errno::INTR) = rustix::process::waitpid(Some(child), options) {}
}

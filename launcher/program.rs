//! Why a program that is there could not be executed (without our init, which says it
//! itself).

use crate::beneath::open_in_root;
use crate::binfmt::{self, Format};
use crate::error::{Code, Error};
use crate::quote::plain;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Words and code for a failed execve of the payload.
pub fn exec_error(root: &OwnedFd, candidates: &[CString], name: &CStr, errno: Errno) -> Error {
    let shown = plain(OsStr::from_bytes(name.to_bytes()));
    let code = match errno {
        Errno::NOENT | Errno::NOTDIR => Code::NotFound,
        _ => Code::CannotExecute,
    };
    let found = candidates.iter().find_map(|c| {
        let path = Path::new(OsStr::from_bytes(c.to_bytes()));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = open_in_root(root.as_fd(), path, flags, Mode::empty()).ok()?;
        Some((path, fd))
    });
    match found {
        Some((path, fd)) => explain(root, path, &fd, errno, code),
        None if code == Code::NotFound => {
            Error::new(format!("{shown}: not found in the container"))
        }
        None => Error::os(format!("execute {shown}"), errno),
    }
    .code(code)
}

fn explain(root: &OwnedFd, path: &Path, fd: &OwnedFd, errno: Errno, code: Code) -> Error {
    let shown = plain(path);
    let mut head = [0u8; binfmt::HEAD];
    let _ = rustix::io::pread(fd, &mut head[..], 0);
    let size = rustix::fs::fstat(fd).map_or(0, |s| s.st_size as u64);
    let absent = |name: &[u8]| !exists(root, name);
    match binfmt::identify(&head, size) {
        Format::Empty => Error::new(format!("{shown}: empty file")),
        Format::TruncatedElf => Error::new(format!("{shown}: truncated ELF")),
        Format::Elf { machine, .. } if !binfmt::runs_here(machine) && errno == Errno::NOEXEC => {
            Error::new(format!(
                "{shown}: built for {}, this machine is {}",
                binfmt::machine_name(machine),
                binfmt::machine_name(binfmt::NATIVE)
            ))
        }
        Format::Needs { at, len, crlf } => {
            let mut name = vec![0u8; (len as usize).min(4096)];
            let n = rustix::io::pread(fd, &mut name[..], at).unwrap_or(0);
            name.truncate(n);
            let name = name.split(|b| *b == 0).next().unwrap_or_default();
            let text = plain(OsStr::from_bytes(name));
            let script = head.starts_with(b"#!");
            if crlf {
                Error::new(format!("{shown}: interpreter '{text}\\r': the file has CRLF line ends"))
            } else if script && code == Code::NotFound && absent(name) {
                Error::new(format!("{shown}: its interpreter {text} is not in the rootfs"))
            } else if !script && code == Code::NotFound {
                Error::new(format!("{shown}: exists, but needs {text}, which is not in the rootfs"))
                    .hint(
                        "link it statically, or copy the loader and its libraries into the rootfs",
                    )
            } else {
                Error::os(format!("execute {shown}"), errno)
            }
        }
        _ => Error::os(format!("execute {shown}"), errno),
    }
}

fn exists(root: &OwnedFd, name: &[u8]) -> bool {
    let path = Path::new(OsStr::from_bytes(name));
    let fd = open_in_root(root.as_fd(), path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    fd.is_ok_and(|fd| {
        rustix::fs::fstat(&fd)
            .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile)
    })
}

//! /proc/sys/net of the network namespace of this process.

use crate::error::{Error, Result};
use rustix::io::Errno;

pub fn read(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path(name)).ok()?;
    Some(text.trim().to_owned())
}

pub fn write(name: &str, value: &str) -> Result<()> {
    let path = path(name);
    std::fs::write(&path, value).map_err(|e| {
        let error = Error::os(format!("write {value} to {path}"), e);
        if error_is_read_only(&path) {
            error.hint("/proc/sys is mounted read-only here")
        } else {
            error
        }
    })
}

/// The same where the kernel has it; without IPv6 it has none of its settings.
pub fn write_if_there(name: &str, value: &str) -> Result<()> {
    match std::fs::exists(path(name)) {
        Ok(false) => Ok(()),
        _ => write(name, value),
    }
}

/// Whether the kernel shows bridged packets to the rules (br_netfilter). That may change with
/// a module that is loaded.
pub fn shows_bridged6() -> bool {
    read("bridge/bridge-nf-call-ip6tables").is_some_and(|v| v != "0")
}

fn error_is_read_only(path: &str) -> bool {
    matches!(rustix::fs::access(path, rustix::fs::Access::WRITE_OK), Err(Errno::ROFS))
}

fn path(name: &str) -> String {
    format!("/proc/sys/net/{name}")
}

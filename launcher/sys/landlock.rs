//! Landlock (landlock(7), Linux 5.13): rules about paths that a process puts upon itself.

use super::call;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Result;
use std::ffi::c_long;

// One number for all machines, as of every call since Linux 5.1.
const CREATE_RULESET: c_long = 444;
const ADD_RULE: c_long = 445;
const RESTRICT_SELF: c_long = 446;

/// The version of its interface, from 1. ENOSYS: the kernel was built without; EOPNOTSUPP:
/// switched off at boot.
pub fn landlock_version() -> Result<u32> {
    const VERSION: usize = 1;
    // SAFETY: no pointer is passed.
    unsafe { call(CREATE_RULESET, [0, 0, VERSION, 0, 0]) }.map(|n| n as u32)
}

/// An empty set of rules: what is `handled` (LANDLOCK_ACCESS_FS_*) and that no rule allows
/// will be denied.
pub fn landlock_rules(handled: u64) -> Result<OwnedFd> {
    // struct landlock_ruleset_attr as of version 1.
    let attributes = [handled];
    let args = [attributes.as_ptr() as usize, size_of_val(&attributes), 0, 0, 0];
    // SAFETY: the kernel reads eight bytes during the call.
    let fd = unsafe { call(CREATE_RULESET, args) }?;
    // SAFETY: the descriptor is new (and close-on-exec) and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// One more rule: this file, or all that is below this directory.
pub fn landlock_allow(rules: BorrowedFd<'_>, access: u64, place: BorrowedFd<'_>) -> Result<()> {
    const PATH_BENEATH: usize = 1;
    // struct landlock_path_beneath_attr, packed: u64 and s32.
    let mut rule = [0u8; 12];
    rule[..8].copy_from_slice(&access.to_ne_bytes());
    rule[8..].copy_from_slice(&place.as_raw_fd().to_ne_bytes());
    let args = [rules.as_raw_fd() as usize, PATH_BENEATH, rule.as_ptr() as usize, 0, 0];
    // SAFETY: the kernel reads twelve bytes during the call.
    unsafe { call(ADD_RULE, args) }.map(drop)
}

/// From here on, for good. Needs no_new_privs, or CAP_SYS_ADMIN.
pub fn landlock_restrict(rules: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call(RESTRICT_SELF, [rules.as_raw_fd() as usize, 0, 0, 0, 0]) }.map(drop)
}

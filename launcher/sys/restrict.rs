//! System calls by which a process gives something up.

use super::call;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use std::ffi::c_long;

/// struct sock_fprog.
#[repr(C)]
struct Program {
    len: u16,
    filter: *const u64,
}

/// seccomp(2): from here on this program decides about every system call. Needs no_new_privs,
/// or CAP_SYS_ADMIN.
pub fn load_filter(program: &[u64], flags: u32) -> Result<()> {
    const SET_MODE_FILTER: usize = 1;
    const SPEC_ALLOW: u32 = 4;
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = Program { len, filter: program.as_ptr() };
    let load = |flags: u32| {
        let args = [SET_MODE_FILTER, flags as usize, (&raw const program) as usize, 0, 0];
        // SAFETY: the kernel reads `len` instructions of 8 bytes, which live across the call.
        unsafe { call(libc::SYS_seccomp, args) }.map(drop)
    };
    match load(flags) {
        // Linux 4.17.
        Err(Errno::INVAL) if flags & SPEC_ALLOW != 0 => load(flags & !SPEC_ALLOW),
        other => other,
    }
}

/// bpf(2): from here on this program decides about devices in the cgroup, for as long as
/// the cgroup is there.
pub fn filter_devices(cgroup: BorrowedFd<'_>, program: &[u64]) -> Result<()> {
    const BPF_PROG_LOAD: usize = 5;
    const BPF_PROG_ATTACH: usize = 8;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let licence = c"Apache-2.0";
    // union bpf_attr: type and length, program, licence; no log.
    let load = [
        u64::from(BPF_PROG_TYPE_CGROUP_DEVICE) | (program.len() as u64) << 32,
        program.as_ptr() as u64,
        licence.as_ptr() as u64,
        0,
        0,
        0,
    ];
    let args = [BPF_PROG_LOAD, load.as_ptr() as usize, size_of_val(&load), 0, 0];
    // SAFETY: the kernel reads the attributes, and what they point to, during the call.
    let loaded = unsafe { call(libc::SYS_bpf, args) }?;
    // SAFETY: the descriptor is new and nobody else's.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded as RawFd) };
    let fds = [cgroup.as_raw_fd(), loaded.as_raw_fd()].map(|fd| fd as u32);
    let attach = [fds[0], fds[1], BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI];
    let args = [BPF_PROG_ATTACH, attach.as_ptr() as usize, size_of_val(&attach), 0, 0];
    // SAFETY: as above.
    unsafe { call(libc::SYS_bpf, args) }.map(drop)
}

const KEYCTL_GET_KEYRING_ID: c_long = 0;
const KEYCTL_JOIN_SESSION_KEYRING: c_long = 1;
const KEY_SPEC_SESSION_KEYRING: c_long = -3;

/// keyctl(2): a new, empty session keyring without a name.
pub fn join_session_keyring() -> Result<()> {
    let args = [KEYCTL_JOIN_SESSION_KEYRING as usize, 0, 0, 0, 0];
    // SAFETY: a null name, and no other pointer.
    unsafe { call(libc::SYS_keyctl, args) }.map(drop)
}

/// The session keyring's serial number.
pub fn session_keyring() -> Result<i32> {
    let args = [KEYCTL_GET_KEYRING_ID as usize, KEY_SPEC_SESSION_KEYRING as usize, 0, 0, 0];
    // SAFETY: no pointer is passed.
    unsafe { call(libc::SYS_keyctl, args) }.map(|n| n as i32)
}

/// getsid(2): 0 for a session that began outside of the pid namespace.
pub fn session() -> Result<i32> {
    // SAFETY: no pointer is passed.
    unsafe { call(libc::SYS_getsid, [0; 5]) }.map(|n| n as i32)
}

/// prctl(PR_GET_SECCOMP): 2 where a filter is loaded.
pub fn seccomp_mode() -> Result<i32> {
    // SAFETY: no pointer is passed.
    unsafe { call(libc::SYS_prctl, [libc::PR_GET_SECCOMP as usize, 0, 0, 0, 0]) }.map(|n| n as i32)
}

/// prlimit(2) on this process: soft and hard, RLIM_INFINITY for none.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let new = [soft, hard];
    let args = [0, resource as usize, new.as_ptr() as usize, 0, 0];
    // SAFETY: struct rlimit64 is two u64, which live across the call.
    unsafe { call(libc::SYS_prlimit64, args) }.map(drop)
}

pub fn get_limit(resource: u32) -> Result<(u64, u64)> {
    let mut old = [0u64; 2];
    let args = [0, resource as usize, 0, old.as_mut_ptr() as usize, 0];
    // SAFETY: the kernel writes a struct rlimit64, which is two u64.
    unsafe { call(libc::SYS_prlimit64, args) }?;
    Ok((old[0], old[1]))
}

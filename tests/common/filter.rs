//! System calls that a kernel or a sandbox around the launcher does not have: a seccomp
//! filter that refuses them (seccomp(2)), from before the launcher's exec.
#![allow(unsafe_code, dead_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;

/// One system call that fails with `errno`.
#[derive(Clone, Copy)]
pub struct Refuse {
    pub call: libc::c_long,
    pub errno: i32,
    pub only: Only,
}

/// Which calls of it.
#[derive(Clone, Copy)]
pub enum Only {
    All,
    /// Those with one of these bits in the argument of this number.
    Bits(u32, u32),
    /// Those with this value there.
    Equal(u32, u32),
}

pub fn refuse_all(call: libc::c_long, errno: i32) -> Refuse {
    Refuse { call, errno, only: Only::All }
}

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_BITS: u16 = 0x45;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

fn program(rules: &[Refuse]) -> Vec<libc::sock_filter> {
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // struct seccomp_data: the number, the architecture, the address, six arguments.
    let mut out = vec![
        op(LOAD, 0, 0, 4),
        op(JUMP_EQUAL, 1, 0, ARCH),
        op(RETURN, 0, 0, ALLOW),
        op(LOAD, 0, 0, 0),
    ];
    for r in rules {
        let refuse = op(RETURN, 0, 0, ERRNO | r.errno as u32);
        let (code, argument, k) = match r.only {
            Only::All => {
                out.extend([op(JUMP_EQUAL, 0, 1, r.call as u32), refuse]);
                continue;
            }
            Only::Bits(argument, bits) => (JUMP_BITS, argument, bits),
            Only::Equal(argument, value) => (JUMP_EQUAL, argument, value),
        };
        out.extend([
            op(JUMP_EQUAL, 0, 4, r.call as u32),
            op(LOAD, 0, 0, 16 + 8 * argument),
            op(code, 0, 1, k),
            refuse,
            op(LOAD, 0, 0, 0),
        ]);
    }
    out.push(op(RETURN, 0, 0, ALLOW));
    out
}

/// The command, and all that it starts, is without these system calls.
pub fn refuse(command: &mut Command, rules: &[Refuse]) {
    let mut filter = program(rules);
    let set = move || {
        let fprog = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        if !rustix::process::geteuid().is_root() {
            rustix::thread::set_no_new_privs(true)?;
        }
        // SAFETY: the program lives across the call, which copies it.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &fprog) };
        if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec it makes system calls, and nothing else.
    unsafe { command.pre_exec(set) };
}

/// Without these capabilities, as in docker's containers; no exec brings them back.
pub fn without_capabilities(command: &mut Command, keep: u64) {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    let drop = move || {
        for n in 0..41 {
            if keep & 1 << n == 0 {
                let cap = CapabilitySet::from_bits_retain(1 << n);
                rustix::thread::remove_capability_from_bounding_set(cap)?;
            }
        }
        let kept = CapabilitySet::from_bits_retain(keep);
        let sets = CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        };
        Ok(rustix::thread::set_capabilities(None, sets)?)
    };
    // SAFETY: between fork and exec it makes system calls, and nothing else.
    unsafe { command.pre_exec(drop) };
}

/// Beyond 0 to 2 the command has this descriptor, by the same number, and none that the test
/// was started with.
pub fn inherit(command: &mut Command, fd: std::os::fd::OwnedFd) {
    let keep = move || {
        // SAFETY: changes descriptor flags only (CLOSE_RANGE_CLOEXEC, Linux 5.11).
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 4) };
        Ok(rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty())?)
    };
    // SAFETY: between fork and exec it makes system calls, and nothing else.
    unsafe { command.pre_exec(keep) };
}

//! Namespaces: leaving, joining, and what is brought up in a new one.

use super::{call, ns};
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// unshare(2) with 64-bit flags.
pub fn unshare(flags: u64) -> Result<()> {
    // SAFETY: no pointer is passed; a single-threaded process may unshare any of these.
    unsafe { call(libc::SYS_unshare, [flags as usize, 0, 0, 0, 0]) }.map(drop)
}

/// setns(2) by pidfd: joins that process's namespaces of the given kinds (Linux 5.8).
pub fn join(pidfd: RawFd, kinds: u64) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call(libc::SYS_setns, [pidfd as usize, kinds as usize, 0, 0, 0]) }.map(drop)
}

/// The kind of namespace (a `ns` flag) that a file stands for (ioctl_ns(2)).
pub fn namespace_kind(fd: RawFd) -> Result<u64> {
    const NS_GET_NSTYPE: usize = 0xb703;
    // SAFETY: no pointer is passed.
    let kind = unsafe { call(libc::SYS_ioctl, [fd as usize, NS_GET_NSTYPE, 0, 0, 0]) }?;
    Ok(kind as u64)
}

/// The namespace around a pid namespace; EPERM where that is not ours to see.
pub fn outer_namespace(fd: RawFd) -> Result<OwnedFd> {
    const NS_GET_PARENT: usize = 0xb702;
    // SAFETY: no pointer is passed; what comes back is a new descriptor.
    unsafe {
        let outer = call(libc::SYS_ioctl, [fd as usize, NS_GET_PARENT, 0, 0, 0])?;
        Ok(OwnedFd::from_raw_fd(outer as RawFd))
    }
}

/// The namespaces whose numbers are asked for: the PIDFD_GET_..._NAMESPACE of linux/pidfd.h, and
/// the same by name.
const OWN: [(u64, usize, &CStr); 3] = [
    (ns::NEWCGROUP, 0xff01, c"/proc/self/ns/cgroup"),
    (ns::NEWPID, 0xff05, c"/proc/self/ns/pid"),
    (ns::NEWUSER, 0xff09, c"/proc/self/ns/user"),
];

/// The number of the namespace of a kind (a `ns` flag) that this process began in, as a stat(2)
/// of /proc/self/ns has it. A pidfd's answer (Linux 6.11) costs a fifth of that, and one pidfd
/// has all of them.
pub fn own_namespace(kind: u64) -> Result<u64> {
    static FOUND: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    let number = OWN.iter().position(|(own, ..)| *own == kind).ok_or(Errno::INVAL)?;
    if FOUND[number].load(Ordering::Relaxed) == 0 {
        // Closed again: what is open here could be taken for one of the caller's descriptors.
        let own = rustix::process::getpid();
        let own = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty());
        // That of processes only few ask for.
        let wanted = |own: u64| own == kind || own != ns::NEWPID;
        for (found, (_, request, path)) in FOUND.iter().zip(OWN).filter(|(_, own)| wanted(own.0)) {
            let by_pidfd = own.as_ref().map_err(|e| *e).and_then(|own| {
                let args = [own.as_raw_fd() as usize, request, 0, 0, 0];
                // SAFETY: no pointer is passed.
                let fd = unsafe { call(libc::SYS_ioctl, args) }? as RawFd;
                // SAFETY: the descriptor is new and nobody else's.
                rustix::fs::fstat(unsafe { OwnedFd::from_raw_fd(fd) })
            });
            let stat = by_pidfd.or_else(|_| rustix::fs::stat(path));
            found.store(stat.map_or(0, |stat| stat.st_ino), Ordering::Relaxed);
        }
    }
    match FOUND[number].load(Ordering::Relaxed) {
        0 => Err(rustix::fs::stat(OWN[number].2).err().unwrap_or(Errno::NOSYS)),
        found => Ok(found),
    }
}

/// Brings up the loopback interface of the current network namespace (netdevice(7)).
pub fn loopback_up() -> Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&(libc::IFF_UP as u16).to_ne_bytes());
    // SAFETY: struct ifreq is 40 bytes: a 16-byte name, then the flags.
    unsafe {
        call(
            libc::SYS_ioctl,
            [
                socket.as_raw_fd() as usize,
                libc::SIOCSIFFLAGS as usize,
                request.as_ptr() as usize,
                0,
                0,
            ],
        )
    }
    .map(drop)
}

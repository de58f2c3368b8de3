//! What a container's file system must have beside its root: one table, compiled
//! into `init` and into the launcher, so that a container, a chroot under
//! `unshare` and a virtual machine look the same from the inside.
//! Plain data and `core` only: both programs include this very file.

use core::ffi::CStr;

pub const MS_NOSUID: u64 = 2;
pub const MS_NODEV: u64 = 4;
pub const MS_NOEXEC: u64 = 8;
pub const MS_STRICTATIME: u64 = 1 << 24;

/// One file system to mount.
pub struct Mount {
    pub source: &'static CStr,
    pub target: &'static CStr,
    pub fstype: &'static CStr,
    /// MS_* bits.
    pub flags: u64,
    pub data: &'static CStr,
    /// Mode of the mount point where it has to be made.
    pub mode: u32,
}

/// gid 5 is `tty` in every distribution: its terminals are group-writable for `write` and `wall`.
pub const DEVPTS_DATA: &CStr = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
/// For a user namespace that maps no gid 5, where the option above is refused (EINVAL).
pub const DEVPTS_DATA_NOGID: &CStr = c"newinstance,ptmxmode=0666,mode=0620";

const HARMLESS: u64 = MS_NOSUID | MS_NODEV | MS_NOEXEC;

const fn mount(
    source: &'static CStr,
    target: &'static CStr,
    fstype: &'static CStr,
    flags: u64,
    data: &'static CStr,
) -> Mount {
    Mount { source, target, fstype, flags, data, mode: 0o755 }
}

/// In mounting order: a parent comes before what lies below it.
pub const MOUNTS: &[Mount] = &[
    mount(c"proc", c"/proc", c"proc", HARMLESS, c""),
    mount(c"sysfs", c"/sys", c"sysfs", HARMLESS, c""),
    mount(c"tmpfs", c"/dev", c"tmpfs", MS_NOSUID | MS_STRICTATIME, c"mode=755,size=65536k"),
    mount(c"devpts", c"/dev/pts", c"devpts", MS_NOSUID | MS_NOEXEC, DEVPTS_DATA),
    mount(c"shm", c"/dev/shm", c"tmpfs", HARMLESS, c"mode=1777"),
    mount(c"mqueue", c"/dev/mqueue", c"mqueue", HARMLESS, c""),
    mount(c"tmpfs", c"/run", c"tmpfs", MS_NOSUID | MS_NODEV, c"mode=755"),
    mount(c"tmpfs", c"/tmp", c"tmpfs", MS_NOSUID | MS_NODEV, c"mode=1777"),
];

/// One character device below the tmpfs on /dev.
pub struct Node {
    pub path: &'static CStr,
    /// Permission bits, without S_IFCHR.
    pub mode: u32,
    pub major: u32,
    pub minor: u32,
}

const fn node(path: &'static CStr, major: u32, minor: u32) -> Node {
    Node { path, mode: 0o666, major, minor }
}

pub const NODES: &[Node] = &[
    node(c"/dev/null", 1, 3),
    node(c"/dev/zero", 1, 5),
    node(c"/dev/full", 1, 7),
    node(c"/dev/random", 1, 8),
    node(c"/dev/urandom", 1, 9),
    node(c"/dev/tty", 5, 0),
];

/// One symbolic link below /dev.
pub struct Link {
    pub path: &'static CStr,
    pub target: &'static CStr,
}

const fn link(path: &'static CStr, target: &'static CStr) -> Link {
    Link { path, target }
}

pub const LINKS: &[Link] = &[
    link(c"/dev/fd", c"/proc/self/fd"),
    link(c"/dev/stdin", c"/proc/self/fd/0"),
    link(c"/dev/stdout", c"/proc/self/fd/1"),
    link(c"/dev/stderr", c"/proc/self/fd/2"),
    link(c"/dev/ptmx", c"pts/ptmx"),
    link(c"/dev/core", c"/proc/kcore"),
];

/// The name below /dev, for who works from a descriptor of that directory.
#[allow(dead_code, reason = "for the launcher; init uses whole paths")]
pub fn below_dev(path: &CStr) -> &CStr {
    let bytes = path.to_bytes_with_nul();
    match bytes.strip_prefix(b"/dev/").map(CStr::from_bytes_with_nul) {
        Some(Ok(name)) => name,
        _ => path,
    }
}

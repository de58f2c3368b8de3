//! What a container's file system must have beside its root: one table, compiled
//! into `init` and into the launcher, so that a container, a chroot under
//! `unshare` and a virtual machine look the same from the inside.
//! Plain data and `core` only: both programs include this very file.

#![allow(dead_code, reason = "each program uses one of the two forms")]

use core::ffi::CStr;

pub const MS_NOSUID: u64 = 2;
pub const MS_NODEV: u64 = 4;
pub const MS_NOEXEC: u64 = 8;

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

/// One character device below the tmpfs on /dev.
pub struct Node {
    pub path: &'static CStr,
    /// Permission bits, without S_IFCHR.
    pub mode: u32,
    pub major: u32,
    pub minor: u32,
}

/// One symbolic link below /dev.
pub struct Link {
    pub path: &'static CStr,
    pub target: &'static CStr,
}

const fn c(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}

/// Makes the same table twice: as structures, and as strings one behind the other,
/// which take a third of the room in init.
macro_rules! table {
    (mounts: $($source:literal $target:literal $fstype:literal $flags:literal $data:literal;)*
     nodes: $($path:literal $device:literal;)*
     links: $($link:literal $to:literal;)*) => {
        pub const MOUNTS: &[Mount] = &[$(Mount {
            source: c(concat!($source, "\0")),
            target: c(concat!($target, "\0")),
            fstype: c(concat!($fstype, "\0")),
            flags: $flags,
            data: c(concat!($data, "\0")),
            mode: 0o755,
        }),*];
        pub const NODES: &[Node] =
            &[$(Node {
                path: c(concat!("/dev/", $path, "\0")),
                mode: 0o666,
                major: $device / 256,
                minor: $device % 256,
            }),*];
        pub const LINKS: &[Link] = &[$(Link { path: c(concat!("/dev/", $link, "\0")), target: c(concat!($to, "\0")) }),*];
        /// Target, source, type, flags, data; an empty target ends it. The launcher makes
        /// its cgroup view itself.
        pub const MOUNT_STRINGS: &[u8] = concat!(
            $($target, "\0", $source, "\0", $fstype, "\0", $flags, "\0", $data, "\0",)*
            "/sys/fs/cgroup\0cgroup2\0cgroup2\x0014\0\0\0"
        ).as_bytes();
        /// Name below /dev, device.
        pub const NODE_STRINGS: &[u8] = concat!($($path, "\0", $device, "\0",)* "\0").as_bytes();
        /// Name below /dev, target.
        pub const LINK_STRINGS: &[u8] = concat!($($link, "\0", $to, "\0",)* "\0").as_bytes();
    };
}

// In mounting order: a parent comes before what lies below it. The flags: 2 nosuid,
// 4 nodev, 8 noexec. gid 5 is `tty` in every distribution: its terminals are
// group-writable for `write` and `wall`. A device is 256 * major + minor.
table! {
    mounts:
        "proc" "/proc" "proc" 14 "";
        "sysfs" "/sys" "sysfs" 14 "";
        "tmpfs" "/dev" "tmpfs" 2 "mode=755,size=65536k";
        "devpts" "/dev/pts" "devpts" 10 "newinstance,ptmxmode=0666,mode=0620,gid=5";
        "shm" "/dev/shm" "tmpfs" 14 "mode=1777";
        "mqueue" "/dev/mqueue" "mqueue" 14 "";
        "tmpfs" "/run" "tmpfs" 6 "mode=755";
        "tmpfs" "/tmp" "tmpfs" 6 "mode=1777";
    nodes:
        "null" 259;
        "zero" 261;
        "full" 263;
        "random" 264;
        "urandom" 265;
        "tty" 1280;
    links:
        "fd" "/proc/self/fd";
        "stdin" "/proc/self/fd/0";
        "stdout" "/proc/self/fd/1";
        "stderr" "/proc/self/fd/2";
        "ptmx" "pts/ptmx";
        "core" "/proc/kcore";
}

pub const DEVPTS_DATA: &CStr = MOUNTS[3].data;
/// For a user namespace that maps no gid 5, where the option above is refused (EINVAL).
pub const DEVPTS_DATA_NOGID: &CStr = c"newinstance,ptmxmode=0666,mode=0620";

/// The name below /dev, for who works from a descriptor of that directory.
pub fn below_dev(path: &CStr) -> &CStr {
    let bytes = path.to_bytes_with_nul();
    match bytes.strip_prefix(b"/dev/").map(CStr::from_bytes_with_nul) {
        Some(Ok(name)) => name,
        _ => path,
    }
}

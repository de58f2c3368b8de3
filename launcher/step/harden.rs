//! The steps that take something away from the container, for good, and the look back at
//! the end.

use crate::seccomp::Filter;
use crate::spec::Rlimit;
use rustix::process::Gid;
use std::ffi::CStr;
use std::path::PathBuf;

pub enum Harden {
    /// An empty directory on the container's own /dev, to cover others with.
    HoldEmpty,
    /// Each covered by the empty directory or by our own /dev/null; absent is fine. `first`
    /// is the number of the first one among all that are hidden.
    Hide { paths: Vec<Hidden>, first: usize },
    /// `--device`
    Device(Box<MakeDevice>),
    /// Takes hold of /proc/sys before it becomes read-only.
    HoldSettings,
    /// Each over itself; absent is fine.
    ReadOnly(Vec<&'static CStr>),
    /// The empty directory loses its name, so that nothing can ever be put into it.
    ReleaseEmpty,
    /// A session keyring of its own (keyrings(7)).
    Keyring,
    /// `--sysctl`: files below /proc/sys.
    Settings(Vec<Setting>),
    /// `--oom-score-adj`
    OomScore(&'static CStr),
    /// `--ulimit`
    Limits(Vec<Rlimit>),
    /// Of the mounts, or of the process itself.
    Verify { checks: Vec<Check>, process: bool },
    /// Landlock's rules, of paths that may soon be out of reach.
    HoldRules(Landlock),
    /// From here on they hold.
    Landlock,
    /// Something that no rule allows is denied.
    VerifyLandlock,
    /// The last one but for its own check: it forbids most of the others.
    Filter(Filter),
    /// What prctl(PR_GET_SECCOMP) has to say under the filter: 2, or the error that the
    /// filter gives to prctl.
    VerifyFilter { mode: i32 },
}

pub struct Landlock {
    /// LANDLOCK_ACCESS_FS_*: denied where no rule allows it.
    pub handled: u64,
    /// Those that mean something for what is no directory.
    pub of_files: u64,
    pub rules: Vec<Allowed>,
}

pub struct Allowed {
    pub path: &'static CStr,
    /// LANDLOCK_ACCESS_FS_*
    pub access: u64,
    pub must: bool,
    /// As in `spec::PathRule`, for messages.
    pub wish: u8,
}

/// A node of our own that is like one of the host's.
pub struct MakeDevice {
    pub target: &'static CStr,
    /// Made on our /dev; otherwise made there, and bound to its place.
    pub below_dev: bool,
    /// Every directory on the way to the target, outermost first.
    pub parents: Vec<&'static CStr>,
    /// With its type.
    pub mode: u32,
    pub device: u64,
    pub owner: (u32, u32),
    /// For messages.
    pub source: PathBuf,
}

#[derive(Clone, Copy)]
pub struct Hidden {
    pub path: &'static CStr,
    /// Where that is known: of the kernel's own.
    pub directory: Option<bool>,
}

/// A file below /proc/sys, without a leading slash.
pub struct Setting {
    pub file: &'static CStr,
    pub value: &'static CStr,
    /// For messages: `net.ipv4.ip_forward=1`.
    pub shown: String,
}

/// What the kernel said yes to, and what can be looked at afterwards only in ways that cost
/// more than all the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Pivot,
    Network,
    CgroupNamespace,
    Keyring,
    /// It may run on all of them again.
    Processors,
    Signals,
    /// So many joined.
    Cgroups(u32),
    /// So many written.
    Limits(u32),
    /// So many of an image.
    Volumes(u32),
}

/// Something that has to be so when everything is done, as the kernel sees it.
pub enum Check {
    /// Without devices, in any case.
    Root {
        read_only: bool,
    },
    Done(Done),
    /// Something of ours is mounted here.
    MountPoint(&'static CStr),
    /// A file system of the kernel's own (f_type of statfs(2)) at its place.
    FileSystem {
        at: &'static CStr,
        magic: i64,
    },
    /// Read-only, or absent.
    ReadOnly(&'static CStr),
    /// Covered, or absent: by number, as in `Harden::Hide`.
    Hidden {
        path: &'static CStr,
        number: usize,
    },
    Uid(u32),
    Gid(u32),
    Groups(Vec<Gid>),
    Capabilities {
        keep: u64,
    },
    NoNewPrivileges,
    Umask,
    Session,
    ParentDeath,
    Hostname(&'static CStr),
    /// From this one on none but ours, which go at exec.
    Descriptors {
        from: i32,
        /// What is still needed is there, and nothing else.
        closed: bool,
    },
    Limit(Rlimit),
    OomScore(&'static CStr),
    /// A mount of the user's.
    Volume {
        target: &'static CStr,
        source: PathBuf,
    },
}

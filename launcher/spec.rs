//! What the user asked for: plain data, filled by the command line (and later by
//! config.json), without a look at the host. `plan` turns it into steps.

mod limits;
mod network;

pub use limits::{IoLimit, IoRate, Limits, Swap};
pub use network::{DEFAULT_BRIDGE, Net, NetOptions, Port, UserMode};

use crate::image::Wishes;
use std::ffi::OsString;
use std::path::PathBuf;

/// One container. Paths are as the user wrote them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// Root file system on the host.
    pub rootfs: PathBuf,
    /// Program and arguments; empty where an image is to say.
    pub command: Vec<OsString>,
    /// In place of an image's own; an empty one is none.
    pub entrypoint: Option<Vec<OsString>>,
    /// Directories on top of ROOTFS, the lowest one first.
    pub layers: Vec<PathBuf>,
    /// Where the upper layer is kept, in place of one that vanishes.
    pub keep: Option<PathBuf>,
    /// Which image of several, and how large it may be.
    pub image: Wishes,
    /// In the order given: a later one replaces an earlier one of the same name.
    pub env: Vec<EnvItem>,
    /// `USER[:GROUP]`, names of the image or numbers, checked by `user::parse`.
    pub user: Option<UserSpec>,
    /// Absolute, inside the container.
    pub workdir: Option<PathBuf>,
    /// The container's own, by which other commands find it; checked by `record::name`.
    pub name: Option<String>,
    /// A container of this name gives way, whether it runs or not.
    pub replace: bool,
    /// `--label`, for those who list containers.
    pub labels: Vec<(String, String)>,
    /// At most 64 bytes (HOST_NAME_MAX); the container's name where absent.
    pub hostname: Option<String>,
    /// Outlive the launcher, with output to a log.
    pub detach: bool,
    /// Keep nothing of a detached container that has ended.
    pub remove: bool,
    pub restart: Restart,
    pub log: Log,
    /// Host files for the number of process 1 and for the name.
    pub pidfile: Option<PathBuf>,
    pub cidfile: Option<PathBuf>,
    pub read_only: bool,
    /// Writes go to a layer that vanishes with the container.
    pub ephemeral: bool,
    /// Volumes and tmpfs, mounted in the user's order.
    pub mounts: Vec<MountOp>,
    /// Those of them whose source is the name of a volume in the store.
    pub named_volumes: Vec<NamedVolume>,
    /// Directories that an image calls volumes: writable whatever the root is, until the end.
    pub volumes: Vec<PathBuf>,
    pub limits: Limits,
    pub net: Net,
    pub net_options: NetOptions,
    /// Run the payload as process 1 itself, without our init.
    pub no_init: bool,
    pub tty: Tty,
    pub caps: Caps,
    pub userns: UserNs,
    /// `--uidmap`, `--gidmap`, in the user's order; where one is empty the other serves both.
    pub uid_map: Vec<MapLine>,
    pub gid_map: Vec<MapLine>,
    /// Let set-user-ID programs and file capabilities raise privileges.
    pub new_privileges: bool,
    pub seccomp: Seccomp,
    /// Absolute, hidden inside in addition to what always is.
    pub mask: Vec<PathBuf>,
    /// What is hidden or read-only by default and shall not be.
    pub unmask: Unmask,
    /// What may be done where; nothing anywhere else. None: landlock is not used.
    pub landlock: Vec<PathRule>,
    /// One per resource.
    pub rlimits: Vec<Rlimit>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Paths below /proc/sys, of what belongs to a namespace, and values; one per path.
    pub sysctls: Vec<(String, String)>,
    /// Of the host's, given to the container.
    pub devices: Vec<Device>,
    /// What may be used beyond the usual and `devices`.
    pub device_rules: Vec<DeviceRule>,
    /// Descriptors from 3 on that the payload gets as they are.
    pub preserve_fds: u32,
    /// Supplementary groups beside the user's own.
    pub groups: Vec<Id>,
    /// Seconds from SIGTERM or SIGHUP to SIGKILL; docker's default is 10.
    pub stop_timeout: u32,
    /// In place of SIGTERM for the payload.
    pub stop_signal: Option<i32>,
    /// What stands in the way of a start on purpose (for tests of failure).
    pub fault: Option<Fault>,
}

/// Where the output of a detached container goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// A file beside the record, of at most so many bytes.
    File {
        most: u64,
    },
    Journal,
    None,
}

impl Default for Log {
    fn default() -> Log {
        Log::File { most: crate::record::log::SIZE }
    }
}

/// What the init does when the command has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    #[default]
    No,
    /// When it failed, at most so often.
    OnFailure(Option<u32>),
    Always,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EnvItem {
    /// `-e K=V`
    Set(OsString, OsString),
    /// `-e K`: the caller's value, nothing if the caller has none.
    FromCaller(OsString),
    /// `--env-file FILE`: K=V or K per line, `#` comments.
    File(PathBuf),
}

/// Each part is a number or a name to be looked up in the rootfs.
#[derive(Clone, Debug, PartialEq)]
pub struct UserSpec {
    pub user: Id,
    pub group: Option<Id>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Id {
    Number(u32),
    Name(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum MountOp {
    /// `-v SRC:DST[:ro]`: a host file or directory, with what is mounted below it.
    /// `O`: what is written there vanishes.
    Bind { source: PathBuf, target: PathBuf, read_only: bool, throw_away: bool, owners: Owners },
    /// `--tmpfs DST[:size=..,mode=..,exec]`; `data` is for mount(2).
    Tmpfs { target: PathBuf, flags: TmpfsFlags, data: String },
}

impl MountOp {
    /// Absolute, inside the container.
    pub fn target(&self) -> &std::path::Path {
        let (MountOp::Bind { target, .. } | MountOp::Tmpfs { target, .. }) = self;
        target
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct NamedVolume {
    /// Its place among the mounts.
    pub mount: usize,
    /// While it is empty it gets what the root file system has there.
    pub copy: bool,
}

/// Owners of a volume's files inside a user namespace of root's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// Those on disk, unless the volume was given to the ids outside, or has none on disk.
    #[default]
    Natural,
    /// `idmap`: those on disk.
    OnDisk,
    /// `noidmap`: whoever the host's owners are inside, mostly nobody.
    Hosts,
}

/// Docker's defaults for --tmpfs: noexec, nosuid, nodev.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TmpfsFlags {
    pub exec: bool,
    pub suid: bool,
    pub dev: bool,
    pub read_only: bool,
}

/// Which user namespace, in podman's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserNs {
    /// Root: none, or as `uid_map` says. An ordinary user: one in which he is root.
    #[default]
    Default,
    /// None.
    Host,
    /// This many ids that no other container has, or a sensible number of them.
    Auto { size: Option<u32> },
    /// An ordinary user keeps his ids inside, or has these.
    KeepId { uid: Option<u32>, gid: Option<u32> },
}

/// `INSIDE:OUTSIDE:COUNT`: ids from INSIDE on are those from OUTSIDE on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapLine {
    pub inside: u32,
    /// An id of the host for root, and with `absolute`. For an ordinary user otherwise
    /// podman's count: 0 is he himself, n his nth subordinate id.
    pub outside: u32,
    pub absolute: bool,
    pub count: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tty {
    /// A pseudo-terminal when standard input and output are terminals.
    #[default]
    Auto,
    Always,
    Never,
}

/// Capability numbers of capabilities(7) on top of docker's default set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caps {
    pub add: u64,
    pub drop: u64,
    /// Keep everything the caller has.
    pub privileged: bool,
}

/// `--landlock PATH[:ACCESS]`
#[derive(Clone, Debug, PartialEq)]
pub struct PathRule {
    /// Inside, absolute.
    pub path: PathBuf,
    /// Of the bits below, one at least.
    pub access: u8,
    /// It is an error when it is not there.
    pub must: bool,
}

impl PathRule {
    pub const READ: u8 = 1;
    pub const WRITE: u8 = 2;
    pub const EXECUTE: u8 = 4;
}

/// Bytes, processes, seconds or whatever the resource is counted in; u64::MAX: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// RLIMIT_*
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// `--device SRC[:DST[:rwm]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// A device of the host's, or a directory with some.
    pub source: PathBuf,
    pub target: PathBuf,
    /// As in `DeviceRule`.
    pub access: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    pub kind: DeviceKind,
    /// None: any.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// BPF_DEVCG_ACC_*
    pub access: u8,
}

impl DeviceRule {
    pub const MAKE: u8 = 1;
    pub const READ: u8 = 2;
    pub const WRITE: u8 = 4;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    Any,
    Block,
    Char,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Seccomp {
    /// Docker's profile.
    #[default]
    Default,
    Unconfined,
    /// A profile in docker's form, on the host.
    File(PathBuf),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unmask {
    pub all: bool,
    /// A last component `*` stands for all below.
    pub paths: Vec<PathBuf>,
}

/// Fails or kills the launcher at the given step, counted from 1 over the whole plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Fail(usize),
    Kill(usize),
    /// The step does nothing and says that it succeeded.
    Skip(usize),
}

impl Spec {
    pub fn new() -> Spec {
        Spec { stop_timeout: 10, ..Spec::default() }
    }
}

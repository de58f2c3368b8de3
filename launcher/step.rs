//! The steps of a start, as data: run, printed, timed and swept for faults from the
//! same two lists.

mod harden;

pub use harden::{Allowed, Check, Done, Harden, Hidden, Landlock, MakeDevice, Setting};

use crate::cgroup::Write;
use crate::idmap::IdMap;
use crate::net::step::NetStep;
use crate::record::{Facts, File, RecordItem};
use crate::sys::CStrings;
use rustix::fd::OwnedFd;
use rustix::process::{Gid, Pid, Uid};
use std::ffi::{CStr, CString};
use std::path::PathBuf;

/// Who needs a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Those who look for it by a name, a file or an address.
    Others,
    /// Who clears up; for a while a `record::Brief` does.
    Undo,
    Nobody,
}

/// What the parent does, outside. Each knows its undo (`run::undo`).
pub enum HostStep {
    /// Write down what will be made, before it is made.
    Record {
        id: String,
        items: Vec<RecordItem>,
        facts: Box<Facts>,
        need: Need,
    },
    /// A file beside the record, in the place of an opened descriptor.
    MakeFile {
        file: File,
        slot: usize,
    },
    /// A stream to the journal, in the place of an opened descriptor.
    ToJournal {
        id: String,
        slot: usize,
    },
    /// `--pidfile` or `--cidfile`; `name`: what is written, or else the number of process 1.
    WriteFile {
        option: &'static str,
        path: PathBuf,
        name: Option<String>,
    },
    /// Its process 1, in the record of a detached one: the launcher may be killed.
    NoteProcess,
    MakeCgroup(PathBuf),
    WriteCgroup(Write),
    /// Version 2: a program decides about devices in this cgroup.
    FilterDevices {
        dir: PathBuf,
        program: Vec<u64>,
    },
    /// New namespaces, and the child process 1 in them; into this cgroup (v2) at birth.
    Clone {
        flags: u64,
        cgroup: Option<PathBuf>,
    },
    /// The launcher's own, which its child inherits: once it is hidden from processes inside,
    /// an ordinary user's file in /proc is root's.
    OomScore(i32),
    /// All of a container's namespaces of these kinds at once; the pid namespace is that
    /// of the next child.
    Enter {
        name: String,
        pid: Pid,
        pidfd: OwnedFd,
        kinds: u64,
    },
    /// The child to another processor than ours, so that both work at the same time.
    Spread,
    MapIds(IdMap),
    /// A tree of the host's as a mount of its own, sent to the child (root's user namespaces).
    SendTree(Tree),
    Net(NetStep),
    /// A network namespace for the child to join, made while it mounts: of all namespaces it
    /// takes by far the longest.
    NewNetwork,
    /// In that.
    LoopbackUp,
    /// What launchers that died have left is cleared up.
    Sweep,
    /// Let the child go on: its ids are mapped, the record is written, the network is made or its
    /// loopback is up.
    Go,
}

/// What the child does between clone and exec, in this order. Everything is prepared:
/// the child does not allocate, parse or format.
pub enum ChildStep {
    DieWithParent,
    AwaitGo,
    /// After the launcher's `Spread`.
    EveryProcessor,
    /// The network namespace that the parent has made and is in.
    JoinNetwork {
        /// It has links: one without would not do.
        plugged: bool,
    },
    /// The init as a sealed memfd; `log`: the one that looks after the log.
    SealInit {
        log: bool,
    },
    MakeCgroup {
        dir: &'static CStr,
    },
    WriteCgroup {
        file: &'static CStr,
        write: Box<Write>,
    },
    /// Where clone could not place it there (before Linux 5.7).
    JoinUnified {
        dir: &'static CStr,
    },
    NewSession,
    DefaultSignals,
    PrivateMounts,
    /// Opens a source below the old root, to be mounted after the change of root.
    OpenSource {
        slot: usize,
        path: &'static CStr,
    },
    /// The next of the launcher's `SendTree`.
    ReceiveTree {
        slot: usize,
        /// For messages.
        source: PathBuf,
    },
    /// Ids of the user namespace, before files are made in it.
    BecomeMapped {
        uid: Uid,
        gid: Gid,
        groups: bool,
    },
    /// Stand in a received tree, mounted over a directory of the host.
    AttachRoot {
        slot: usize,
        at: &'static CStr,
    },
    /// A directory of the host by now, as a mount of its own that is nowhere yet.
    CloneTree {
        slot: usize,
        path: &'static CStr,
    },
    /// Puts it somewhere, read-only.
    AttachTree {
        slot: usize,
        target: &'static CStr,
    },
    BindRoot {
        path: &'static CStr,
    },
    /// A tmpfs over a directory of the host (in our mount namespace only), for layers.
    Scratch {
        at: &'static CStr,
        dirs: Vec<(&'static CStr, u32)>,
    },
    /// A throw-away layer over an opened directory.
    Overlay(Box<Overlay>),
    MakeDir {
        path: &'static CStr,
    },
    /// The working directory, or a volume, where an image lacks it.
    WorkDir {
        path: &'static CStr,
        parents: Vec<&'static CStr>,
    },
    /// Stand in what is to become the root.
    Enter {
        root: &'static CStr,
    },
    /// See only what is below the new root; the old one is still there.
    Confine,
    Mount(Box<Mount>),
    MakeNode {
        path: &'static CStr,
        mode: u32,
        major: u32,
        minor: u32,
    },
    /// The host's device of this name (a user namespace may not make nodes).
    BindNode {
        slot: usize,
        path: &'static CStr,
    },
    MakeLink {
        path: &'static CStr,
        target: &'static CStr,
    },
    Bind(Box<Bind>),
    /// A directory of the image or a volume, writable in memory.
    Volume(Box<Volume>),
    /// A file that the container gets from us, over what the image has.
    Provide(Box<Provided>),
    Harden(Harden),
    /// One mount, now that all mount points in it are made.
    ReadOnly {
        target: &'static CStr,
    },
    /// A pty of the container's own devpts; its master goes to the parent.
    OpenTerminal {
        owner: Uid,
    },
    /// Make it the root of the mount namespace, and let the old one go.
    Pivot,
    RootAttributes {
        read_only: bool,
    },
    /// By the `tasks` file (cgroup v1) of each of these, below the old root.
    JoinCgroup {
        tasks: &'static CStr,
    },
    NewCgroupNamespace,
    /// By a `tasks` file that was opened before.
    JoinOpenedCgroup {
        slot: usize,
    },
    JoinNamespaces {
        slot: usize,
        kinds: u64,
    },
    /// The container's own root, whatever that of its mount namespace is.
    EnterRoot {
        slot: usize,
    },
    LoopbackUp,
    Hostname(&'static CStr),
    Chdir(&'static CStr),
    DropBounding {
        keep: u64,
    },
    SetIds {
        uid: Uid,
        gid: Gid,
        groups: Option<Vec<Gid>>,
    },
    SetCapabilities {
        keep: u64,
    },
    NoNewPrivileges,
    /// From this one on. Where a name of the image's is to be executed they are closed: it may
    /// be a link to what procfs has for one of them.
    CloseOnExec {
        first: i32,
        now: bool,
    },
    /// Changing ids cleared it (prctl(2)).
    DieWithParentAgain,
    /// A detached container does not die with its launcher, from here on.
    Outlive,
    /// An opened descriptor as 0, 1 or 2.
    Redirect {
        slot: usize,
        fd: i32,
    },
    /// An opened descriptor stays open, for init.
    Inherit {
        slot: usize,
    },
    ExecInit {
        argv: CStrings,
    },
    /// The payload itself as process 1; the candidates of a PATH search in order.
    ExecPayload {
        candidates: Vec<CString>,
        argv: CStrings,
    },
}

pub struct Tree {
    /// None: the root file system, as it was opened.
    pub source: Option<&'static CStr>,
    /// With what is mounted below.
    pub recursive: bool,
    /// Owners inside are those on disk, for this volume or root file system.
    pub mapped: bool,
    /// For messages.
    pub shown: PathBuf,
}

pub struct Overlay {
    /// The lower layer, opened before anything could cover it.
    pub lower: usize,
    pub target: &'static CStr,
    pub read_only: bool,
    /// For mount(2): `lowerdir=.` and the two directories of the upper layer.
    pub data: &'static CStr,
    /// For messages.
    pub source: PathBuf,
    /// The directory that `lower` is.
    pub from: PathBuf,
    /// The upper layer stays behind.
    pub kept: bool,
}

pub struct Mount {
    pub source: &'static CStr,
    pub target: &'static CStr,
    pub fstype: &'static CStr,
    /// MS_* of mount(2).
    pub flags: u32,
    pub data: &'static CStr,
    /// Mode of the mount point where it has to be made.
    pub mode: u32,
    /// Every directory on the way to the target, outermost first.
    pub parents: Vec<&'static CStr>,
    pub walk: Walk,
}

/// How a target of the image's is found. Wherever a link leads, it is inside.
#[derive(Clone, Copy, PartialEq)]
pub enum Walk {
    /// It must be a directory itself.
    Exact,
    /// It may be a link.
    Inside,
    /// The user's: it may be a link, but not into /proc.
    Users,
    /// In a file system of ours that is empty: the directory is made first.
    New,
}

impl Mount {
    /// A tmpfs at `target`, below directories that are there.
    pub fn tmpfs(target: &'static CStr, flags: u32, data: &'static CStr) -> Mount {
        let (source, fstype) = (c"tmpfs", c"tmpfs");
        let (mode, parents, walk) = (0o755, Vec::new(), Walk::Inside);
        Mount { source, target, fstype, flags, data, mode, parents, walk }
    }
}

pub struct Bind {
    pub slot: usize,
    /// The slot holds a mount of its own, to be moved to the target.
    pub tree: bool,
    pub target: &'static CStr,
    /// Every directory on the way to the target, outermost first.
    pub parents: Vec<&'static CStr>,
    pub directory: bool,
    pub read_only: bool,
    /// For messages.
    pub source: PathBuf,
}

pub struct Volume {
    pub target: &'static CStr,
    /// Every directory on the way to the target, outermost first.
    pub parents: Vec<&'static CStr>,
    /// For mount(2), with the two directories of `mount::volume::ROOM`.
    pub data: &'static CStr,
    /// For messages: the host's directory that is there; None: the image's.
    pub over: Option<PathBuf>,
}

pub struct Provided {
    pub bind: Bind,
    /// What is in it; None: a file of the host's.
    pub text: Option<Vec<u8>>,
    /// Asked for: it is an error when there is no place for it.
    pub must: bool,
}

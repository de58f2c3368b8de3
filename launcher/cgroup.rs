//! Limits by cgroups: which directories to create, what to write into them, how a
//! process gets in, and how everything goes away again. Version 1, version 2, and
//! the hybrid with some controllers on each; only hierarchies that carry a limit.
//!
//! `probe` and `plan` change nothing; `create`, `write` and what `end` has change one
//! thing each, so that the caller's list of steps is the only order there is.

mod change;
pub mod devices;
mod end;
pub mod freeze;
mod io;
mod limits;
mod probe;
mod usage;
mod v1;
mod v2;

pub use change::{changes, holds};
pub use end::{
    MemoryReport, RETRIES, clear_left_over, memory_report, oom_kills, remove, switch_off,
};
pub use probe::{Layout, is_cgroup, probe, probe_of};
pub use usage::{Glance, Usage, frozen};

use crate::error::{Error, Result};
use crate::spec::Limits;
use limits::Want;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// A buffer for the usual file; longer ones (mountinfo) make it grow.
const BUFFER: usize = 1024;

/// Everything one container needs; the order of `dirs`, then `writes`, then `join` is
/// the order to do it in, and undoing goes backwards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cgroups {
    /// To be made in this order; each one's parent is a cgroup that exists.
    pub dirs: Vec<PathBuf>,
    pub writes: Vec<Write>,
    pub join: Join,
    /// Limits that cannot be enforced for this user, one sentence each.
    pub warnings: Vec<String>,
    /// Version 2: the program that decides about devices in the last of `dirs`.
    pub devices: Option<Vec<u64>>,
    memory: Option<Memory>,
    /// Version 1: the hierarchies used, as mount options (`memory`, `cpu,cpuacct`).
    carried: Vec<String>,
}

/// One value for one file of a cgroup.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub file: PathBuf,
    pub value: String,
    /// `--mem`: which of the user's options this is for.
    pub option: &'static str,
    /// `--mem 200M`, for messages.
    pub asked: String,
    /// What takes this back, where removing the directory is not enough.
    pub undo: Option<(PathBuf, String)>,
}

/// How a process enters. Both parts at once on a hybrid host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Join {
    /// Version 1: `tasks` files; a process writes `0` to each to move itself.
    pub tasks: Vec<PathBuf>,
    /// Version 2: the directory for CLONE_INTO_CGROUP; where clone3 is refused the
    /// child writes `0` to `cgroup.procs` in it.
    pub unified: Option<PathBuf>,
}

/// Where the kernel counts what `memory_report` tells.
#[derive(Clone, Debug, PartialEq)]
struct Memory {
    dir: PathBuf,
    v2: bool,
    limit: u64,
}

/// One mount of what a container is shown at /sys/fs/cgroup.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewMount {
    pub fstype: &'static str,
    /// Below /sys/fs/cgroup; empty for that directory itself.
    pub target: String,
    /// For mount(2): the controllers of a version 1 hierarchy.
    pub data: String,
}

/// Why a wish cannot be granted here.
#[derive(Clone, Debug, PartialEq)]
struct Unmet {
    asked: String,
    reason: String,
    hint: String,
}

/// Those of container `name`, as process `pid` of it, or its launcher, is in them.
pub fn named(pid: i32, name: &str) -> Vec<PathBuf> {
    probe_of(pid).map_or_else(|_| Vec::new(), |layout| layout.named(name))
}

/// `id` names the cgroup (`launch-ID`); `rootless` turns limits that the host does not
/// let this user set into warnings. Errors: a value the kernel would refuse, or,
/// for root, a controller that is missing or out of reach.
pub fn plan(
    layout: &Layout,
    limits: &Limits,
    filter: Option<&devices::Filter>,
    id: &str,
    rootless: bool,
) -> Result<Cgroups> {
    let name = format!("launch-{id}");
    let mut out = Cgroups::default();
    let (mut unmet, mut rest) = (Vec::new(), Vec::new());
    for want in limits::wants(limits)? {
        match layout.v1_of(want.controller) {
            Some(hierarchy) => unmet.extend(v1::plan(&hierarchy, &want, &name, &mut out)?),
            None => rest.push(want),
        }
    }
    if !rest.is_empty() {
        unmet.extend(match layout.unified() {
            Some(unified) => v2::plan(&unified, &rest, &name, rootless, &mut out)?,
            None => rest.iter().map(absent).collect(),
        });
    }
    if let Some(filter) = filter {
        unmet.extend(devices::plan(layout, filter, &name, &mut out)?);
    }
    if let (Some(first), false) = (unmet.first(), rootless) {
        return Err(Error::new(format!("{}: {}", first.asked, first.reason)).hint(&first.hint));
    }
    warn(&unmet, &mut out.warnings);
    Ok(out)
}

/// One sentence per reason, however many limits fall to it.
fn warn(unmet: &[Unmet], warnings: &mut Vec<String>) {
    let mut told: Vec<&str> = Vec::new();
    for u in unmet {
        if told.contains(&u.reason.as_str()) {
            continue;
        }
        told.push(&u.reason);
        let same: Vec<&str> =
            unmet.iter().filter(|o| o.reason == u.reason).map(|o| o.asked.as_str()).collect();
        let is = if same.len() == 1 { "is" } else { "are" };
        let options = same.join(", ");
        warnings.push(format!("{options} {is} not enforced: {}\nhint: {}", u.reason, u.hint));
    }
}

/// A controller that no mounted hierarchy has; the kernel's own list tells why.
fn absent(want: &Want) -> Unmet {
    let c = want.controller;
    let table = read(Path::new("/proc/cgroups")).unwrap_or_default();
    let table = String::from_utf8_lossy(&table).into_owned();
    let name = if c == "io" { "blkio" } else { c };
    let row =
        table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).find(|r| r[0] == name);
    let (reason, hint) = match row.as_deref() {
        Some([_, _, _, "0"]) => (
            format!("the {c} controller is switched off in this kernel"),
            format!("boot with cgroup_enable={c}, or without cgroup_disable={c}"),
        ),
        Some([_, "0", ..]) => (
            format!("no cgroup mount has the {c} controller"),
            format!("mount -t cgroup2 cgroup2 /sys/fs/cgroup, or -t cgroup -o {c} for version 1"),
        ),
        Some(_) => (
            format!("no mount of the {c} controller's hierarchy can be reached"),
            "mount it below /sys/fs/cgroup".to_owned(),
        ),
        None => (
            format!("this kernel has no {c} controller"),
            format!("a kernel with {} is needed", config(c)),
        ),
    };
    Unmet { asked: want.asked.clone(), reason, hint }
}

fn config(controller: &str) -> &'static str {
    match controller {
        "memory" => "CONFIG_MEMCG",
        "cpu" => "CONFIG_CGROUP_SCHED",
        "pids" => "CONFIG_CGROUP_PIDS",
        "devices" => "CONFIG_CGROUP_DEVICE",
        "io" => "CONFIG_BLK_CGROUP",
        _ => "CONFIG_CPUSETS",
    }
}

/// Makes one directory of `Cgroups::dirs`.
pub fn create(dir: &Path) -> Result<()> {
    rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)).map_err(|e| create_error(dir, e))
}

/// Words for a directory that could not be made, here or by the child.
pub fn create_error(dir: &Path, e: Errno) -> Error {
    let error = Error::os(format!("make cgroup {}", dir.display()), e);
    match e {
        Errno::ROFS => error.hint("the cgroup file system is mounted read-only here"),
        Errno::AGAIN | Errno::NOSPC => error.hint("this kernel's limit on cgroups is reached"),
        _ => error,
    }
}

/// Writes one value. The file is never created: what is not a cgroup has none.
pub fn write(w: &Write) -> Result<()> {
    put(&w.file, &w.value).or_else(|e| {
        // A kernel that does not count swap has no such file; without swap that is fine.
        let swap = e == Errno::NOENT && w.file.ends_with("memory.swap.max");
        if swap && !host_has_swap() { Ok(()) } else { Err(write_error(w, e)) }
    })
}

/// Words for a value that could not be written, here or by the child.
pub fn write_error(w: &Write, e: Errno) -> Error {
    let error = Error::os(format!("{}: write {} to {}", w.asked, w.value, w.file.display()), e);
    match e {
        Errno::NOENT if w.file.ends_with("memory.swap.max") => {
            error.hint("--memory-swap -1 leaves swap without a limit")
        }
        Errno::NOENT => error.hint("this kernel was built without that limit"),
        Errno::INVAL | Errno::RANGE => error.hint("an enclosing cgroup may allow less"),
        Errno::BUSY => error.hint("other processes are in that cgroup"),
        _ => error,
    }
}

/// Takes back what removing the directories does not; nothing for most writes.
pub fn unwrite(w: &Write) -> Result<()> {
    let Some((file, value)) = &w.undo else { return Ok(()) };
    put(file, value).map_err(|e| Error::os(format!("write {value} to {}", file.display()), e))
}

fn put(file: &Path, value: &str) -> rustix::io::Result<()> {
    let fd = rustix::fs::open(file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        match rustix::io::write(&fd, value.as_bytes()) {
            Err(Errno::INTR) => continue,
            done => return done.map(drop),
        }
    }
}

/// A whole file of /proc or of a cgroup. The first read goes to the stack: these files are
/// nearly always short, and a fresh page costs more than the copy.
fn read(file: &Path) -> rustix::io::Result<Vec<u8>> {
    let fd = rustix::fs::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [0; BUFFER];
    let mut text = Vec::new();
    loop {
        match rustix::io::read(&fd, &mut buffer) {
            Ok(0) => return Ok(text),
            Ok(n) => text.extend_from_slice(&buffer[..n]),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// The words of a file, empty when it cannot be read.
fn words(file: &Path) -> Vec<String> {
    let text = read(file).unwrap_or_default();
    String::from_utf8_lossy(&text).split_whitespace().map(str::to_owned).collect()
}

/// Only a clear answer is one: what cannot be looked at is an error.
fn exists(path: &Path) -> Result<bool> {
    match rustix::fs::access(path, rustix::fs::Access::EXISTS) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(Error::os(format!("look for {}", path.display()), e)),
    }
}

fn writable(path: &Path) -> rustix::io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD};
    match rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS) {
        // A filter that does not know faccessat2: by the real ids.
        Err(Errno::PERM) => rustix::fs::access(path, Access::WRITE_OK),
        other => other,
    }
}

/// Some swap area is in use: its lines follow a heading.
fn host_has_swap() -> bool {
    read(Path::new("/proc/swaps")).is_ok_and(|t| t.split(|&b| b == b'\n').count() > 2)
}

/// What a container with its own cgroup namespace is shown at /sys/fs/cgroup; every
/// mount to be read-only. Empty without a limit: it would show the host's cgroups.
pub fn container_view(cgroups: &Cgroups) -> Vec<ViewMount> {
    let view = |fstype, target: &str, data: &str| ViewMount {
        fstype,
        target: target.to_owned(),
        data: data.to_owned(),
    };
    if cgroups.carried.is_empty() {
        let joined = cgroups.join.unified.iter();
        return joined.map(|_| view("cgroup2", "", "")).collect();
    }
    let mut list = vec![view("tmpfs", "", "mode=755,size=64k")];
    list.extend(cgroups.carried.iter().map(|c| view("cgroup", c, c)));
    if cgroups.join.unified.is_some() {
        list.push(view("cgroup2", "unified", ""));
    }
    list
}

#[cfg(test)]
#[path = "cgroup/tests.rs"]
mod tests;

//! Where each controller lives on this host, from two files of /proc. Parsing is pure;
//! `Mount::verify` asks the kernel whether a directory is what /proc said it is.

use super::read;
use crate::error::{Error, Result};
use rustix::fs::{major, minor};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// linux/magic.h; CGROUP_SUPER_MAGIC is version 1.
const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// The cgroup hierarchies that can be reached through this process's mounts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// Version 1, one entry per hierarchy; those without a mount are left out.
    pub(super) v1: Vec<Hierarchy>,
    /// Version 2: there is at most one.
    pub(super) unified: Option<Hierarchy>,
}

/// One hierarchy. Version 2 names its controllers in files, not in /proc: none here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Hierarchy {
    pub controllers: Vec<String>,
    /// In mountinfo's order, without those that a later mount on the same point hides.
    pub mounts: Vec<Mount>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Mount {
    pub point: PathBuf,
    /// The cgroup of this process below `point`; None where the mount does not show it.
    pub own: Option<PathBuf>,
    /// Major and minor number of the file system: what stat(2) must say.
    pub device: (u32, u32),
    pub read_only: bool,
    /// The mount shows the hierarchy from its (possibly namespaced) root on.
    pub whole: bool,
    pub v2: bool,
}

/// Reads /proc/self/mountinfo and /proc/self/cgroup. Errors: /proc is not there.
pub fn probe() -> Result<Layout> {
    let get = |path: &str| {
        read(Path::new(path)).map_err(|e| {
            Error::os(format!("read {path}"), e).hint("limits need /proc mounted on the host")
        })
    };
    Ok(parse(&get("/proc/self/mountinfo")?, &get("/proc/self/cgroup")?))
}

/// `mountinfo` and `cgroup` are the contents of the files of proc(5). Lines that
/// are not understood are skipped: they can only make a controller "not mounted".
pub(super) fn parse(mountinfo: &[u8], cgroup: &[u8]) -> Layout {
    let mounts = cgroup_mounts(mountinfo);
    let mut layout = Layout::default();
    for line in cgroup.split(|&b| b == b'\n') {
        let mut part = line.splitn(3, |&b| b == b':');
        let (Some(id), Some(names), Some(path)) = (part.next(), part.next(), part.next()) else {
            continue;
        };
        let v2 = id == b"0" && names.is_empty();
        let Some(first) = names.split(|&b| b == b',').next().filter(|n| v2 || !n.is_empty()) else {
            continue;
        };
        if names.starts_with(b"name=") {
            continue;
        }
        let found: Vec<Mount> = mounts
            .iter()
            .filter(|m| m.is(v2, first))
            .map(|m| Mount { own: own_dir(&m.mount.point, &m.root, path), ..m.mount.clone() })
            .collect();
        if found.is_empty() {
            continue;
        }
        let controllers = names.split(|&b| b == b',').filter(|n| !n.is_empty());
        let controllers = controllers.map(|n| String::from_utf8_lossy(n).into_owned()).collect();
        match v2 {
            true => layout.unified = Some(Hierarchy { controllers, mounts: found }),
            false => layout.v1.push(Hierarchy { controllers, mounts: found }),
        }
    }
    layout
}

/// A line of mountinfo whose file system is cgroup or cgroup2.
struct Line {
    root: Vec<u8>,
    /// Super block options: a version 1 hierarchy is named by its controllers here.
    options: Vec<u8>,
    mount: Mount,
}

impl Line {
    fn is(&self, v2: bool, controller: &[u8]) -> bool {
        let mut options = self.options.split(|&b| b == b',');
        // noprefix renames cpuset.cpus to cpus; nobody has used it since 2009.
        self.mount.v2 == v2 && (v2 || options.any(|o| o == controller))
    }
}

fn cgroup_mounts(mountinfo: &[u8]) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    for line in mountinfo.split(|&b| b == b'\n') {
        // A quick look first: a container host has hundreds of long overlay lines.
        if !line.windows(9).any(|w| w == b" - cgroup") {
            continue;
        }
        let Some(new) = mount_line(line) else { continue };
        found.retain(|old| old.mount.point != new.mount.point);
        found.push(new);
    }
    found
}

fn mount_line(line: &[u8]) -> Option<Line> {
    let mut field = line.split(|&b| b == b' ');
    let device = std::str::from_utf8(field.nth(2)?).ok()?.split_once(':')?;
    let device = (device.0.parse().ok()?, device.1.parse().ok()?);
    let root = unescape(field.next()?);
    let point = PathBuf::from(std::ffi::OsString::from_vec(unescape(field.next()?)));
    let flags = field.next()?;
    field.find(|f| *f == b"-")?;
    let v2 = match field.next()? {
        b"cgroup" => false,
        b"cgroup2" => true,
        _ => return None,
    };
    let options = field.nth(1)?.to_vec();
    let has = |list: &[u8], name: &[u8]| list.split(|&b| b == b',').any(|o| o == name);
    if has(&options, b"noprefix") {
        return None;
    }
    let read_only = has(flags, b"ro") || has(&options, b"ro");
    let whole = root == b"/";
    let mount = Mount { point, own: None, device, read_only, whole, v2 };
    Some(Line { root, options, mount })
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&b, tail)) = rest.split_first() {
        let octal = |b: u8| (b'0'..=b'7').contains(&b).then(|| b - b'0');
        let code = match tail {
            [a, b, c, ..] if *a <= b'3' => (octal(*a), octal(*b), octal(*c)),
            _ => (None, None, None),
        };
        if let (b'\\', (Some(x), Some(y), Some(z))) = (b, code) {
            out.push(x * 64 + y * 8 + z);
            rest = &tail[3..];
        } else {
            out.push(b);
            rest = tail;
        }
    }
    out
}

/// `path` of /proc/self/cgroup below a mount that shows the hierarchy from `root` on.
/// Both start with `/..` for what lies outside our cgroup namespace: no answer then.
fn own_dir(point: &Path, root: &[u8], path: &[u8]) -> Option<PathBuf> {
    let up = |p: &[u8]| p.split(|&b| b == b'/').any(|part| part == b"..");
    if up(root) || up(path) || !path.starts_with(b"/") {
        return None;
    }
    let rest = match root {
        b"/" => path,
        _ => path.strip_prefix(root).filter(|r| r.is_empty() || r[0] == b'/')?,
    };
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    Some(if rest.is_empty() { point.to_owned() } else { point.join(OsStr::from_bytes(rest)) })
}

impl Mount {
    /// Whether `dir` really lies in this cgroup file system: another mount may cover
    /// it, and nothing is ever to be written to a plain directory.
    pub(super) fn verify(&self, dir: &Path) -> std::result::Result<(), String> {
        let shown = dir.display();
        let stat =
            rustix::fs::stat(dir).map_err(|e| format!("{shown}: {}", crate::error::describe(e)))?;
        let device = (major(stat.st_dev), minor(stat.st_dev));
        if device == self.device && is_cgroup(dir) == Some(self.v2) {
            return Ok(());
        }
        Err(format!("{shown} is not a cgroup directory: something is mounted over it"))
    }
}

/// Some(true) for cgroup version 2, Some(false) for 1, None for anything else.
pub(super) fn is_cgroup(dir: &Path) -> Option<bool> {
    let kind = rustix::fs::statfs(dir).ok()?.f_type as u64;
    match kind {
        CGROUP2_SUPER_MAGIC => Some(true),
        CGROUP_SUPER_MAGIC => Some(false),
        _ => None,
    }
}

impl Layout {
    /// The version 1 hierarchy that carries `controller`.
    pub(super) fn v1_of(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1.iter().find(|h| h.controllers.iter().any(|c| c == controller))
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;

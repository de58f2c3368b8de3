//! Where each controller lives on this host. The usual places are asked with two system
//! calls each; only where that gives no answer is the list of all mounts read, which on a
//! host with hundreds of them costs as much as a container's start. Parsing is pure.

use super::read;
use crate::error::{Error, Result};
use crate::sys;
use rustix::fs::{Access, access, major, minor};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// linux/magic.h; CGROUP_SUPER_MAGIC is version 1.
const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
/// statvfs(3).
const ST_RDONLY: u64 = 1;
/// PROC_CGROUP_INIT_INO: the inode of the first cgroup namespace, on every kernel.
const INITIAL_NAMESPACE: u64 = 0xEFFF_FFFB;
/// Where everybody mounts cgroups.
const USUAL: &str = "/sys/fs/cgroup";

/// What this process can know about cgroups, looked up when asked for.
#[derive(Debug, Default)]
pub struct Layout {
    /// /proc/self/cgroup.
    own: String,
    /// Paths in `own` are those of the host, not of a cgroup namespace.
    initial: bool,
    mounts: OnceCell<Vec<Line>>,
}

/// One hierarchy with the mounts of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Hierarchy {
    /// As the kernel lists them, `cpu,cpuacct`; empty for version 2, which names its
    /// controllers in files.
    pub controllers: String,
    /// Never empty. In mountinfo's order, without those that a later mount on the same
    /// point hides.
    pub mounts: Vec<Mount>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Mount {
    pub point: PathBuf,
    /// The cgroup of this process below `point`; None where the mount does not show it.
    pub own: Option<PathBuf>,
    pub read_only: bool,
    /// The mount shows the hierarchy from its (possibly namespaced) root on.
    pub whole: bool,
    pub v2: bool,
    /// Major and minor number of the file system: what stat(2) must say. None where the
    /// directory itself has been asked already.
    device: Option<(u32, u32)>,
}

/// Reads /proc/self/cgroup. Errors: /proc is not there.
pub fn probe() -> Result<Layout> {
    from("/proc/self/cgroup")
}

/// The same as seen from the cgroups that another process is in.
pub fn probe_of(pid: i32) -> Result<Layout> {
    from(&format!("/proc/{pid}/cgroup"))
}

fn from(file: &str) -> Result<Layout> {
    let own = read(Path::new(file)).map_err(|e| {
        Error::os(format!("read {file}"), e).hint("limits need /proc mounted on the host")
    })?;
    let initial = sys::own_namespace(sys::ns::NEWCGROUP).is_ok_and(|n| n == INITIAL_NAMESPACE);
    Ok(Layout { own: lossy(&own), initial, mounts: OnceCell::new() })
}

impl Layout {
    /// The version 1 hierarchy that carries `controller`.
    pub(super) fn v1_of(&self, controller: &str) -> Option<Hierarchy> {
        let name = if controller == "io" { "blkio" } else { controller };
        let line = own_lines(&self.own)
            .find(|(names, _)| names.split(',').any(|n| n == name) && !names.is_empty())?;
        self.hierarchy(line)
    }

    /// Version 2: there is at most one.
    pub(super) fn unified(&self) -> Option<Hierarchy> {
        self.hierarchy(own_lines(&self.own).find(|(names, _)| names.is_empty())?)
    }

    /// Cgroups that are there and called so: a container's as its own process (whose cgroup one
    /// is) or its launcher (below whose one is) tells.
    pub fn named(&self, name: &str) -> Vec<PathBuf> {
        let own = own_lines(&self.own).filter_map(|line| self.hierarchy(line));
        let own = own.flat_map(|h| h.mounts).filter_map(|m| m.own);
        let name = format!("launch-{name}");
        let dir = |own: PathBuf| if own.ends_with(&name) { own } else { own.join(&name) };
        own.map(dir).filter(|dir| is_cgroup(dir).is_some()).collect()
    }

    fn hierarchy(&self, (names, path): (&str, &str)) -> Option<Hierarchy> {
        let mounts = match self.initial.then(|| usual(names, path)).flatten() {
            Some(mount) => vec![mount],
            None => {
                let all = self.mounts.get_or_init(|| {
                    let text = read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
                    cgroup_mounts(&lossy(&text))
                });
                mounts_of(all, names, path)
            }
        };
        (!mounts.is_empty()).then(|| Hierarchy { controllers: names.to_owned(), mounts })
    }

    #[cfg(test)]
    pub(super) fn of(mountinfo: &str, own: &str) -> Layout {
        let mounts = OnceCell::from(cgroup_mounts(mountinfo));
        Layout { own: own.to_owned(), initial: false, mounts }
    }
}

/// A name that is not UTF-8 then matches nothing, so its mount is not found.
fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// Controllers and path of each line `NUMBER:CONTROLLERS:PATH`, without named hierarchies,
/// which have none. Lines that are not understood are skipped: they can only make a
/// controller "not mounted".
fn own_lines(own: &str) -> impl Iterator<Item = (&str, &str)> {
    own.lines().filter_map(|line| {
        let mut part = line.splitn(3, ':');
        let (id, names, path) = (part.next()?, part.next()?, part.next()?);
        let known = match names {
            "" => id == "0",
            _ => !names.starts_with("name="),
        };
        known.then_some((names, path))
    })
}

/// The mount in the place where it nearly always is, if it shows the hierarchy's real
/// root: then, in the initial namespace, `path` is below it as it stands.
fn usual(names: &str, path: &str) -> Option<Mount> {
    let v2 = names.is_empty();
    let point = if v2 { PathBuf::from(USUAL) } else { Path::new(USUAL).join(names) };
    let own = own_dir(&point, "/", path)?;
    let (kind, read_only) = kind(&own)?;
    // Only version 1's root has a release_agent, only version 2's has no type.
    let root = match v2 {
        true => access(point.join("cgroup.type"), Access::EXISTS) == Err(Errno::NOENT),
        false => access(point.join("release_agent"), Access::EXISTS).is_ok(),
    };
    let mount = Mount { point, own: Some(own), read_only, whole: true, v2, device: None };
    (kind == v2 && root).then_some(mount)
}

/// A line of mountinfo whose file system is cgroup or cgroup2.
#[derive(Clone, Debug)]
struct Line {
    root: String,
    /// Super block options: a version 1 hierarchy is named by its controllers here.
    options: String,
    mount: Mount,
}

fn cgroup_mounts(mountinfo: &str) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    for line in mountinfo.lines().filter(|l| l.contains(" - cgroup")) {
        let Some(new) = mount_line(line) else { continue };
        found.retain(|old| old.mount.point != new.mount.point);
        found.push(new);
    }
    found
}

/// The mounts of the hierarchy with these controllers, our own cgroup found in each.
fn mounts_of(all: &[Line], names: &str, path: &str) -> Vec<Mount> {
    let first = names.split(',').next().unwrap_or_default();
    let same = |l: &&Line| match names.is_empty() {
        true => l.mount.v2,
        false => !l.mount.v2 && l.options.split(',').any(|o| o == first),
    };
    let with_own =
        |l: &Line| Mount { own: own_dir(&l.mount.point, &l.root, path), ..l.mount.clone() };
    all.iter().filter(same).map(with_own).collect()
}

fn mount_line(line: &str) -> Option<Line> {
    let mut field = line.split(' ');
    let device = field.nth(2)?.split_once(':')?;
    let device = Some((device.0.parse().ok()?, device.1.parse().ok()?));
    let root = unescape(field.next()?)?;
    let point = PathBuf::from(unescape(field.next()?)?);
    let flags = field.next()?;
    field.find(|f| *f == "-")?;
    let v2 = match field.next()? {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    let options = field.nth(1)?.to_owned();
    let has = |list: &str, name: &str| list.split(',').any(|o| o == name);
    // An old way to mount cpuset, with other file names: nobody has used it since 2009.
    if has(&options, "noprefix") {
        return None;
    }
    let read_only = has(flags, "ro") || has(&options, "ro");
    let whole = root == "/";
    Some(Line { root, options, mount: Mount { point, own: None, device, read_only, whole, v2 } })
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> Option<String> {
    if !field.contains('\\') {
        return Some(field.to_owned());
    }
    let mut out = Vec::with_capacity(field.len());
    let mut parts = field.split('\\');
    out.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let digits = part.get(..3).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        out.push(u8::from_str_radix(digits, 8).ok()?);
        out.extend_from_slice(&part.as_bytes()[3..]);
    }
    String::from_utf8(out).ok()
}

/// `path` of /proc/self/cgroup below a mount that shows the hierarchy from `root` on.
/// Both start with `/..` for what lies outside our cgroup namespace: no answer then.
fn own_dir(point: &Path, root: &str, path: &str) -> Option<PathBuf> {
    let up = |p: &str| p.split('/').any(|part| part == "..");
    if up(root) || up(path) || !path.starts_with('/') {
        return None;
    }
    let rest = match root {
        "/" => path,
        _ => path.strip_prefix(root).filter(|r| r.is_empty() || r.starts_with('/'))?,
    };
    // A second slash would make it a path from the top.
    let rest = rest.trim_start_matches('/');
    Some(if rest.is_empty() { point.to_owned() } else { point.join(rest) })
}

impl Mount {
    /// Whether `dir` really lies in this cgroup file system: another mount may cover
    /// it, and nothing is ever to be written to a plain directory.
    pub(super) fn verify(&self, dir: &Path) -> std::result::Result<(), String> {
        let Some(expected) = self.device else { return Ok(()) };
        let shown = dir.display();
        let stat =
            rustix::fs::stat(dir).map_err(|e| format!("{shown}: {}", crate::error::describe(e)))?;
        let device = (major(stat.st_dev), minor(stat.st_dev));
        if device == expected && is_cgroup(dir) == Some(self.v2) {
            return Ok(());
        }
        Err(format!("{shown} is not a cgroup directory: something is mounted over it"))
    }
}

/// Some(true) for cgroup version 2, Some(false) for 1, None for anything else.
pub fn is_cgroup(dir: &Path) -> Option<bool> {
    kind(dir).map(|(v2, _)| v2)
}

/// Version 2 or not, and whether the mount is read-only.
fn kind(dir: &Path) -> Option<(bool, bool)> {
    let stat = rustix::fs::statfs(dir).ok()?;
    let read_only = stat.f_flags as u64 & ST_RDONLY != 0;
    match stat.f_type as u64 {
        CGROUP2_SUPER_MAGIC => Some((true, read_only)),
        CGROUP_SUPER_MAGIC => Some((false, read_only)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;

//! Version 2: one directory, below the root of the hierarchy for root, otherwise as
//! near to our own cgroup as delegation and the rule that a cgroup with controllers
//! for its children holds no processes itself permit.

use super::limits::{Value, Want};
use super::probe::{Hierarchy, Mount};
use super::{Cgroups, Memory, Unmet, Write, io, v1, words, writable};
use crate::error::{Result, describe};
use crate::spec::Swap;
use std::path::{Path, PathBuf};

/// The cgroup that will be the parent of the container's.
#[derive(Debug)]
struct Base {
    dir: PathBuf,
    /// It is our own cgroup with nobody but us in it: we step aside first.
    step_aside: bool,
}

type Why = (String, String);

/// Adds what `wants` need. Returned: those that this user or this host cannot have.
pub(super) fn plan(
    unified: &Hierarchy,
    wants: &[Want],
    name: &str,
    rootless: bool,
    out: &mut Cgroups,
) -> Result<Vec<Unmet>> {
    // A hybrid host's version 2 mount may have no controllers at all: not a matter of
    // permission, so it is asked first.
    let known = unified.mounts.iter().find_map(controllers);
    let (here, nowhere): (Vec<&Want>, Vec<&Want>) = wants
        .iter()
        .partition(|w| known.as_ref().is_none_or(|k| k.iter().any(|k| k == w.controller)));
    let mut unmet: Vec<Unmet> = nowhere.into_iter().map(super::absent).collect();
    if here.is_empty() {
        return Ok(unmet);
    }
    let need: Vec<&str> = here.iter().map(|w| w.controller).collect();
    let base = match base(unified, &need, rootless) {
        Ok(base) => base,
        Err((reason, hint)) => {
            unmet.extend(here.iter().map(|w| Unmet {
                asked: w.asked.clone(),
                reason: reason.clone(),
                hint: hint.clone(),
            }));
            return Ok(unmet);
        }
    };
    let offered = words(&base.dir.join("cgroup.controllers"));
    let enabled = words(&base.dir.join("cgroup.subtree_control"));
    let (granted, refused): (Vec<&Want>, Vec<&Want>) =
        here.into_iter().partition(|w| offered.iter().any(|o| o == w.controller));
    unmet.extend(refused.into_iter().map(|w| not_delegated(w, &base.dir, rootless)));
    let Some(first) = granted.first() else { return Ok(unmet) };

    if base.step_aside {
        step_aside(&base.dir, name, first, out);
    }
    let dir = base.dir.join(name);
    enable(&base, &granted, &enabled, out);
    for want in &granted {
        limit(want, &base.dir, &dir, out)?;
    }
    out.join.unified = Some(dir.clone());
    out.dirs.push(dir);
    Ok(unmet)
}

/// The controllers that a container's cgroup `dir` was made without.
pub(super) fn switch_on(wants: &[Want], dir: &Path, out: &mut Cgroups) -> Result<Vec<Unmet>> {
    let base = Base { dir: dir.parent().unwrap_or(dir).to_owned(), step_aside: false };
    let offered = words(&base.dir.join("cgroup.controllers"));
    let enabled = words(&base.dir.join("cgroup.subtree_control"));
    let aside = supervisor(&base.dir, &dir.file_name().unwrap_or_default().to_string_lossy());
    let mut unmet = Vec::new();
    for want in wants {
        if !offered.iter().any(|o| o == want.controller) {
            unmet.push(not_delegated(want, &base.dir, false));
        } else if super::exists(&aside)? {
            // It comes back there, where no controllers may be then.
            unmet.push(Unmet {
                asked: want.asked.clone(),
                reason: format!("the container's launcher needs {}", base.dir.display()),
                hint: format!("start it with {}", want.option),
            });
        }
    }
    enable(&base, &wants.iter().collect::<Vec<_>>(), &enabled, out);
    wants.iter().try_for_each(|want| limit(want, &base.dir, dir, out))?;
    Ok(unmet)
}

fn supervisor(base: &Path, name: &str) -> PathBuf {
    base.join(format!("{name}-supervisor"))
}

/// A directory for what needs no controller.
pub(super) fn place(
    unified: &Hierarchy,
    name: &str,
    out: &mut Cgroups,
) -> std::result::Result<(), Why> {
    if out.join.unified.is_none() {
        let dir = base(unified, &[], false)?.dir.join(name);
        out.join.unified = Some(dir.clone());
        out.dirs.push(dir);
    }
    Ok(())
}

/// All the controllers of the host's version 2; None where only a part of it is visible.
fn controllers(mount: &Mount) -> Option<Vec<String>> {
    real_root(mount).then(|| words(&mount.point.join("cgroup.controllers")))
}

/// Only the real root has no type; it alone may hold processes and children alike.
fn real_root(mount: &Mount) -> bool {
    let kind = mount.point.join("cgroup.type");
    mount.whole && mount.verify(&mount.point).is_ok() && matches!(super::exists(&kind), Ok(false))
}

fn base(unified: &Hierarchy, need: &[&str], rootless: bool) -> std::result::Result<Base, Why> {
    let mut why = (
        "our own cgroup is not visible in any cgroup2 mount".to_owned(),
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup".to_owned(),
    );
    for mount in &unified.mounts {
        if let Err(reason) = mount.verify(&mount.point) {
            why = (reason, "mount -t cgroup2 cgroup2 /sys/fs/cgroup".to_owned());
            continue;
        }
        if mount.read_only {
            let reason = format!("{} is mounted read-only", mount.point.display());
            why = (reason, "launch needs it writable to set limits".to_owned());
            continue;
        }
        match base_in(mount, need, rootless) {
            Ok(base) => return Ok(base),
            Err(reason) => why = reason,
        }
    }
    Err(why)
}

fn base_in(mount: &Mount, need: &[&str], rootless: bool) -> std::result::Result<Base, Why> {
    let found = |dir: &Path, step_aside| Ok(Base { dir: dir.to_owned(), step_aside });
    if real_root(mount) && writable(&mount.point).is_ok() {
        return found(&mount.point, false);
    }
    let Some(own) = &mount.own else {
        return Err((
            format!("our own cgroup is not visible in {}", mount.point.display()),
            "start launch from a cgroup below that mount".to_owned(),
        ));
    };
    mount.verify(own).map_err(|reason| (reason, "start launch from another cgroup".to_owned()))?;
    if let Some(parent) = own.parent().filter(|p| p.starts_with(&mount.point))
        && beside_us(parent, need)
    {
        return found(parent, false);
    }
    let files = ["", "cgroup.procs", "cgroup.subtree_control"];
    if let Some(e) = files.iter().find_map(|f| writable(&own.join(f)).err()) {
        return Err((
            format!("{} is not writable: {}", own.display(), describe(e)),
            delegate(rootless),
        ));
    }
    let us = rustix::process::getpid().as_raw_pid().to_string();
    if words(&own.join("cgroup.procs")) != [us] {
        let shown = own.display();
        let reason = format!("{shown} holds other processes than launch");
        return Err((
            reason,
            format!(
                "once: mkdir {shown}/all; for p in $(cat {shown}/cgroup.procs); \
             do echo $p > {shown}/all/cgroup.procs; done"
            ),
        ));
    }
    found(own, true)
}

/// Whether the container's cgroup may stand beside our own, below `parent`: it is ours
/// to write, and the controllers are there or can be switched on without
/// interfering with systemd, which owns the inside of its slices.
fn beside_us(parent: &Path, need: &[&str]) -> bool {
    if writable(parent).is_err() || writable(&parent.join("cgroup.procs")).is_err() {
        return false;
    }
    let has = |file: &str| {
        let list = words(&parent.join(file));
        need.iter().all(|n| list.iter().any(|c| c == n))
    };
    if has("cgroup.subtree_control") {
        return true;
    }
    let slice = parent.extension().is_some_and(|e| e == "slice");
    !slice
        && writable(&parent.join("cgroup.subtree_control")).is_ok()
        && words(&parent.join("cgroup.procs")).is_empty()
}

fn exists(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXISTS).is_ok()
}

/// How to get a cgroup that is ours on this host.
fn delegate(rootless: bool) -> String {
    let user = if rootless { "--user " } else { "" };
    match exists(Path::new("/run/systemd/system")) {
        true => format!("systemd-run {user}--scope -p Delegate=yes launch ..."),
        false => "as root: mkdir CGROUP; chown -R USER CGROUP; and start launch alone in it".into(),
    }
}

fn not_delegated(want: &Want, dir: &Path, rootless: bool) -> Unmet {
    let c = want.controller;
    Unmet {
        asked: want.asked.clone(),
        reason: format!("{} does not offer the {c} controller", dir.display()),
        hint: match rootless && exists(Path::new("/run/systemd/system")) {
            true => format!(
                "as root: systemctl edit user@.service: [Service] Delegate={c} and what is there"
            ),
            false => format!("the cgroup above must have +{c} in cgroup.subtree_control"),
        },
    }
}

/// Our own cgroup is to have children with controllers, so we leave it for a leaf, and
/// come back at the end.
fn step_aside(own: &Path, name: &str, want: &Want, out: &mut Cgroups) {
    let leaf = supervisor(own, name);
    out.writes.push(Write {
        file: leaf.join("cgroup.procs"),
        value: "0".to_owned(),
        option: want.option,
        asked: want.asked.clone(),
        undo: Some((own.join("cgroup.procs"), "0".to_owned())),
    });
    out.dirs.push(leaf);
}

/// Controllers reach children only where the parent says so, one write for each that is
/// missing. At the real root they stay on, as every other tool leaves them: a
/// container beside ours may be using them by then.
fn enable(base: &Base, granted: &[&Want], enabled: &[String], out: &mut Cgroups) {
    let file = base.dir.join("cgroup.subtree_control");
    let mut done: Vec<&str> = Vec::new();
    for want in granted {
        let c = want.controller;
        if done.contains(&c) || enabled.iter().any(|e| e == c) {
            continue;
        }
        done.push(c);
        out.writes.push(Write {
            file: file.clone(),
            value: format!("+{c}"),
            option: want.option,
            asked: want.asked.clone(),
            undo: base.step_aside.then(|| (file.clone(), format!("-{c}"))),
        });
    }
}

pub(super) fn limit(want: &Want, base: &Path, dir: &Path, out: &mut Cgroups) -> Result<()> {
    let mut set = |file: &str, value: String| {
        out.writes.push(want.write(dir.join(file), value));
    };
    match &want.value {
        Value::Memory { limit, swap } => {
            set("memory.max", limit.to_string());
            // Version 2 counts swap by itself; a new cgroup has no limit on it.
            if let Swap::Total(total) = swap {
                set("memory.swap.max", (total - limit).to_string());
            }
            out.memory = Some(Memory { dir: dir.to_owned(), v2: true, limit: *limit });
        }
        Value::Cpus { quota, period } => set("cpu.max", format!("{quota} {period}")),
        Value::Weight { weight, .. } => set("cpu.weight", weight.to_string()),
        // What is below it is taken from others first.
        Value::Reservation(bytes) => set("memory.low", bytes.to_string()),
        Value::Pids(n) => set("pids.max", n.to_string()),
        Value::Io(rate) => set("io.max", io::max(want, rate)?),
        Value::Cpuset(cpus) => {
            let online = PathBuf::from("/sys/devices/system/cpu/online");
            v1::check_cpus(want, cpus, &[base.join("cpuset.cpus.effective"), online])?;
            set("cpuset.cpus", cpus.clone());
        }
        // No controller has them here: `devices::program`.
        Value::Devices(_) => {}
    }
    Ok(())
}

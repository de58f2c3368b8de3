//! Version 1: one directory below our own cgroup in each hierarchy that carries a limit.

use super::limits::{Value, Want, cpu_list, missing_cpu, size};
use super::probe::Hierarchy;
use super::{Cgroups, Memory, Unmet, Write, devices, exists, io, read, words, writable};
use crate::error::{Error, Result, describe};
use crate::spec::Swap;
use std::path::{Path, PathBuf};

/// Adds what `want` needs; its controller is in `hierarchy`. Returned: what this user or
/// this host cannot have.
pub(super) fn plan(
    hierarchy: &Hierarchy,
    want: &Want,
    name: &str,
    out: &mut Cgroups,
) -> Result<Option<Unmet>> {
    let parent = match parent(hierarchy) {
        Ok(parent) => parent,
        Err((reason, hint)) => {
            return Ok(Some(Unmet { asked: want.asked.clone(), reason, hint }));
        }
    };
    let dir = parent.join(name);
    limit(want, parent, &dir, out)?;
    if !out.dirs.contains(&dir) {
        out.join.tasks.push(dir.join("tasks"));
        out.carried.push(hierarchy.controllers.clone());
        out.dirs.push(dir);
    }
    Ok(None)
}

/// Our own cgroup in this hierarchy, when a directory can be made there.
fn parent(h: &Hierarchy) -> std::result::Result<&Path, (String, String)> {
    let names = &h.controllers;
    let mut why = (
        format!("our own cgroup of {names} is not visible in any mount of it"),
        "mount it from the cgroup namespace launch runs in".to_owned(),
    );
    for mount in &h.mounts {
        let Some(own) = &mount.own else { continue };
        let shown = own.display();
        if let Err(reason) = mount.verify(own) {
            why = (reason, format!("mount -t cgroup -o {names} cgroup DIR"));
        } else if mount.read_only {
            let hint = "launch needs it writable to set limits".to_owned();
            why = (format!("{} is mounted read-only", mount.point.display()), hint);
        } else if let Err(e) = writable(own) {
            let hint = format!(
                "as root: mkdir {shown}/mine; chown -R USER {shown}/mine; \
                and start from inside it"
            );
            why = (format!("{shown} is not writable: {}", describe(e)), hint);
        } else {
            return Ok(own);
        }
    }
    Err(why)
}

pub(super) fn limit(want: &Want, parent: &Path, dir: &Path, out: &mut Cgroups) -> Result<()> {
    let mut set = |file: &str, value: String| {
        out.writes.push(want.write(dir.join(file), value));
    };
    match &want.value {
        Value::Memory { limit, swap } => {
            set("memory.limit_in_bytes", limit.to_string());
            // A new cgroup has no limit on the sum, so this order always fits.
            if let Some((value, option, asked)) = sum(*limit, *swap, parent, out)? {
                let file = dir.join("memory.memsw.limit_in_bytes");
                out.writes.push(Write { file, value, option, asked, undo: None });
            }
            out.memory = Some(Memory { dir: dir.to_owned(), v2: false, limit: *limit });
        }
        Value::Cpus { quota, period } => {
            within_parent(want, parent, *quota, *period)?;
            // 100000 is every new cgroup's period.
            if *period != 100_000 {
                set("cpu.cfs_period_us", period.to_string());
            }
            set("cpu.cfs_quota_us", quota.to_string());
        }
        Value::Weight { shares, .. } => set("cpu.shares", shares.to_string()),
        Value::Reservation(bytes) => set("memory.soft_limit_in_bytes", bytes.to_string()),
        Value::Pids(n) => set("pids.max", n.to_string()),
        Value::Io(rate) => {
            let (file, value) = io::throttle(want, rate)?;
            set(file, value);
        }
        Value::Devices(rules) => {
            set("devices.deny", "a".to_owned());
            rules.iter().for_each(|rule| set("devices.allow", devices::line(rule)));
        }
        Value::Cpuset(cpus) => {
            check_cpus(
                want,
                cpus,
                &[parent.join("cpuset.effective_cpus"), parent.join("cpuset.cpus")],
            )?;
            // Without both lists nothing can enter a cpuset; memory nodes as we have them.
            let mems = ["cpuset.mems", "cpuset.effective_mems"].map(|f| words(&parent.join(f)));
            let mems = mems.into_iter().flatten().next().unwrap_or_else(|| "0".to_owned());
            set("cpuset.cpus", cpus.clone());
            set("cpuset.mems", mems);
        }
    }
    Ok(())
}

/// The limit on memory plus swap, with the option it is for; None where there is
/// nothing to write, with a warning if swap then stays unlimited.
fn sum(
    limit: u64,
    swap: Swap,
    parent: &Path,
    out: &mut Cgroups,
) -> Result<Option<(String, &'static str, String)>> {
    let Swap::Total(total) = swap else { return Ok(None) };
    if exists(&parent.join("memory.memsw.limit_in_bytes"))? {
        let option = if total == limit { "--mem" } else { "--memory-swap" };
        return Ok(Some((total.to_string(), option, format!("{option} {}", size(total)))));
    }
    if super::host_has_swap() {
        out.warnings.push(format!(
            "swap is not limited beside --mem {}: this kernel does not count it\n\
             hint: boot with swapaccount=1",
            size(limit)
        ));
    }
    Ok(None)
}

/// The kernel refuses a share of a processor above the parent's.
fn within_parent(want: &Want, parent: &Path, quota: u64, period: u64) -> Result<()> {
    let number = |file: &str| -> Option<u64> { words(&parent.join(file)).first()?.parse().ok() };
    let Some(have) = number("cpu.cfs_quota_us") else { return Ok(()) };
    let per = number("cpu.cfs_period_us").unwrap_or(100_000);
    if u128::from(quota) * u128::from(per) <= u128::from(have) * u128::from(period) {
        return Ok(());
    }
    let most = have as f64 / per as f64;
    Err(Error::new(format!("{}: our own cgroup allows {most:.2} processors", want.asked))
        .hint(format!("the limit is in {}", parent.join("cpu.cfs_quota_us").display())))
}

/// `lists`: files with the processors that may be used, the first that is there counts.
pub(super) fn check_cpus(want: &Want, cpus: &str, lists: &[PathBuf]) -> Result<()> {
    let have = lists.iter().filter_map(|f| read(f).ok()).find_map(|text| {
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        Some((cpu_list(&text)?, text))
    });
    let (Some((have, text)), Some(asked)) = (have, cpu_list(cpus)) else { return Ok(()) };
    match missing_cpu(&asked, &have) {
        None => Ok(()),
        Some(n) => Err(Error::new(format!("{}: there is no processor {n} to use", want.asked))
            .hint(format!("available: {text}"))),
    }
}

//! `launch update`: other limits for a container that runs.

use crate::cgroup::{self, freeze};
use crate::error::Result;
use crate::members;
use crate::record;
use crate::spec::Limits;

pub fn update(name: &str, limits: &Limits) -> Result<()> {
    let found = record::find(name.as_ref())?;
    let pid = found.ready_process()?.0.as_raw_pid();
    let layout = || cgroup::probe_of(pid);
    let changes = cgroup::changes(found.cgroups(), layout, limits, name)?;
    for dir in &changes.dirs {
        found.note_cgroup(dir)?;
        cgroup::create(dir)?;
    }
    let writes = &changes.writes;
    // Memory alone must not be above memory and swap together, before and after.
    let mut done = writes.iter().try_for_each(cgroup::write);
    if done.is_err() && writes.len() > 1 {
        done = writes.iter().rev().chain(writes).try_for_each(cgroup::write).or(done);
    }
    // Also into what an earlier update has made but not filled.
    let limited = writes.iter().filter(|w| !w.file.ends_with("cgroup.subtree_control"));
    for dir in limited.filter_map(|w| w.file.parent()) {
        if done.is_ok() && !cgroup::holds(dir, pid) {
            done = freeze::gather(dir, || members::of(pid));
        }
    }
    done
}

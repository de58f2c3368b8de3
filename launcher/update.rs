//! `launch update`: other limits for a container that runs.

use crate::cgroup;
use crate::error::Result;
use crate::record;
use crate::spec::Limits;

pub fn update(name: &str, limits: &Limits) -> Result<()> {
    let found = record::find(name.as_ref())?;
    found.process()?;
    let writes = cgroup::changes(found.cgroups(), limits, name)?;
    // Memory alone must not be above memory and swap together, before and after.
    let forwards = writes.iter().try_for_each(cgroup::write);
    if forwards.is_err() && writes.len() > 1 {
        return writes.iter().rev().chain(&writes).try_for_each(cgroup::write).or(forwards);
    }
    forwards
}

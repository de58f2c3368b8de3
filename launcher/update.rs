//! `launch update`: other limits for a container that runs.

use crate::cgroup::{self, Write};
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::record;
use crate::spec::Limits;
use std::path::PathBuf;

pub fn update(name: &str, limits: &Limits) -> Result<()> {
    let found = record::find(name.as_ref())?;
    found.process()?;
    // The files are those of a start; the directories are the container's own.
    let plan = cgroup::plan(&cgroup::probe()?, limits, None, name, false)?;
    let mut writes = plan.writes.iter().map(|w| {
        let file = w.file.file_name().unwrap_or_default();
        let own = |dir: PathBuf| {
            let file = dir.join(file);
            rustix::fs::access(&file, rustix::fs::Access::EXISTS).is_ok().then_some(file)
        };
        // What is switched on for its children is on already.
        if w.file.ends_with("cgroup.subtree_control") {
            return Ok(None);
        }
        match found.cgroups().find_map(|dir| own(dir.to_owned())) {
            Some(file) => Ok(Some(Write { file, undo: None, ..w.clone() })),
            None => Err(Error::new(format!(
                "{}: container {} has no cgroup that could have this limit",
                w.asked,
                quote(name)
            ))
            .hint(format!(
                "only what was limited at the start can be changed: start it with {}",
                w.option
            ))),
        }
    });
    let writes: Vec<Write> =
        writes.by_ref().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    // Memory alone must not be above memory and swap together, before and after.
    let forwards = writes.iter().try_for_each(cgroup::write);
    if forwards.is_err() && writes.len() > 1 {
        return writes.iter().rev().chain(&writes).try_for_each(cgroup::write).or(forwards);
    }
    forwards
}

//! `launch pause` and `launch unpause`.

use crate::cgroup::{self, freeze};
use crate::error::{Error, Result};
use crate::members;
use crate::quote::quote;
use crate::record::{self, Found};
use std::path::PathBuf;

pub fn pause(name: &str) -> Result<()> {
    let found = record::find(name.as_ref())?;
    let pid = found.ready_process()?.0.as_raw_pid();
    let dir = match freeze::freezer(found.cgroups()) {
        Some(dir) => dir.to_owned(),
        None => make(&found, pid)?,
    };
    if freeze::is_frozen(&dir) {
        return Err(Error::new(format!("container {} is paused already", quote(name))));
    }
    // Of version 2 it may have made cgroups below, which are frozen with it.
    if cgroup::is_cgroup(&dir) != Some(true) || !cgroup::holds(&dir, pid) {
        freeze::gather(&dir, || members::of(pid))?;
    }
    freeze::freeze(&dir)
}

/// A cgroup for that alone: version 1 has a hierarchy of its own for it.
fn make(found: &Found, pid: i32) -> Result<PathBuf> {
    let dir = freeze::place(&cgroup::probe_of(pid)?, &found.name).ok_or_else(|| {
        let name = quote(&found.name);
        Error::new(format!("container {name} has no cgroup that can be frozen"))
            .hint("start it with a limit, such as --pids-limit 1000")
    })?;
    found.note_cgroup(&dir)?;
    cgroup::create(&dir).map_err(|e| {
        e.hint("it needs a cgroup to freeze it in; an ordinary user's own: launch help rootless")
    })?;
    Ok(dir)
}

pub fn unpause(name: &str) -> Result<()> {
    let found = record::find(name.as_ref())?;
    found.process()?;
    match freeze::freezer(found.cgroups()).filter(|dir| freeze::is_frozen(dir)) {
        Some(dir) => freeze::thaw(dir),
        None => Err(Error::new(format!("container {} is not paused", quote(name)))),
    }
}

impl Found {
    pub fn is_paused(&self) -> bool {
        cgroup::frozen(self.cgroups())
    }

    /// Whatever it was told shall happen.
    pub fn thaw(&self) {
        if let Some(dir) = freeze::freezer(self.cgroups()) {
            let _ = freeze::thaw(dir);
        }
    }
}

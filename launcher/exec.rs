//! `launch exec`: another process in a container that runs.

use crate::command::Exec;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::{self, Plan};
use crate::quote::quote;
use crate::record::{self, Life};
use crate::spec::Spec;

/// The container's Spec with what this command changes of it, and the plan.
pub fn plan(exec: &Exec) -> Result<(Spec, Plan)> {
    let found = record::find(exec.name.as_ref())?;
    if found.life == Life::Ended {
        found.process()?;
    }
    if found.is_paused() {
        return Err(Error::new(format!("container {} is paused", quote(&exec.name)))
            .hint(format!("launch unpause {}", exec.name)));
    }
    let mut spec = *found.spec()?;
    let asked = &exec.spec;
    spec.command = asked.command.clone();
    spec.env = asked.env.clone();
    spec.tty = asked.tty;
    spec.detach = false;
    spec.fault = asked.fault;
    // Those were of the start's caller.
    spec.preserve_fds = asked.preserve_fds;
    if asked.user.is_some() {
        spec.user = asked.user.clone();
    }
    if asked.workdir.is_some() {
        spec.workdir = asked.workdir.clone();
    }
    spec.caps.privileged |= asked.caps.privileged;
    // Its limits are on the cgroup that is joined; there is no other process to kill.
    let plan = plan::enter::enter(&found, &spec, asked.user.is_some(), &Host::probe())?;
    Ok((spec, plan))
}

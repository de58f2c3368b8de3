//! Other limits for cgroups that exist. Where they are is the container's matter alone:
//! whoever changes them may be in a cgroup where nothing could be made or limited.

use super::limits::{self, Want};
use super::{Cgroups, Write, exists, is_cgroup, v1, v2};
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::spec::Limits;
use std::path::Path;

/// What to write into which of `dirs`, the cgroups of the container `name`. Errors: a value
/// the kernel would refuse; none of them has the controller.
pub fn changes<'a>(
    dirs: impl Iterator<Item = &'a Path> + Clone,
    limits: &Limits,
    name: &str,
) -> Result<Vec<Write>> {
    let mut out = Vec::new();
    for want in limits::wants(limits)? {
        let mut found = false;
        for dir in dirs.clone() {
            let writes = writes(&want, dir)?;
            found |= !writes.is_empty();
            out.extend(writes);
        }
        if !found {
            return Err(none(&want, name));
        }
    }
    Ok(out)
}

/// Empty where this cgroup is without the controller.
fn writes(want: &Want, dir: &Path) -> Result<Vec<Write>> {
    let Some(unified) = is_cgroup(dir) else { return Ok(Vec::new()) };
    let parent = dir.parent().unwrap_or(dir);
    let mut made = Cgroups::default();
    match unified {
        true => v2::limit(want, parent, dir, &mut made)?,
        false => v1::limit(want, parent, dir, &mut made)?,
    }
    match made.writes.first() {
        Some(first) if exists(&first.file)? => Ok(made.writes),
        _ => Ok(Vec::new()),
    }
}

fn none(want: &Want, name: &str) -> Error {
    let name = quote(name);
    Error::new(format!("{}: container {name} has no cgroup that could have this limit", want.asked))
        .hint(format!(
            "only what was limited at the start can be changed: start it with {}",
            want.option
        ))
}

//! Other limits for a container that runs. A cgroup that it has is changed where it is,
//! whoever changes it; what no cgroup of its counts gets one, below the one it is in.

use super::limits::{self, Want};
use super::probe::Layout;
use super::{Cgroups, Unmet, Write, absent, end, exists, is_cgroup, v1, v2};
use crate::error::{Error, Result};
use crate::spec::Limits;
use std::path::{Path, PathBuf};

/// In this order: to be made, to be written, and its processes to be in all that was written.
#[derive(Debug, Default)]
pub struct Changes {
    pub dirs: Vec<PathBuf>,
    pub writes: Vec<Write>,
}

/// `dirs` are the cgroups of the container `name`, `layout` is its own. Errors: a value the
/// kernel would refuse; a controller that is missing or out of reach.
pub fn changes<'a>(
    dirs: impl Iterator<Item = &'a Path> + Clone,
    layout: impl FnOnce() -> Result<Layout>,
    limits: &Limits,
    name: &str,
) -> Result<Changes> {
    let mut out = Changes::default();
    let mut more = Vec::new();
    for want in limits::wants(limits)? {
        let before = out.writes.len();
        for dir in dirs.clone() {
            out.writes.extend(writes(&want, dir)?);
        }
        if out.writes.len() == before {
            more.push(want);
        }
    }
    if more.is_empty() {
        return Ok(out);
    }
    let unified = dirs.clone().find(|dir| is_cgroup(dir) == Some(true));
    let (made, unmet) = further(&layout()?, more, unified, &format!("launch-{name}"))?;
    if let Some(Unmet { asked, reason, hint }) = unmet.into_iter().next() {
        return Err(Error::new(format!("{asked}: {reason}")).hint(hint));
    }
    out.dirs = made.dirs.into_iter().filter(|new| dirs.clone().all(|dir| dir != new)).collect();
    out.writes.extend(made.writes);
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

/// As for a start; where it has a cgroup of version 2, `unified`, that one gets the controllers.
fn further(
    layout: &Layout,
    wants: Vec<Want>,
    unified: Option<&Path>,
    name: &str,
) -> Result<(Cgroups, Vec<Unmet>)> {
    let (mut made, mut unmet, mut rest) = (Cgroups::default(), Vec::new(), Vec::new());
    for want in wants {
        match layout.v1_of(want.controller) {
            Some(hierarchy) => unmet.extend(v1::plan(&hierarchy, &want, name, &mut made)?),
            None => rest.push(want),
        }
    }
    unmet.extend(match (unified, layout.unified()) {
        _ if rest.is_empty() => Vec::new(),
        (Some(dir), _) => v2::switch_on(&rest, dir, &mut made)?,
        (None, Some(unified)) => v2::plan(&unified, &rest, name, false, &mut made)?,
        (None, None) => rest.iter().map(absent).collect(),
    });
    Ok((made, unmet))
}

/// Whether this process is in `dir` or below.
pub fn holds(dir: &Path, pid: i32) -> bool {
    end::processes(dir).contains(&pid)
}

//! Named volumes: directories of the store, below `volumes`.

use crate::error::{Error, Result};
use crate::record::{self, Life};
use crate::spec::{MountOp, Spec};
use rustix::fs::Mode;
use rustix::io::Errno;
use std::path::Path;

/// An empty one; that it is there already is no error.
pub fn make(dir: &Path) -> Result<()> {
    match rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(Error::os(format!("make {}", dir.display()), e)),
    }
}

/// Containers that were asked to have this volume: those that are there, ended ones included,
/// or those that have not ended.
pub fn users(name: &str, living: bool) -> Vec<String> {
    let all = record::all().into_iter().filter(|f| !living || f.life != Life::Ended);
    all.filter(|f| f.asked().is_ok_and(|spec| has(&spec, name))).map(|f| f.name).collect()
}

fn has(spec: &Spec, name: &str) -> bool {
    let mounts = spec.named_volumes.iter().filter_map(|n| spec.mounts.get(n.mount));
    mounts.into_iter().any(|m| match m {
        MountOp::Bind { source, .. } => source.as_os_str() == name,
        MountOp::Tmpfs { .. } => false,
    })
}

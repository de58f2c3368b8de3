//! Named volumes: directories of the store, below `volumes`. `launch volume`.

use super::store::{self, Lock, Store};
use super::{manage, owner};
use crate::end;
use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::host::Host;
use crate::quote::quote;
use crate::record::{self, Life};
use crate::spec::{MountOp, Spec};
use crate::sys::ns;
use crate::tree;
use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// What is to be done with volumes.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    List {
        quiet: bool,
        format: Option<Format>,
    },
    Create(Vec<String>),
    Inspect {
        names: Vec<String>,
        format: Option<Format>,
    },
    /// `force`: one that is not there is no error.
    Remove {
        names: Vec<String>,
        force: bool,
    },
    Prune {
        every: bool,
    },
}

pub fn run(order: &Order, host: &Host, out: &mut dyn Write) -> Result<i32> {
    let unused: Vec<String>;
    let (names, force) = match order {
        Order::List { quiet, format } => return tell(&list(*quiet, format.as_ref())?, out),
        Order::Inspect { names, format } => return tell(&inspect(names, format.as_ref())?, out),
        Order::Prune { every: false } => return tell(NAMELESS, out),
        Order::Prune { every: true } => {
            unused = all()?.into_iter().filter(|n| users(n, false).is_empty()).collect();
            (&unused, true)
        }
        Order::Create(names) => (names, false),
        Order::Remove { names, force } => (names, *force),
    };
    let place = store::place()?;
    end::each(names, out, &mut |name| match order {
        Order::Create(_) => {
            Store::make(&place)?;
            make(&place.join("volumes").join(name))
        }
        _ => remove(name, force, host),
    })
}

const NAMELESS: &str = "nothing to remove: volumes without a name are not kept; --all removes \
                        those that no container has\n";

fn tell(text: &str, out: &mut dyn Write) -> Result<i32> {
    out.write_all(text.as_bytes()).map_err(|e| Error::os("write to standard output", e))?;
    Ok(0)
}

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

fn all() -> Result<Vec<String>> {
    let mut names = match Store::existing()? {
        Some(store) => store.list("volumes")?,
        None => Vec::new(),
    };
    names.sort();
    Ok(names)
}

fn missing(name: &str) -> Error {
    Error::new(format!("no volume is called {}", quote(name))).hint("launch volume ls lists them")
}

/// By docker's names.
fn one(name: &str) -> Result<Value> {
    let mountpoint = store::place()?.join("volumes").join(name);
    Ok(json!({ "name": name, "mountpoint": mountpoint.to_string_lossy(), "driver": "local",
        "containers": users(name, false) }))
}

fn list(quiet: bool, format: Option<&Format>) -> Result<String> {
    let names = all()?;
    if quiet {
        return Ok(names.iter().map(|n| format!("{n}\n")).collect());
    }
    if let Some(format) = format {
        return format::show(format, &names.iter().map(|n| one(n)).collect::<Result<Vec<_>>>()?);
    }
    let line = |name: &String| format!("{name:<32} {}\n", users(name, false).join(" "));
    Ok(format!("{:<32} CONTAINERS\n", "NAME") + &names.iter().map(line).collect::<String>())
}

fn inspect(names: &[String], format: Option<&Format>) -> Result<String> {
    let there = all()?;
    let known = |n: &String| if there.contains(n) { one(n) } else { Err(missing(n)) };
    let items = names.iter().map(known).collect::<Result<Vec<_>>>()?;
    match format {
        None | Some(Format::Json) => Ok(format!("{:#}\n", Value::Array(items))),
        Some(format) => format::show(format, &items),
    }
}

fn remove(name: &str, force: bool, host: &Host) -> Result<()> {
    if !all()?.iter().any(|n| n == name) {
        return if force { Ok(()) } else { Err(missing(name)) };
    }
    let users = users(name, false);
    if let Some(first) = users.first() {
        let said = format!("volume {name}: container {} has it", users.join(", "));
        return Err(Error::new(said).hint(format!("launch rm {first} forgets one that has ended")));
    }
    let ids = owner::ids(host)?;
    // In a user namespace of one's own there is no directory that forbids to be moved.
    let namespaces = if ids.is_some() { ns::NEWNS } else { 0 };
    let job = |lock: &Lock<'_>| take_away(lock, name).map(|()| String::new());
    manage::change_as(ids.as_ref(), namespaces, job).map(drop)
}

/// Out of everybody's sight first: it is there in full, or not.
fn take_away(lock: &Lock<'_>, name: &str) -> Result<()> {
    let failed = |e| Error::os(format!("remove volume {name}"), e);
    let volumes = lock.store.directory("volumes").map_err(failed)?;
    let there = match rustix::fs::openat(&volumes, name, tree::DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        there => there.map_err(failed)?,
    };
    // A start that has no record yet.
    if rustix::fs::flock(&there, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Error::new(format!("volume {name}: a container has it")));
    }
    let new = lock.store.directory("new").map_err(failed)?;
    rustix::fs::renameat(&volumes, name, &new, "volume").map_err(failed)?;
    lock.discard("volume")
}

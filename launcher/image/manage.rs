//! The images of the store: named, listed, removed.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::idmap::IdMap;
use crate::image::digest::Digest;
use crate::image::record::Record;
use crate::image::store::{self, Lock, Store};
use crate::image::{self, Answer, Found, Wishes, full_name, owner};
use crate::quote::quote;
use crate::record::{self, Life};
use crate::size;
use rustix::fs::FlockOperation;
use std::collections::HashSet;
use std::path::Path;

/// `launch import FILE [NAME]`. Lines for the user, and warnings.
pub fn import(
    file: &Path,
    name: Option<&str>,
    wishes: &Wishes,
    host: &Host,
) -> Result<(Vec<String>, Vec<String>)> {
    let mut progress = |done, total| (host.progress)(done, total);
    let Answer { found, names, mut warnings } = image::open(file, host, wishes, &mut progress)?;
    let Found::Image(record) = found else {
        let shown = file.display();
        return Err(Error::new(format!("{shown}: a file system image is used as it is"))
            .hint(format!("launch {shown} COMMAND mounts it")));
    };
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => names.into_iter().filter(|n| is_name(n)).collect(),
    };
    if names.is_empty() {
        return Err(Error::new(format!("import {}: NAME is missing", file.display()))
            .hint("the archive does not say what it is called"));
    }
    let names: Vec<String> = names.iter().map(|n| full_name(n)).collect();
    change(host, |lock| {
        for name in &names {
            lock.write("names", name, record.id.to_string().as_bytes())?;
        }
        Ok(String::new())
    })?;
    warnings.extend(record.config.unused().map(|said| format!("{}: {said}", names[0])));
    let line = |name: &String| {
        let (layers, bytes) = (record.layers.len(), size::human(record.bytes));
        let s = if layers == 1 { "" } else { "s" };
        format!("{name}: {layers} layer{s}, {bytes}, {}", record.id)
    };
    Ok((names.iter().map(line).collect(), warnings))
}

/// Names as docker has them: `app`, `registry.example:5000/team/app:1.2`.
pub fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@+".contains(&b);
    let part =
        |p: &str| !p.is_empty() && p != "." && p != ".." && p.as_bytes()[0].is_ascii_alphanumeric();
    name.len() <= 200 && name.bytes().all(allowed) && name.split('/').all(part)
}

/// An image with the names that lead to it.
struct Listed {
    record: Record,
    names: Vec<String>,
}

fn all(store: &Store) -> Result<Vec<Listed>> {
    let mut found: Vec<Listed> = Vec::new();
    for id in store.list("images")? {
        let text = store.read(&format!("images/{id}/image.json"))?.unwrap_or_default();
        let Some(record) = Record::parse(&text) else { continue };
        found.push(Listed { record, names: Vec::new() });
    }
    for name in store.list("names")? {
        let name = store::unescape(&name);
        let id = store.leads_to("names", &name)?;
        if let Some(listed) = found.iter_mut().find(|l| Some(l.record.id) == id) {
            listed.names.push(name);
        }
    }
    found.sort_by_key(|l| std::cmp::Reverse(l.record.made));
    Ok(found)
}

/// `launch images`.
pub fn list(json: bool) -> Result<String> {
    let images = match Store::existing()? {
        Some(store) => all(&store)?,
        None => Vec::new(),
    };
    if json {
        let rows = images.iter().map(|l| {
            let r = &l.record;
            serde_json::json!({ "names": l.names, "id": r.id.to_string(), "layers": r.layers.len(),
                "bytes": r.bytes, "platform": r.platform, "made": r.made, "source": r.source,
                "config": r.config.to_json() })
        });
        return Ok(serde_json::Value::Array(rows.collect()).to_string() + "\n");
    }
    let mut text = format!("{:<32} {:<12} {:>6} {:>8}  MADE\n", "NAME", "ID", "LAYERS", "SIZE");
    for Listed { record, names } in &images {
        let made = ago(record.made);
        let none = ["<none>".to_owned()];
        for name in if names.is_empty() { &none } else { names.as_slice() } {
            let (id, bytes) = (&record.id.hex()[..12], size::human(record.bytes));
            text += &format!("{name:<32} {id:<12} {:>6} {bytes:>8}  {made}\n", record.layers.len());
        }
    }
    Ok(text)
}

fn ago(made: u64) -> String {
    let seconds = image::now().saturating_sub(made);
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86400 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s} ago")
}

/// `launch rmi NAME...`: the name, and the image when that was its last one.
pub fn remove(names: &[String], host: &Host) -> Result<Vec<String>> {
    let living = living();
    let text = change(host, |lock| {
        let mut lines = Vec::new();
        for name in names {
            let images = all(lock.store)?;
            let full = full_name(name);
            let found = image::find_named(lock.store, name)?;
            let found = found.ok_or_else(|| {
                Error::new(format!("no image is called {}", quote(name)))
                    .hint("launch images lists them")
            })?;
            let own = images.into_iter().find(|l| l.record.id == found.id);
            let own = own.ok_or_else(|| Error::new(format!("no image {}", quote(name))))?;
            let by_name = own.names.contains(&full);
            if !by_name && own.names.len() > 1 {
                return Err(Error::new(format!(
                    "{} has several names: {}",
                    quote(name),
                    own.names.join(", ")
                )));
            }
            let last = own.names.len() <= 1;
            if last
                && (living.contains(&own.record.id) || in_use(lock.store, &own.record, &mounted()))
            {
                return Err(Error::new(format!("image {}: a container runs on it", quote(name))));
            }
            for gone in own.names.iter().filter(|n| !by_name || **n == full) {
                lock.remove("names", &store::escape(gone))?;
                lines.push(format!("{gone}: name removed"));
            }
            if last {
                lock.remove("images", &own.record.id.short())?;
                lines.push(format!("{}: removed", own.record.id));
            }
        }
        lines.extend(sweep(lock)?);
        Ok(lines.join("\n"))
    })?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// `launch prune`: images without a name, or all of them; layers that no image has.
pub fn prune(every: bool, host: &Host) -> Result<Vec<String>> {
    if Store::existing()?.is_none() {
        return Ok(vec!["nothing to remove".into()]);
    }
    let living = living();
    let text = change(host, |lock| {
        let mounted = mounted();
        let mut lines = Vec::new();
        for Listed { record, names } in all(lock.store)? {
            let named = !every && !names.is_empty();
            if named || living.contains(&record.id) || in_use(lock.store, &record, &mounted) {
                continue;
            }
            for name in &names {
                lock.remove("names", &store::escape(name))?;
            }
            lock.remove("images", &record.id.short())?;
            lines.push(format!("{}: removed ({})", record.id, record.source));
        }
        lines.extend(sweep(lock)?);
        if lines.is_empty() {
            lines.push("nothing to remove".into());
        }
        Ok(lines.join("\n"))
    })?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Layers, names and sources that lead nowhere any more.
fn sweep(lock: &Lock<'_>) -> Result<Vec<String>> {
    let (store, mounted) = (lock.store, mounted());
    let images = all(store)?;
    let needed: HashSet<&String> = images.iter().flat_map(|l| &l.record.layers).collect();
    let mut lines = Vec::new();
    for id in store.list("layers")? {
        if !needed.contains(&id) && !mounted.iter().any(|line| line.contains(&id)) {
            lock.remove("layers", &id)?;
            lines.push(format!("layer {id}: removed"));
        }
    }
    for directory in ["names", "sources"] {
        for name in store.list(directory)? {
            let id = store.leads_to(directory, &store::unescape(&name))?;
            if !images.iter().any(|l| Some(l.record.id) == id) {
                lock.remove(directory, &name)?;
            }
        }
    }
    Ok(lines)
}

/// The images of containers that have not ended. Where a mount does not tell its layers (in
/// a user namespace of root's), only the record does, and a detached one has no launcher.
fn living() -> HashSet<Digest> {
    let all = record::all().into_iter().filter(|f| f.life != Life::Ended);
    all.filter_map(|f| Digest::parse(&f.entry.facts.image_id)).collect()
}

/// A start holds a lock on the image, and the mount of a container names its layers.
fn in_use(store: &Store, record: &Record, mounted: &[String]) -> bool {
    let dir = store.directory(&format!("images/{}", record.id.short()));
    let locked = dir.is_ok_and(|dir| {
        rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive).is_err()
    });
    locked || record.layers.iter().any(|id| mounted.iter().any(|line| line.contains(id.as_str())))
}

/// Every overlay that a process of ours, or of all for root, lives in.
fn mounted() -> Vec<String> {
    let mut found: HashSet<String> = HashSet::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        if !process.file_name().as_encoded_bytes()[0].is_ascii_digit() {
            continue;
        }
        let info = std::fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
        found.extend(info.lines().filter(|l| l.contains(" - overlay ")).map(str::to_owned));
    }
    found.into_iter().collect()
}

/// Changes the store, as its owner and under its lock.
pub fn change(host: &Host, job: impl FnOnce(&Lock<'_>) -> Result<String>) -> Result<String> {
    change_as(owner::ids(host)?.as_ref(), 0, job)
}

/// The same with these ids, and in new namespaces.
pub fn change_as(
    ids: Option<&IdMap>,
    namespaces: u64,
    job: impl FnOnce(&Lock<'_>) -> Result<String>,
) -> Result<String> {
    let place = store::place()?;
    owner::work(ids, namespaces, || {
        let store = Store::make(&place)?;
        let lock = store.lock()?;
        job(&lock)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["app", "app:1", "reg.example:5000/team/app:1.2", "a/b@sha256:00"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/../b", "/a", "a//b", "-a", "a b", "a\nb", "../a"] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(full_name("reg:5000/a"), "reg:5000/a:latest");
        assert_eq!(full_name("a:1"), "a:1");
    }
}

//! `--mount`, in docker's grammar: `type=bind,source=./data,target=/data,readonly`.

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::cli::mounts;
use crate::error::Result;
use crate::quote::quote;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

#[derive(Default)]
struct Words {
    kind: Option<String>,
    source: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    read_only: bool,
    no_copy: bool,
    /// `bind-recursive=readonly`
    all_read_only: bool,
    /// Options that only one type has, each with what comes before its dash.
    special: Vec<(&'static str, String)>,
    /// Of a tmpfs, as `--tmpfs` has them.
    options: Vec<String>,
}

/// The same as `-v` or `--tmpfs`, which it becomes.
pub fn mount(draft: &mut Draft, given: Given) -> Result<()> {
    let mut words = Words::default();
    for field in given.value.as_bytes().split(|b| *b == b',') {
        let (key, value) = match field.iter().position(|b| *b == b'=') {
            Some(at) => (&field[..at], Some(&field[at + 1..])),
            None => (field, None),
        };
        let key = String::from_utf8_lossy(key).to_ascii_lowercase();
        set(&mut words, &key, value).map_err(|why| given.bad(why))?;
    }
    let Some(target) = words.target else { return Err(given.bad("target=PATH is missing")) };
    let kind = words.kind.as_deref().unwrap_or("volume");
    if !matches!(kind, "bind" | "overlay" | "volume" | "tmpfs") {
        let known = "bind, overlay, volume, tmpfs";
        return Err(given.bad(format!("unknown type {} ({known})", quote(kind))));
    }
    let own = if kind == "overlay" { "bind" } else { kind };
    if let Some((of, key)) = words.special.iter().find(|(of, _)| *of != own) {
        return Err(given.bad(format!("{key} is for type={of}")));
    }
    if words.all_read_only && !words.read_only {
        return Err(given.bad("bind-recursive=readonly needs readonly"));
    }
    if kind == "tmpfs" {
        if words.source.is_some() {
            return Err(given.bad("a tmpfs has no source"));
        }
        words.options.extend(words.read_only.then(|| "ro".to_owned()));
        let options = words.options.iter().map(|o| o.as_bytes());
        return mounts::tmpfs_at(draft, given, &target, options);
    }
    let Some(source) = words.source else {
        return Err(given.bad(match kind {
            "volume" => "source=NAME is missing: without a name there is type=tmpfs",
            _ => "source=PATH is missing",
        }));
    };
    let path = source.contains(&b'/') || source == b"." || source == b"..";
    match (kind, path) {
        ("bind" | "overlay", true) | ("volume", false) => {}
        ("bind" | "overlay", false) => return Err(given.bad("the source is a path: ./data")),
        _ => return Err(given.bad("the source of a volume is a name; type=bind takes a path")),
    }
    if source.contains(&b':') || target.contains(&b':') {
        return Err(given.bad("a ':' in a path is not possible"));
    }
    let mode: &[u8] = match (kind, words.read_only) {
        ("overlay", true) => return Err(given.bad("an overlay is for writing")),
        ("overlay", false) => b":O",
        (_, true) => b":ro",
        (_, false) => b":rw",
    };
    let copy: &[u8] = if words.no_copy { b",nocopy" } else { b"" };
    let value = OsString::from_vec([&source, &b":"[..], &target, mode, copy].concat());
    mounts::volume(draft, Given { name: given.name, value: &value })
}

fn set(words: &mut Words, key: &str, value: Option<&[u8]>) -> std::result::Result<(), String> {
    let text = value.map(|v| String::from_utf8_lossy(v).into_owned());
    let needed =
        || text.clone().filter(|t| !t.is_empty()).ok_or_else(|| format!("{key} needs a value"));
    let of = ["bind", "volume", "tmpfs"]
        .into_iter()
        .find(|of| key.strip_prefix(of).is_some_and(|rest| rest.starts_with('-')));
    words.special.extend(of.map(|of| (of, key.to_owned())));
    match key {
        "type" => words.kind = Some(needed()?),
        "source" | "src" => words.source = value.map(<[u8]>::to_vec).filter(|v| !v.is_empty()),
        "target" | "dst" | "destination" => words.target = value.map(<[u8]>::to_vec),
        "readonly" | "ro" => words.read_only = switch(key, text.as_deref())?,
        "volume-nocopy" => words.no_copy = switch(key, text.as_deref())?,
        "tmpfs-size" => words.options.push(format!("size={}", needed()?)),
        "tmpfs-mode" => words.options.push(format!("mode={}", needed()?)),
        "bind-recursive" if text.as_deref() == Some("readonly") => words.all_read_only = true,
        // As it is anyway.
        "consistency" => {}
        "bind-recursive" if text.as_deref() == Some("enabled") => {}
        "bind-propagation" if matches!(text.as_deref(), Some("private" | "rprivate")) => {}
        "bind-nonrecursive" | "bind-create-src" if !switch(key, text.as_deref())? => {}
        "volume-driver" if text.as_deref() == Some("local") => {}
        _ => return Err(why_not(key, text.as_deref())),
    }
    Ok(())
}

/// What docker has and launch does not.
fn why_not(key: &str, value: Option<&str>) -> String {
    let why = match key {
        "bind-propagation" => {
            "only private: what is mounted later on one side is not seen on the other"
        }
        "bind-recursive" => {
            "only enabled and readonly: what is mounted below the source comes with it, as read-only as that"
        }
        "bind-nonrecursive" => "what is mounted below the source comes with it",
        "bind-create-src" => "the source must exist: mkdir -p",
        "volume-driver" => "only local",
        "volume-opt" => {
            "a volume is a directory of the store; what is mounted by hand is given with type=bind"
        }
        "volume-subpath" => "a volume is mounted as a whole; make one for each part",
        "volume-label" => "volumes have no labels",
        _ => return format!("unknown or impossible here: {}", quote(key)),
    };
    match value {
        Some(value) => format!("{key}={value}: {why}"),
        None => format!("{key}: {why}"),
    }
}

/// Alone it is on.
fn switch(key: &str, value: Option<&str>) -> std::result::Result<bool, String> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("{key}={other}: true or false")),
    }
}

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
    if kind == "tmpfs" {
        if words.source.is_some() {
            return Err(given.bad("a tmpfs has no source"));
        }
        words.options.extend(words.read_only.then(|| "ro".to_owned()));
        let options = words.options.iter().map(|o| o.as_bytes());
        return mounts::tmpfs_at(draft, given, &target, options);
    }
    if !words.options.is_empty() {
        return Err(given.bad("tmpfs-size and tmpfs-mode are for type=tmpfs"));
    }
    if !matches!(kind, "bind" | "overlay" | "volume") {
        let known = "bind, overlay, volume, tmpfs";
        return Err(given.bad(format!("unknown type {} ({known})", quote(kind))));
    }
    let Some(source) = words.source else { return Err(given.bad("source=PATH is missing")) };
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
    match key {
        "type" => words.kind = Some(needed()?),
        "source" | "src" => words.source = value.map(<[u8]>::to_vec).filter(|v| !v.is_empty()),
        "target" | "dst" | "destination" => words.target = value.map(<[u8]>::to_vec),
        "readonly" | "ro" => words.read_only = switch(key, text.as_deref())?,
        "volume-nocopy" => words.no_copy = switch(key, text.as_deref())?,
        "tmpfs-size" => words.options.push(format!("size={}", needed()?)),
        "tmpfs-mode" => words.options.push(format!("mode={}", needed()?)),
        // As it is anyway.
        "consistency" => {}
        "bind-recursive" if matches!(text.as_deref(), Some("enabled" | "readonly")) => {}
        "bind-propagation" if matches!(text.as_deref(), Some("private" | "rprivate")) => {}
        _ => return Err(format!("unknown or impossible here: {}", quote(key))),
    }
    Ok(())
}

/// Alone it is on.
fn switch(key: &str, value: Option<&str>) -> std::result::Result<bool, String> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("{key}={other}: true or false")),
    }
}

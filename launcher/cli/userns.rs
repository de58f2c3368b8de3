//! `--userns`, `--uidmap` and `--gidmap`.

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::spec::{MapLine, Spec, UserNs};

/// The kernel's UID_GID_MAP_MAX_EXTENTS.
const LINES_MOST: usize = 340;
/// 4294967295 is no id.
const IDS: u64 = u32::MAX as u64;

/// `host`, `auto[:size=N]`, `keep-id[:uid=N,gid=N]`
pub fn mode(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    let (name, options) = match text.split_once(':') {
        Some((name, options)) => (name, Some(options)),
        None => (text, None),
    };
    let mut words = Vec::new();
    for word in options.into_iter().flat_map(|o| o.split(',')) {
        let (key, value) =
            word.split_once('=').ok_or_else(|| given.bad(format!("{} has no =", quote(word))))?;
        let number = plain(value).filter(|n| *n < IDS);
        let number = number.ok_or_else(|| {
            given.bad(format!("{key} {}: not a number from 0 to 4294967294", quote(value)))
        })?;
        words.push((key, number as u32));
    }
    let take = |key: &str| words.iter().rev().find(|(k, _)| *k == key).map(|(_, n)| *n);
    let known: &[&str] = match name {
        "auto" => &["size"],
        "keep-id" => &["uid", "gid"],
        _ => &[],
    };
    if let Some((key, _)) = words.iter().find(|(k, _)| !known.contains(k)) {
        let all = if known.is_empty() { "it has none".to_owned() } else { known.join(", ") };
        return Err(given.bad(format!("{name} has no option {} ({all})", quote(key))));
    }
    draft.spec.userns = match name {
        "host" if options.is_none() => UserNs::Host,
        "auto" => match take("size") {
            Some(0) => return Err(given.bad("size 0: not one id")),
            size => UserNs::Auto { size },
        },
        "keep-id" => UserNs::KeepId { uid: take("uid"), gid: take("gid") },
        _ => {
            return Err(
                given.bad("unknown (auto, auto:size=N, host, keep-id or keep-id:uid=N,gid=N)")
            );
        }
    };
    Ok(())
}

pub fn uid_map(draft: &mut Draft, given: Given) -> Result<()> {
    add(&mut draft.spec.uid_map, given)
}

pub fn gid_map(draft: &mut Draft, given: Given) -> Result<()> {
    add(&mut draft.spec.gid_map, given)
}

/// `IN:[@]OUT[:N]`
fn add(lines: &mut Vec<MapLine>, given: Given) -> Result<()> {
    let text = given.text()?;
    let parts: Vec<&str> = text.split(':').collect();
    let (inside, outside, count) = match parts[..] {
        [inside, outside] => (inside, outside, "1"),
        [inside, outside, count] => (inside, outside, count),
        _ => {
            return Err(
                given.bad("not of the form INSIDE:OUTSIDE:COUNT, for example 0:100000:65536")
            );
        }
    };
    let (outside, absolute) = match outside.strip_prefix('@') {
        Some(id) => (id, true),
        None => (outside, false),
    };
    let number = |what: &str, text: &str| {
        plain(text).filter(|n| *n <= IDS).ok_or_else(|| {
            given.bad(format!("{what} {}: not a number from 0 to 4294967294", quote(text)))
        })
    };
    let (first, out) = (number("inside", inside)?, number("outside", outside)?);
    let count = number("count", count)?;
    if count == 0 {
        return Err(given.bad("count 0: not one id"));
    }
    if first + count > IDS || out + count > IDS {
        return Err(given.bad("the last id would be more than 4294967294"));
    }
    let line = MapLine { inside: first as u32, outside: out as u32, absolute, count: count as u32 };
    if let Some(other) = lines.iter().find(|l| overlap(l.inside, l.count, line.inside, line.count))
    {
        return Err(given.bad(format!("overlaps {} inside", shown(other))));
    }
    let same = lines.iter().filter(|l| l.absolute == absolute);
    for other in same {
        if overlap(other.outside, other.count, line.outside, line.count) {
            return Err(given.bad(format!("overlaps {} outside", shown(other))));
        }
    }
    if lines.len() == LINES_MOST {
        return Err(
            given.bad(format!("more than {LINES_MOST} ranges, which is what the kernel takes"))
        );
    }
    lines.push(line);
    Ok(())
}

/// Digits alone.
fn plain(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn overlap(a: u32, a_count: u32, b: u32, b_count: u32) -> bool {
    let (a, b) = (u64::from(a), u64::from(b));
    a < b + u64::from(b_count) && b < a + u64::from(a_count)
}

fn shown(l: &MapLine) -> String {
    format!("{}:{}{}:{}", l.inside, if l.absolute { "@" } else { "" }, l.outside, l.count)
}

/// A map of one's own is a mode of its own.
pub fn check(spec: &Spec) -> Result<()> {
    let maps = [("--uidmap", &spec.uid_map), ("--gidmap", &spec.gid_map)];
    if spec.userns != UserNs::Default
        && let Some((name, _)) = maps.iter().find(|(_, lines)| !lines.is_empty())
    {
        return Err(Error::new(format!("--userns and {name} exclude each other")));
    }
    Ok(())
}

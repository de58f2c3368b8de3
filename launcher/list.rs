//! Containers as a table and as JSON.

use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::net::state::Published;
use crate::quote::quote;
use crate::record::{self, Found, Life};
use crate::spec::Spec;
use crate::{age, net, report};
use rustix::fd::AsFd;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Columns of a command that is not shown whole.
const COMMAND_MOST: usize = 40;

/// What `launch ps` was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Also what has ended.
    pub all: bool,
    pub quiet: bool,
    /// Commands are not cut.
    pub whole: bool,
    pub filters: Vec<Filter>,
    /// Only so many, the last to be started.
    pub last: Option<u64>,
    pub format: Option<Format>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// A part of it; `^` and `$` stand for its ends.
    Name(String),
    State(&'static str),
    Code(i32),
    /// Key, and value where that matters.
    Label(String, Option<String>),
    /// ROOTFS as it was written, or the image's id.
    Ancestor(String),
}

impl Filter {
    fn lets(&self, f: &Found) -> bool {
        match self {
            Filter::Name(text) => {
                let (front, text) = match text.strip_prefix('^') {
                    Some(rest) => (true, rest.strip_prefix('/').unwrap_or(rest)),
                    None => (false, text.as_str()),
                };
                match (front, text.strip_suffix('$')) {
                    (true, Some(text)) => f.name == text,
                    (true, None) => f.name.starts_with(text),
                    (false, Some(text)) => f.name.ends_with(text),
                    (false, None) => f.name.contains(text),
                }
            }
            Filter::State(state) => f.state(f.glance().frozen) == *state,
            Filter::Label(key, value) => {
                let same =
                    |(k, v): &(String, String)| k == key && value.as_ref().is_none_or(|w| w == v);
                f.spec().is_ok_and(|s| s.labels.iter().any(same))
            }
            Filter::Code(code) => f.entry.ended.as_ref().is_some_and(|e| e.code == *code),
            Filter::Ancestor(word) => {
                let id = &f.entry.facts.image_id;
                let by_id =
                    !id.is_empty() && id.strip_prefix("sha256:").unwrap_or(id).starts_with(word);
                by_id || f.spec().is_ok_and(|s| s.rootfs.as_os_str() == word.as_str())
            }
        }
    }
}

/// Those that a filter of each kind lets through.
fn chosen(listing: &Listing) -> Vec<Found> {
    let filters = &listing.filters;
    let ended = |f: &Filter| matches!(f, Filter::Code(_) | Filter::State("ended" | "damaged"));
    let all = listing.all || listing.last.is_some() || filters.iter().any(ended);
    let mut list = record::all();
    list.retain(|f| {
        let kind = |filter: &Filter| std::mem::discriminant(filter);
        let lets = |one: &Filter| filters.iter().any(|o| kind(o) == kind(one) && o.lets(f));
        (all || f.life != Life::Ended) && filters.iter().all(lets)
    });
    if let Some(last) = listing.last {
        let more = list.len().saturating_sub(usize::try_from(last).unwrap_or(usize::MAX));
        list.drain(..more);
    }
    list
}

pub fn ps(listing: &Listing) -> Result<String> {
    let list = chosen(listing);
    match &listing.format {
        Some(Format::Json) if !listing.quiet => {
            return format::show(&Format::Json, &list.iter().map(facts).collect::<Vec<_>>());
        }
        Some(format) if *format != Format::Json => {
            return format::show(format, &list.iter().map(fields).collect::<Vec<_>>());
        }
        _ if listing.quiet => return Ok(list.iter().map(|f| format!("{}\n", f.name)).collect()),
        _ => {}
    }
    Ok(rows(&list, listing.whole))
}

/// For a template: the facts, by docker's names, too.
fn fields(f: &Found) -> Value {
    let mut all = facts(f);
    let [name, _, status, since, .., ports, command] = row(f, true, &mut net::Leases::default());
    let more = json!({ "Names": name, "ID": name, "Image": all["rootfs"], "State": all["status"],
        "status": status, "RunningFor": since + " ago", "CreatedAt": all["started"],
        "ports": ports, "command": command });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

fn rows(list: &[Found], whole: bool) -> String {
    let head = ["NAME", "PID", "STATUS", "SINCE", "MEMORY", "PORTS", "COMMAND"].map(str::to_owned);
    let mut leases = net::Leases::default();
    let rows = list.iter().map(|f| row(f, whole, &mut leases));
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    // Most have none.
    if rows.iter().skip(1).all(|row| row[5].is_empty()) {
        let without = |[a, b, c, d, e, _, f]: [String; 7]| [a, b, c, d, e, f];
        return table(&rows.into_iter().map(without).collect::<Vec<_>>());
    }
    table(&rows)
}

fn row(f: &Found, whole: bool, leases: &mut net::Leases) -> [String; 7] {
    let pid = match (&f.entry.process, f.life) {
        (Some(p), Life::Running) => p.pid.to_string(),
        _ => "-".into(),
    };
    let since = f.entry.ended.as_ref().map_or(f.entry.facts.started, |e| e.at);
    let since = match f.is_damaged() {
        true => "-".to_owned(),
        false => age::words(record::now().saturating_sub(since)),
    };
    let seen = f.glance();
    let memory = seen.memory.map_or("-".into(), |(used, limit)| {
        limit.map_or(short(used), |l| format!("{} / {}", short(used), report::size(l)))
    });
    let mut words = f.command().map_or("?".to_owned(), |words| command(&words));
    if !whole && words.chars().count() > COMMAND_MOST {
        words = words.chars().take(COMMAND_MOST - 3).chain("...".chars()).collect();
    }
    let ports = leases.ports(&f.entry.items);
    let ports = ports.into_iter().map(Published::arrow).collect::<Vec<_>>().join(",");
    [f.name.clone(), pid, f.status(seen.frozen), since, memory, ports, words]
}

/// At most one decimal.
pub fn short(bytes: u64) -> String {
    let (n, unit) = match bytes {
        0..1024 => return bytes.to_string(),
        1024..0x10_0000 => (bytes as f64 / 1024.0, "K"),
        0x10_0000..0x4000_0000 => (bytes as f64 / 1048576.0, "M"),
        _ => (bytes as f64 / 1073741824.0, "G"),
    };
    format!("{n:.1}{unit}")
}

/// As a person reads it: what is odd in quotes.
pub fn command(words: &[OsString]) -> String {
    let plain = |b: &u8| b.is_ascii_graphic() && !b"'\"\\`$".contains(b);
    let shown = words.iter().map(|w| match w.as_bytes() {
        bytes if !bytes.is_empty() && bytes.iter().all(plain) => w.to_string_lossy().into_owned(),
        _ => quote(w),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Columns as wide as their widest cell, two spaces between them.
pub fn table<R: AsRef<[String]>>(rows: &[R]) -> String {
    let count = rows.iter().map(|r| r.as_ref().len()).max().unwrap_or(0);
    let cells = |column| rows.iter().filter_map(move |r| r.as_ref().get(column));
    let width = |column| cells(column).map(|c: &String| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The container's ports and where the host has them, a line each.
fn ports(f: &Found) -> Vec<String> {
    let mut leases = net::Leases::default();
    leases.ports(&f.entry.items).into_iter().map(Published::words).collect()
}

/// Docker's `port NAME 80/tcp`: where the host has this one. None: it is a second name.
fn one_port(name: &str, port: &str) -> Result<Option<String>> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let is_name = || !port.contains('/') && record::find::look_for(port).is_ok_and(|f| f.is_some());
    if number.parse::<u16>().is_err() || is_name() {
        return Ok(None);
    }
    let head = format!("{number}/{protocol} -> ");
    let all = ports(&record::find(name.as_ref())?);
    let found = all.iter().filter_map(|line| line.strip_prefix(&head));
    let text: String = found.map(|to| format!("{to}\n")).collect();
    match text.is_empty() {
        true => Err(Error::new(format!(
            "container {}: port {number}/{protocol} is not published",
            quote(name)
        ))),
        false => Ok(Some(text)),
    }
}

/// `launch port`; with several names each line begins with one.
pub fn port(names: &[String]) -> Result<String> {
    if let [name, port] = names
        && let Some(text) = one_port(name, port)?
    {
        return Ok(text);
    }
    let mut text = String::new();
    for name in names {
        let head = if names.len() > 1 { format!("{name} ") } else { String::new() };
        for line in ports(&record::find(name.as_ref())?) {
            text += &format!("{head}{line}\n");
        }
    }
    Ok(text)
}

/// What `ps --json` and `inspect` say of every container.
pub fn facts(f: &Found) -> Value {
    let spec = f.spec().ok();
    let running = f.life == Life::Running;
    let seen = f.glance();
    let ended = f.entry.ended.as_ref();
    let lossy = |w: &OsString| w.to_string_lossy().into_owned();
    let end = ended.map_or_else(record::now, |e| e.at);
    json!({
        "name": f.name,
        "pid": f.entry.process.as_ref().filter(|_| running).map(|p| p.pid),
        "status": f.state(seen.frozen),
        "exit_code": ended.map(|e| e.code),
        "out_of_memory": ended.map(|e| e.out_of_memory),
        "started": age::stamp(f.entry.facts.started),
        "ended": ended.map(|e| age::stamp(e.at)),
        "uptime_seconds": (!f.is_damaged()).then(|| end.saturating_sub(f.entry.facts.started) as f64 / 1000.0),
        "detached": f.entry.facts.detached,
        "restarts": f.entry.facts.detached.then(|| report_of(f)),
        "addresses": net::Leases::default().of(&f.entry.items).iter().map(|l| l.ip.to_string()).collect::<Value>(),
        "ports": ports(f),
        "memory": seen.memory.map(|(used, _)| used),
        "memory_limit": seen.memory.and_then(|(_, limit)| limit),
        "labels": labels(spec.as_deref()),
        "rootfs": spec.as_ref().map(|s| s.rootfs.to_string_lossy().into_owned()),
        "command": spec.as_ref().map(|s| s.command.iter().map(lossy).collect::<Vec<_>>()),
    })
}

fn labels(spec: Option<&Spec>) -> Value {
    let all = spec.into_iter().flat_map(|s| &s.labels);
    all.map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect()
}

fn report_of(f: &Found) -> u32 {
    record::report::restarts(f.dir.as_fd(), &f.name)
}

//! Containers as a table and as JSON.

use crate::error::{Error, Result};
use crate::quote::quote;
use crate::record::{self, Found, Life};
use crate::{age, net, report};
use rustix::fd::AsFd;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Columns of a command that is not shown whole.
const COMMAND_MOST: usize = 40;

pub fn ps(all: bool, quiet: bool, whole: bool, as_json: bool) -> String {
    let mut list = record::all();
    list.retain(|f| all || f.life != Life::Ended);
    if quiet {
        return list.iter().map(|f| format!("{}\n", f.name)).collect();
    }
    if as_json {
        return format!("{}\n", Value::from(list.iter().map(facts).collect::<Vec<_>>()));
    }
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
    let ports = leases.of(&f.entry.items).into_iter().flat_map(|l| &l.ports);
    let ports = ports.map(|p| p.arrow()).collect::<Vec<_>>().join(",");
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
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The container's ports and where the host has them, a line each.
fn ports(f: &Found) -> Vec<String> {
    let mut leases = net::Leases::default();
    leases.of(&f.entry.items).into_iter().flat_map(|l| &l.ports).map(|p| p.words()).collect()
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
        "uptime_seconds": end.saturating_sub(f.entry.facts.started) as f64 / 1000.0,
        "detached": f.entry.facts.detached,
        "restarts": f.entry.facts.detached.then(|| report_of(f)),
        "addresses": net::Leases::default().of(&f.entry.items).iter().map(|l| l.ip.to_string()).collect::<Value>(),
        "ports": ports(f),
        "memory": seen.memory.map(|(used, _)| used),
        "memory_limit": seen.memory.and_then(|(_, limit)| limit),
        "rootfs": spec.as_ref().map(|s| s.rootfs.to_string_lossy().into_owned()),
        "command": spec.as_ref().map(|s| s.command.iter().map(lossy).collect::<Vec<_>>()),
    })
}

fn report_of(f: &Found) -> u32 {
    record::report::restarts(f.dir.as_fd(), &f.name)
}

//! `launch stats` and `launch top`: what containers use.

use crate::cgroup::Usage;
use crate::error::{Error, Result};
use crate::list::{short, table};
use crate::members::{self, Member};
use crate::record::{self, Found, Life};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

/// Between two looks, from which the share of a processor is reckoned.
const STREAM: Duration = Duration::from_secs(1);
const ONCE: Duration = Duration::from_millis(300);

/// Of one container at one time.
struct Sample {
    usage: Usage,
    at: Instant,
}

fn running(names: &[String]) -> Result<Vec<Found>> {
    if names.is_empty() {
        return Ok(record::all().into_iter().filter(|f| f.life == Life::Running).collect());
    }
    names
        .iter()
        .map(|name| {
            let found = record::find(name.as_ref())?;
            found.process().map(|_| found)
        })
        .collect()
}

fn sample(f: &Found) -> Sample {
    let at = Instant::now();
    let mut usage = Usage::of(f.cgroups());
    // What no cgroup counts is the sum of its processes.
    if usage.memory.is_none() || usage.cpu.is_none() || usage.pids.is_none() {
        let pid = f.entry.process.as_ref().map_or(0, |p| p.pid);
        let list = look(pid);
        let sum = |of: fn(&Member) -> u64| list.iter().map(of).sum::<u64>();
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        usage.memory.get_or_insert(sum(|m| m.resident));
        usage.pids.get_or_insert(sum(|m| m.threads));
        usage.cpu.get_or_insert(sum(|m| m.ticks) * 1_000_000 / ticks);
    }
    Sample { usage, at }
}

fn look(first: i32) -> Vec<Member> {
    let page = rustix::param::page_size() as u64;
    members::of(first).into_iter().filter_map(|pid| members::look(pid, page)).collect()
}

/// `live`: again and again, on a screen that is cleared each time.
pub fn stats(names: &[String], live: bool, as_json: bool, out: &mut dyn Write) -> Result<i32> {
    let mut before: BTreeMap<String, Sample> = BTreeMap::new();
    let mut list = running(names)?;
    before.extend(list.iter().map(|f| (f.name.clone(), sample(f))));
    let mut write = |text: String| match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::os("write to standard output", e)),
    };
    loop {
        std::thread::sleep(if live { STREAM } else { ONCE });
        let now: Vec<(Found, Sample)> = list
            .into_iter()
            .map(|f| {
                let s = sample(&f);
                (f, s)
            })
            .collect();
        let lines: Vec<_> =
            now.iter().map(|(f, s)| (f, s, share(before.get(&f.name), s))).collect();
        let text = if as_json { objects(&lines) } else { rows(&lines) };
        let clear = if live { "\x1b[H\x1b[J" } else { "" };
        if !write(format!("{clear}{text}"))? || !live {
            return Ok(0);
        }
        before = now.into_iter().map(|(f, s)| (f.name, s)).collect();
        list = match running(names) {
            Ok(list) => list,
            // One of those that were named has ended.
            Err(_) => return Ok(0),
        };
    }
}

type Line<'a> = (&'a Found, &'a Sample, f64);

/// Of one processor, in percent.
fn share(before: Option<&Sample>, now: &Sample) -> f64 {
    let Some(before) = before else { return 0.0 };
    let (Some(a), Some(b)) = (before.usage.cpu, now.usage.cpu) else { return 0.0 };
    let time = now.at.duration_since(before.at).as_micros().max(1) as f64;
    b.saturating_sub(a) as f64 * 100.0 / time
}

fn rows(lines: &[Line]) -> String {
    let head = ["NAME", "CPU", "MEMORY", "LIMIT", "PROCESSES", "READ", "WRITTEN", "WAITS"];
    let shown = |n: Option<u64>| n.map_or("-".to_owned(), short);
    let row = |(f, s, cpu): &Line| {
        let u = &s.usage;
        let processes = u.pids.map_or("-".to_owned(), |n| n.to_string());
        let most = u.pids_limit.map_or(String::new(), |n| format!(" / {n}"));
        [
            f.name.clone(),
            format!("{cpu:.1}%"),
            shown(u.memory),
            shown(u.memory_limit),
            processes + &most,
            shown(u.io_read),
            shown(u.io_written),
            u.pressure.map_or("-".to_owned(), |p| format!("{p:.1}%")),
        ]
    };
    table(
        &std::iter::once(head.map(str::to_owned)).chain(lines.iter().map(row)).collect::<Vec<_>>(),
    )
}

fn objects(lines: &[Line]) -> String {
    let one = |(f, s, cpu): &Line| {
        let u = &s.usage;
        json!({
            "name": f.name,
            "cpu_percent": (cpu * 100.0).round() / 100.0,
            "cpu_microseconds": u.cpu,
            "memory": u.memory,
            "memory_limit": u.memory_limit,
            "processes": u.pids,
            "processes_limit": u.pids_limit,
            "bytes_read": u.io_read,
            "bytes_written": u.io_written,
            "pressure_percent": u.pressure,
        })
    };
    format!("{}\n", lines.iter().map(one).collect::<Value>())
}

pub fn top(name: &str) -> Result<String> {
    let found = record::find(name.as_ref())?;
    let (pid, _) = found.process()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let head = ["PID", "INSIDE", "USER", "STATE", "MEMORY", "TIME", "COMMAND"].map(str::to_owned);
    let row = |m: &Member| {
        let seconds = m.ticks as f64 / ticks as f64;
        [
            m.pid.to_string(),
            m.inner.to_string(),
            m.uid.to_string(),
            m.state.to_string(),
            short(m.resident),
            format!("{}:{:05.2}", seconds as u64 / 60, seconds % 60.0),
            m.command.clone(),
        ]
    };
    let list = look(pid.as_raw_pid());
    Ok(table(&std::iter::once(head).chain(list.iter().map(row)).collect::<Vec<_>>()))
}

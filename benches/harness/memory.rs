//! What a launcher holds while its container runs, and the smallest limit that works.

use super::{
    LIMIT, Result,
    bench::Bench,
    peers::{Job, Ready},
    sys,
};
use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

const SMALLEST: [u64; 10] = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768];

/// comm, parent and whether it lives in our own pid namespace, of every process.
fn processes() -> HashMap<i32, (String, i32, bool)> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        let comm = field("Name:").unwrap_or_default().to_owned();
        let parent = field("PPid:").and_then(|p| p.parse().ok()).unwrap_or(0);
        let outside = field("NSpid:").is_none_or(|n| n.split_whitespace().count() == 1);
        all.insert(pid, (comm, parent, outside));
    }
    all
}

fn family(all: &HashMap<i32, (String, i32, bool)>, of: i32) -> Vec<i32> {
    let mut found = vec![of];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(all.iter().filter(|(_, p)| p.1 == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// Private and resident kB.
fn kilobytes(pid: i32) -> (u64, u64) {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let sum = |names: &[&str]| {
        let lines = rollup.lines().filter(|l| names.iter().any(|n| l.starts_with(n)));
        lines.filter_map(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
    };
    (sum(&["Private_Clean:", "Private_Dirty:"]), sum(&["Rss:"]))
}

pub fn while_running(bench: &Bench, ready: &[Ready]) -> Result<()> {
    println!("### Memory while the container sleeps, kB\n");
    println!(
        "| launcher | limit | private, outside | private, inside | resident, both | processes |\n|---|---|---|---|---|---|"
    );
    let job = Job::new(bench, &["/bin/sleep", "100"], LIMIT)?;
    for ready in ready.iter().filter(|r| r.launcher.name != "true") {
        sys::interrupted()?;
        let launcher = ready.command(bench, &job, 1).spawn()?.id() as i32;
        let start = Instant::now();
        let payload = loop {
            let all = processes();
            let found = family(&all, launcher).into_iter().find(|p| all[p].0 == "sleep");
            if found.is_some() || start.elapsed() > Duration::from_secs(5) {
                break found;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        // Start-up is over when the payload has been asleep for a while.
        std::thread::sleep(Duration::from_millis(300));
        let all = processes();
        let (mut outside, mut inside, mut resident, mut count) = (0, 0, 0, 0);
        for pid in family(&all, launcher).into_iter().filter(|p| Some(*p) != payload) {
            let (private, rss) = kilobytes(pid);
            if all.get(&pid).is_none_or(|p| p.2) {
                outside += private
            } else {
                inside += private
            }
            resident += rss;
            count += 1;
        }
        // The payload's end lets every launcher clean up by itself.
        sys::kill(payload.unwrap_or(launcher));
        sys::wait(launcher)?;
        let (name, limit) = (ready.launcher.name, if ready.launcher.limits { "200M" } else { "" });
        match payload {
            Some(_) => {
                println!("| {name} | {limit} | **{outside}** | {inside} | {resident} | {count} |")
            }
            None => println!("| {name} | {limit} | did not start | | | |"),
        }
    }
    println!();
    Ok(())
}

pub fn smallest_limit(bench: &Bench, ready: &[Ready]) -> Result<()> {
    let size = fs::metadata(bench.root.join("payload"))?.len();
    println!(
        "### Smallest memory limit that starts a static program of {size} bytes, 3 of 3 times\n"
    );
    println!("| launcher | limit |\n|---|---|");
    let mut id = 50_000;
    for ready in ready.iter().filter(|r| r.launcher.limits) {
        let mut works = None;
        for kib in SMALLEST {
            sys::interrupted()?;
            let job = Job::new(bench, &["/payload"], kib << 10)?;
            let mut start = || {
                id += 1;
                sys::time(&mut ready.command(bench, &job, id)).map(|run| run.status == 0)
            };
            if start()? && start()? && start()? {
                works = Some(kib);
                break;
            }
        }
        let text = works.map_or("none up to 32M".into(), |k| format!("{k}K"));
        println!("| {} | {text} |", ready.launcher.name);
    }
    println!();
    Ok(())
}

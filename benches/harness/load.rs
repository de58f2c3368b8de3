//! A thousand containers one after the other, and as many sixteen at a time: how many
//! fail, and what is left of them.

use super::{
    LIMIT, Options, Result,
    bench::Bench,
    peers::{Job, Ready},
    stats::{ms, quantile},
    sys,
};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::time::Instant;

const IN_A_ROW: usize = 1000;
const TOGETHER: usize = 1008;
const AT_ONCE: usize = 16;
const WHO: [&str; 7] = ["launch", "launch-free", "crun", "runc", "bwrap", "unshare", "also"];

/// Cgroups, mounts, entries of /run and processes that bear our name or launch's.
fn traces(bench: &Bench) -> BTreeSet<String> {
    let ours = |name: &str| name.starts_with("launch-") || name.contains(&bench.name);
    let mut found = sys::children();
    let mut dirs = vec![(Path::new("/sys/fs/cgroup").to_owned(), 3), ("/run".into(), 2)];
    while let Some((dir, depth)) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let records = dir.ends_with("launch") && !name.starts_with('.');
            let shown = entry.path().display().to_string();
            found.extend(Some(shown).filter(|_| ours(&name) || records));
            // Where a mount is hidden from crun, it makes plain directories.
            let plain = name == "unified" && !entry.path().join("cgroup.procs").exists();
            if depth > 0 && !plain && entry.file_type().is_ok_and(|t| t.is_dir()) {
                dirs.push((entry.path(), depth - 1));
            }
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    found.extend(mounts.lines().map(str::to_owned));
    found
}

/// Where all messages go.
fn said(bench: &Bench) -> Result<fs::File> {
    let path = bench.root.with_file_name("said");
    Ok(fs::OpenOptions::new().create(true).append(true).open(path)?)
}

struct Series {
    rate: f64,
    failed: usize,
    /// Milliseconds from start to exit of each.
    walls: Vec<f64>,
}

fn in_a_row(bench: &Bench, ready: &Ready, job: &Job, count: usize) -> Result<Series> {
    let (mut failed, mut walls) = (0, Vec::with_capacity(count));
    let start = Instant::now();
    for i in 0..count {
        sys::interrupted()?;
        let run = sys::time(ready.command(bench, job, 100_000 + i).stderr(said(bench)?))?;
        failed += usize::from(run.status != 0);
        walls.push(ms(run.wall));
    }
    Ok(Series { rate: count as f64 / start.elapsed().as_secs_f64(), failed, walls })
}

fn together(bench: &Bench, ready: &Ready, job: &Job, count: usize) -> Result<Series> {
    let (mut failed, mut walls) = (0, Vec::with_capacity(count));
    let mut running: HashMap<i32, Instant> = HashMap::new();
    let start = Instant::now();
    for i in 0..count + AT_ONCE {
        if running.len() == AT_ONCE || i >= count {
            let (pid, ended) = sys::wait_any()?;
            failed += usize::from(ended.status != 0);
            walls.extend(running.remove(&pid).map(|begun| ms(begun.elapsed())));
        }
        if i < count {
            sys::interrupted()?;
            let child = ready.command(bench, job, 200_000 + i).stderr(said(bench)?).spawn()?;
            running.insert(child.id() as i32, Instant::now());
        }
    }
    Ok(Series { rate: count as f64 / start.elapsed().as_secs_f64(), failed, walls })
}

pub fn run(bench: &Bench, ready: &[Ready], options: &Options) -> Result<()> {
    let less = if options.rounds < 60 { 10 } else { 1 };
    let (row, all) = (IN_A_ROW / less, (TOGETHER / less).next_multiple_of(AT_ONCE));
    let job = Job::new(bench, &["/bin/true"], LIMIT)?;
    let mut examples = Vec::new();
    println!("### {row} containers one after the other, {all} of them {AT_ONCE} at a time\n");
    println!(
        "| launcher | limit | failed, left | per s | p50 ms | p99 | {AT_ONCE} at a time: failed, left | per s | p50 ms | p99 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for ready in ready.iter().filter(|r| WHO.contains(&r.launcher.name)) {
        let limit = if ready.launcher.limits { "200M" } else { "" };
        print!("| {} | {limit} |", ready.launcher.name);
        for sixteen in [false, true] {
            let before = traces(bench);
            let mut r = match sixteen {
                false => in_a_row(bench, ready, &job, row)?,
                true => together(bench, ready, &job, all)?,
            };
            let left = left(bench, &before);
            let (p50, p99) = (quantile(&mut r.walls, 0.5), quantile(&mut r.walls, 0.99));
            print!(" {}, {} | {:.0} | {p50:.1} | {p99:.1} |", r.failed, left.len(), r.rate);
            examples.extend(left.into_iter().take(2).map(|l| format!("left: {l}")));
            let said = fs::read_to_string(bench.root.with_file_name("said"))?;
            examples.extend(said.lines().take(2).map(|l| format!("said: {l}")));
            fs::write(bench.root.with_file_name("said"), "")?;
        }
        println!();
    }
    println!();
    for example in examples {
        println!("{example}\n");
    }
    Ok(())
}

/// What was not there before, when what is just going has had a second.
fn left(bench: &Bench, before: &BTreeSet<String>) -> Vec<String> {
    let mut left = Vec::new();
    for _ in 0..20 {
        left = traces(bench).difference(before).cloned().collect();
        if left.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    left
}

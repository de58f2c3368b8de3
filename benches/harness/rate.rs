//! Containers per second: 200 of them, eight at a time.

use super::{
    LIMIT, Options, Result,
    bench::Bench,
    peers::{Job, Ready},
    stats::{Random, median, quantile},
    sys,
};
use std::time::Instant;

const CONTAINERS: usize = 200;
const AT_ONCE: usize = 8;
const WHO: [&str; 10] = [
    "floor",
    "floor-same",
    "floor-free",
    "launch",
    "launch-free",
    "also",
    "also-free",
    "crun",
    "bwrap",
    "unshare",
];

/// Containers per second and how many of them failed.
fn burst(bench: &Bench, ready: &Ready, job: &Job, first: usize) -> Result<(f64, usize)> {
    let mut commands = Vec::with_capacity(CONTAINERS);
    commands.extend((0..CONTAINERS).map(|i| ready.command(bench, job, first + i)));
    let (mut running, mut failed) = (0, 0);
    let start = Instant::now();
    for mut command in commands {
        if running == AT_ONCE {
            failed += usize::from(sys::wait(-1)?.status != 0);
            running -= 1;
        }
        command.spawn()?;
        running += 1;
    }
    for _ in 0..running {
        failed += usize::from(sys::wait(-1)?.status != 0);
    }
    Ok((CONTAINERS as f64 / start.elapsed().as_secs_f64(), failed))
}

pub fn run(bench: &Bench, ready: &[Ready], options: &Options) -> Result<()> {
    let ready: Vec<_> = ready.iter().filter(|r| WHO.contains(&r.launcher.name)).collect();
    let job = Job::new(bench, &["/bin/true"], LIMIT)?;
    let same = ready.iter().position(|r| r.launcher.name == "floor-same").unwrap_or(0);
    let mut rates = vec![(Vec::new(), Vec::new(), Vec::new(), 0); ready.len()];
    let mut order: Vec<usize> = (0..ready.len()).collect();
    let mut random = Random::new();
    for round in 0..options.rate_rounds {
        random.shuffle(&mut order);
        let mut now = vec![0.0; ready.len()];
        for &i in &order {
            sys::interrupted()?;
            let (rate, failed) = burst(bench, ready[i], &job, 10_000 + round * CONTAINERS)?;
            now[i] = rate;
            rates[i].3 += failed;
        }
        for (i, (rate, ratio, to_same, _)) in rates.iter_mut().enumerate() {
            rate.push(now[i]);
            ratio.push(now[i] / now[0]);
            to_same.push(now[i] / now[same]);
        }
    }
    let n = options.rate_rounds;
    println!("### {CONTAINERS} containers, {AT_ONCE} at a time, {n} rounds\n");
    println!(
        "| launcher | limit | containers/s | × floor | p25–p75 | × floor-same | failed |\n|---|---|---|---|---|---|---|"
    );
    for (ready, (rate, ratio, to_same, failed)) in ready.iter().zip(&mut rates) {
        let limit = if ready.launcher.limits { "200M" } else { "" };
        println!(
            "| {} | {limit} | {:.0} | **{:.2}** | {:.2}–{:.2} | {:.2} | {failed} |",
            ready.launcher.name,
            median(rate),
            median(ratio),
            quantile(ratio, 0.25),
            quantile(ratio, 0.75),
            median(to_same)
        );
    }
    println!();
    Ok(())
}

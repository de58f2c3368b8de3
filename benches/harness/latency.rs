//! Start to exit of /bin/true, after a pause and back to back.

use super::{
    LIMIT, Options, Result,
    bench::Bench,
    peers::{Job, Ready},
    stats::{Others, Random, median, ms, quantile},
    sys,
};
use std::time::Duration;

/// Who does the same as which of ours, with and without a limit.
const PAIRS: [(&str, &str); 9] = [
    ("floor-same", "launch"),
    ("also", "launch"),
    ("also-free", "launch-free"),
    ("crun", "launch"),
    ("runc", "launch"),
    ("bwrap", "launch-free"),
    ("unshare", "launch-free"),
    ("unshare-chroot", "launch-free"),
    ("unshare-dev", "launch-free"),
];

#[derive(Clone, Default)]
struct Series {
    /// One for each round; not a number where it failed.
    wall: Vec<f64>,
    cpu: Vec<f64>,
    failed: usize,
}

impl Series {
    /// Of the same rounds; those where one of the two failed are left out.
    fn ratio(&self, to: &Self) -> Vec<f64> {
        let pairs = self.wall.iter().zip(&to.wall).map(|(a, b)| a / b);
        pairs.filter(|r| r.is_finite()).collect()
    }

    fn walls(&self) -> Vec<f64> {
        self.wall.iter().copied().filter(|w| w.is_finite()).collect()
    }
}

fn spread(ratios: &mut [f64]) -> String {
    format!("{:.2}–{:.2}", quantile(ratios, 0.25), quantile(ratios, 0.75))
}

/// All launchers in each round, in a new random order. The floor is the first of `ready`.
fn rounds(
    bench: &Bench,
    ready: &[Ready],
    job: &Job,
    rounds: usize,
    gap: Duration,
) -> Result<Vec<Series>> {
    let mut all = vec![Series::default(); ready.len()];
    let mut order: Vec<usize> = (0..ready.len()).collect();
    let mut random = Random::new();
    for round in 0..rounds {
        random.shuffle(&mut order);
        for series in &mut all {
            series.wall.push(f64::NAN);
        }
        for &i in &order {
            sys::interrupted()?;
            let mut command = ready[i].command(bench, job, round + 1);
            std::thread::sleep(gap);
            let run = sys::time(&mut command)?;
            if run.status == 0 {
                all[i].wall[round] = ms(run.wall);
                all[i].cpu.push(ms(run.cpu));
            } else {
                all[i].failed += 1;
            }
        }
    }
    Ok(all)
}

pub fn run(bench: &Bench, ready: &[Ready], options: &Options) -> Result<()> {
    let (n, gap, payload) = (options.rounds, options.gap_ms, options.payload.as_str());
    let argv = [payload];
    let job = Job::new(bench, &argv, LIMIT)?;
    let others = Others::now();
    let cold = rounds(bench, ready, &job, n, Duration::from_millis(gap))?;
    let busy = others.percent_since();
    let warm = rounds(bench, ready, &job, n, Duration::ZERO)?;
    println!("### Start to exit of {payload}, {n} rounds, {gap} ms apart and back to back\n");
    let verdict = if busy > 10.0 { ": too much for a result" } else { "" };
    println!("Others kept the machine {busy:.0} % busy{verdict}.\n");
    println!(
        "| launcher | limit | median ms | min | p90 | × floor | p25–p75 | CPU × floor | back to back × floor | p25–p75 | |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let floor_cpu = median(&mut cold[0].cpu.clone());
    for ((ready, mine), mine_warm) in ready.iter().zip(&cold).zip(&warm) {
        let launcher = ready.launcher;
        let (mut walls, mut cpu) = (mine.walls(), mine.cpu.clone());
        let (mut ratio, mut ratio_warm) = (mine.ratio(&cold[0]), mine_warm.ratio(&warm[0]));
        let remark = match mine.failed + mine_warm.failed {
            0 => launcher.work.to_owned(),
            failed => format!("**{failed} failed** {}", launcher.work),
        };
        println!(
            "| {} | {} | {:.2} | {:.2} | {:.2} | **{:.2}** | {} | {:.2} | {:.2} | {} | {remark} |",
            launcher.name,
            if launcher.limits { "200M" } else { "" },
            median(&mut walls),
            quantile(&mut walls, 0.0),
            quantile(&mut walls, 0.9),
            median(&mut ratio),
            spread(&mut ratio),
            median(&mut cpu) / floor_cpu,
            median(&mut ratio_warm),
            spread(&mut ratio_warm),
        );
    }
    pairs(ready, &cold, &warm);
    Ok(())
}

/// Peers against ours: how many times longer they take.
fn pairs(ready: &[Ready], cold: &[Series], warm: &[Series]) {
    let find = |name: &str| ready.iter().position(|r| r.launcher.name == name);
    if !PAIRS.iter().any(|(peer, ours)| find(peer).is_some() && find(ours).is_some()) {
        return println!();
    }
    println!("\n| peer / ours | ratio | p25–p75 | back to back | p25–p75 |\n|---|---|---|---|---|");
    for (peer, ours) in PAIRS {
        let (Some(i), Some(j)) = (find(peer), find(ours)) else { continue };
        let (mut cold, mut warm) = (cold[i].ratio(&cold[j]), warm[i].ratio(&warm[j]));
        println!(
            "| {peer} / {ours} | **{:.2}** | {} | {:.2} | {} |",
            median(&mut cold),
            spread(&mut cold),
            median(&mut warm),
            spread(&mut warm)
        );
    }
    println!();
}

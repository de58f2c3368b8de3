//! Containers that are there: how long another command in one takes, what an idle one
//! costs, and how long it takes to list a hundred.

use super::{
    LAUNCH, Options, Result,
    bench::Bench,
    peers::as_logged_in,
    stats::{Random, median, ms, quantile},
    sys,
};
mod containerd;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const COUNT: usize = 100;
/// So many of those that have a monitor each.
const MONITORED: usize = 10;
const RUNTIMES: [&str; 2] = ["crun", "runc"];

fn quiet(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    as_logged_in(command.args(args));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn works(program: &str, args: &[&str]) -> bool {
    quiet(program, args).status().is_ok_and(|s| s.success())
}

fn output(program: &str, args: &[&str]) -> Result<String> {
    Ok(String::from_utf8(quiet(program, args).stdout(Stdio::piped()).output()?.stdout)?)
}

pub fn run(bench: &Bench, options: &Options) -> Result<()> {
    exec(bench, options)?;
    idle(bench)?;
    list(bench, options)
}

fn detached(bench: &Bench, name: &str) -> Result<()> {
    let root = bench.root.display().to_string();
    match works(LAUNCH, &["-d", "--rm", "--name", name, &root, "/bin/sleep", "1000"]) {
        true => Ok(()),
        false => Err("launch -d failed".into()),
    }
}

fn process(name: &str) -> Result<String> {
    let text = output(LAUNCH, &["top", name])?;
    let word = text.lines().nth(1).and_then(|l| l.split_whitespace().next());
    Ok(word.ok_or("no process")?.to_owned())
}

/// OCI runtimes that are here, each with a container of this name that sleeps.
fn runtimes(bundle: &str, name: &str) -> Vec<&'static str> {
    let runs = |program: &&str| works(program, &["run", "-d", "--bundle", bundle, name]);
    RUNTIMES.into_iter().filter(runs).collect()
}

/// Start to exit of /bin/true in a container of launch's; of the others in one of their own.
fn exec(bench: &Bench, options: &Options) -> Result<()> {
    let floor = bench.root.with_file_name("enter");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/enter.c");
    let cc = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&floor).arg(source).status()?;
    if !cc.success() {
        return Err(format!("cc {source}: {cc}").into());
    }
    detached(bench, &bench.name)?;
    let pid = process(&bench.name)?;
    let theirs = format!("{}-oci", bench.name);
    let bundle = bench.bundle(&["/bin/sleep", "1000"], super::LIMIT)?.display().to_string();
    let runtimes = runtimes(&bundle, &theirs);
    let floor = floor.display().to_string();
    let mut who: Vec<(&str, String, Vec<&str>)> = vec![
        ("the floor", floor, vec![&pid, "/bin/true"]),
        ("launch", LAUNCH.into(), vec!["exec", &bench.name, "/bin/true"]),
        ("nsenter", "nsenter".into(), vec!["-a", "-t", &pid, "/bin/true"]),
    ];
    for program in &runtimes {
        who.push((program, (*program).into(), vec!["exec", &theirs, "/bin/true"]));
    }
    let mut times = vec![Vec::new(); who.len()];
    let mut order: Vec<usize> = (0..who.len()).collect();
    let mut random = Random::new();
    for _ in 0..options.rounds {
        random.shuffle(&mut order);
        for &i in &order {
            sys::interrupted()?;
            let (_, program, args) = &who[i];
            let run = sys::time(&mut quiet(program, args))?;
            times[i].push(if run.status == 0 { ms(run.wall) } else { f64::NAN });
        }
    }
    println!("### Start to exit of /bin/true in a running container, {} rounds\n", options.rounds);
    println!("| | median ms | × floor | p25–p75 |\n|---|---|---|---|");
    for ((name, ..), mine) in who.iter().zip(&times) {
        let mut ratio: Vec<f64> = mine.iter().zip(&times[0]).map(|(a, b)| a / b).collect();
        let (low, high) = (quantile(&mut ratio, 0.25), quantile(&mut ratio, 0.75));
        println!(
            "| {name} | {:.2} | **{:.2}** | {low:.2}–{high:.2} |",
            median(&mut mine.clone()),
            median(&mut ratio)
        );
    }
    println!();
    works(LAUNCH, &["rm", "-f", &bench.name]);
    for program in runtimes {
        works(program, &["delete", "-f", &theirs]);
    }
    Ok(())
}

/// Proportional memory of these processes, bytes.
fn memory(pids: &[String]) -> u64 {
    let of = |pid: &String| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum::<u64>() << 10
}

/// Process and children below it.
fn family(pid: &str) -> Vec<String> {
    let mut found = vec![pid.to_owned()];
    let mut next = 0;
    while next < found.len() {
        let pid = &found[next];
        next += 1;
        let file = format!("/proc/{pid}/task/{pid}/children");
        let text = fs::read_to_string(file).unwrap_or_default();
        found.extend(text.split_whitespace().map(str::to_owned));
    }
    found
}

fn idle(bench: &Bench) -> Result<()> {
    println!("### One idle container, detached, of {COUNT}: proportional memory in bytes\n");
    println!(
        "| | all its processes | beside the payload | processes on the host |\n|---|---|---|---|"
    );
    let names: Vec<String> = (0..COUNT).map(|n| format!("{}-{n}", bench.name)).collect();
    for name in &names {
        detached(bench, name)?;
    }
    let all: Vec<Vec<String>> =
        names.iter().map(|n| process(n).map(|pid| family(&pid))).collect::<Result<_>>()?;
    let row = |who: &str, all: &[Vec<String>], outside: usize| {
        let whole: u64 = all.iter().map(|f| memory(f)).sum();
        // The payload is the last of each family.
        let rest: u64 = all.iter().map(|f| memory(&f[..f.len() - 1])).sum();
        let n = all.len().max(1) as u64;
        println!("| {who} | {} | **{}** | {outside} |", whole / n, rest / n);
    };
    row("launch -d", &all, 0);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    works(LAUNCH, &[&["rm", "-f"], &names[..]].concat());
    let bundle = bench.bundle(&["/bin/sleep", "1000"], super::LIMIT)?;
    for program in RUNTIMES {
        let monitors: Vec<_> =
            (0..MONITORED).filter_map(|n| conmon(bench, program, &bundle, n)).collect();
        if !monitors.is_empty() {
            let families: Vec<_> = monitors.iter().map(|pid| family(pid)).collect();
            row(&format!("{program} with podman's conmon"), &families, 1);
        }
        for n in 0..MONITORED {
            works(program, &["delete", "-f", &format!("{}-{program}{n}", bench.name)]);
        }
    }
    let shim = "runc with containerd-shim, the daemon not counted";
    if containerd::look(bench, MONITORED, |all| row(shim, all, 1)).is_none() {
        eprintln!("no containerd, ctr and containerd-shim-runc-v2 in PATH: not measured");
    }
    println!();
    Ok(())
}

/// The monitor that podman runs for each container; its number.
fn conmon(bench: &Bench, program: &str, bundle: &Path, n: usize) -> Option<String> {
    let id = format!("{}-{program}{n}", bench.name);
    let dir: PathBuf = bundle.join(&id);
    fs::create_dir_all(&dir).ok()?;
    let path = |name: &str| dir.join(name).display().to_string();
    let (log, pid, own, socket) =
        (format!("k8s-file:{}", path("log")), path("pid"), path("conmon"), path(""));
    let bundle = bundle.display().to_string();
    let runtime = ["/usr/bin", "/usr/sbin"].iter().map(|d| format!("{d}/{program}"));
    let runtime = runtime.into_iter().find(|path| Path::new(path).exists())?;
    let args = [
        "--api-version",
        "1",
        "-c",
        &id,
        "-u",
        &id,
        "-n",
        &id,
        "-r",
        &runtime,
        "-b",
        &bundle,
        "-l",
        &log,
        "-p",
        &pid,
        "--conmon-pidfile",
        &own,
        "--exit-dir",
        &socket,
        "--socket-dir-path",
        &socket,
    ];
    if !works("conmon", &args) {
        return None;
    }
    for _ in 0..100 {
        if Path::new(&pid).exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    works(program, &["start", &id])
        .then(|| fs::read_to_string(own).unwrap_or_default().trim().to_owned())
}

fn list(bench: &Bench, options: &Options) -> Result<()> {
    let bundle = bench.bundle(&["/bin/sleep", "1000"], super::LIMIT)?.display().to_string();
    let mut there = RUNTIMES.to_vec();
    for n in 0..COUNT {
        let name = format!("{}-{n}", bench.name);
        detached(bench, &name)?;
        let made = runtimes(&bundle, &name);
        there.retain(|program| made.contains(program));
    }
    let mut who = vec![("launch ps", LAUNCH, "ps")];
    who.extend(there.iter().map(|program| (*program, *program, "list")));
    // Wall and processor time of each, the latter with its children's.
    let mut times = vec![(Vec::new(), Vec::new()); who.len()];
    for _ in 0..options.rounds {
        sys::interrupted()?;
        for ((_, program, word), (wall, cpu)) in who.iter().zip(&mut times) {
            let run = sys::time(&mut quiet(program, &[word]))?;
            wall.push(ms(run.wall));
            cpu.push(ms(run.cpu));
        }
    }
    let ratio = |theirs: &[f64], ours: &[f64]| {
        median(&mut theirs.iter().zip(ours).map(|(a, b)| a / b).collect::<Vec<f64>>())
    };
    println!("### A list of {COUNT} containers, {} rounds\n", options.rounds);
    println!(
        "| | median ms | \u{d7} launch ps | cpu ms | \u{d7} launch ps |\n|---|---|---|---|---|"
    );
    for ((name, ..), (wall, cpu)) in who.iter().zip(&times) {
        let (by_wall, by_cpu) = (ratio(wall, &times[0].0), ratio(cpu, &times[0].1));
        let (wall, cpu) = (median(&mut wall.clone()), median(&mut cpu.clone()));
        println!("| {name} | {wall:.2} | **{by_wall:.1}** | {cpu:.2} | **{by_cpu:.1}** |");
    }
    println!();
    for n in 0..COUNT {
        let name = format!("{}-{n}", bench.name);
        works(LAUNCH, &["rm", "-f", &name]);
        for program in RUNTIMES {
            works(program, &["delete", "-f", &name]);
        }
    }
    Ok(())
}

//! How fast the output of a container arrives: through a pipe, and through a terminal.

use super::{
    LAUNCH, Options, Result,
    bench::Bench,
    peers::as_logged_in,
    stats::{Random, median, quantile},
    sys,
};
use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Lines of text, in the root; printed so many times in all.
const FILE: &str = "flow";
const LINE: usize = 80;
const LINES: usize = 100_000;
const TIMES_PIPE: usize = 64;
const TIMES_TERMINAL: usize = 8;

struct Who {
    name: &'static str,
    program: &'static str,
    args: fn(root: &str) -> Vec<&str>,
}

const ALL: [Who; 4] = [
    Who { name: "the program alone", program: "/bin/busybox", args: |_| vec!["cat"] },
    Who { name: "launch", program: LAUNCH, args: |root| vec![root, "/bin/cat"] },
    Who {
        name: "bwrap",
        program: "bwrap",
        args: |root| {
            let mut args = vec!["--unshare-all", "--bind", root, "/", "--proc", "/proc"];
            args.extend(["--dev", "/dev", "/bin/cat"]);
            args
        },
    },
    Who {
        name: "systemd-nspawn",
        program: "systemd-nspawn",
        args: |root| {
            let mut args = vec!["-q", "--register=no", "--keep-unit", "--console=autopipe"];
            args.extend(["-D", root, "/bin/cat"]);
            args
        },
    },
];

impl Who {
    fn command(&self, root: &str, times: usize) -> Command {
        let mut command = Command::new(self.program);
        let file = match self.program {
            "/bin/busybox" => format!("{root}/{FILE}"),
            _ => format!("/{FILE}"),
        };
        command.args((self.args)(root)).args(vec![file; times]);
        as_logged_in(&mut command).env("TERM", "dumb");
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Megabytes a second from the first byte to the last, and how many bytes there were.
fn read(mut from: File) -> (f64, usize) {
    let mut buffer = vec![0; 256 << 10];
    let (mut all, mut first) = (0, 0);
    let mut begun = Instant::now();
    // A terminal whose other end is closed says EIO.
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if all == 0 {
            (begun, first) = (Instant::now(), n);
        }
        all += n;
    }
    ((all - first) as f64 / begun.elapsed().as_secs_f64() / 1e6, all)
}

fn through_a_pipe(mut command: Command) -> Result<(f64, usize)> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or("no pipe")?;
    let flow = read(File::from(std::os::fd::OwnedFd::from(out)));
    child.wait()?;
    Ok(flow)
}

/// As a user has it: the terminal is that of its session, and makes two bytes of a line's end.
fn through_a_terminal(mut command: Command) -> Result<(f64, usize)> {
    let (master, mut child) = sys::on_a_terminal(&mut command)?;
    drop(command);
    let flow = read(master);
    child.wait()?;
    Ok(flow)
}

/// Its ratios differ by less than those of rates.
fn rounds(options: &Options) -> usize {
    options.rate_rounds.div_ceil(4)
}

type Through = fn(Command) -> Result<(f64, usize)>;

pub fn run(bench: &Bench, options: &Options) -> Result<()> {
    let line = "x".repeat(LINE - 1) + "\n";
    fs::write(bench.root.join(FILE), line.repeat(LINES))?;
    println!("### Output of a container, {} rounds\n", rounds(options));
    println!("| | MB/s | × the program's alone | p25–p75 |\n|---|---|---|---|");
    let plain = LINE * LINES;
    measure(bench, options, "a pipe", through_a_pipe, TIMES_PIPE, plain)?;
    measure(bench, options, "a terminal", through_a_terminal, TIMES_TERMINAL, plain + LINES)?;
    println!();
    fs::remove_file(bench.root.join(FILE))?;
    Ok(())
}

fn measure(
    bench: &Bench,
    options: &Options,
    what: &str,
    through: Through,
    times: usize,
    bytes: usize,
) -> Result<()> {
    let root = bench.root.display().to_string();
    let mut flows = vec![Vec::new(); ALL.len()];
    let mut order: Vec<usize> = (0..ALL.len()).collect();
    let mut random = Random::new();
    for _ in 0..rounds(options) {
        random.shuffle(&mut order);
        for &i in &order {
            sys::interrupted()?;
            let flow = through(ALL[i].command(&root, times));
            // Not here, or something is missing of what it should have printed.
            let whole = flow.ok().filter(|(_, all)| *all == bytes * times);
            flows[i].push(whole.map_or(f64::NAN, |(rate, _)| rate));
        }
    }
    for (who, mine) in ALL.iter().zip(&flows) {
        let mut ratio: Vec<f64> = mine.iter().zip(&flows[0]).map(|(a, b)| a / b).collect();
        let (low, high) = (quantile(&mut ratio, 0.25), quantile(&mut ratio, 0.75));
        let (rate, ratio) = (median(&mut mine.clone()), median(&mut ratio));
        println!("| {what}: {} | {rate:.0} | **{ratio:.2}** | {low:.2}–{high:.2} |", who.name);
    }
    Ok(())
}

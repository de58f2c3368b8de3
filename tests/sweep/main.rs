//! Something goes wrong at every system call of a start, one after the other: it fails, or
//! somebody is killed there. Afterwards either the container ran, isolated as ever, or a
//! message says what failed, and nothing is left behind.
//!
//! `cargo test --test sweep` takes a sample; `benches/sweep` does all, and peers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

#[path = "../common/mod.rs"]
mod common;
mod fingerprint;
mod judge;
mod left;
mod options;
mod peers;
mod processes;
mod subjects;
mod sys;
mod table;
mod tracer;

use common::Sandbox;
use judge::Ready;
use options::{Options, Wrong};
use std::io::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use subjects::Subject;
use table::Row;
use tracer::{Call, Fault, Setting};

fn main() -> ExitCode {
    let mut args: Vec<_> = std::env::args_os().collect();
    if args[0].to_string_lossy().ends_with("probe") {
        print!("{}", fingerprint::take());
        return ExitCode::SUCCESS;
    }
    if args.get(1).is_some_and(|a| a == "--stub") {
        let command = args.split_off(2);
        eprintln!("{:?}: {}", command[0], tracer::stub(&command));
        return ExitCode::FAILURE;
    }
    match Options::parse(args.into_iter().skip(1)) {
        Ok(Some(options)) => match sweep(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(e) => {
                eprintln!("sweep: {e}");
                ExitCode::FAILURE
            }
        },
        Ok(None) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// True when the bar is held.
fn sweep(options: &Options) -> Result<bool> {
    if !common::is_root() {
        common::skip("needs root");
        return Ok(true);
    }
    if cfg!(not(target_arch = "x86_64")) {
        common::skip("system calls are changed on x86_64 only");
        return Ok(true);
    }
    sys::private_mounts()?;
    sys::private_network()?;
    sys::block_child_signal();
    if options.peers {
        peers::hide_version_2()?;
    }
    subjects::cover_files()?;
    let sandbox = ground()?;
    let mut good = true;
    let begun = Instant::now();
    for subject in subjects::launches(&sandbox) {
        if !options.wants(subject.name) {
            continue;
        }
        subjects::subordinate_ids(subjects::needs_subordinate_ids(subject.name))?;
        good &= one(&sandbox, &subject, options)?;
    }
    if options.peers {
        for subject in peers::installed(&sandbox)?.iter().filter(|s| options.wants(s.name)) {
            match one(&sandbox, subject, options) {
                // No bar for them.
                Ok(_) => {}
                Err(e) => println!("{}: cannot be swept here: {e}", subject.name),
            }
        }
    }
    println!("{} s", begun.elapsed().as_secs());
    Ok(good)
}

/// A rootfs with nothing but the payload, two volumes, and copies of both programs that an
/// ordinary user can reach.
fn ground() -> Result<Sandbox> {
    let s = Sandbox::empty();
    let me = std::env::current_exe()?;
    for file in ["rootfs/probe", "stub"] {
        std::fs::copy(&me, s.dir.join(file))?;
    }
    std::fs::copy(common::launch(), s.dir.join("launch"))?;
    for dir in ["ro", "rw"] {
        std::fs::create_dir(s.dir.join(dir))?;
        std::fs::write(s.dir.join(dir).join("file"), "")?;
    }
    s.give_to(common::USER, common::USER);
    Ok(s)
}

fn one(s: &Sandbox, subject: &Subject, options: &Options) -> Result<bool> {
    let stub: PathBuf = s.dir.join("stub");
    let setting = Setting {
        stub: &stub,
        user: subject.user,
        payload: "probe",
        patience: Duration::from_secs(subject.seconds),
    };
    let own = subjects::own_name();
    let names = [format!("launch-{own}"), own];
    let ready = Ready::new(subject, &setting, &names)?;
    println!("\n{}: {} calls", subject.name, ready.calls.len());
    if options.verbose {
        for c in &ready.calls {
            println!("  {}", table::call(c));
        }
    }
    let mut good = true;
    println!("{}", table::HEAD);
    let wrongs = options.wrongs.iter().filter(|w| subject.init.is_some() || !w.is_inits());
    for wrong in wrongs {
        let mut row = Row::new(subject.name, *wrong);
        for fault in faults(*wrong, subject, &ready.calls, options) {
            if let Some((hit, verdict)) = settled(&ready, subject, wrong, fault)? {
                row.add(hit, &verdict);
                if options.verbose {
                    println!("{}", table::verdict(*wrong, &hit, &verdict));
                }
            }
        }
        println!("{}", row.line());
        let ours = subject.init.is_some();
        for problem in row.problems.iter().filter(|_| ours || options.verbose) {
            println!("{problem}");
        }
        good &= row.problems.is_empty();
    }
    Ok(good)
}

/// The verdict on a fault. What is slow to go on a busy machine is not what stays: such a
/// finding counts when it comes again in one of two more runs, and is told otherwise.
/// Another isolation counts at once.
fn settled(
    ready: &Ready,
    subject: &Subject,
    wrong: &Wrong,
    fault: Fault,
) -> Result<Option<(Call, judge::Verdict)>> {
    let Some((hit, verdict)) = ready.judge(fault)? else { return Ok(None) };
    let problems = |hit: Call, verdict: &judge::Verdict| {
        let mut row = Row::new(subject.name, *wrong);
        row.add(hit, verdict);
        row.problems
    };
    let first = problems(hit, &verdict);
    if first.is_empty() || !verdict.weaker.is_empty() {
        return Ok(Some((hit, verdict)));
    }
    for _ in 0..2 {
        if let Some((hit, again)) = ready.judge(fault)?
            && !problems(hit, &again).is_empty()
        {
            return Ok(Some((hit, again)));
        }
    }
    for problem in first {
        println!("once in three: {problem}");
    }
    ready.judge(fault)
}

/// Every fault of one kind, or every so many-th.
fn faults(wrong: Wrong, subject: &Subject, calls: &[Call], options: &Options) -> Vec<Fault> {
    let calls = calls.iter().filter(|c| !subject.skip.contains(&(c.number as i64)));
    let every = options.every;
    if let Wrong::Never { errno } = wrong {
        let mut kinds: Vec<u64> =
            calls.map(|c| c.number).filter(|n| tracer::can_fail(*n)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let some = kinds.into_iter().step_by(every.div_ceil(4));
        return some.map(|number| Fault::FailAll { number, errno }).collect();
    }
    let chosen = calls.filter(|c| options.point.is_none_or(|p| p == (c.role, c.index)));
    let fault = |c: &Call| match wrong {
        Wrong::Fails { errno } => Fault::Fail { role: c.role, index: c.index, errno },
        Wrong::Dies { signal, init } => {
            let victim = if init { subject.init.unwrap_or(0) } else { 0 };
            Fault::Kill { role: c.role, index: c.index, victim, signal }
        }
        Wrong::Never { .. } => Fault::None,
    };
    // Another one of them each time.
    chosen.skip(wrong.number() % every).step_by(every).map(fault).collect()
}

//! `launch [options] ROOTFS [--] COMMAND [ARG...]`: argv to Spec to Plan to run to exit code.
#![cfg_attr(not(test), no_main)]

mod age;
mod archive;
mod beneath;
mod caps;
mod cgroup;
mod child;
mod cli;
mod command;
mod container;
mod end;
mod env;
mod error;
mod explain;
mod failure;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod fuzz_tests;
mod host;
mod idmap;
mod inject;
mod inspect;
mod layers;
mod list;
mod lookup;
mod mount;
mod plan;
mod program;
mod quote;
mod record;
mod report;
mod run;
#[cfg(test)]
mod scratch;
mod seccomp;
mod size;
mod spec;
mod stage;
mod step;
mod supervise;
mod sync;
mod sys;
mod tree;
mod tty;
mod user;

#[path = "../init/src/binfmt.rs"]
#[allow(dead_code)]
mod binfmt;
#[path = "../init/src/table.rs"]
mod table;

use command::{Command, Mode};
use error::{Code, Result};
use spec::Spec;
use std::ffi::OsString;
use std::io::Write;

// Not in unit tests, which have threads.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: sys::Arena = sys::Arena::new();

/// `args` without the program's own name. Called by `sys::start`.
#[allow(clippy::exit)]
#[cfg_attr(test, allow(dead_code))]
fn start(args: Vec<OsString>) -> ! {
    std::panic::set_hook(Box::new(|info| {
        say(&format!("internal error: {info}"));
        std::process::exit(Code::Ours as i32)
    }));
    let result = cli::parse(args).and_then(dispatch);
    let code = result.unwrap_or_else(|error| {
        say(&error.to_string());
        error.code as i32
    });
    std::process::exit(code)
}

fn dispatch(command: Command) -> Result<i32> {
    match command {
        Command::Print(text) => print(&text),
        Command::Ps { all, quiet, whole, json } => print(&list::ps(all, quiet, whole, json)),
        Command::Inspect { names } => print(&inspect::inspect(&names)?),
        Command::Stop { names, signal, timeout } => {
            end::stop(&names, signal, timeout, &mut std::io::stdout())
        }
        Command::Kill { names, signal } => end::kill(&names, signal, &mut std::io::stdout()),
        Command::Wait { names } => end::wait(&names, &mut std::io::stdout()),
        Command::Rm { names, force, all } => {
            end::remove(&names, force, all, &mut std::io::stdout())
        }
        Command::Inject { rootfs } => {
            let lines = inject::inject(&rootfs, child::INIT)?;
            print(&(lines.join("\n") + "\n"))
        }
        Command::Stage { order, tar } => {
            let staged = match &tar {
                Some(file) => stage::tar::archive(*order, child::INIT, file)?,
                None => stage::stage(&order, child::INIT)?,
            };
            warn(&staged.warnings);
            let text = staged.lines.join("\n") + "\n";
            if tar.is_some_and(|file| file == std::path::Path::new("-")) {
                // Standard output is the archive's.
                let _ = std::io::stderr().write_all(text.as_bytes());
                return Ok(0);
            }
            print(&text)
        }
        Command::Run { spec, mode: Mode::Explain, json, .. } => {
            let host = host::Host { only_look: true, ..host::Host::probe() };
            let plan = plan::plan(&spec, &host)?;
            warn(&plan.warnings);
            print(&if json { explain::json(&plan) } else { explain::text(&plan) })
        }
        Command::Run { spec, words, mode, json } => {
            run_container(&spec, words, mode == Mode::Trace, json)
        }
    }
}

fn run_container(
    spec: &Spec,
    words: Vec<std::ffi::OsString>,
    timed: bool,
    json: bool,
) -> Result<i32> {
    warn(&record::sweep());
    let mut plan = plan::plan(spec, &host::Host::probe())?;
    plan.asked_for(words);
    warn(&plan.warnings);
    let names = timed.then(|| explain::names(&plan));
    let (status, timings) = run::run(spec, plan, timed)?;
    if let Some(names) = names {
        // Standard output is the payload's.
        let text =
            if json { report::json(&names, &timings) } else { report::text(&names, &timings) };
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    if let Some(line) = report::memory(spec, &status) {
        say(&line);
    }
    Ok(status.code)
}

/// Standard output may be closed or full: that is an error of ours, not a panic.
fn print(text: &str) -> Result<i32> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(0),
        // `launch --help | head` is no error.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        Err(e) => Err(error::Error::os("write to standard output", e).code(Code::Ours)),
    }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
}

/// `launch: ` once, on standard error; hints are lines of their own.
fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "launch: {message}");
}

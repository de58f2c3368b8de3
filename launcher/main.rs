//! `launch [options] ROOTFS [--] COMMAND [ARG...]`: argv to Spec to Plan to run to exit code.
#![cfg_attr(not(test), no_main)]

mod again;
mod age;
mod archive;
mod beneath;
mod caps;
mod cgroup;
mod child;
mod cli;
mod command;
mod container;
mod detach;
mod end;
mod env;
mod error;
mod exec;
mod explain;
mod failure;
mod format;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod fuzz_tests;
mod host;
mod idmap;
mod image;
mod inject;
mod inspect;
mod layers;
mod list;
mod logs;
mod lookup;
mod members;
mod mount;
mod net;
mod own;
mod pause;
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
mod stats;
mod step;
mod supervise;
mod sync;
mod sys;
mod tree;
mod tty;
mod unpack;
mod update;
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
    // The C library has nothing else to do at the end, and its own end is another page of the file.
    let _ = std::io::stdout().flush();
    sys::exit_now(code)
}

fn dispatch(command: Command) -> Result<i32> {
    match command {
        Command::Print(text) => print(&text),
        Command::Exec { exec, mode, json } => {
            if mode != Mode::Explain {
                own::be_unwritable()?;
            }
            let (spec, plan) = exec::plan(&exec)?;
            if mode == Mode::Explain {
                return print(&if json { explain::json(&plan) } else { explain::text(&plan) });
            }
            run_plan(&spec, plan, mode == Mode::Trace, json, &|_| {})
        }
        Command::Inject { rootfs } => {
            let lines = inject::inject(&rootfs, child::INIT)?;
            print(&(quote::harmless(&lines.join("\n")) + "\n"))
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
        Command::Import { .. }
        | Command::Images { .. }
        | Command::Rmi { .. }
        | Command::Prune { .. }
        | Command::Export { .. }
        | Command::Commit { .. } => images(command),
        Command::Run { spec, mode: Mode::Explain, json, .. } => {
            let host = host::Host { only_look: true, ..host() };
            let plan = plan::plan(&spec, &host)?;
            warn(&plan.warnings);
            print(&if json { explain::json(&plan) } else { explain::text(&plan) })
        }
        Command::Run { spec, words, mode, json } => {
            if spec.no_init {
                own::be_unwritable()?;
            }
            run_container(&spec, words, mode == Mode::Trace, json)
        }
        other => about(other),
    }
}

/// Commands about containers that are there.
fn about(command: Command) -> Result<i32> {
    match command {
        Command::Ps(listing) => print(&list::ps(&listing)?),
        Command::Port { names } => print(&list::port(&names)?),
        Command::Inspect { names, format } => print(&inspect::inspect(&names, format.as_ref())?),
        Command::Stop { names, signal, timeout } => {
            end::stop(&end::named(names), signal, timeout, &mut std::io::stdout())
        }
        Command::Kill { names, signal } => {
            end::kill(&end::named(names), signal, &mut std::io::stdout())
        }
        Command::Logs { name, follow, tail, since, until } => {
            let [since, until] = [since, until].map(|t| t.map(|when| when.before(record::now())));
            let wanted = logs::Wanted { follow, tail, since, until };
            logs::logs(&name, &wanted, &mut std::io::stdout())
        }
        Command::Stats { names, once, json } => {
            let live = !once && !json && std::io::IsTerminal::is_terminal(&std::io::stdout());
            stats::stats(&names, live, json, &mut std::io::stdout())
        }
        Command::Top { name } => print(&stats::top(&name)?),
        Command::Pause { names, on } => {
            end::each(&names, &mut std::io::stdout(), &mut |name| match on {
                true => pause::pause(name),
                false => pause::unpause(name),
            })
        }
        Command::Update { names, limits } => {
            end::each(&names, &mut std::io::stdout(), &mut |name| update::update(name, &limits))
        }
        Command::Start { names } => start_again(&names, again::asked),
        Command::Restart { names, signal, timeout } => {
            start_again(&names, |name| again::stopped(name, signal, timeout).map(Some))
        }
        Command::Wait { names } => end::wait(&names, &mut std::io::stdout()),
        Command::Rm { names, force, all } => {
            end::remove(&names, force, all, &mut std::io::stdout())
        }
        Command::Volume(order) => image::volume::run(&order, &host(), &mut std::io::stdout()),
        // All others are a start's.
        _ => Err(error::Error::new("no such command")),
    }
}

/// The store's verbs.
fn images(command: Command) -> Result<i32> {
    let lines = match command {
        Command::Import { file, name, wishes } => {
            let (lines, warnings) =
                image::manage::import(&file, name.as_deref(), &wishes, &host())?;
            warn(&warnings);
            lines
        }
        Command::Images { json } => return print(&image::manage::list(json)?),
        Command::Rmi { names } => image::manage::remove(&names, &host())?,
        Command::Prune { every } => image::manage::prune(every, &host())?,
        Command::Commit { dir, name } => image::commit::commit(&dir, &name, &host())?,
        Command::Export { rootfs, keep, out } => {
            image::export::to_file(&rootfs, keep.as_deref(), out.as_deref(), &host())?;
            return Ok(0);
        }
        _ => return Ok(0),
    };
    print(&(quote::harmless(&lines.join("\n")) + "\n"))
}

fn run_container(
    spec: &Spec,
    words: Vec<std::ffi::OsString>,
    timed: bool,
    json: bool,
) -> Result<i32> {
    let sweep = |own: Option<&record::Brief>| warn(&record::sweep(own));
    if !plan::sweeps(spec) {
        sweep(None);
    }
    if let (true, Some(name)) = (spec.replace, &spec.name) {
        end::remove(std::slice::from_ref(name), true, false, &mut std::io::sink())?;
    }
    let mut plan = plan::plan(spec, &host())?;
    plan.asked_for(words);
    warn(&plan.warnings);
    run_plan(spec, plan, timed, json, &sweep)
}

/// Each tells its name when it runs.
fn start_again(
    names: &[String],
    asked: impl Fn(&str) -> Result<Option<again::Asked>>,
) -> Result<i32> {
    let start = |name: &String| match asked(name)? {
        Some((spec, words)) => run_container(&spec, words, false, false),
        None => print(&format!("{name}\n")),
    };
    let errors = names.iter().filter_map(|name| start(name).err());
    errors.reduce(|first, next| first.and(&next)).map_or(Ok(0), Err)
}

fn run_plan(
    spec: &Spec,
    plan: plan::Plan,
    timed: bool,
    json: bool,
    sweep: &dyn Fn(Option<&record::Brief>),
) -> Result<i32> {
    let names = timed.then(|| explain::names(&plan));
    let image = plan.tree.as_ref().map(|_| spec.rootfs.as_path());
    if !spec.detach {
        tty::leave_to_the_front(spec.tty)
            .map_err(|e| error::Error::os("leave the terminal to who is in front", e))?;
    }
    let (status, timings) = run::run(spec, plan, timed, sweep).map_err(|e| match e.code {
        Code::CannotExecute => e.or_hint(|| report::mounted_noexec(spec)),
        _ => e,
    })?;
    if let Some(names) = names {
        // Standard output is the payload's.
        let text =
            if json { report::json(&names, &timings) } else { report::text(&names, &timings) };
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    let damage = image.and_then(|image| report::unreadable(image, &status));
    for line in report::memory(spec, &status).into_iter().chain(damage) {
        say(&line);
    }
    // The init has said what it was; where the host mounted what, it cannot know.
    if status.code == Code::CannotExecute as i32
        && let Some(why) = report::mounted_noexec(spec)
    {
        let _ = writeln!(std::io::stderr(), "hint: {why}");
    }
    if let Some(name) = &status.name {
        print(&format!("{name}\n"))?;
    }
    Ok(status.code)
}

fn host() -> host::Host {
    host::Host { progress, ..host::Host::probe() }
}

/// A line that grows while an archive is unpacked, on a terminal; 0 of 0 takes it away.
fn progress(done: u64, total: u64) {
    static SHOWN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let order = std::sync::atomic::Ordering::Relaxed;
    let percent = (done * 100).checked_div(total).unwrap_or(0);
    let changed = SHOWN.swap(percent, order) != percent;
    if !changed || !rustix::termios::isatty(rustix::stdio::stderr()) {
        return;
    }
    let text = match total {
        0 => "\r\x1b[K".to_owned(),
        _ => {
            let bar = "#".repeat(percent as usize * 40 / 100);
            format!("\runpacking [{bar:40}] {percent:3}% of {}", size::human(total))
        }
    };
    let _ = std::io::stderr().write_all(text.as_bytes());
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
    // In one piece: others may be writing to the same file.
    let text = format!("launch: {}\n", quote::harmless(message));
    if std::io::stderr().write_all(text.as_bytes()).is_err() {
        // Where a filter has no write(2), it may have this one.
        let parts = [std::io::IoSlice::new(text.as_bytes())];
        let _ = rustix::io::writev(std::io::stderr(), &parts);
    }
}

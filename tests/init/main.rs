//! init as it is used: the real ELF, real processes, namespaces, terminals and machines.

#![allow(
    unsafe_code,
    reason = "masks, dispositions and terminals as init finds them need raw calls"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "what was measured is told")]

#[path = "../common/mod.rs"]
mod common;

#[path = "../../launcher/fuzz.rs"]
#[allow(dead_code, reason = "what the launcher's parsers need besides")]
mod fuzz;
/// The init's own text, which needs nothing of the rest.
#[allow(dead_code, reason = "what the init uses besides")]
#[path = "../../init/src/sys"]
mod sys {
    #[path = "str.rs"]
    mod str;
    pub use str::{Str, z};
}
#[path = "../../init/src/text.rs"]
#[allow(dead_code, reason = "what the init uses besides")]
mod text;

mod boot;
mod cli;
mod engine;
mod faults;
mod foreign;
mod leftovers;
mod machine;
mod restart;
mod rootfs;
mod signals;
mod terminal;

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const INIT: &str = env!("INIT_ELF");

/// How the program under test is started.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// As process 1 of a pid namespace.
    One,
    /// As an ordinary process, then a subreaper.
    Reaper,
}

const MODES: [Mode; 2] = [Mode::One, Mode::Reaper];

/// `init` in this mode; the arguments for it come next.
fn command(mode: Mode) -> Command {
    match mode {
        Mode::Reaper => Command::new(INIT),
        Mode::One => namespaced(&[], INIT),
    }
}

/// A program as process 1 of a new pid namespace, with its own mounts.
fn namespaced<S: AsRef<OsStr>>(options: &[&str], program: S) -> Command {
    let mut command = Command::new("unshare");
    if !common::is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--kill-child", "--mount"]).args(options).arg(program);
    command
}

/// None, after saying so, where namespaces cannot be had.
fn need_namespaces() -> Option<()> {
    let works = namespaced(&[], "true").stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    common::need(works.then_some(()), "needs unshare and the right to use it")
}

fn need_program(name: &str) -> Option<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|d| d.join(name).exists());
    common::need(found.then_some(()), &format!("needs {name}"))
}

/// What a finished program left.
#[derive(Debug)]
struct Outcome {
    code: i32,
    out: String,
    err: String,
    took: Duration,
}

/// Waits for the end, at most twenty seconds; 128+n by signal n as in a shell.
fn finish(mut child: Child) -> Outcome {
    let start = Instant::now();
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("no end after 20 s");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = start.elapsed();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Outcome { code, out: out.join().unwrap(), err: err.join().unwrap(), took }
}

fn drain<R: Read + Send + 'static>(pipe: Option<R>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).unwrap();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn run(command: &mut Command) -> Outcome {
    finish(start(command))
}

/// Runs a shell script under init.
fn script(mode: Mode, options: &[&str], script: &str) -> Outcome {
    run(command(mode).args(options).args(["--", "/bin/sh", "-c", script]))
}

/// The pid, seen from here, of init: unshare's child where there is one.
fn init_pid(mode: Mode, child: &Child) -> i32 {
    match mode {
        Mode::Reaper => child.id() as i32,
        Mode::One => only_child(child.id() as i32),
    }
}

/// The first child of a process, as soon as it has one.
fn only_child(pid: i32) -> i32 {
    let list = format!("/proc/{pid}/task/{pid}/children");
    eventually(&format!("a child of {pid}"), || {
        fs::read_to_string(&list).ok()?.split_whitespace().next()?.parse().ok()
    })
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "waited for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether the kernel is one that says how a process it reaped has ended: Linux 6.15.
fn kernel_reaps() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

/// A line of /proc/PID/status.
fn status(pid: i32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

fn mask(pid: i32, name: &str) -> u64 {
    u64::from_str_radix(&status(pid, name).unwrap(), 16).unwrap()
}

fn comm(pid: i32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

fn kill(pid: i32, signal: i32) {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "kill {pid} {signal}");
}

/// A directory that goes away.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("init-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    fn file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl AsRef<Path> for Dir {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

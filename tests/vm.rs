//! The container tests again, in a virtual machine with a pure cgroup v2: as root, as
//! an ordinary user with a delegated cgroup, and on an initramfs, whose root cannot
//! be pivoted. The tests are the ordinary ones: their executable goes into the machine
//! and finds LAUNCH_VM=1, the launcher's path in LAUNCH_BIN and busybox in its place.

#[allow(clippy::unwrap_used, clippy::expect_used)]
mod common;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Integration tests that make sense in the machine.
const TESTS: [&str; 1] = ["containers"];
/// A failure at every step of a plan, once on version 2 as root: emulated, each sweep of
/// the others takes minutes, and what it sweeps is the same on the host.
const SWEEPS: &str = "faults::";
/// The same of a detached start.
const SWEEP_DETACHED: &str = "detached::a_failure_or_a_kill_at_every_step";
/// What no machine makes any different, and takes long where it is emulated.
const SAME_ANYWHERE: [&str; 10] = [
    "--skip",
    "hostile_forms::",
    "--skip",
    "archives::",
    "--skip",
    "stage::",
    "--skip",
    "completions::",
    "--skip",
    "net::faults_at_every_step",
];
/// What an initramfs could make different; the rest is the same as on a disk.
const ROOTS: [&str; 21] = [
    "status::",
    "rootfs::",
    "process::",
    "limits::",
    "signals::",
    "volumes::",
    "namespaces::",
    "devices::",
    "hostile::",
    "streams::",
    "terminal::",
    "tty::",
    "env::",
    "bad_files::",
    "bad_options::",
    "hosts::",
    "inject::",
    "rootless::",
    "lookback::",
    "hidden::",
    "exec::",
];
const SWEEP_HERE: &str = "faults::with_every_limit_and_mount";
const HARNESS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/run");

fn missing() -> Option<&'static str> {
    let found = |name: &str| {
        env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|d| d.join(name).exists())
    };
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|h| Path::new(&h).join(".cache")));
    let kernel = cache.is_some_and(|c| c.join("launch-vm/kernel/vmlinux").exists());
    match () {
        () if cfg!(not(target_arch = "x86_64")) => Some("the machine is x86_64"),
        () if !found("qemu-system-x86_64") => Some("no qemu-system-x86_64"),
        () if !found("cpio") => Some("no cpio"),
        () if !Path::new("/bin/busybox").exists() => Some("no /bin/busybox (busybox-static)"),
        () if !kernel && !found("apt-get") => Some("no kernel and no apt-get to fetch one"),
        () => None,
    }
}

fn vm(args: &[&str]) -> Result<Output> {
    Ok(Command::new(HARNESS).args(args).output()?)
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// The executable of another integration test, made by the cargo that runs us: it knows
/// which of the files in `deps` is current, and makes it when only this test was asked for.
fn executable(test: &str) -> Result<PathBuf> {
    let me = env::current_exe()?;
    let profile = me.ancestors().nth(2).ok_or("no profile directory")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--no-run", "--quiet", "--message-format=json", "--test", test]);
    match profile.file_name().and_then(|n| n.to_str()) {
        Some("debug") | None => {}
        Some(name) => drop(cargo.args(["--profile", name])),
    }
    let triple = profile.parent().and_then(Path::file_name).and_then(|n| n.to_str());
    if let Some(triple) = triple.filter(|t| t.contains("-linux-")) {
        cargo.args(["--target", triple]);
    }
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let mut found =
        lines.lines().filter_map(|l| l.split_once(r#""executable":""#)?.1.split('"').next());
    let is_it = |p: &&str| p.rsplit('/').next().is_some_and(|n| n.starts_with(&format!("{test}-")));
    match found.rfind(is_it) {
        Some(path) => Ok(PathBuf::from(path)),
        None => Err(format!("cargo made no {test}: {}", text(&output)).into()),
    }
}

/// Runs the tests in a machine with these harness options, and passes on what they print.
fn containers(name: &str, options: &[&str], filter: &[&str]) -> Result<()> {
    if let Some(reason) = missing() {
        common::skip(reason);
        return Ok(());
    }
    for test in TESTS {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(test);
        if !source.with_extension("rs").exists() && !source.join("main.rs").exists() {
            common::skip(&format!("no integration test {test}"));
            continue;
        }
        let exe = executable(test)?;
        let (exe, size) = (exe.display().to_string(), fs::metadata(&exe)?.len() >> 20);
        let launch = concat!(env!("CARGO_BIN_EXE_launch"), ":/usr/bin/launch");
        let memory = (384 + 3 * size).to_string();
        let mut args =
            vec!["-M", &memory, "-t", "1800", "-m", "overlay,veth,bridge,tun,brd", "-f", launch];
        args.extend(["-e", "LAUNCH_VM=1", "-e", "LAUNCH_BIN=/usr/bin/launch"]);
        args.extend(options);
        args.extend(["--", &exe, "--test-threads=1"]);
        args.extend(filter);
        let output = vm(&args)?;
        // One line per test shows which part ran; the rest only when it went wrong.
        let text = text(&output);
        let skip = |l: &str| l.find("SKIP ").map(|at| l[at..].to_owned());
        let result = |l: &str| l.starts_with("test result").then(|| l.to_owned());
        for line in text.lines().filter_map(|l| skip(l).or_else(|| result(l))) {
            writeln!(std::io::stdout(), "{name}: {line}").ok();
        }
        assert!(output.status.success(), "{name}: {}\n{text}", output.status);
    }
    Ok(())
}

#[test]
fn machine_has_cgroup_v2_and_returns_the_status() -> Result<()> {
    if let Some(reason) = missing() {
        common::skip(reason);
        return Ok(());
    }
    let script = "cat /sys/fs/cgroup/cgroup.subtree_control; exit 7";
    let output = vm(&["--", "/bin/busybox", "sh", "-c", script])?;
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    assert!(text(&output).contains("cpuset cpu io memory pids"), "{}", text(&output));
    Ok(())
}

#[test]
fn containers_as_root() -> Result<()> {
    let filter = [&["--skip", SWEEPS][..], &SAME_ANYWHERE].concat();
    containers("containers_as_root", &[], &filter)
}

#[test]
fn failures_at_every_step() -> Result<()> {
    containers("failures_at_every_step", &[], &["--exact", SWEEP_HERE])
}

#[test]
fn containers_as_a_user_with_a_delegated_cgroup() -> Result<()> {
    let sweeps = ["--skip", SWEEPS, "--skip", SWEEP_DETACHED];
    let filter = [&sweeps[..], &SAME_ANYWHERE].concat();
    containers("containers_as_a_user_with_a_delegated_cgroup", &["-u", "1000"], &filter)
}

#[test]
fn containers_on_an_initramfs() -> Result<()> {
    let filter = [&["--skip", SWEEPS][..], &SAME_ANYWHERE, &ROOTS].concat();
    containers("containers_on_an_initramfs", &["-r"], &filter)
}

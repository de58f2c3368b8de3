//! Every step failing, and the launcher killed at every step: said, and nothing left.

use crate::common::*;
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// The words of every step, in order.
fn steps(mut explain: Command) -> Vec<String> {
    let out = explain.output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let list = json["steps"].as_array().expect("steps");
    list.iter().map(|s| s["words"].as_str().expect("words").to_owned()).collect()
}

/// What differs from one start to the next: the container's name, `calm-otter-3f9a`.
fn without_names(text: &str) -> String {
    let ends = [' ', '/', '\n', ',', ':'];
    let is_name = |w: &str| {
        let parts: Vec<_> = w.trim_start_matches("launch-").split('-').collect();
        let hex = |p: &str| p.len() == 4 && p.bytes().all(|b| b.is_ascii_hexdigit());
        parts.len() == 3 && hex(parts[2])
    };
    text.split_inclusive(ends).filter(|w| !is_name(w.trim_end_matches(ends))).collect()
}

/// Whether the message is about this step.
fn names(said: &str, step: &str) -> bool {
    if let Some(rest) = step.strip_prefix("limit ") {
        // The user's option: `limit --mem: FILE = VALUE` against `--mem 50M: write ...`.
        return said.starts_with(&format!("launch: {} ", rest.split(':').next().unwrap()));
    }
    said.starts_with(&without_names(&format!("launch: {step}: ")))
}

/// Runs `call(extra options)` with a fault at each step.
fn sweep(s: &Sandbox, call: impl Fn(&[&str]) -> Command) {
    let words = steps(call(&["--explain", "--json"]));
    assert!(words.len() > 20, "{words:?}");
    let last = words.len();
    for (index, step) in words.iter().enumerate() {
        let n = index + 1;
        let run = Run::within(PATIENCE, call(&["--fault", &format!("fail:{n}")]));
        // The payload's exec without init is the payload's failure.
        let codes = if n == last { [125, 126] } else { [125, 125] };
        assert!(codes.contains(&run.code) && run.out.is_empty(), "step {n} {step}: {run:#?}");
        let said =
            run.err.lines().find(|l| !l.starts_with("launch: warning") && !l.starts_with("hint"));
        let said = without_names(said.unwrap_or_else(|| panic!("silent at step {n} {step}")));
        if n != last {
            assert!(names(&said, step) && said.contains("(EIO)"), "step {n} {step:?}: {said:?}");
        }
        s.check_leaks();
        let run = Run::within(PATIENCE, call(&["--fault", &format!("kill:{n}")]));
        assert_eq!((run.code, run.out.as_str()), (137, ""), "step {n} {step}: {run:#?}");
        // The next start clears what a killed one left.
        let run = Run::within(PATIENCE, call(&[])).expect(0);
        assert_eq!(run.out.trim(), "ran", "after kill at step {n} {step}");
        s.check_leaks();
    }
    let past = Run::within(PATIENCE, call(&["--fault", &format!("fail:{}", last + 1)]));
    assert_eq!((past.code, past.out.trim()), (0, "ran"), "no step {}", last + 1);
}

/// The sandbox with a volume.
fn with_volume() -> Option<(Sandbox, String)> {
    let s = Sandbox::new()?;
    let dir = s.dir.join("vol");
    std::fs::create_dir(&dir).unwrap();
    let volume = format!("{}:/data", dir.display());
    Some((s, volume))
}

fn sweep_with(options: &[&str]) {
    let Some((s, volume)) = with_volume() else { return };
    sweep(&s, |extra| {
        let all: Vec<&str> = options
            .iter()
            .map(|o| if *o == "VOLUME" { &volume } else { *o })
            .chain(extra.iter().copied())
            .collect();
        s.command(&all, &["echo", "ran"])
    });
}

#[test]
fn a_plain_start() {
    sweep_with(&[]);
}

#[test]
fn with_every_limit_and_mount() {
    let Some(()) = need_root() else { return };
    sweep_with(&[
        "--mem",
        "50M",
        "--pids-limit",
        "50",
        "--cpus",
        "1",
        "--cpuset-cpus",
        "0",
        "-v",
        "VOLUME",
        "--tmpfs",
        "/cache",
    ]);
}

#[test]
fn without_init_and_as_another_user() {
    let Some(()) = need_root() else { return };
    sweep_with(&["--no-init", "--mem", "50M", "-u", "1000:1000", "--read-only"]);
}

#[test]
fn with_a_terminal() {
    sweep_with(&["-t"]);
}

#[test]
fn with_throw_away_layers() {
    sweep_with(&["--ephemeral", "-v", "VOLUME"]);
}

#[test]
fn on_the_hosts_root() {
    let Some(()) = need_root() else { return };
    let s = Sandbox::empty();
    sweep(&s, |extra| {
        let mut c = Command::new(launch());
        c.arg("--ephemeral").args(extra).args(["/", "echo", "ran"]);
        c
    });
}

#[test]
fn as_an_ordinary_user() {
    let Some((s, volume)) = with_volume() else { return };
    let first = Run::of(s.as_user(&[] as &[&str], &["true"]));
    if need((first.code == 0).then_some(()), "needs user namespaces for ordinary users").is_none() {
        return;
    }
    sweep(&s, |extra| {
        let options: Vec<&str> = ["-v", &volume].into_iter().chain(extra.iter().copied()).collect();
        s.as_user(&options, &["echo", "ran"])
    });
}

/// Ids of its own for root's container, limits, a volume and a throw-away layer.
#[test]
fn in_a_user_namespace_of_roots() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let mapped = s.run(&["--userns=auto"], &["true"]).code == 0;
    drop(s);
    let Some(()) = need(mapped.then_some(()), "needs idmapped mounts") else { return };
    sweep_with(&["--userns", "auto", "--mem", "50M", "-v", "VOLUME", "--ephemeral"]);
}

/// What a short one has made is noted elsewhere than what a long one has: whoever comes next, with
/// limits or without, clears up after both.
#[test]
fn killed_at_any_moment_of_its_beginning() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let begun = Instant::now();
    s.run(&["--mem", "50M"], &["true"]).expect(0);
    let long = begun.elapsed();
    let noted = || std::fs::read_dir("/run/launch").unwrap().count();
    let (before, mut left) = (noted(), 0);
    for n in 0..60 {
        let mut child = s.command(&["--mem", "50M"], &["sleep", "99"]).spawn().unwrap();
        std::thread::sleep(long * n / 60);
        child.kill().unwrap();
        child.wait().unwrap();
        left += usize::from(noted() > before);
        let next: &[&str] = if n % 2 == 0 { &["--mem", "30M"] } else { &[] };
        let run = s.run(next, &["true"]).expect(0);
        assert_eq!(run.err, "", "killed after {:?}", long * n / 60);
        s.check_leaks();
    }
    assert!(left > 0, "killed too early or too late");
}

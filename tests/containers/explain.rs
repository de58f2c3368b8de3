//! `--explain` and `--trace`: the same steps, told and timed.

use crate::common::*;
use serde_json::Value;

const NONE: &[&str] = &[];

fn json(text: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    value["steps"].as_array().expect("steps").clone()
}

fn words(steps: &[Value]) -> Vec<String> {
    steps.iter().map(|s| s["words"].as_str().expect("words").to_owned()).collect()
}

/// Options that together use every kind of step this user can have.
fn variants(s: &Sandbox) -> Vec<Vec<String>> {
    let own = |list: &[&str]| list.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>();
    let volume = format!("{}:/data:ro", s.dir.display());
    vec![
        own(&[]),
        own(&["--no-init", "--read-only", "--hostname", "a-b", "-w", "/bin"]),
        own(&["--ephemeral", "-v", &volume, "--tmpfs", "/x:size=1m", "-t"]),
        own(&["--mem", "50M", "--pids-limit", "20", "--cpus", "0.5"]),
    ]
}

#[test]
fn explain_changes_nothing() {
    let Some(s) = Sandbox::new() else { return };
    let before = snapshot(&s.rootfs());
    for mut options in variants(&s) {
        options.push("--explain".into());
        let run = s.run(&options, &["sh", "-c", "echo ran >/ran"]).expect(0);
        assert!(run.out.starts_with("# What would be done"), "{run:#?}");
        assert!(run.out.contains("pivot_root . ."), "{run:#?}");
        assert!(before == snapshot(&s.rootfs()));
        s.check_leaks();
    }
}

#[test]
fn explain_names_each_step_with_its_number_in_text_and_in_json() {
    let Some(s) = Sandbox::new() else { return };
    for options in variants(&s) {
        let with = |more: &[&str]| {
            options.iter().cloned().chain(more.iter().map(|m| (*m).to_owned())).collect::<Vec<_>>()
        };
        let steps = json(
            &s.run(&with(&["--explain", "--json", "--hostname", "h"]), &["true"]).expect(0).out,
        );
        let text = s.run(&with(&["--explain", "--hostname", "h"]), &["true"]).expect(0).out;
        for (n, step) in steps.iter().enumerate() {
            assert_eq!(step["step"], n + 1);
            let side = step["side"].as_str().unwrap();
            assert!(side == "inside" || side == "outside");
            assert!(step["shell"].is_array());
            let mark = if side == "inside" { ">" } else { " " };
            let start = format!("{:>3} {mark} ", n + 1);
            assert!(text.lines().any(|l| l.starts_with(&start)), "{start:?} {text}");
        }
        let last = steps.last().unwrap()["words"].as_str().unwrap();
        assert!(last.starts_with("run ") && last.ends_with("true"), "{last}");
    }
}

#[test]
fn trace_times_every_step_that_explain_tells() {
    let Some(s) = Sandbox::new() else { return };
    for options in variants(&s) {
        let with = |more: &[&str]| {
            options.iter().cloned().chain(more.iter().map(|m| (*m).to_owned())).collect::<Vec<_>>()
        };
        let told = s.run(&with(&["--explain", "--json"]), &["echo", "ran"]).expect(0);
        let run = s.run(&with(&["--trace", "--json"]), &["echo", "ran"]).expect(0);
        assert_eq!(run.out.trim(), "ran");
        let lines =
            |text: &str| text.lines().filter(|l| l.starts_with('{')).collect::<Vec<_>>().join("");
        let (told, timed) = (json(&told.out), json(&lines(&run.err)));
        assert_eq!(told.len(), timed.len());
        for (n, (a, b)) in told.iter().zip(&timed).enumerate() {
            assert_eq!((&a["step"], &b["step"]), (&Value::from(n + 1), &Value::from(n + 1)));
            let first =
                |v: &Value| v["words"].as_str().unwrap().split(' ').next().unwrap().to_owned();
            assert_eq!(first(a), first(b));
            assert!(b["microseconds"].as_f64().is_some_and(|us| (0.0..10_000_000.0).contains(&us)));
        }
        // A clone takes its time: the figures are measured, not made up.
        let clone = words(&timed).iter().position(|w| w.starts_with("clone into")).expect("clone");
        assert!(timed[clone]["microseconds"].as_f64().unwrap() > 1.0);
    }
}

#[test]
fn trace_as_a_table_goes_to_standard_error() {
    let Some(s) = Sandbox::new() else { return };
    let run = s.run(&["--trace"], &["sh", "-c", "echo ran; exit 4"]).expect(4);
    assert_eq!(run.out, "ran\n");
    let lines: Vec<&str> = run.err.lines().collect();
    assert_eq!(lines[0], "      us  step");
    assert!(lines.last().unwrap().ends_with("  all steps"), "{run:#?}");
    assert!(lines.iter().any(|l| l.ends_with("mount proc on /proc")), "{run:#?}");
}

#[test]
fn an_error_is_told_before_the_steps() {
    let Some(s) = Sandbox::new() else { return };
    let run = s.run(&["--explain"], &["/none"]).fails(127, &["/none: not found in the rootfs"]);
    assert_eq!(run.out, "");
    let run = s.run(&["--explain", "--trace"], &["true"]);
    run.fails(125, &["--explain changes nothing and --trace runs: give one of them"]);
    s.run(&["--json"], &["true"]).fails(125, &["--json needs --explain or --trace"]);
}

/// The shell commands can be read by a shell.
#[test]
fn the_shell_commands_are_well_formed() {
    let Some(s) = Sandbox::new() else { return };
    let nasty = s.dir.join("it's $HOME; \"x\"");
    std::fs::create_dir(&nasty).unwrap();
    let volume = format!("{}:/da ta'$x", nasty.display());
    let run = s
        .run(&["--explain", "--json", "-v", &volume, "-e", "A=b c'd"], &["echo", "a'b", "$c"])
        .expect(0);
    for step in json(&run.out) {
        for line in step["shell"].as_array().unwrap() {
            let line = line.as_str().unwrap();
            let check =
                std::process::Command::new("/bin/sh").args(["-n", "-c", line]).status().unwrap();
            assert!(check.success(), "{line}");
        }
    }
    let _ = NONE;
}

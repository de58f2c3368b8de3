//! Many containers, one after the other and at once: none fails, nothing is left.

use crate::common::*;
use std::process::Child;

const AT_ONCE: usize = 16;
const OPTIONS: [&str; 6] = ["--mem", "50M", "--pids-limit", "50", "--cpus", "1"];

fn many(s: &Sandbox, count: u32, options: &[&str], user: bool) {
    let command = |n: u32| {
        let text = n.to_string();
        let words = ["sh", "-c", "exit $(($0 % 100))", &text];
        if user { s.as_user(options, &words) } else { s.command(options, &words) }
    };
    for n in 0..count {
        let run = Run::of(command(n)).expect((n % 100) as i32);
        assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""), "start {n}");
    }
    s.check_leaks();
    let mut running: std::collections::VecDeque<(u32, Child)> = Default::default();
    for n in 0..count {
        running.push_back((n, command(n).spawn().unwrap()));
        if running.len() == AT_ONCE {
            reap(running.pop_front());
        }
    }
    while !running.is_empty() {
        reap(running.pop_front());
    }
    s.check_leaks();
}

#[track_caller]
fn reap(first: Option<(u32, Child)>) {
    let (n, mut child) = first.unwrap();
    assert_eq!(child.wait().unwrap().code(), Some((n % 100) as i32), "start {n}");
}

#[test]
fn with_limits() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    many(&s, rounds(160), &OPTIONS, false);
}

#[test]
fn in_user_namespaces() {
    let Some(s) = Sandbox::new() else { return };
    let first = Run::of(s.as_user(&[] as &[&str], &["true"]));
    if need((first.code == 0).then_some(()), "needs user namespaces for ordinary users").is_none() {
        return;
    }
    many(&s, rounds(96), &[], true);
}

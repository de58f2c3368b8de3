//! What the payload leaves behind, zombies and how little it costs to wait.

use super::*;

#[test]
fn leftovers_may_finish() {
    let Some(()) = need_namespaces() else { return };
    for mode in MODES {
        let dir = Dir::new("finish");
        let done = dir.0.join("done");
        // It needs a moment after TERM, and its child is a grandchild of ours.
        let script_text = format!(
            "(trap 'sleep 0.3; touch {0}; exit' TERM; touch {0}.up; while :; do sleep 0.05; done) & \
             while [ ! -e {0}.up ]; do sleep 0.01; done; exit 6",
            done.display()
        );
        let outcome = script(mode, &[], &script_text);
        assert_eq!(outcome.code, 6, "{mode:?} {outcome:?}");
        assert!(done.exists(), "{mode:?}: no time to finish, {outcome:?}");
        assert!(
            outcome.took < Duration::from_millis(2500),
            "{mode:?}: did not leave early, {outcome:?}"
        );
    }
}

#[test]
fn stubborn_leftovers_are_killed_after_the_grace() {
    let Some(()) = need_namespaces() else { return };
    for mode in MODES {
        let mark = format!("{}.25", 4_000_000 + std::process::id());
        let text = format!("trap '' TERM; (setsid sleep {mark} &) ; sleep 0.1; exit 6");
        let outcome = script(mode, &["--grace", "1"], &text);
        assert_eq!(outcome.code, 6);
        assert!(outcome.took >= Duration::from_millis(1000), "{mode:?} {outcome:?}");
        assert!(outcome.took < Duration::from_millis(2500), "{mode:?} {outcome:?}");
        let alive = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains(&mark))
        });
        assert!(!alive, "{mode:?}: survived");
    }
}

#[test]
fn stopped_leftovers_end() {
    let Some(()) = need_namespaces() else { return };
    for mode in MODES {
        let outcome = script(mode, &["--grace", "5"], "sleep 100 & kill -STOP $!; exit 2");
        assert_eq!(outcome.code, 2);
        assert!(outcome.took < Duration::from_millis(2000), "{mode:?} {outcome:?}");
    }
}

/// Orphans are reaped by the kernel or, with -w, by us; none stays.
#[test]
fn no_zombies() {
    let Some(()) = need_namespaces() else { return };
    for mode in MODES {
        for options in [&[][..], &["-w"]] {
            let text = "i=0; while [ $i -lt 300 ]; do (true &); i=$((i+1)); done; sleep 0.2; echo done; sleep 100";
            let mut command = command(mode);
            let child = start(command.args(options).args(["sh", "-c", text]));
            let init = init_pid(mode, &child);
            let payload = only_child(init);
            eventually("the last orphan", || {
                let children =
                    fs::read_to_string(format!("/proc/{payload}/task/{payload}/children")).ok()?;
                let last = children.split_whitespace().next()?.parse().ok()?;
                (comm(last)? == "sleep" && status(last, "State")?.starts_with('S')).then_some(())
            });
            std::thread::sleep(Duration::from_millis(250));
            let children =
                fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
            assert_eq!(children.split_whitespace().count(), 1, "{mode:?} {options:?}: {children}");
            kill(init, libc::SIGTERM);
            let outcome = finish(child);
            assert_eq!(outcome.code, 143);
            assert_eq!(
                outcome.err.contains("reaped zombie process"),
                options == ["-w"],
                "{outcome:?}"
            );
        }
    }
}

/// Children that were there before us, as after `sleep & exec init`.
#[test]
fn inherited_children_are_not_mistaken() {
    let outcome = run(Command::new("sh")
        .args(["-c", &format!("sleep 0.1 & exec {INIT} sh -c 'sleep 0.3; exit 4'")]));
    assert_eq!(outcome.code, 4);
}

#[test]
fn waiting_costs_nothing() {
    let Some(()) = need_namespaces() else { return };
    // Dirty pages of the file would count as ours.
    fs::File::open(INIT).unwrap().sync_all().unwrap();
    let child = start(command(Mode::One).args(["--", "/bin/sleep", "100"]));
    let init = init_pid(Mode::One, &child);
    let payload = only_child(init);
    eventually("sleep", || (comm(payload)? == "sleep").then_some(()));
    std::thread::sleep(Duration::from_millis(50));
    let rollup = fs::read_to_string(format!("/proc/{init}/smaps_rollup")).unwrap();
    let kilobytes = |name: &str| -> u32 {
        let line = rollup.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(kilobytes("Rss:") <= 40, "{rollup}");
    assert!(kilobytes("Anonymous:") <= 16, "{rollup}");
    let switches = || status(init, "voluntary_ctxt_switches").unwrap();
    let before = switches();
    std::thread::sleep(Duration::from_millis(2000));
    assert_eq!(switches(), before, "wakes up while idle");
    kill(init, libc::SIGTERM);
    finish(child);
}

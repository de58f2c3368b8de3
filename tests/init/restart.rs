//! Starting the payload again, and reporting each of its ends.

use super::*;

/// Runs the script with a counter file `n` in its directory that it may use.
fn counted(dir: &Dir, mode: Mode, options: &[&str], text: &str) -> Outcome {
    let mut command = command(mode);
    command.current_dir(&dir.0).args(options).args(["--", "sh", "-c"]);
    run(command.arg(format!("echo x >> n; {text}")))
}

fn starts(dir: &Dir) -> usize {
    fs::read_to_string(dir.0.join("n")).unwrap().lines().count()
}

#[test]
fn on_failure_until_it_succeeds() {
    let Some(()) = need_namespaces() else { return };
    for mode in MODES {
        let dir = Dir::new("success");
        let text = "[ $(wc -l < n) = 3 ] || exit 7";
        let outcome = counted(&dir, mode, &["--restart", "on-failure"], text);
        assert_eq!((outcome.code, starts(&dir)), (0, 3), "{outcome:?}");
        // 100 and 200 ms.
        assert!(outcome.took > Duration::from_millis(290), "{outcome:?}");
        assert!(outcome.took < Duration::from_secs(3), "{outcome:?}");
    }
}

#[test]
fn policies() {
    for (policy, text, code, wanted) in [
        ("no", "exit 7", 7, 1),
        ("on-failure:2", "exit 7", 7, 3),
        ("on-failure:1", "kill -KILL $$", 137, 2),
        ("on-failure:0", "exit 7", 7, 1),
        ("on-failure", "exit 0", 0, 1),
        ("on-failure:3", "trap 'exit 9' TERM; kill -TERM $PPID; sleep 9 & wait", 9, 1),
        ("always", "[ $(wc -l < n) = 2 ] && kill -INT $PPID; sleep 0.1; exit 0", 130, 2),
        ("unless-stopped", "[ $(wc -l < n) = 2 ] && kill -QUIT $PPID; sleep 0.1", 131, 2),
    ] {
        let dir = Dir::new("policy");
        let outcome = counted(&dir, Mode::Reaper, &["--restart", policy], text);
        assert_eq!((outcome.code, starts(&dir)), (code, wanted), "{policy} {text}: {outcome:?}");
    }
    let outcome =
        run(Command::new(INIT).args(["-e", "7", "--restart=on-failure", "sh", "-c", "exit 7"]));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let outcome = run(Command::new(INIT).args(["--restart", "always", "/nowhere/at/all"]));
    assert_eq!(outcome.code, 127, "{outcome:?}");
    for bad in ["", "often", "on-failure:x", "on-failure:-1"] {
        let outcome = run(Command::new(INIT).args(["--restart", bad, "true"]));
        assert_eq!(outcome.code, 125, "{bad}: {outcome:?}");
    }
}

/// What an earlier one left is gone before the next start, whose surroundings are the same.
#[test]
fn each_start_is_a_fresh_one() {
    let Some(()) = need_namespaces() else { return };
    for mode in MODES {
        let dir = Dir::new("fresh");
        let text = "pwd >> where; ls /proc/self/fd | wc -l >> fds; (setsid sleep 77.125 &); sleep 0.1; \
                    ps -e -o args= | grep -cx 'sleep 77.125' >> left; exit 1";
        let mut command = command(mode);
        if mode == Mode::One {
            command = namespaced(&["--mount-proc"], INIT);
        }
        command.current_dir(&dir.0).args(["--grace", "1", "--restart", "on-failure:2"]);
        let outcome = run(command.args(["sh", "-c", text]));
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let lines = |name: &str| -> Vec<String> {
            let text = fs::read_to_string(dir.0.join(name)).unwrap();
            text.lines().map(str::to_owned).collect()
        };
        let here = dir.0.display().to_string();
        assert_eq!(lines("where"), [here.clone(), here.clone(), here]);
        assert!(lines("fds").iter().all(|n| *n == lines("fds")[0]), "{:?}", lines("fds"));
        assert_eq!(lines("left"), ["1", "1", "1"]);
    }
}

/// A request to end arrives also between two starts.
#[test]
fn stopped_while_it_pauses() {
    let dir = Dir::new("pause");
    let mut command = Command::new(INIT);
    command.current_dir(&dir.0).args(["--restart", "always", "sh", "-c", "echo x >> n; exit 5"]);
    let child = start(&mut command);
    // The pauses double: by now it pauses nearly all the time.
    eventually("the third start", || {
        (fs::read_to_string(dir.0.join("n")).ok()?.lines().count() >= 3).then_some(())
    });
    std::thread::sleep(Duration::from_millis(100));
    kill(child.id() as i32, libc::SIGTERM);
    let outcome = finish(child);
    assert_eq!(outcome.code, 5, "{outcome:?}");
    assert!(outcome.took < Duration::from_millis(250), "{outcome:?}");
}

/// The records of a run: of each start the restarts so far; of each end pid, wait status,
/// restarts so far and milliseconds to go.
fn records(options: &[&str], text: &str) -> (Vec<i32>, Vec<[i32; 4]>) {
    let dir = Dir::new("report");
    let file = dir.0.join("records");
    let mut command = Command::new("sh");
    command.arg("-c").arg("exec \"$@\" 9>>\"$0\"").arg(&file).arg(INIT).args(["--report", "9"]);
    run(command.args(options).args(["--", "sh", "-c", text]));
    let bytes = fs::read(file).unwrap();
    let words: Vec<i32> =
        bytes.chunks_exact(4).map(|b| i32::from_ne_bytes(b.try_into().unwrap())).collect();
    assert_eq!(bytes.len() % 16, 0);
    let all: Vec<[i32; 4]> = words.chunks_exact(4).map(|r| r.try_into().unwrap()).collect();
    let (starts, ends): (Vec<_>, Vec<_>) = all.into_iter().partition(|r| r[1] == -1);
    assert!(starts.iter().all(|r| r[0] > 1 && r[3] == 0), "{starts:?}");
    (starts.iter().map(|r| r[2]).collect(), ends)
}

#[test]
fn report() {
    let (alive, one) = records(&[], "exit 7");
    assert_eq!((alive, one.len()), (vec![0], 1));
    assert!(one[0][0] > 1 && one[0][1..] == [7 << 8, 0, -1], "{one:?}");
    assert_eq!(records(&["-e", "7"], "exit 7").1[0][1], 7 << 8);
    assert_eq!(records(&[], "kill -KILL $$").1[0][1], libc::SIGKILL);
    let (alive, three) = records(&["--restart", "on-failure:2"], "exit 7");
    assert_eq!(alive, [0, 1, 2]);
    let rest: Vec<_> = three.iter().map(|r| &r[1..]).collect();
    assert_eq!(rest, [[7 << 8, 0, 100], [7 << 8, 1, 200], [7 << 8, 2, -1]]);
    // The payload does not have the descriptor.
    let (_, none) = records(&[], "echo x >&9; ls /proc/self/fd/9 && exit 1; exit 2");
    assert_eq!(none[0][1], 2 << 8);
    let failed = run(Command::new("sh")
        .arg("-c")
        .arg(format!("{INIT} --report 5 /nowhere/at/all 5>&1 >/dev/null 2>&1 | od -An -td4")));
    let numbers: Vec<&str> = failed.out.split_whitespace().collect();
    assert_eq!(numbers, ["0", "32512", "0", "-1"], "{failed:?}");
    for bad in ["77", "x", "-1", ""] {
        let outcome = run(Command::new(INIT).args(["--report", bad, "true"]));
        assert_eq!(outcome.code, 125, "{bad}: {outcome:?}");
    }
}

/// Descriptors that the kernel's reaping needs do not pile up.
#[test]
fn descriptors_do_not_pile_up() {
    let dir = Dir::new("descriptors");
    let text = "ls /proc/$PPID/fd | wc -l >> fds; i=0; while [ $i -lt 60 ]; do (true &); i=$((i+1)); done; exit 1";
    let mut command = Command::new(INIT);
    command.current_dir(&dir.0).args(["--restart", "on-failure:3", "sh", "-c", text]);
    let outcome = run(&mut command);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let text = fs::read_to_string(dir.0.join("fds")).unwrap();
    let counts: Vec<&str> = text.split_whitespace().collect();
    assert!(counts.len() == 4 && counts.iter().all(|n| *n == counts[0]), "{counts:?}");
}

//! Containers without a launcher: started, found again, ended, and nothing left of them.

use super::living::{facts, state, verb};
use crate::common::*;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

pub fn detached(s: &Sandbox, name: &str, options: &[&str], script: &str) -> Run {
    let options = [&["-d", "--name", name], options].concat();
    s.run(&options, &["sh", "-c", script])
}

fn ended(name: &str) {
    wait_until("the container has ended", || state(name) == "ended");
}

#[test]
fn it_runs_on_and_is_found_again() {
    let Some(s) = Sandbox::new() else { return };
    assert_eq!(
        detached(&s, "d", &["-e", "A=1"], "echo out; echo err >&2; cat; sleep 60").ok(),
        "d"
    );
    assert_eq!(state("d"), "running");
    // Process 1 belongs to nobody of ours, and holds nothing of ours.
    let pid = facts("d")["pid"].as_i64().unwrap();
    let parent = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = parent.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned();
    assert!(!std::fs::read_link(format!("/proc/{parent}/exe")).is_ok_and(|e| e == launch()));
    wait_until("it has written", || verb(&["logs", "d"]).out == "out\nerr\n");
    let fds = verb(&["exec", "d", "sh", "-c", "ls -l /proc/1/fd /proc/2/fd | grep -c -e '->'"]);
    // 0 to 2 of each, and the reports of process 1.
    assert_eq!(fds.ok(), "7");
    assert_eq!(verb(&["exec", "d", "sh", "-c", "echo $A"]).ok(), "1");
    s.run(&["-d", "--name", "d"], &["true"]).fails(125, &["name 'd' is in use by process"]);
    let mut wait = Command::new(launch());
    let wait = wait.args(["wait", "d"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(verb(&["stop", "d"]).ok(), "d");
    assert_eq!(Run::from(wait.wait_with_output().unwrap()).expect(143).out, "143\n");
    let last = facts("d");
    assert_eq!((last["exit_code"].as_i64(), last["status"].as_str()), (Some(143), Some("ended")));
    assert_eq!(verb(&["logs", "d"]).ok(), "out\nerr");
    verb(&["exec", "d", "true"]).fails(125, &["'d' has ended"]);
    assert!(verb(&["ps"]).ok().lines().all(|l| !l.starts_with("d ")));
    // Its name is free again.
    assert_eq!(detached(&s, "d", &["--rm"], "exit 3").ok(), "d");
    wait_until("it is forgotten", || state("d") == "none");
}

#[test]
fn every_status_is_kept() {
    let Some(s) = Sandbox::new() else { return };
    for (script, code) in [("true", 0), ("exit 42", 42), ("kill -9 $$", 137), ("exit 255", 255)] {
        detached(&s, "code", &[], script).expect(0);
        let run = verb(&["wait", "code"]);
        assert_eq!((run.code, run.out.trim()), (code, code.to_string().as_str()));
        verb(&["rm", "code"]).expect(0);
    }
    detached(&s, "code", &[], "sleep 60").expect(0);
    verb(&["kill", "code"]).expect(0);
    assert_eq!(verb(&["wait", "code"]).code, 137);
    verb(&["rm", "code"]).expect(0);
}

/// It ends while they look for it.
#[test]
fn all_who_wait_hear_how_it_ended() {
    let Some(s) = Sandbox::new() else { return };
    for _ in 0..10 {
        detached(&s, "brief", &[], "exit 7").expect(0);
        let wait = |_| {
            let mut wait = Command::new(launch());
            wait.args(["wait", "brief"]).stdout(Stdio::piped()).stderr(Stdio::piped());
            wait.spawn().unwrap()
        };
        let all: Vec<_> = (0..4).map(wait).collect();
        for one in all {
            assert_eq!(Run::from(one.wait_with_output().unwrap()).expect(7).out, "7\n");
        }
        verb(&["rm", "brief"]).expect(0);
    }
}

#[test]
fn it_is_told_why_it_does_not_run() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/empty", "", 0o755);
    s.file("/script", "#!/no/such\n", 0o755);
    let call = |command: &str| s.run(&["-d", "--name", "bad"], &[command]);
    call("nosuch").fails(127, &["nosuch: not found"]);
    call("/bin").fails(126, &["/bin: is a directory"]);
    call("/empty").fails(126, &["/empty", "empty"]);
    call("/script").fails(127, &["/no/such"]);
    for option in [["-w", "/nowhere"], ["-u", "nobody2"], ["-t", "--read-only"]] {
        s.run(&[&["-d"], &option[..]].concat(), &["true"]).fails(125, &[]);
    }
    s.run(&["--log-driver", "none"], &["true"]).fails(125, &["add -d"]);
    s.run(&["--rm=false"], &["true"]).fails(125, &["add -d"]);
    for policy in ["sometimes", "on-failure:", "on-failure:-1", "no:1", "always:1"] {
        s.run(&["-d", "--restart", policy], &["true"]).fails(125, &["unknown policy"]);
    }
    assert_eq!(state("bad"), "none");
}

#[test]
fn a_failure_or_a_kill_at_every_step_leaves_nothing() {
    let Some(s) = Sandbox::new() else { return };
    let limits = s.run(&["--mem", "50M"], &["true"]);
    let limit: &[&str] = if limits.err.is_empty() { &["--mem", "50M"] } else { &[] };
    let call = |extra: &[&str]| detached(&s, "f", &[limit, extra].concat(), "sleep 60");
    let explained: serde_json::Value =
        serde_json::from_str(&call(&["--explain", "--json"]).expect(0).out).unwrap();
    let steps = explained["steps"].as_array().unwrap().len();
    for n in 1..=steps {
        call(&["--fault", &format!("fail:{n}")]).fails(125, &["(EIO)"]);
        s.check_leaks();
        assert_eq!(call(&["--fault", &format!("kill:{n}")]).code, 137, "step {n}");
        // Whatever there is of it is gone after this.
        verb(&["rm", "-f", "f"]).expect(0);
        s.check_leaks();
    }
}

#[test]
fn it_is_started_again() {
    let Some(s) = Sandbox::new() else { return };
    let script = "echo run; exit 4";
    detached(&s, "again", &["--restart", "on-failure:2"], script).expect(0);
    assert_eq!(verb(&["wait", "again"]).code, 4);
    assert_eq!(verb(&["logs", "again"]).ok(), "run\nrun\nrun");
    assert_eq!(facts("again")["restarts"], 2);
    detached(&s, "always", &["--restart", "always"], "echo run").expect(0);
    wait_until("it runs again", || verb(&["logs", "always"]).out.lines().count() > 2);
    verb(&["stop", "always"]).expect(0);
    verb(&["rm", "again", "always"]).expect(0);
}

#[test]
fn the_log_is_short_and_can_be_followed() {
    let Some(s) = Sandbox::new() else { return };
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; \
                  while [ ! -e /go ]; do sleep 0.01; done; echo last";
    detached(&s, "log", &["--log-opt", "max-size=64k"], script).expect(0);
    wait_until("all is written", || verb(&["logs", "-n", "1", "log"]).out == "line 19999\n");
    assert_eq!(verb(&["logs", "-n", "3", "log"]).ok(), "line 19997\nline 19998\nline 19999");
    assert_eq!(verb(&["logs", "-n", "0", "log"]).ok(), "");
    // Cut off at the beginning of a line, and no more than what was asked for is left.
    let text = verb(&["logs", "log"]).ok();
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("line ") && first != "line 0", "{first}");
    assert!((16_000..=66_000).contains(&text.len()), "{}", text.len());
    assert!(verb(&["logs", "--since", "1h", "log"]).ok().ends_with("line 19999"));
    let mut follow = Command::new(launch());
    follow.args(["logs", "-f", "-n", "2", "log"]).stdout(Stdio::piped());
    let mut follow = follow.spawn().unwrap();
    // It follows when it has told what there was; the rest comes after that.
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines().map(|l| l.unwrap());
    assert_eq!(lines.next().as_deref(), Some("line 19998"));
    std::fs::write(s.rootfs().join("go"), "").unwrap();
    assert_eq!(lines.collect::<Vec<_>>(), ["line 19999", "last"]);
    assert_eq!(status_code(follow.wait().unwrap()), 0);
    // Nobody reads, or nobody can.
    let mut head = Command::new("sh");
    head.arg("-c")
        .arg(format!("{0} logs log | head -1; {0} logs log >/dev/full", launch().display()));
    let run = Run::of(head);
    assert!(run.code == 125 && run.err.contains("(ENOSPC)") && run.out.lines().count() == 1);
    ended("log");
    verb(&["rm", "log"]).expect(0);
    verb(&["logs", "--since", "soon", "log"]).fails(125, &["not a time"]);
    for size in ["max-size=x", "max-size=1", "max-file=3", "64k"] {
        s.run(&["-d", "--log-opt", size], &["true"]).fails(125, &["--log-opt '"]);
    }
}

/// It may end at any time between the look at its record and the end of the log.
#[test]
fn who_follows_what_ends_misses_nothing() {
    let Some(s) = Sandbox::new() else { return };
    for _ in 0..rounds(25) {
        detached(&s, "brief", &[], "echo all").expect(0);
        assert_eq!(verb(&["logs", "-f", "brief"]).ok(), "all");
        verb(&["rm", "-f", "brief"]).expect(0);
    }
}

#[test]
fn a_list_keeps_the_log_short_and_since_shows_too_much_rather_than_too_little() {
    let Some(s) = Sandbox::new() else { return };
    let script = "head -c 500000 /dev/zero | tr '\\0' x; echo; echo one; : >/ready; \
                  while [ ! -e /go ]; do sleep 0.01; done; echo two; exec sleep 60";
    detached(&s, "log", &["--log-opt", "max-size=64k"], script).expect(0);
    wait_until("all is written", || s.rootfs().join("ready").exists());
    let all: serde_json::Value = serde_json::from_str(&verb(&["inspect", "log"]).ok()).unwrap();
    let record = Path::new(all[0]["record"].as_str().unwrap());
    let log = record.with_file_name(".log.log");
    verb(&["ps", "-q"]).ok();
    let seen = std::fs::metadata(&log).unwrap();
    assert_eq!(seen.len(), 500_005);
    assert!(seen.blocks() * 512 <= 65_536, "{} blocks", seen.blocks());
    // As a command notes it that comes by, at most every ten seconds.
    let mut noted = std::fs::OpenOptions::new().append(true).open(record).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    writeln!(noted, "mark {} {}", now.as_millis(), seen.len()).unwrap();
    std::fs::write(s.rootfs().join("go"), "").unwrap();
    wait_until("more is written", || std::fs::metadata(&log).unwrap().len() > seen.len());
    assert_eq!(verb(&["logs", "--since", "0s", "log"]).ok(), "two");
    assert!(verb(&["logs", "--since", "1h", "log"]).ok().ends_with("one\ntwo"));
    verb(&["rm", "-f", "log"]).expect(0);
}

#[test]
fn other_places_for_its_output() {
    let Some(s) = Sandbox::new() else { return };
    let quiet = detached(&s, "quiet", &["--log-driver", "none"], "echo lost; sleep 60");
    quiet.expect(0);
    verb(&["logs", "quiet"]).fails(125, &["(ENOENT)", "--log-driver"]);
    verb(&["rm", "-f", "quiet"]).expect(0);
    let Some(()) = need_root() else { return };
    let dir = Path::new("/run/systemd/journal");
    if dir.exists() {
        return skip("the host has a journal of its own");
    }
    detached(&s, "j", &["--log-driver", "journald"], "true")
        .fails(125, &["the journal", "journald"]);
    std::fs::create_dir_all(dir).unwrap();
    let socket = UnixListener::bind(dir.join("stdout")).unwrap();
    detached(&s, "j", &["--log-driver", "journald"], "echo to the journal").expect(0);
    let (mut stream, _) = socket.accept().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    assert_eq!(text, "j\n\n6\n0\n0\n0\n0\nto the journal\n");
    ended("j");
    verb(&["rm", "j"]).expect(0);
    std::fs::remove_dir_all("/run/systemd").unwrap();
}

#[test]
fn files_for_others() {
    let Some(s) = Sandbox::new() else { return };
    let (pid, name) = (s.dir.join("pid"), s.dir.join("name"));
    let (pid_text, name_text) = (pid.display().to_string(), name.display().to_string());
    let options = ["-d", "--pidfile", &pid_text, "--cidfile", &name_text];
    let told = s.run(&options, &["sleep", "60"]).ok();
    assert_eq!(std::fs::read_to_string(&name).unwrap().trim(), told);
    let number = std::fs::read_to_string(&pid).unwrap();
    assert_eq!(facts(&told)["pid"].to_string(), number.trim());
    s.run(&options, &["true"]).fails(125, &["--cidfile", "(EEXIST)"]);
    assert!(name.exists());
    verb(&["rm", "-f", &told]).expect(0);
}

#[test]
fn paused_looked_at_and_changed() {
    let Some(s) = Sandbox::new() else { return };
    let Some(()) = need_root() else { return };
    let options = ["--mem", "50M", "--pids-limit", "20"];
    let script = "while :; do i=$((i+1)); echo $i >/count; done";
    detached(&s, "p", &options, script).expect(0);
    let count = || std::fs::read_to_string(s.rootfs().join("count")).unwrap_or_default();
    wait_until("it counts", || !count().is_empty());
    assert_eq!(verb(&["pause", "p"]).ok(), "p");
    assert_eq!(state("p"), "paused");
    let before = count();
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(count(), before);
    verb(&["pause", "p"]).fails(125, &["is paused already"]);
    verb(&["exec", "p", "true"]).fails(125, &["is paused", "launch unpause p"]);
    assert_eq!(verb(&["unpause", "p"]).ok(), "p");
    verb(&["unpause", "p"]).fails(125, &["is not paused"]);
    wait_until("it counts again", || count() != before);
    let top = verb(&["top", "p"]).ok();
    assert!(
        top.lines().count() >= 3 && top.contains("--launched") && top.contains("/count"),
        "{top}"
    );
    let stats: serde_json::Value =
        serde_json::from_str(&verb(&["stats", "--json", "p"]).ok()).unwrap();
    assert_eq!(stats[0]["memory_limit"], 50 << 20);
    assert!(stats[0]["cpu_microseconds"].as_u64().unwrap() > 0, "{stats:#}");
    assert_eq!(verb(&["update", "--mem", "60M", "p"]).ok(), "p");
    assert_eq!(facts("p")["memory_limit"], 60 << 20);
    assert_eq!(verb(&["update", "-m", "20M", "--pids-limit", "30", "p"]).ok(), "p");
    assert_eq!(facts("p")["memory_limit"], 20 << 20);
    verb(&["update", "p"]).fails(125, &["no limit is given"]);
    verb(&["update", "-u", "5", "p"]).fails(125, &["for a start only"]);
    // What stands still can be ended.
    verb(&["pause", "p"]).expect(0);
    verb(&["stop", "-t", "1", "p"]).expect(0);
    verb(&["rm", "p"]).expect(0);
}

/// Whoever changes its limits may be in a cgroup where none could be set.
#[test]
fn changed_from_a_cgroup_without_controllers() {
    let Some(s) = Sandbox::new() else { return };
    // What this user may set: all, memory alone, or nothing.
    let limits = [&["--mem", "50M", "--cpus", "0.5"][..], &["--mem", "50M"]];
    let set = |options: &&&[&str]| s.run(options, &["true"]).err.is_empty();
    let Some(options) = limits.iter().find(set) else { return };
    detached(&s, "far", options, "sleep 60").expect(0);
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = text.lines().find_map(|l| l.strip_prefix("0::/")).unwrap_or_default();
    let near = Path::new("/sys/fs/cgroup").join(own).join("near");
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if unified {
        std::fs::create_dir_all(near.join("far")).unwrap();
    }
    let mut update = Command::new("sh");
    let script = "[ ! -d \"$0\" ] || echo 0 >\"$0/cgroup.procs\" && exec \"$@\"";
    update
        .args(["-c", script])
        .arg(near.join("far"))
        .arg(launch())
        .args(["update", "--mem", "60M"]);
    if options.len() > 2 {
        update.args(["--cpus", "1"]);
    }
    update.arg("far");
    let run = Run::of(update);
    if unified {
        wait_until("it has left", || std::fs::remove_dir(near.join("far")).is_ok());
        std::fs::remove_dir(&near).unwrap();
    }
    assert_eq!(run.ok(), "far");
    assert_eq!(facts("far")["memory_limit"], 60 << 20);
    verb(&["rm", "-f", "far"]).expect(0);
}

#[test]
fn memory_that_ran_out_is_noted() {
    let Some(s) = Sandbox::new() else { return };
    let Some(()) = need_root() else { return };
    detached(&s, "oom", &["--mem", "20M"], "dd if=/dev/zero of=/dev/null bs=60M count=1").expect(0);
    assert_eq!(verb(&["wait", "oom"]).code, 137);
    assert_eq!(facts("oom")["out_of_memory"], true);
    assert!(verb(&["ps", "-a"]).ok().contains("ended 137, out of memory"));
    verb(&["rm", "oom"]).expect(0);
}

#[test]
fn a_hundred_at_once() {
    let Some(s) = Sandbox::new() else { return };
    let names: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
    for chunk in names.chunks(8) {
        let starts: Vec<_> = chunk
            .iter()
            .map(|name| {
                let mut c = s.command(&["-d", "--rm", "--name", name], &["sleep", "600"]);
                c.stdout(Stdio::null()).spawn().unwrap()
            })
            .collect();
        starts.into_iter().for_each(|mut c| assert!(c.wait().unwrap().success()));
    }
    let listed = verb(&["ps", "-q"]).ok();
    assert_eq!(listed.lines().filter(|l| names.iter().any(|n| n == l)).count(), 100);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(verb(&[&["rm", "-f"], &all[..]].concat()).ok().lines().count(), 100);
}

#[test]
fn an_ordinary_users() {
    let Some(s) = Sandbox::new() else { return };
    let as_user = |words: &[&str]| {
        let program = s.as_user::<&str>(&[], &[]).get_program().to_owned();
        let mut c = Command::new(program);
        c.args(words).stdin(Stdio::null()).current_dir("/");
        if is_root() {
            crate::common::as_user(&mut c, USER, USER);
        }
        Run::of(c)
    };
    let start = s.as_user(&["-d", "--name", "mine"], &["sh", "-c", "id -u; sleep 60"]);
    assert_eq!(Run::of(start).ok(), "mine");
    wait_until("it has written", || as_user(&["logs", "mine"]).out == "0\n");
    assert_eq!(as_user(&["exec", "mine", "id", "-u"]).ok(), "0");
    as_user(&["stats", "--json"]).expect(0);
    assert!(as_user(&["top", "mine"]).ok().contains("sleep 60"));
    as_user(&["stop", "mine"]).expect(0);
    assert_eq!(as_user(&["wait", "mine"]).code, 143);
    as_user(&["rm", "mine"]).expect(0);
}

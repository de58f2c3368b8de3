//! Records that are not as they were written.

use super::living::{facts, started, state, verb};
use crate::common::net::World;
use crate::common::*;
use std::fs::OpenOptions;
use std::path::Path;

const NONE: &[&str] = &[];

fn cut(record: &Path, length: u64) {
    OpenOptions::new().write(true).open(record).unwrap().set_len(length).unwrap();
}

/// Its container runs on: it is seen, keeps its name, is not entered by what is half known of
/// it, and goes with all that it has.
#[test]
fn a_record_cut_off_under_a_container() {
    let Some(s) = Sandbox::new() else { return };
    if need_root().is_none() {
        return;
    }
    for (round, length) in [Some(0), Some(3), Some(30), Some(90), None].into_iter().enumerate() {
        let name = format!("cut{round}");
        let options = ["-d", "--name", &name, "--mem", "50M"];
        s.run(&options, &["sleep", "60"]).ok();
        let pid = facts(&name)["pid"].clone();
        let record = Path::new("/run/launch").join(&name);
        match length {
            Some(length) => cut(&record, length),
            None => std::os::unix::fs::chown(&record, Some(7), Some(7)).unwrap(),
        }
        let seen = facts(&name);
        assert_eq!((seen["status"].as_str(), &seen["pid"]), (Some("damaged"), &pid), "{length:?}");
        let hint = format!("launch rm -f {name}");
        verb(&["exec", &name, "true"]).fails(125, &["has a damaged record", &hint]);
        s.run(&["--name", &name], &["true"]).fails(125, &["damaged record", &hint]);
        match round {
            1 => assert_eq!(verb(&["stop", "-t", "0", &name]).ok(), name),
            _ => assert_eq!(verb(&["rm", "-f", &name]).ok(), name),
        }
        verb(&["rm", "-f", &name]).ok();
        s.check_leaks();
    }
}

/// Whoever wants the same name may come between the making of a record and its writing.
#[test]
fn a_record_that_is_only_being_written_is_not_damaged() {
    let Some(s) = Sandbox::new() else { return };
    if need_root().is_none() {
        return;
    }
    s.run(&["-d", "--name", "model"], &["sleep", "60"]).ok();
    let text = std::fs::read("/run/launch/model").unwrap();
    verb(&["rm", "-f", "model"]).ok();
    let path = Path::new("/run/launch/fresh");
    let mut record = std::fs::File::create_new(path).unwrap();
    record.lock().unwrap();
    let mut other = s.command(&["--name", "fresh"], &["true"]);
    let other = other.stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    std::io::Write::write_all(&mut record, &text).unwrap();
    let said = Run::from(other.wait_with_output().unwrap());
    std::fs::remove_file(path).unwrap();
    said.fails(125, &["name 'fresh' is in use", "started ", " ago"]);
}

#[test]
fn what_one_cut_off_has_on_bridges_is_given_back() {
    let Some(s) = Sandbox::new() else { return };
    let Some(w) = World::new() else { return };
    let options = ["-d", "--name", "plug", "--net", "bridge", "-p", "5080:80"];
    Run::of(w.launch(&s, &options, &["sleep", "60"])).ok();
    assert!(w.state().contains("lease plug "), "{}", w.state());
    cut(Path::new("/run/launch/plug"), 40);
    let program = launch().display().to_string();
    let said = Run::of(w.on_host(&[&program, "port", "plug"])).ok();
    assert_eq!(said, "80/tcp -> 0.0.0.0:5080");
    Run::of(w.on_host(&[&program, "rm", "-f", "plug"])).ok();
    w.check_cleared();
}

/// The name alone finds it, too: nobody need have looked at the list before.
#[test]
fn one_cut_off_is_removed_by_its_name() {
    let Some(s) = Sandbox::new() else { return };
    if need_root().is_none() {
        return;
    }
    let record = Path::new("/run/launch/alone");
    s.run(&["-d", "--name", "alone", "--pids-limit", "10"], &["sleep", "60"]).ok();
    cut(record, 0);
    verb(&["rm", "alone"]).fails(125, &["'alone' runs as process"]);
    assert_eq!(verb(&["rm", "-f", "alone"]).ok(), "alone");
    s.check_leaks();
    // With a launcher, which knows more than its record.
    let mut child = started(&s, "alone", &["--pids-limit", "10"], &["sleep", "60"]);
    cut(record, 0);
    assert_eq!(verb(&["rm", "-f", "alone"]).ok(), "alone");
    child.wait().unwrap();
}

#[test]
fn an_ordinary_users_record_cut_off() {
    let Some(s) = Sandbox::new() else { return };
    for dir in ["proc", "sys", "dev"] {
        std::fs::create_dir_all(s.rootfs().join(dir)).unwrap();
    }
    let run = Run::of(s.as_user(&["-d", "--name", "mine"], &["sleep", "60"]));
    if run.err.contains("user namespace") {
        return skip("needs user namespaces");
    }
    run.ok();
    let program = if is_root() { s.dir.join("launch") } else { launch() };
    let as_user = |words: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.args(words).current_dir("/");
        if is_root() {
            crate::common::as_user(&mut command, USER, USER);
        }
        Run::of(command)
    };
    let record = as_user(&["inspect", "-f", "{{.record}}", "mine"]).ok();
    cut(Path::new(&record), 40);
    let table = as_user(&["ps"]).ok();
    assert!(table.contains("mine") && table.contains("damaged"), "{table}");
    assert_eq!(as_user(&["rm", "-f", "mine"]).ok(), "mine");
    assert_eq!(as_user(&["ps", "-aq"]).ok(), "");
}

/// Each of the files that a start writes may be the one that does not fit.
#[test]
fn a_full_disk_for_records() {
    let Some(s) = Sandbox::new() else { return };
    if need_root().is_none() || need_util_linux().is_none() {
        return;
    }
    let script = "mkdir -p /run/launch; mount -t tmpfs -o size=16k,mode=700 none /run/launch
        for pages in 4 3 2; do head -c $((pages * 4096)) /dev/zero > /run/launch/.fill
        $0 -d --name full --pids-limit 10 $1 sleep 60; echo $?; rm /run/launch/.fill; done
        $0 ps -aq; ls -A /run/launch; $0 rm -f full";
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(launch()).arg(s.rootfs());
    let run = Run::of(command);
    // A record, a report; with room for both it runs.
    assert_eq!(run.out, "125\n125\nfull\n0\nfull\n.full.exit\n.full.log\nfull\nfull\n", "{run:#?}");
    assert_eq!(run.err.matches("No space left on device (ENOSPC)").count(), 2, "{run:#?}");
    assert!(run.err.contains("make /run/launch/.full.exit"), "{run:#?}");
}

/// Records that say nothing, too much, or that belong to somebody else.
#[test]
fn damaged_records_harm_nobody() {
    let Some(s) = Sandbox::new() else { return };
    if need_root().is_none() {
        return;
    }
    let dir = std::path::Path::new("/run/launch");
    assert_eq!(s.run(NONE, &["echo", "made"]).ok(), "made");
    let pid = std::process::id();
    for (name, text) in [
        ("empty", String::new()),
        ("cut", "started 17".into()),
        ("noise", "\0\u{1}\u{2}\n\n\nprocess\n".into()),
        ("forged", format!("started 1\ndetached keep\nprocess {pid} 1 1\n")),
        ("other", format!("started 1\ndetached keep\nprocess {pid} 1 4026531836\n")),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    std::fs::write(dir.join("foreign"), "started 1\n").unwrap();
    std::os::unix::fs::chown(dir.join("foreign"), Some(7), Some(7)).unwrap();
    assert_eq!(state("foreign"), "damaged");
    assert_eq!(s.run(NONE, &["echo", "ran"]).expect(0).out, "ran\n");
    verb(&["exec", "noise", "true"])
        .fails(125, &["'noise' has a damaged record", "launch rm noise"]);
    verb(&["wait", "noise"]).fails(125, &["'noise' has a damaged record"]);
    assert_eq!(state("noise"), "damaged");
    s.run(&["--name", "foreign"], &["true"])
        .fails(125, &["damaged record", "/run/launch/foreign", "launch rm foreign"]);
    for name in ["forged", "other", "noise", "foreign"] {
        verb(&["stop", "-t", "0", name]);
        verb(&["rm", "-f", name]);
    }
    assert!(!dir.join("foreign").exists());
    for name in ["empty", "cut", "noise", "forged", "other"] {
        let _ = std::fs::remove_file(dir.join(name));
    }
}

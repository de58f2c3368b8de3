//! `launch exec`: one more process, no more powerful than the first, and none of the host's.

use super::images::{Images, tools};
use super::living::{started, verb};
use crate::common::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// All that a process is and may.
const FINGERPRINT: &str = "
    grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|SigIgn|SigBlk|SigCgt|Umask|Cpus_allowed:)' /proc/self/status
    for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done
    cat /proc/self/limits /proc/self/cgroup /proc/self/oom_score_adj /proc/self/mountinfo
    readlink /proc/self/cwd; readlink /proc/self/root
    ls /proc/self/fd | wc -l
    env | grep -v -e ^SHLVL -e ^PWD | sort";

fn exec(s: &Sandbox, options: &[&str], name: &str, command: &[&str]) -> Run {
    let mut c = Command::new(launch());
    c.arg("exec").args(options).arg(name).args(command).stdin(Stdio::null());
    c.current_dir(&s.dir);
    Run::of(c)
}

#[test]
fn the_same_as_a_start() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/etc/passwd", "me:x:77:78::/home/me:/bin/sh\n", 0o644);
    s.file("/etc/group", "more:x:79:me\n", 0o644);
    let mut variants = vec![
        vec![],
        vec!["-e", "A=1 2", "--read-only", "--no-init"],
        vec![
            "--cap-add",
            "SYS_PTRACE",
            "--cap-drop",
            "CHOWN",
            "--security-opt",
            "no-new-privileges=false",
        ],
        vec!["--net", "host"],
        vec!["--oom-score-adj", "500"],
        vec!["--ephemeral", "--tmpfs", "/t"],
    ];
    if is_root() {
        variants.push(vec!["-u", "me", "-w", "/bin"]);
        variants.push(vec!["--privileged"]);
    }
    if s.run(&["--mem", "50M", "--pids-limit", "50"], &["true"]).err.is_empty() {
        variants.push(vec!["--mem", "50M", "--pids-limit", "50", "--cpus", "0.5"]);
    }
    for options in variants {
        let _ = std::fs::remove_file(s.rootfs().join("out"));
        let out = s.dir.join("out");
        std::fs::create_dir_all(&out).unwrap();
        set_mode(&out, 0o777);
        let _ = std::fs::remove_file(out.join("fp"));
        let volume = format!("{}:/out", out.display());
        let script = format!("({FINGERPRINT}) >/out/new; mv /out/new /out/fp; exec sleep 60");
        let all = [&options[..], &["-v", &volume]].concat();
        let mut child = started(&s, "fp", &all, &["sh", "-c", &script]);
        wait_until("the fingerprint is taken", || out.join("fp").exists());
        let first = std::fs::read_to_string(out.join("fp")).unwrap();
        let second = exec(&s, &[], "fp", &["sh", "-c", FINGERPRINT]).expect(0);
        assert_eq!(second.err, "", "{options:?}");
        for part in ["CapEff", "cgroup:[", "Max open files", " / /proc ", "PATH="] {
            assert!(first.contains(part), "no {part} in {first}");
        }
        let differ: Vec<_> =
            first.lines().zip(second.out.lines()).filter(|(a, b)| a != b).collect();
        assert!(differ.is_empty(), "{options:?}: {differ:#?}");
        assert_eq!(first, second.out, "{options:?}");
        verb(&["stop", "-t", "0", "fp"]).expect(0);
        child.wait().unwrap();
    }
}

#[test]
fn codes_users_and_streams() {
    let Some(s) = Sandbox::new() else { return };
    let mut child = started(&s, "box", &["-e", "A=1"], &["sleep", "60"]);
    exec(&s, &[], "box", &["sh", "-c", "exit 7"]).expect(7);
    exec(&s, &[], "box", &["sh", "-c", "kill -9 $$"]).expect(137);
    exec(&s, &[], "box", &["nosuch"]).fails(127, &["nosuch: not found"]);
    exec(&s, &[], "box", &["/bin"]).fails(126, &["/bin: is a directory"]);
    exec(&s, &["-w", "/nowhere"], "box", &["true"]).fails(125, &["/nowhere", "(ENOENT)"]);
    exec(&s, &["-w", "/proc/self/fd/7"], "box", &["true"]).fails(125, &["/proc/self/fd/7"]);
    // Whatever else is open on the way in: no directory, or the container's own.
    for fd in 3..16 {
        let dir = format!("/proc/self/fd/{fd}");
        let run = exec(&s, &["-w", &dir], "box", &["pwd"]);
        assert!(run.code == 125 && run.err.contains(&dir) || run.out == "/\n", "{run:?}");
    }
    for user in ["1x", "nobody2", "-1", "4294967295", "1:", ":1"] {
        exec(&s, &["-u", user], "box", &["true"]).fails(125, &[]);
    }
    let out =
        exec(&s, &["-e", "B=2", "-w", "/bin"], "box", &["sh", "-c", "echo $A $B $(pwd) $HOSTNAME"]);
    assert_eq!(out.ok(), "1 2 /bin box");
    if is_root() {
        let out = exec(&s, &["-u", "5:6"], "box", &["sh", "-c", "id; echo $HOME"]).ok();
        assert!(out.starts_with("uid=5 gid=6") && out.ends_with("\n/"), "{out}");
    }
    let data: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let mut cat = Command::new(launch());
    cat.args(["exec", "box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut cat = cat.spawn().unwrap();
    let mut stdin = cat.stdin.take().unwrap();
    let copy = data.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&copy));
    let output = cat.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.stdout == data && output.status.success());
    // What exec has left behind belongs to process 1.
    exec(&s, &[], "box", &["sh", "-c", "sleep 0.2 >/dev/null 2>&1 &"]).expect(0);
    verb(&["stop", "box"]).expect(0);
    child.wait().unwrap();
    exec(&s, &[], "box", &["true"]).fails(125, &["no container 'box'"]);
    exec(&s, &["--mem", "1M"], "box", &["true"]).fails(125, &["--mem' is for a start only"]);
    exec(&s, &["--usr", "1"], "box", &["true"]).fails(125, &["did you mean --user?"]);
}

/// The window of CVE-2016-9962 and CVE-2019-5736: a process of the host on its way in.
#[test]
fn nothing_of_the_host_is_seen_on_the_way_in() {
    let Some(s) = Sandbox::new() else { return };
    let spy = "while :; do ls -l /proc/[0-9]*/fd /proc/[0-9]*/exe /proc/[0-9]*/cwd /proc/[0-9]*/root; \
               cat /proc/[0-9]*/environ | tr '\\0' '\\n'; done >/seen 2>&1";
    let mut child = started(&s, "spy", &[], &["sh", "-c", spy]);
    let secret = s.dir.join("secret-file");
    std::fs::write(&secret, "x").unwrap();
    let file = std::fs::File::open(&secret).unwrap();
    for _ in 0..rounds(40) {
        let mut c = Command::new(launch());
        c.args(["exec", "spy", "true"]).env("HOSTSECRET", "hostsecret");
        c.stdin(file.try_clone().unwrap());
        let run = Run::of(c);
        assert_eq!(run.code, 0, "{run:?}");
    }
    verb(&["stop", "-t", "0", "spy"]).expect(0);
    child.wait().unwrap();
    let seen = std::fs::read_to_string(s.rootfs().join("seen")).unwrap();
    assert!(seen.contains("/bin/busybox"));
    for line in seen.lines() {
        // Its standard input is what the caller gave it.
        let target = line.split(" -> ").nth(1).unwrap_or_default();
        let host = target.contains("/launch") || target.contains("target/");
        assert!(!host && !line.contains("hostsecret"), "{line}");
        let inside = ["/bin/busybox", "/seen", "/dev/null", "/"].contains(&target);
        let odd = ["pipe:", "anon_inode:", "socket:", "/proc/", "/memfd:init"];
        let fine = inside || target.is_empty() || odd.iter().any(|p| target.starts_with(p));
        assert!(fine || line.contains(" 0 -> ") && target.ends_with("secret-file"), "{line}");
    }
}

/// As slow as can be, with no more rights than those that look at it: the moment before it is
/// the container's own program.
#[test]
fn nor_just_before_it_is_the_containers_program() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let strace = Command::new("strace").arg("-V").output().is_ok();
    let Some(()) = need(strace.then_some(()), "needs strace") else { return };
    let spy = "while :; do for f in /proc/[0-9]*/exe /proc/[0-9]*/fd/*; do readlink $f; done; done >/seen";
    let mut child = started(&s, "slow", &[], &["sh", "-c", spy]);
    for _ in 0..3 {
        let mut c = Command::new("strace");
        c.args(["-f", "-o", "/dev/null", "-e", "trace=execve"]);
        c.args(["-e", "inject=execve:delay_enter=300000"]).arg(launch());
        c.args(["exec", "slow", "true"]).stdin(Stdio::null());
        Run::of(c).expect(0);
    }
    verb(&["stop", "-t", "0", "slow"]).expect(0);
    child.wait().unwrap();
    let seen = std::fs::read_to_string(s.rootfs().join("seen")).unwrap();
    assert!(seen.contains("/bin/busybox"));
    let fine = |l: &&str| {
        ["/bin/busybox", "/seen", "/dev/null"].contains(l)
            || ["/proc/", "pipe:", "anon_inode:", "/memfd:init"].iter().any(|p| l.starts_with(p))
    };
    let odd: std::collections::BTreeSet<_> = seen.lines().filter(|l| !fine(l)).collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

/// What the image says counts for each process: directory, user with his groups, environment.
#[test]
fn in_a_container_of_an_image() {
    let (Some(()), Some(())) = (need_root(), tools(&["umoci", "tar", "gzip"])) else { return };
    let Some(i) = Images::new() else { return };
    i.0.file("/etc/group", "root:x:0:\napp:x:2000:\nmore:x:79:app\n", 0o644);
    i.shell(
        "umoci init --layout oci; umoci new --image oci:app; umoci unpack --image oci:app b
        cp -a rootfs/. b/rootfs; mkdir -p b/rootfs/srv/app; umoci repack --image oci:app b
        umoci config --image oci:app --config.env FOO=bar --config.user app \
          --config.workingdir /srv/app --config.entrypoint sleep --config.cmd 60",
    );
    let seen = "pwd; id -u; id -g; id -G; echo $FOO $HOME";
    let exec =
        |options: &[&str]| i.launch(&[&["exec"], options, &["of", "sh", "-c", seen]].concat()).ok();
    let whole = "/srv/app\n2000\n2000\n2000 79\nbar /srv";
    i.launch(&["-d", "--name", "of", "./oci"]).ok();
    assert_eq!(exec(&[]), whole);
    let root = "/\n0\n0\n0\nmine /root";
    assert_eq!(exec(&["-u", "root", "-w", "/", "-e", "FOO=mine"]), root);
    let table = i.launch(&["ps"]).ok();
    assert!(table.lines().any(|l| l.starts_with("of ") && l.ends_with(" sleep 60")), "{table}");
    let all: serde_json::Value = serde_json::from_str(&i.launch(&["inspect", "of"]).ok()).unwrap();
    assert_eq!(
        (&all[0]["spec"]["user"], &all[0]["spec"]["workdir"]),
        (&"app".into(), &"/srv/app".into())
    );
    i.launch(&["rm", "-f", "of"]).ok();
    // The user's own words come first, for later commands, too.
    let own = ["-d", "--name", "of", "-u", "root", "-w", "/tmp", "-e", "FOO=x", "./oci", "61"];
    i.launch(&own).ok();
    assert_eq!(exec(&[]), "/tmp\n0\n0\n0\nx /root");
    assert!(i.launch(&["ps"]).ok().ends_with(" sleep 61"));
    i.launch(&["rm", "-f", "of"]).ok();
}

#[test]
fn rootless() {
    let Some(s) = Sandbox::new() else { return };
    let mut start = s.as_user(&["--name", "mine", "-e", "A=1"], &["sleep", "60"]);
    let mut child = start.stdout(Stdio::null()).spawn().unwrap();
    let as_user = |words: &[&str]| {
        let mut c = s.as_user::<&str>(&[], &[]);
        let program = c.get_program().to_owned();
        c = Command::new(program);
        c.args(words).stdin(Stdio::null()).current_dir("/");
        if is_root() {
            crate::common::as_user(&mut c, USER, USER);
        }
        Run::of(c)
    };
    wait_until("it runs", || as_user(&["ps"]).out.contains(" running "));
    let out =
        as_user(&["exec", "mine", "sh", "-c", "id -u; echo $A; grep NoNew /proc/self/status"]);
    assert_eq!(out.ok(), "0\n1\nNoNewPrivs:\t1");
    let own = as_user(&[
        "exec",
        "mine",
        "sh",
        "-c",
        "readlink /proc/self/ns/user; readlink /proc/1/ns/user",
    ])
    .ok();
    let lines: Vec<&str> = own.lines().collect();
    assert_eq!(lines[0], lines[1]);
    if is_root() {
        verb(&["exec", "mine", "true"]).fails(125, &["no container 'mine'"]);
    }
    as_user(&["stop", "mine"]).expect(0);
    child.wait().unwrap();
}

/// A link of the container's to /proc/self/exe has exec run launch's own file in there, for
/// anybody to keep open until it can be written.
#[test]
fn launchs_own_file_cannot_be_written() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    s.link("/direct", "/proc/self/exe");
    let own = s.dir.join("own");
    std::fs::copy(launch(), &own).unwrap();
    let before = std::fs::read(&own).unwrap();
    let mut container = started(&s, "exec-own", &[], &["sleep", "1000"]);
    let script = "for n in $(seq 100); do for p in /proc/[0-9]*; do
        case \"$p $(readlink $p/exe)\" in
        /proc/1\\ * | *busybox | *\\ ) ;;
        *) exec 3<$p/exe; echo there; while test -d $p; do sleep 0.05; done
           # Until the one outside has ended, too.
           while r=$( (echo x >>/proc/self/fd/3) 2>&1 ); case $r in *busy*) ;; *) false;; esac; do sleep 0.05; done
           echo ${r##*: }; exit;;
        esac; done; sleep 0.05; done";
    // The older way is a copy.
    for (old, said) in [(false, "Read-only file system"), (true, "Operation not permitted")] {
        let mut c = Command::new(&own);
        // It waits for an archive.
        c.args(["exec", "exec-own", "/direct", "import", "-"]).stdin(Stdio::piped());
        c.stdout(Stdio::null()).stderr(Stdio::null());
        if old {
            filter::refuse(&mut c, &[filter::refuse_all(libc::SYS_open_tree, libc::ENOSYS)]);
        }
        let mut inside = c.spawn().unwrap();
        let mut looks = Command::new(launch());
        looks.args(["exec", "exec-own", "sh", "-c", script]).stdout(Stdio::piped());
        let mut looks = looks.stdin(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(looks.stdout.take().unwrap()).lines();
        let mut next = || lines.next().transpose().unwrap().unwrap_or_default();
        assert_eq!(next(), "there");
        drop(inside.stdin.take());
        inside.wait().unwrap();
        assert_eq!(next(), said);
        assert!(looks.wait().unwrap().success());
    }
    assert!(std::fs::read(&own).unwrap() == before);
    verb(&["rm", "-f", "exec-own"]).expect(0);
    container.wait().unwrap();
    let run = s.command(&["--no-init"], &["/direct", "--version"]);
    assert!(Run::of(run).ok().starts_with("launch "));
}

/// What a name of the image's leads to is none of the host's files: procfs has names for what
/// is open, a volume for instance, and from there it is not far.
#[test]
fn no_file_of_the_hosts_is_executed() {
    let Some(s) = Sandbox::new() else { return };
    let volume = s.dir.join("vol");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(s.dir.join("hosts"), tiny_elf(77)).unwrap();
    set_mode(&s.dir.join("hosts"), 0o755);
    let host = s.dir.join("hosts").display().to_string();
    let volume = format!("{}:/data", volume.display());
    let mut container = started(&s, "exec-host", &["-v", &volume], &["sleep", "1000"]);
    for fd in 3..20 {
        for target in [format!("fd/{fd}/../hosts"), format!("fd/{fd}{host}")] {
            s.link("/cmd", format!("/proc/self/{target}"));
            let start = s.run(&["--no-init", "-v", &volume], &["/cmd"]);
            let enter = exec(&s, &[], "exec-host", &["/cmd"]);
            for run in [start, enter] {
                assert!([126, 127].contains(&run.code), "{target}: {run:#?}");
            }
        }
    }
    verb(&["rm", "-f", "exec-host"]).expect(0);
    container.wait().unwrap();
}

/// `--preserve-fds` was about the start's caller.
#[test]
fn no_descriptor_of_this_caller() {
    let Some(s) = Sandbox::new() else { return };
    let shell = |script: &str| {
        let mut c = Command::new("sh");
        c.args(["-c", script, launch().to_str().unwrap(), s.rootfs().to_str().unwrap()]);
        c.stdin(Stdio::null()).current_dir(&s.dir);
        c
    };
    let start = "exec \"$0\" --preserve-fds 2 --name exec-fds \"$1\" sleep 1000 3</etc 4</etc";
    let mut container = shell(start).spawn().unwrap();
    wait_until("the container runs", || super::living::state("exec-fds") == "running");
    let ls = "exec \"$0\" exec exec-fds ls /proc/self/fd 3</etc 4</etc 5</etc";
    assert_eq!(Run::of(shell(ls)).ok(), "0\n1\n2\n3");
    verb(&["rm", "-f", "exec-fds"]).expect(0);
    container.wait().unwrap();
}

/// What a process could reach by the caller's keyrings it does not get by coming in later.
#[test]
fn a_session_keyring_of_its_own() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let options = ["--security-opt", "seccomp=unconfined", "--security-opt", "unmask=/proc/keys"];
    let mut container = started(&s, "exec-keys", &options, &["sleep", "1000"]);
    let serials = |text: &str| -> Vec<String> {
        let sessions = text.lines().filter(|l| l.contains("keyring") && l.contains("_ses"));
        sessions.map(|l| l.split(' ').next().unwrap().to_owned()).collect()
    };
    let before = serials(&std::fs::read_to_string("/proc/keys").unwrap());
    let inside = serials(&exec(&s, &[], "exec-keys", &["cat", "/proc/keys"]).ok());
    assert!(inside.iter().any(|s| !before.contains(s)), "{inside:?} {before:?}");
    verb(&["rm", "-f", "exec-keys"]).expect(0);
    container.wait().unwrap();
}

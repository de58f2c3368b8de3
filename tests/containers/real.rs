//! Real root file systems and real load: Debian with a server, many containers at once.

use crate::common::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A Debian with redis-server, made once by mmdebstrap and kept below the target directory.
fn debian(_one_at_a_time: &Sandbox) -> Option<PathBuf> {
    if std::env::var_os("LAUNCH_VM").is_some() {
        skip("no Debian inside the machine");
        return None;
    }
    need_root()?;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-redis");
    if dir.join("usr/bin/redis-server").exists() {
        return Some(dir);
    }
    let new = dir.with_extension(format!("new-{}", std::process::id()));
    let made = Command::new("mmdebstrap")
        .args(["--variant=minbase", "--include=redis-server", "bookworm"])
        .arg(&new)
        .stdin(Stdio::null())
        .output();
    let output = match made {
        Err(e) => {
            skip(&format!("needs mmdebstrap: {e}"));
            return None;
        }
        Ok(output) => output,
    };
    if !output.status.success() {
        let _ = std::fs::remove_dir_all(&new);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        skip(&format!("mmdebstrap failed: {}", text.lines().last().unwrap_or_default()));
        return None;
    }
    // Another run may have been faster.
    let _ = std::fs::rename(&new, &dir);
    let _ = std::fs::remove_dir_all(&new);
    Some(dir)
}

fn call(rootfs: &Path, options: &[&str], script: &str) -> Command {
    let mut c = Command::new(launch());
    c.args(options).arg(rootfs).args(["sh", "-c", script]).stdin(Stdio::null());
    c
}

#[test]
fn debian_runs_and_knows_itself() {
    let s = Sandbox::empty();
    let Some(rootfs) = debian(&s) else { return };
    let script = "cat /etc/debian_version | cut -d. -f1; id -un; id -Gn; dpkg -l redis-server | grep -c ^ii; ls /proc/1 >/dev/null && perl -e 'print \"perl\\n\"'";
    assert_eq!(Run::of(call(&rootfs, &["--ephemeral"], script)).ok(), "12\nroot\nroot\n1\nperl");
    let out =
        Run::of(call(&rootfs, &["--ephemeral", "-u", "redis"], "id -un; id -gn; echo $HOME")).ok();
    assert_eq!(out, "redis\nredis\n/var/lib/redis");
}

#[test]
fn a_server_answers_over_a_socket_in_a_volume_and_over_loopback() {
    let s = Sandbox::empty();
    let Some(rootfs) = debian(&s) else { return };
    let dir = s.dir.join("sock");
    std::fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o777);
    let volume = format!("{}:/sock", dir.display());
    let options = ["--mem", "200M", "--ephemeral", "-u", "redis", "-v", &volume];
    let script = "redis-server --save '' --unixsocket /sock/redis --unixsocketperm 777 --port 6379 >/tmp/log &
        for i in $(seq 100); do redis-cli ping 2>/dev/null | grep -q PONG && break; sleep 0.05; done
        redis-cli set key value; redis-cli -h 127.0.0.1 get key; redis-cli -s /sock/redis get key
        echo up; wait";
    let mut child = call(&rootfs, &options, script)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    while lines.last().is_none_or(|l| l != "up\n") {
        let mut line = String::new();
        let n = std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert!(n > 0, "the server ended: {lines:?}");
        lines.push(line);
    }
    assert_eq!(lines, ["OK\n", "value\n", "value\n", "up\n"]);
    // From the host, through the volume.
    assert_eq!(ask(&dir.join("redis"), "GET key\r\n"), "$5\r\nvalue\r\n");
    assert!(ask(&dir.join("redis"), "INFO memory\r\n").contains("used_memory:"));
    rustix::process::kill_process(pid_of(&child), rustix::process::Signal::TERM).unwrap();
    assert_eq!(status_code(finish(Duration::from_secs(15), child).status), 143);
}

fn ask(socket: &Path, request: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    text
}

/// A server as the container's only program, ended by its own signal handling.
#[test]
fn a_server_ends_cleanly_on_term() {
    let s = Sandbox::empty();
    let Some(rootfs) = debian(&s) else { return };
    for init in [&[][..], &["--no-init"]] {
        let mut c = Command::new(launch());
        c.args(["--ephemeral", "--mem", "200M"]).args(init).arg(&rootfs);
        c.args(["redis-server", "--save", ""]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = c.spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("Ready to accept connections") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0, "ended early");
        }
        rustix::process::kill_process(pid_of(&child), rustix::process::Signal::TERM).unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
        assert!(rest.contains("bye bye"), "{rest}");
        assert_eq!(status_code(finish(Duration::from_secs(15), child).status), 0);
    }
}

#[test]
fn fifty_containers_eight_at_a_time() {
    let Some(s) = Sandbox::new() else { return };
    let limits = s.run(&["--mem", "50M", "--explain"], &["true"]).err.is_empty();
    let options: &[&str] = if limits { &["--mem", "50M", "--pids-limit", "20"] } else { &[] };
    s.run(options, &["true"]).ok();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if n >= 50 {
                        return;
                    }
                    let run = s.sh(options, &format!("echo {n}; exit {n}")).expect(n as i32);
                    assert_eq!((run.out, run.err), (format!("{n}\n"), String::new()));
                }
            });
        }
    });
    s.check_leaks();
}

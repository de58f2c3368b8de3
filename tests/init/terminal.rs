//! On a pty: ^C once, ^Z and fg.

use super::*;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::sync::{Arc, Mutex};

/// A program with a new terminal as its controlling one.
struct Terminal {
    child: Child,
    master: fs::File,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn new(command: &mut Command) -> Terminal {
        // SAFETY: system calls between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            })
        };
        Terminal::unowned(command)
    }

    /// The program itself has to make it its controlling one.
    fn unowned(command: &mut Command) -> Terminal {
        let (mut master, mut slave) = (0, 0);
        let null = std::ptr::null_mut();
        // SAFETY: two numbers are written; the descriptors are ours.
        let (master, slave) = unsafe {
            assert_eq!(libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()), 0);
            libc::fcntl(master, libc::F_SETFD, libc::FD_CLOEXEC);
            (fs::File::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
        };
        let child = command
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        // The command keeps copies of the slave.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut reader, into) = (master.try_clone().unwrap(), seen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        });
        Terminal { child, master, seen }
    }

    fn text(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    #[track_caller]
    fn wait_for(&self, words: &str) {
        let start = Instant::now();
        while !self.text().contains(words) {
            assert!(start.elapsed() < Duration::from_secs(10), "no {words:?} in {:?}", self.text());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn foreground(&self) -> i32 {
        let mut group = 0;
        // SAFETY: one number is written.
        unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCGPGRP, &mut group) };
        group
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const COUNTER: &str = "trap 'echo int' INT; echo ready; while :; do sleep 0.05; done";

fn variants() -> Vec<(&'static str, Command)> {
    let mut all = Vec::new();
    for options in [&[][..], &["-g"], &["-c"], &["-w"]] {
        let mut plain = Command::new(INIT);
        plain.args(options);
        all.push(("session leader", plain));
        let mut under = namespaced(&[], INIT);
        under.args(options);
        all.push(("below unshare", under));
    }
    let mut dumb = Command::new(INIT);
    dumb.arg0("dumb-init");
    all.push(("dumb-init", dumb));
    let mut leader = Command::new("unshare");
    leader.args(["--pid", "--fork", "setsid", "-c", INIT]);
    all.push(("process 1 and session leader", leader));
    all
}

#[test]
fn interrupt_arrives_once() {
    let Some(()) = need_namespaces() else { return };
    for (name, mut command) in variants() {
        let owned = !name.starts_with("process 1");
        if !owned && !common::is_root() {
            continue;
        }
        command.args(["sh", "-c", COUNTER]);
        let mut terminal =
            if owned { Terminal::new(&mut command) } else { Terminal::unowned(&mut command) };
        eprintln!("{name} {command:?}");
        terminal.wait_for("ready");
        terminal.type_in("\x03");
        terminal.wait_for("int");
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(
            terminal.text().matches("int").count(),
            1,
            "{name} {command:?}: {:?}",
            terminal.text()
        );
    }
}

/// A shell as payload controls its jobs.
#[test]
fn shell_has_job_control() {
    let Some(()) = need_namespaces() else { return };
    let mut terminal =
        Terminal::new(Command::new(INIT).args(["bash", "--norc", "-i"]).env("PS1", "> "));
    terminal.wait_for("> ");
    terminal.type_in("sleep 100\n");
    std::thread::sleep(Duration::from_millis(200));
    terminal.type_in("\x1a");
    terminal.wait_for("Stopped");
    terminal.type_in("fg\n");
    std::thread::sleep(Duration::from_millis(100));
    terminal.type_in("\x03");
    std::thread::sleep(Duration::from_millis(50));
    terminal.type_in("echo code=$?; exit\n");
    terminal.wait_for("code=130");
    assert!(!terminal.text().contains("no job control"), "{:?}", terminal.text());
}

/// init as a job of a shell: ^Z stops it with its payload, fg goes on with both.
#[test]
fn init_is_a_job() {
    let mut terminal = Terminal::new(Command::new("bash").args(["--norc", "-i"]).env("PS1", "> "));
    terminal.wait_for("> ");
    terminal.type_in(&format!("{INIT} sh -c 'echo up; exec sleep 100'\n"));
    terminal.wait_for("up\r\n");
    let shell = terminal.child.id() as i32;
    let init = only_child(shell);
    let payload = only_child(init);
    for _ in 0..2 {
        assert_eq!(
            eventually("foreground", || (terminal.foreground() == payload).then_some(payload)),
            payload
        );
        let before = terminal.text().matches("Stopped").count();
        terminal.type_in("\x1a");
        eventually("a stop", || {
            (terminal.text().matches("Stopped").count() > before).then_some(())
        });
        assert!(status(payload, "State").unwrap().starts_with('T'));
        terminal.type_in("fg\n");
        eventually("going on", || (!status(payload, "State")?.starts_with('T')).then_some(()));
    }
    terminal.type_in("\x03");
    eventually("the shell's turn", || (terminal.foreground() == shell).then_some(()));
    terminal.type_in("echo code=$?; exit\n");
    terminal.wait_for("code=130");
}

/// A script that runs init on a terminal has the terminal again afterwards.
#[test]
fn terminal_is_given_back() {
    let Some(()) = need_namespaces() else { return };
    for prefix in ["", "unshare --pid --fork "] {
        if !prefix.is_empty() && !common::is_root() {
            continue;
        }
        let text = format!("{prefix}{INIT} true; echo ask; read answer; echo got $answer");
        let mut terminal = Terminal::new(Command::new("sh").args(["-c", &text]));
        terminal.wait_for("ask");
        terminal.type_in("yes\n");
        terminal.wait_for("got yes");
    }
}

#[test]
fn hangup_reaches_the_payload() {
    let dir = Dir::new("hangup");
    let mark = dir.0.join("hup");
    let text = format!(
        "trap 'touch {}; exit' HUP; echo ready; while :; do sleep 0.05; done",
        mark.display()
    );
    let mut terminal = Terminal::new(Command::new(INIT).args(["sh", "-c", &text]));
    terminal.wait_for("ready");
    let init = terminal.child.id() as i32;
    kill(init, libc::SIGHUP);
    eventually("the mark", || mark.exists().then_some(()));
    terminal.child.wait().unwrap();
}

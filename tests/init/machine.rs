//! Machines that a person uses: a root on a disk, a login on the serial line, the keyboard;
//! and machines that lack what they should have.

use super::*;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ChildStdin;
use std::sync::{Arc, Mutex};

const LIMIT: Duration = Duration::from_secs(90);

/// An ext4 image of a tree, made without mounting anything.
fn disk(dir: &Dir, tree: &Dir) -> Option<PathBuf> {
    need_program("mke2fs")?;
    let image = dir.0.join("disk");
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-m", "0", "-d"])
        .args([tree.as_ref(), &image])
        .arg("16M")
        .status();
    assert!(made.unwrap().success());
    Some(image)
}

/// Its file system was left in order.
fn assert_clean(image: &Path) {
    let header = Command::new("dumpe2fs").arg("-h").arg(image).output().unwrap();
    let header = String::from_utf8_lossy(&header.stdout).into_owned();
    assert!(header.contains("Filesystem state:         clean\n"), "{header}");
    assert!(!header.contains("needs_recovery"), "{header}");
    let check = Command::new("e2fsck").args(["-f", "-n"]).arg(image).output().unwrap();
    assert!(check.status.success(), "{check:?}");
}

/// A machine whose console is ours.
struct Console {
    child: Child,
    keys: ChildStdin,
    seen: Arc<Mutex<String>>,
    /// What was looked at lies before.
    at: usize,
}

impl Console {
    fn boot(options: &[&OsStr], program: &str, args: &[&str]) -> Console {
        let mut command = Command::new(boot::HARNESS);
        command.args(["-p", "-i", "-t", "150"]).args(options).arg("--").arg(program).args(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let seen = Arc::new(Mutex::new(String::new()));
        let into = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(n @ 1..) = out.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..n]).replace('\r', "");
                into.lock().unwrap().push_str(&text);
            }
        });
        Console { child, keys, seen, at: 0 }
    }

    #[track_caller]
    fn wait_for(&mut self, words: &str) {
        let start = Instant::now();
        loop {
            let text = self.seen.lock().unwrap().clone();
            assert!(!text.contains("Kernel panic"), "{text}");
            if let Some(found) = text[self.at..].find(words) {
                self.at += found + words.len();
                return;
            }
            assert!(start.elapsed() < LIMIT, "no {words:?} in {:?} of {text}", &text[self.at..]);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// The machine ends by itself, in this way.
    #[track_caller]
    fn ends(mut self, way: &str) -> String {
        self.wait_for(way);
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < LIMIT, "no end: {}", self.seen.lock().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        };
        let text = self.seen.lock().unwrap().clone();
        assert!(status.success(), "{text}");
        text
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // The harness ends the machine.
        // SAFETY: numbers only; until it is waited for the pid is its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let _ = self.child.wait();
    }
}

/// A small distribution: busybox with an inittab, a script at the start and one at the
/// end, and a login on the serial line.
fn distribution() -> Option<Dir> {
    let tree = boot::machine("distribution")?;
    for name in ["getty", "login", "reboot", "umount", "setsid"] {
        std::os::unix::fs::symlink("busybox", tree.0.join("bin").join(name)).unwrap();
    }
    for directory in ["proc", "sys", "dev", "run", "tmp", "root", "var/log"] {
        fs::create_dir_all(tree.0.join(directory)).unwrap();
    }
    tree.file("sbin/init", &fs::read(INIT).unwrap(), 0o755);
    for (name, mode, text) in [
        (
            "etc/inittab",
            0o644,
            "::sysinit:/etc/init.d/rcS\n::wait:/bin/echo waited for\n\
             ttyS0::respawn:/bin/getty -L 0 ttyS0 vt100\n\
             ::ctrlaltdel:/bin/reboot\n::shutdown:/etc/init.d/rcK\n",
        ),
        (
            "etc/init.d/rcS",
            0o755,
            "#!/bin/sh\nmount -o remount,rw /\necho boot >> /var/log/boots\necho started by rcS\n",
        ),
        ("etc/init.d/rcK", 0o755, "#!/bin/sh\necho boots: $(cat /var/log/boots)\n"),
        ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/shadow", 0o600, "root::19000:0:99999:7:::\n"),
        ("etc/group", 0o644, "root:x:0:\n"),
        ("etc/securetty", 0o644, "ttyS0\n"),
    ] {
        tree.file(name, text.as_bytes(), mode);
    }
    Some(tree)
}

#[test]
fn a_distribution_on_a_disk() {
    let Some(tree) = distribution() else { return };
    let dir = Dir::new("disk");
    let Some(image) = disk(&dir, &tree) else { return };
    let mut console = Console::boot(&["-D".as_ref(), image.as_ref()], "/sbin/init", &[]);
    console.wait_for("started by rcS\n");
    console.wait_for("waited for\n");
    for round in 0..2 {
        console.wait_for("testhost login: ");
        console.type_in("root\n");
        console.wait_for("# ");
        console.type_in("tty; cat /proc/1/comm; grep -c ext4 /proc/mounts\n");
        console.wait_for("/dev/ttyS0\ninit\n1\n");
        // The shell controls jobs on the line.
        console.type_in("sleep 99\n");
        console.wait_for("sleep 99\n");
        std::thread::sleep(Duration::from_millis(500));
        console.type_in("\x1a");
        console.wait_for("Stopped");
        console.type_in("fg\n");
        console.wait_for("sleep 99\n");
        std::thread::sleep(Duration::from_millis(500));
        console.type_in("\x03");
        console.wait_for("# ");
        // The first leaves, and another one can come.
        console.type_in(if round == 0 { "exit\n" } else { "poweroff\n" });
    }
    console.wait_for("boots: boot\n");
    console.wait_for("init: exit status 0\n");
    console.ends("reboot: Power down");
    assert_clean(&image);

    // The keys that end a machine.
    let monitor = dir.0.join("monitor");
    let options = ["-D".as_ref(), image.as_ref(), "-q".as_ref(), monitor.as_ref()];
    let mut console = Console::boot(&options, "/sbin/init", &["--end=halt"]);
    console.wait_for("testhost login: ");
    let mut keys = UnixStream::connect(&monitor).unwrap();
    keys.write_all(b"sendkey ctrl-alt-delete\n").unwrap();
    console.wait_for("boots: boot boot\n");
    console.ends("reboot: Restarting system");
    assert_clean(&image);
}

/// Without inittab the same keys end what runs.
#[test]
fn keys_without_inittab() {
    let Some(tree) = boot::machine("keys") else { return };
    let dir = Dir::new("keys-monitor");
    let monitor = dir.0.join("monitor");
    let place = format!("{}:/", tree.0.display());
    let options = ["-d".as_ref(), place.as_ref(), "-q".as_ref(), monitor.as_ref()];
    let text = "trap 'echo told to end; exit' TERM; echo up; while :; do sleep 0.1; done";
    let mut console = Console::boot(&options, INIT, &["/bin/sh", "-c", text]);
    console.wait_for("up\n");
    let mut keys = UnixStream::connect(&monitor).unwrap();
    keys.write_all(b"sendkey ctrl-alt-delete\n").unwrap();
    console.wait_for("told to end\n");
    console.wait_for("init: exit status 0\n");
    console.ends("reboot: Restarting system");
}

/// A shell on the console is as good as one on a terminal; askfirst waits for a key.
#[test]
fn shell_on_the_console() {
    let Some(tree) = boot::machine("console") else { return };
    tree.file("etc/inittab", b"ttyS0::askfirst:-/bin/sh\n::shutdown:/bin/echo bye\n", 0o644);
    let place = format!("{}:/", tree.0.display());
    let mut console = Console::boot(&["-d".as_ref(), place.as_ref()], INIT, &[]);
    console.wait_for("Press Enter to activate this console.");
    assert!(!console.seen.lock().unwrap().contains("# "), "it has not waited");
    console.type_in("\n");
    console.wait_for("# ");
    console.type_in("echo $0; tty\n");
    console.wait_for("-/bin/sh\n/dev/ttyS0\n");
    console.type_in("cat\n");
    std::thread::sleep(Duration::from_millis(500));
    console.type_in("\x1a");
    console.wait_for("Stopped");
    console.type_in("kill %1; kill -PWR 1\n");
    console.wait_for("bye\n");
    console.ends("reboot: Power down");
}

#[test]
fn roots_that_are_full_or_read_only() {
    let Some(tree) = boot::machine("full") else { return };
    tree.file("sbin/init", &fs::read(INIT).unwrap(), 0o755);
    let dir = Dir::new("full-disk");
    // No directory to mount on: they have to be made, or done without.
    let Some(image) = disk(&dir, &tree) else { return };
    for (option, text, words) in [
        ("-R", "echo x > /x || echo denied; exit 6", "denied\ninit: exit status 6\n"),
        ("-v", "cat /dev/zero > /fill; exit 7", "init: exit status 7\n"),
        ("-v", "cat /dev/zero > /x || echo full; exit 8", "full\ninit: exit status 8\n"),
    ] {
        let options = [option.as_ref(), "-D".as_ref(), image.as_ref()];
        let console = Console::boot(&options, "/sbin/init", &["/bin/sh", "-c", text]);
        let seen = console.ends("reboot: Power down");
        assert!(seen.contains(words), "{text}: {seen}");
        assert_clean(&image);
    }
}

/// The kernel could open no console: none is there yet, or ever.
#[test]
fn without_a_console() {
    let Some(tree) = boot::machine("mute") else { return };
    tree.file("sbin/init", &fs::read(INIT).unwrap(), 0o755);
    for (name, before, words) in
        [("late", "", "heard\ninit: exit status 9\n"), ("never", "mount -t tmpfs dev /dev; ", "")]
    {
        let text = format!(
            "#!/bin/busybox sh\n/bin/busybox mkdir -p /dev\n{before}exec /sbin/init \"$@\" <&- >&- 2>&-\n"
        );
        let start = tree.file(name, text.as_bytes(), 0o755);
        let place = format!("{}:/", tree.0.display());
        let args = ["/bin/sh", "-c", "echo heard; exit 9"];
        let console =
            Console::boot(&["-d".as_ref(), place.as_ref()], &start.display().to_string(), &args);
        let seen = console.ends("reboot: Power down");
        assert!(seen.contains(words), "{name}: {seen}");
    }
}

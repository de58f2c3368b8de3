//! Harness: a rootfs, the launcher run in it, and a look at what stayed behind.
//!
//! Containers are real; nothing is mocked. Tests that hold a `Sandbox` run one at a
//! time, so that whatever is left over belongs to the one that left it. Every test that
//! starts a process holds one: orphans become children of this process, and the check
//! takes the status of any that has ended.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

mod files;
pub mod filter;
mod host;
pub mod net;

pub use files::*;
use host::{Host, belongs_to_another};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The launcher under test; LAUNCH_BIN names another one (inside a virtual machine).
pub fn launch() -> PathBuf {
    std::env::var_os("LAUNCH_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_launch").into(), PathBuf::from)
}

/// A test that cannot run here says why, on the real standard error and in the file that
/// counts; with MUST_RUN=1 it fails instead.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("?");
    let line = format!("SKIP {name}: {reason}\n");
    assert!(std::env::var_os("MUST_RUN").is_none_or(|v| v != "1"), "must run, but: {reason}");
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("LAUNCH_SKIPS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// `let Some(x) = need(...) else { return };`
pub fn need<T>(what: Option<T>, reason: &str) -> Option<T> {
    if what.is_none() {
        skip(reason);
    }
    what
}

/// How often to try what may happen only now and then; an emulated machine is slow.
pub fn rounds(n: u32) -> u32 {
    if std::env::var_os("LAUNCH_VM").is_some() { n / 5 } else { n }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn need_root() -> Option<()> {
    need(is_root().then_some(()), "needs root")
}

/// unshare and setpriv with the options that busybox's lack.
pub fn need_util_linux() -> Option<()> {
    // More than once: beside tests that use up what a machine has, a fork may fail.
    let works = |program: &str| {
        (0..5).any(|_| {
            let output = Command::new(program).arg("--version").output();
            let failed = output.is_err();
            std::thread::sleep(std::time::Duration::from_millis(if failed { 100 } else { 0 }));
            output.is_ok_and(|o| o.status.success())
        })
    };
    let found = works("unshare") && works("setpriv");
    need(found.then_some(()), "needs unshare and setpriv (package util-linux)")
}

/// A statically linked busybox on the host.
pub fn busybox() -> Option<PathBuf> {
    let found = ["/bin/busybox", "/usr/bin/busybox", "/sbin/busybox"]
        .into_iter()
        .map(PathBuf::from)
        .find(|p| std::fs::read(p).is_ok_and(|data| !has_interpreter(&data)));
    need(found, "needs a static busybox (package busybox-static)")
}

/// PT_INTERP among the program headers of a 64-bit little-endian ELF.
pub fn has_interpreter(elf: &[u8]) -> bool {
    let word = |at: usize, n: usize| {
        elf[at..at + n].iter().rev().fold(0usize, |v, b| v << 8 | usize::from(*b))
    };
    if elf.len() < 64 || &elf[..4] != b"\x7fELF" {
        return true;
    }
    let (table, size, count) = (word(32, 8), word(54, 2), word(56, 2));
    (0..count).any(|i| word(table + i * size, 4) == 3)
}

/// A folder of its own, a rootfs in it, and the state of the host before the test.
pub struct Sandbox {
    pub dir: PathBuf,
    before: Host,
    _guard: MutexGuard<'static, ()>,
}

impl Sandbox {
    /// With a rootfs that holds busybox and its applets. None (and a skip): no busybox.
    pub fn new() -> Option<Sandbox> {
        let busybox = busybox()?;
        let sandbox = Sandbox::empty();
        sandbox.add_busybox(&busybox);
        Some(sandbox)
    }

    /// With an empty rootfs.
    pub fn empty() -> Sandbox {
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
        adopt_orphans();
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("lt-{}-{n}", std::process::id()));
        std::fs::create_dir_all(dir.join("rootfs")).unwrap();
        Sandbox { dir, before: Host::now(), _guard: guard }
    }

    fn add_busybox(&self, busybox: &Path) {
        let bin = self.rootfs().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::copy(busybox, bin.join("busybox")).unwrap();
        let list = Command::new(busybox).arg("--list").output().unwrap();
        for applet in String::from_utf8(list.stdout).unwrap().lines() {
            let _ = std::os::unix::fs::symlink("busybox", bin.join(applet));
        }
    }

    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// Another rootfs like the sandbox's, beside it.
    pub fn copy(&self, name: &str) -> PathBuf {
        let to = self.dir.join(name);
        let status = Command::new("cp").arg("-a").arg(self.rootfs()).arg(&to).status().unwrap();
        assert!(status.success());
        to
    }

    /// Writes a file of the rootfs, with the folders above it.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.rootfs().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        set_mode(&path, mode);
        path
    }

    /// `launch OPTIONS ROOTFS COMMAND`.
    pub fn run<S: AsRef<OsStr>>(&self, options: &[S], command: &[&str]) -> Run {
        Run::of(self.command(options, command))
    }

    pub fn command<S: AsRef<OsStr>>(&self, options: &[S], command: &[&str]) -> Command {
        let mut c = Command::new(launch());
        c.args(options).arg(self.rootfs()).args(command);
        c.stdin(Stdio::null());
        c
    }

    /// The same as an ordinary user (`USER`, or whoever we are where we are not root), who
    /// need not be able to reach the build directory, nor own the rootfs.
    pub fn as_user<S: AsRef<OsStr>>(&self, options: &[S], command: &[&str]) -> Command {
        if !is_root() {
            return self.command(options, command);
        }
        let program = self.dir.join("launch");
        if !program.exists() {
            std::fs::copy(launch(), &program).unwrap();
            self.give_to(USER, USER);
        }
        let mut c = Command::new(program);
        c.args(options).arg(self.rootfs()).args(command);
        c.stdin(Stdio::null()).current_dir("/");
        as_user(&mut c, USER, USER);
        c
    }

    pub fn canary(&self) -> Canary {
        let dir = self.dir.join("canary");
        std::fs::create_dir_all(&dir).unwrap();
        Canary(dir)
    }

    /// A symbolic link of the rootfs, in place of what was there.
    pub fn link(&self, path: &str, target: impl AsRef<Path>) {
        let path = self.rootfs().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// A shell script inside.
    pub fn sh<S: AsRef<OsStr>>(&self, options: &[S], script: &str) -> Run {
        self.run(options, &["sh", "-c", script])
    }

    /// The host is as it was before. Called at the end of every test by drop, too.
    pub fn check_leaks(&self) {
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let left = self.before.difference(&Host::now());
            if left.iter().all(|(kind, what)| belongs_to_another(kind, what)) {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {left:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Opens everything to another user, for rootless tests.
    pub fn give_to(&self, uid: u32, gid: u32) {
        chown_tree(&self.dir, uid, gid);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let left = std::thread::panicking();
        if !left {
            self.check_leaks();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn chown_tree(path: &Path, uid: u32, gid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).unwrap() {
            chown_tree(&entry.unwrap().path(), uid, gid);
        }
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Orphans of a container become children of this process, and are seen.
fn adopt_orphans() {
    let me = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(me)).unwrap();
}

/// What one call of the launcher gave.
#[derive(Debug)]
pub struct Run {
    /// 128 + n where the launcher itself was killed by a signal.
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Nothing a test starts may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

impl Run {
    #[track_caller]
    pub fn of(command: Command) -> Run {
        Run::within(PATIENCE, command)
    }

    /// Fails when it takes longer: a hang.
    #[track_caller]
    pub fn within(patience: Duration, mut command: Command) -> Run {
        command.env_remove("RUST_BACKTRACE").stdout(Stdio::piped()).stderr(Stdio::piped());
        Run::from(finish(patience, command.spawn().unwrap()))
    }

    pub fn from(output: Output) -> Run {
        let code = status_code(output.status);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        // What the machine's older kernel cannot do is not what any test is about.
        const OLDER: &str = "launch: warning: --landlock: this kernel's does not restrict";
        let vm = std::env::var_os("LAUNCH_VM").is_some();
        let err = text(output.stderr);
        let lines = err.split_inclusive('\n').filter(|l| !vm || !l.starts_with(OLDER));
        Run { code, out: text(output.stdout), err: lines.collect() }
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Run {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Exit 0 and nothing on standard error; gives standard output without its last newline.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self:#?}");
        self.out.trim_end_matches('\n').to_owned()
    }

    /// Fails with this code, one line `launch: ...` that has all of these words.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Run {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(self.err.starts_with("launch: "), "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in {self:#?}");
        }
        self
    }
}

pub fn status_code(status: std::process::ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// The end of a child, with what it wrote; it is killed when its time is up.
#[track_caller]
pub fn finish(patience: Duration, child: Child) -> Output {
    let pid = pid_of(&child);
    let (sender, receiver) = mpsc::channel();
    let waiter = std::thread::spawn(move || sender.send(child.wait_with_output()));
    let result = receiver.recv_timeout(patience);
    if result.is_err() {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    let output = result.expect("a hang: no end in time").unwrap();
    let _ = waiter.join();
    output
}

pub fn pid_of(child: &Child) -> rustix::process::Pid {
    rustix::process::Pid::from_child(child)
}

/// An ordinary user to become: one without subordinate ids.
pub const USER: u32 = 54321;

pub fn as_user(command: &mut Command, uid: u32, gid: u32) -> &mut Command {
    command.uid(uid).gid(gid).env_remove("XDG_RUNTIME_DIR").env("HOME", "/")
}

/// A directory on the host that nothing inside may reach.
pub struct Canary(PathBuf);

impl Canary {
    pub fn path(&self) -> &Path {
        &self.0
    }

    #[track_caller]
    pub fn check(&self) {
        let found = snapshot(&self.0);
        assert!(found.len() == 1, "reached from inside: {found:#?}");
    }
}

/// Waits until `done`, at most ten seconds.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

//! Harness: a rootfs, the launcher run in it, and a look at what stayed behind.
//!
//! Containers are real; nothing is mocked. Tests that hold a `Sandbox` run one at a
//! time, so that whatever is left over belongs to the one that left it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The launcher under test; LAUNCH_BIN names another one (inside a virtual machine).
pub fn launch() -> PathBuf {
    std::env::var_os("LAUNCH_BIN").map_or_else(|| env!("CARGO_BIN_EXE_launch").into(), PathBuf::from)
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

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn need_root() -> Option<()> {
    need(is_root().then_some(()), "needs root")
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

    /// A shell script inside.
    pub fn sh<S: AsRef<OsStr>>(&self, options: &[S], script: &str) -> Run {
        self.run(options, &["sh", "-c", script])
    }

    /// The host is as it was before. Called at the end of every test by drop, too.
    pub fn check_leaks(&self) {
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let left = self.before.difference(&Host::now());
            if left.is_empty() {
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

/// What a container could leave behind.
#[derive(Debug)]
struct Host {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<String>,
    records: BTreeSet<String>,
    children: BTreeSet<String>,
    links: BTreeSet<String>,
}

impl Host {
    fn now() -> Host {
        let lines = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        Host {
            mounts: lines("/proc/self/mountinfo").lines().map(str::to_owned).collect(),
            cgroups: cgroups(),
            records: records(),
            children: children(),
            links: lines("/proc/net/dev").lines().filter_map(|l| l.split_once(':')).map(|(n, _)| n.trim().to_owned()).collect(),
        }
    }

    fn difference(&self, after: &Host) -> Vec<String> {
        let pairs = [
            ("mount", &self.mounts, &after.mounts),
            ("cgroup", &self.cgroups, &after.cgroups),
            ("record", &self.records, &after.records),
            ("process", &self.children, &after.children),
            ("network link", &self.links, &after.links),
        ];
        let mut out = Vec::new();
        for (kind, before, after) in pairs {
            out.extend(after.difference(before).map(|x| format!("{kind} {x}")));
            // Mounts must not vanish, either.
            if kind == "mount" {
                out.extend(before.difference(after).map(|x| format!("lost {kind} {x}")));
            }
        }
        out
    }
}

fn cgroups() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let info = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in info.lines().filter(|l| l.contains(" - cgroup")) {
        if let Some(point) = line.split(' ').nth(4) {
            walk_cgroups(Path::new(point), 6, &mut found);
        }
    }
    found
}

fn walk_cgroups(dir: &Path, depth: u32, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with("launch-") {
            found.insert(path.display().to_string());
        } else if depth > 0 {
            walk_cgroups(&path, depth - 1, found);
        }
    }
}

fn records() -> BTreeSet<String> {
    let uid = rustix::process::geteuid().as_raw();
    let mut dirs = vec![PathBuf::from("/run/launch"), format!("/tmp/launch-{uid}").into()];
    dirs.extend(std::env::var_os("XDG_RUNTIME_DIR").map(|d| Path::new(&d).join("launch")));
    dirs.iter()
        .filter_map(|d| std::fs::read_dir(d).ok())
        .flat_map(|entries| entries.flatten())
        .map(|e| e.path().display().to_string())
        .collect()
}

/// Children of this process, adopted ones included, whatever thread made them.
fn children() -> BTreeSet<String> {
    let me = std::process::id();
    let mut found = BTreeSet::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return found };
    for entry in entries.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((name, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let state = fields.next().unwrap_or_default();
        if fields.next().and_then(|p| p.parse().ok()) != Some(me) {
            continue;
        }
        if state == "Z" {
            // An orphan that ended well; nobody else will take its status.
            let _ = rustix::process::waitpid(
                rustix::process::Pid::from_raw(pid as i32),
                rustix::process::WaitOptions::NOHANG,
            );
        } else {
            found.insert(name.to_owned());
        }
    }
    found
}

/// What one call of the launcher gave.
#[derive(Debug)]
pub struct Run {
    /// 128 + n where the launcher itself was killed by a signal.
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    pub fn of(mut command: Command) -> Run {
        command.env_remove("RUST_BACKTRACE");
        Run::from(command.output().unwrap())
    }

    pub fn from(output: Output) -> Run {
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap());
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Run { code, out: text(output.stdout), err: text(output.stderr) }
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

/// An ordinary user to become: one without subordinate ids.
pub fn as_user(command: &mut Command, uid: u32, gid: u32) -> &mut Command {
    command.uid(uid).gid(gid).env_remove("XDG_RUNTIME_DIR").env("HOME", "/")
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

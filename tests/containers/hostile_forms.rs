//! Every place in an image that a start touches, as everything it can be: the host's files
//! stay as they are, and so do the image's.

use crate::common::*;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

const NONE: &[&str] = &[];
const PLACES: [&str; 16] = [
    "/proc",
    "/sys",
    "/dev",
    "/dev/pts",
    "/dev/shm",
    "/dev/mqueue",
    "/dev/console",
    "/dev/ptmx",
    "/dev/null",
    "/sbin",
    "/sbin/init",
    "/init",
    "/etc",
    "/etc/passwd",
    "/run",
    "/tmp",
];

/// What stands at `path` of the rootfs; canary is a directory of the host's.
fn put(s: &Sandbox, path: &str, form: usize, canary: &Path) {
    let at = s.rootfs().join(&path[1..]);
    let _ = std::fs::remove_dir_all(&at);
    let _ = std::fs::remove_file(&at);
    let outside = canary.display().to_string();
    match form {
        0 => s.link(path, &outside),
        1 => s.link(path, format!("../../../../../../../../..{outside}")),
        2 => s.link(path, format!("/..{outside}/new")),
        3 => s.link(path, "/proc/self/root"),
        4 => s.link(path, "nowhere/at/all"),
        5 => s.link(path, at.file_name().unwrap()),
        6 => drop(s.file(path, "image", 0o644)),
        _ => {
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            let fifo = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &at, fifo, 0o666.into(), 0).unwrap();
        }
    }
}

/// Every entry with type, mode, owner, and content of what can be read without waiting.
fn entries(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let m = std::fs::symlink_metadata(&path).unwrap();
        let content = match m.file_type() {
            t if t.is_symlink() => format!("{:?}", std::fs::read_link(&path).unwrap()),
            t if t.is_dir() => {
                todo.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
                String::new()
            }
            t if t.is_fifo() => String::new(),
            _ if m.len() < 100_000 => format!("{:?}", std::fs::read(&path).unwrap()),
            _ => format!("{} {}", m.len(), m.mtime()),
        };
        found.insert(path, format!("{:o} {}:{} {content}", m.mode(), m.uid(), m.gid()));
    }
    found
}

/// All that was there is as it was; what is new are directories to mount on.
#[track_caller]
fn unchanged(before: &BTreeMap<PathBuf, String>, s: &Sandbox, what: &str) {
    let after = entries(&s.rootfs());
    for (path, state) in before {
        assert_eq!(after.get(path), Some(state), "{what}: {}", path.display());
    }
    for path in after.keys().filter(|p| !before.contains_key(*p)) {
        let name = path.strip_prefix(s.rootfs()).unwrap();
        let points =
            ["proc", "sys", "dev", "run", "tmp", "nowhere", "nowhere/at", "nowhere/at/all"];
        // What the command itself wrote, by a link to the root.
        let inside = canary_inside(s, name) || name == Path::new("x");
        assert!(
            (path.is_dir() || name == Path::new("x"))
                && (points.iter().any(|p| name == Path::new(p)) || inside),
            "{what}: {}",
            path.display()
        );
    }
}

/// A link to the host's canary leads to a directory of that name inside.
fn canary_inside(s: &Sandbox, name: &Path) -> bool {
    s.canary().path().strip_prefix("/").unwrap().starts_with(name)
}

#[test]
fn whatever_stands_where_a_start_mounts_or_looks() {
    let Some(busybox) = busybox() else { return };
    let s = Sandbox::empty();
    std::fs::create_dir(s.rootfs().join("bin")).unwrap();
    std::fs::copy(busybox, s.rootfs().join("bin/sh")).unwrap();
    let canary = s.canary();
    let pristine = s.copy("pristine");
    let user = Run::of(s.as_user(NONE, &["sh", "-c", ""])).code == 0;
    let mut ran = 0;
    for place in PLACES {
        // Emulated, all of them would take minutes.
        let step = if rounds(5) == 5 { 1 } else { 4 };
        for form in (0..8).step_by(step) {
            let what = format!("{place} as {form}");
            put(&s, place, form, canary.path());
            let before = entries(&s.rootfs());
            let mut ways = vec![(false, NONE), (false, &["--ephemeral", "-t", "-u", "root"][..])];
            if is_root() {
                ways.push((false, &["--userns=auto", "--read-only", "--no-init"]));
            }
            if user {
                ways.push((true, NONE));
            }
            for (user, options) in ways {
                let what = format!("{what} {options:?}");
                let script = "echo x >/dev/null; echo x >/tmp/x; echo x >/run/x; exit 0";
                let call = ["sh", "-c", script];
                let run = Run::of(if user {
                    s.as_user(options, &call)
                } else {
                    s.command(options, &call)
                });
                match run.code {
                    0 => ran += 1,
                    // On the way to sh: /sbin that leads to itself.
                    126 => drop(run.fails(126, &["(ELOOP)"])),
                    _ => drop(run.fails(125, &["launch: "])),
                }
                canary.check();
                unchanged(&before, &s, &what);
            }
            std::fs::remove_dir_all(s.rootfs()).unwrap();
            let status =
                std::process::Command::new("cp").arg("-a").arg(&pristine).arg(s.rootfs()).status();
            assert!(status.unwrap().success());
        }
    }
    assert!(ran > PLACES.len() * 2, "{ran}: most of these are harmless");
}

/// Devices and privileged programs that the image brings do not work.
#[test]
fn devices_and_set_user_id_programs_of_the_image() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let disk = s.rootfs().join("disk");
    let device = rustix::fs::makedev(1, 5);
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, &disk, kind, 0o666.into(), device).unwrap();
    std::fs::copy(s.rootfs().join("bin/busybox"), s.rootfs().join("busybox.su")).unwrap();
    set_mode(&s.rootfs().join("busybox.su"), 0o4755);
    let mapped = s.run(&["--userns=auto"], &["true"]).code == 0;
    for options in [
        NONE,
        &["--ephemeral"],
        &["--userns=auto"],
        &["--userns=auto", "--ephemeral"],
        &["--cap-add", "mknod"],
    ] {
        if options.contains(&"--userns=auto") && !mapped {
            continue;
        }
        let run = s.sh(options, "head -c1 /disk");
        assert!(run.code == 1 && run.err.contains("Permission denied"), "{options:?} {run:#?}");
        let all: Vec<&str> = options.iter().copied().chain(["-u", "1000:1000"]).collect();
        assert_eq!(
            s.run(&all, &["/busybox.su", "sh", "-c", "grep -E ^Uid /proc/self/status"]).ok(),
            "Uid:\t1000\t1000\t1000\t1000",
            "{options:?}"
        );
    }
}

/// Abstract sockets can be reached by whoever shares the network (CVE-2020-15257).
#[test]
fn no_abstract_sockets_of_ours() {
    let Some(s) = Sandbox::new() else { return };
    let names = |text: &str| -> Vec<String> {
        let names = text.lines().filter_map(|l| l.split_whitespace().nth(7));
        names.filter(|n| n.starts_with('@')).map(str::to_owned).collect()
    };
    let before = names(&std::fs::read_to_string("/proc/net/unix").unwrap());
    let inside = s.run(&["--net", "host", "-t"], &["cat", "/proc/net/unix"]).ok();
    let new: Vec<String> = names(&inside).into_iter().filter(|n| !before.contains(n)).collect();
    assert!(inside.contains("Inode") && new.is_empty(), "{new:?}");
}

/// A volume by a link to /proc would hide what is hidden there (CVE-2019-16884).
#[test]
fn nothing_goes_over_proc_by_a_link_either() {
    let Some(s) = Sandbox::new() else { return };
    let dir = s.dir.join("vol");
    std::fs::create_dir_all(dir.join("self/attr")).unwrap();
    std::fs::write(dir.join("self/attr/exec"), "fake").unwrap();
    let volume = format!("{}:/way", dir.display());
    let file = format!("{}/self/attr/exec:/way", dir.display());
    for target in ["/proc", "proc/sys", "/proc/self", "../proc/1", "/dev/fd", "/proc/self/attr"] {
        s.link("/way", target);
        let run = s.run(&["-v", &volume], &["true"]);
        run.fails(
            125,
            &["launch: volume ", " on /way: leads into /proc, over which nothing can be mounted\n"],
        );
        let run = s.run(&["--tmpfs", "/way"], &["true"]);
        run.fails(125, &["launch: mount tmpfs on /way: leads into /proc"]);
    }
    s.link("/way", "/proc/self/status");
    s.run(&["-v", &file], &["true"]).fails(125, &[" on /way: leads into /proc"]);
    s.link("/way", "/proc/self/cwd/x");
    let run = s.run(&["-v", &volume], &["true"]);
    assert!(run.code == 0 || run.code == 125, "{run:#?}");
}

/// Ends what goes on beside the starts, however they end.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// CVE-2021-30465: places of the image are exchanged with links while 1,000 containers start.
#[test]
fn a_thousand_starts_while_places_are_exchanged() {
    let Some(s) = Sandbox::new() else { return };
    let canary = s.canary();
    let source = s.dir.join("vol");
    std::fs::create_dir(&source).unwrap();
    s.file("/true", tiny_elf(0), 0o755);
    std::fs::create_dir_all(s.rootfs().join("a/b")).unwrap();
    for (dir, link) in
        [("a", "a.link"), ("proc", "proc.link"), ("dev", "dev.link"), ("tmp", "tmp.link")]
    {
        std::fs::create_dir_all(s.rootfs().join(dir)).unwrap();
        s.link(&format!("/{link}"), format!("/../../../../..{}", canary.path().display()));
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let (volume, deep) =
        (format!("{}:/a/b", source.display()), format!("{}:/a/b/c/d", source.display()));
    let (stop, ran, swaps) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let root = s.rootfs();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for name in ["a", "proc", "a", "dev", "a", "tmp"] {
                    let (one, other) = (root.join(name), root.join(format!("{name}.link")));
                    let (cwd, exchange) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                    rustix::fs::renameat_with(cwd, &one, cwd, &other, exchange).unwrap();
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(std::time::Duration::from_micros(50));
            }
        });
        let starts = [(); 4].map(|()| {
            scope.spawn(|| {
                for n in 0..rounds(250) {
                    let mut options =
                        vec!["-v", if n % 2 == 0 { &volume } else { &deep }, "--tmpfs", "/a/t"];
                    options.extend((n % 3 == 0).then_some("--no-init"));
                    let run = s.run(&options, &["/true"]);
                    assert!(run.code == 0 || run.code == 125, "{run:#?}");
                    ran.fetch_add(u32::from(run.code == 0), Ordering::Relaxed);
                    canary.check();
                }
            })
        });
        let _stop = Stop(&stop);
        let ends = starts.map(|s| s.join());
        assert!(ends.iter().all(Result::is_ok));
    });
    let (ran, swaps) = (ran.into_inner(), swaps.into_inner());
    assert!(ran > 0 && swaps > rounds(1000), "{ran} starts, {swaps} exchanges");
    assert_eq!(mounts, std::fs::read_to_string("/proc/self/mountinfo").unwrap());
}

/// What is read-only or hidden of /proc is so, however /proc is exchanged during the start,
/// here slow enough to be met at every mount.
#[test]
fn proc_is_protected_or_there_is_no_container() {
    let Some(()) = need_root() else { return };
    let strace = std::process::Command::new("strace").arg("-V").output().is_ok();
    let Some(()) = need(strace.then_some(()), "needs strace") else { return };
    let Some(s) = Sandbox::new() else { return };
    for dir in ["proc", "decoy"] {
        std::fs::create_dir_all(s.rootfs().join(dir)).unwrap();
    }
    let (one, other) = (s.rootfs().join("proc"), s.rootfs().join("decoy"));
    let (stop, pause) = (AtomicBool::new(false), AtomicU64::new(7));
    // Whichever of the two is procfs, and stays so; opening for writing changes nothing.
    let script = "for p in /proc /decoy; do cd $p && [ -e 1/status ] && { for f in sys/kernel/core_pattern sysrq-trigger; do (: >>$f) 2>/dev/null && echo open $f; done; cat keys; }; done; exit 0";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (cwd, exchange) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                rustix::fs::renameat_with(cwd, &one, cwd, &other, exchange).unwrap();
                std::thread::sleep(Duration::from_millis(pause.load(Ordering::Relaxed)));
            }
        });
        let _stop = Stop(&stop);
        let (mut ran, mut round) = (0, 0);
        while round < rounds(30) || ran == 0 && round < 100 {
            // On a busy machine a start is exchanged too often to succeed: less often, then.
            pause.store(7 + u64::from(if ran == 0 { round } else { 0 }) * 3, Ordering::Relaxed);
            round += 1;
            let mut c = std::process::Command::new("strace");
            c.args([
                "-f",
                "-o",
                "/dev/null",
                "-e",
                "trace=mount",
                "-e",
                "inject=mount:delay_exit=4000",
            ]);
            c.arg(launch()).arg(s.rootfs()).args(["sh", "-c", script]);
            let run = Run::of(c);
            assert!((run.code == 0 || run.code == 125) && run.out.is_empty(), "{run:#?}");
            ran += u32::from(run.code == 0);
        }
        assert!(ran > 0);
    });
}

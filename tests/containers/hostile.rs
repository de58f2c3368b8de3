//! Root file systems that are made to reach the host, and how they fail.

use crate::common::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NONE: &[&str] = &[];

/// Ways to write the host's `path` in a symlink of the rootfs: plain, and climbing.
fn ways_out(path: &Path) -> [String; 3] {
    let path = path.display();
    [format!("{path}"), format!("/..{path}"), format!("../../../../../../../../../../..{path}")]
}

#[test]
fn proc_sys_and_dev_must_be_directories() {
    let Some(s) = Sandbox::new() else { return };
    let canary = s.canary();
    let outside = canary.path().display().to_string();
    for name in ["/proc", "/sys", "/dev"] {
        for target in [outside.as_str(), "nowhere", "bin", "/bin"] {
            s.link(name, target);
            for options in [NONE, &["--no-init"], &["--ephemeral"], &["--read-only"]] {
                let words = [format!(
                    ": {name} is a symlink\nhint: {name} must be an ordinary directory, or absent\n"
                )];
                s.run(options, &["true"]).fails(125, &[&words[0]]);
            }
        }
        std::fs::remove_file(s.rootfs().join(&name[1..])).unwrap();
        s.file(name, "x", 0o644);
        s.run(NONE, &["true"]).fails(125, &[&format!(": {name} is not a directory\n")]);
        std::fs::remove_file(s.rootfs().join(&name[1..])).unwrap();
    }
    canary.check();
    let made = std::fs::read_dir(s.rootfs()).unwrap().count();
    assert_eq!(made, 1, "nothing was made");
}

#[test]
fn other_directories_of_the_image_may_be_links_and_lead_inside() {
    let Some(s) = Sandbox::new() else { return };
    let canary = s.canary();
    for name in ["/run", "/tmp", "/etc", "/sbin", "/init", "/root", "/var"] {
        for target in ways_out(canary.path()) {
            s.link(name, &target);
            for options in [NONE, &["--no-init"], &["--ephemeral"], &["-u", "root"]] {
                let run = s.sh(options, "echo x >/tmp/x; echo x >/run/x; echo x >/etc/x; exit 0");
                assert!(run.code == 0 || run.code == 125, "{name} {target}: {run:#?}");
                canary.check();
            }
        }
        std::fs::remove_file(s.rootfs().join(&name[1..])).unwrap();
    }
}

/// A directory of the host's with a file in it, to be a volume.
fn source(s: &Sandbox) -> PathBuf {
    let source = s.dir.join("vol");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "host").unwrap();
    source
}

/// Also while the old root is still stacked on the new one, where `/..` could lead into it.
#[test]
fn volume_targets_stay_inside_whatever_the_links_say() {
    let Some(s) = Sandbox::new() else { return };
    let canary = s.canary();
    source(&s);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for target in ways_out(canary.path()) {
        s.link("/way", &target);
        for (from, to) in [
            ("vol", "/way"),
            ("vol", "/way/deep/er"),
            ("vol/file", "/way/f"),
            ("vol/file", "/way/a/f"),
        ] {
            for options in [None, Some("--ephemeral"), Some("--no-init")] {
                let volume = format!("{}:{to}", s.dir.join(from).display());
                let mut all = vec!["-v", &volume];
                all.extend(options);
                let run = s.sh(&all, "find / -name file -size +0 -xdev | head -1; true");
                canary.check();
                assert!(run.code == 0 || run.code == 125, "{target} {to}: {run:#?}");
            }
        }
        for options in [NONE, &["--ephemeral"]] {
            let mut all = vec!["--tmpfs", "/way/mem"];
            all.extend(options);
            s.sh(&all, "echo x >/way/mem/x; true");
            canary.check();
        }
    }
    assert_eq!(mounts, std::fs::read_to_string("/proc/self/mountinfo").unwrap());
}

/// While places are made the process holds the old root, and procfs has a name for it.
#[test]
fn nor_through_what_procfs_has_names_for() {
    let Some(s) = Sandbox::new() else { return };
    let canary = s.canary();
    let source = source(&s);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let held = (3..14).map(|n| format!("/proc/self/fd/{n}"));
    let others = ["/dev/fd/4", "/proc/thread-self/fd/4", "/proc/self/root", "/proc/1/cwd"];
    let ways: Vec<String> = held.chain(others.map(str::to_owned)).collect();
    let at = |to: &str| format!("{}:{to}", source.display());
    let file = format!("{}:/way/f", source.join("file").display());
    let volumes = [at("/way/x"), at("/way/a/b"), file, at("/way/x:O")];
    let mut options: Vec<Vec<&str>> = volumes.iter().map(|v| vec!["-v", v]).collect();
    options.extend([vec!["--tmpfs", "/way/mem"], vec!["--device", "/dev/null:/way/null"]]);
    options.push(vec!["--ephemeral", "-v", &volumes[0]]);
    for way in ways {
        s.link("/way", format!("{way}{}", canary.path().display()));
        for options in &options {
            // Also with the older way to open it.
            for old in [false, true] {
                let mut c = s.command(options, &["true"]);
                if old {
                    filter::refuse(&mut c, &[filter::refuse_all(libc::SYS_openat2, libc::ENOSYS)]);
                }
                let run = Run::of(c);
                assert_eq!(run.code, 125, "{way} {options:?} {old}: {run:#?}");
                canary.check();
            }
        }
    }
    for name in ["/run", "/tmp"] {
        for n in 3..14 {
            s.link(name, format!("/proc/self/fd/{n}{}", canary.path().display()));
            s.run(NONE, &["true"]).fails(125, &["mount tmpfs on"]);
            canary.check();
        }
        std::fs::remove_file(s.rootfs().join(&name[1..])).unwrap();
    }
    assert_eq!(mounts, std::fs::read_to_string("/proc/self/mountinfo").unwrap());
}

#[test]
fn a_volume_through_a_link_is_found_there_inside() {
    let Some(s) = Sandbox::new() else { return };
    s.link("/way", "/real");
    std::fs::create_dir(s.rootfs().join("real")).unwrap();
    let source = source(&s);
    let volume = format!("{}:/way/in", source.display());
    assert_eq!(s.run(&["-v", &volume], &["cat", "/real/in/file"]).ok(), "host");
}

#[test]
fn programs_and_directories_by_links_are_those_inside() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/opt/launch-test/prog", "#!/bin/sh\necho inside", 0o755);
    for target in ways_out(Path::new("/opt/launch-test/prog")) {
        s.link("/app", &target);
        assert_eq!(s.run(NONE, &["/app"]).ok(), "inside", "{target}");
        assert_eq!(s.run(&["--no-init"], &["/app"]).ok(), "inside", "{target}");
    }
    // The host's directory of that name is there, the rootfs's is not.
    let only_outside = s.dir.join("vol");
    std::fs::create_dir(&only_outside).unwrap();
    for target in ways_out(&only_outside) {
        s.link("/wd", &target);
        s.run(&["-w", "/wd"], &["pwd"]).fails(125, &["launch: enter /wd: "]);
    }
}

#[test]
fn the_users_files_are_the_images_own() {
    let Some(s) = Sandbox::new() else { return };
    std::fs::write(s.dir.join("passwd"), "evil:x:0:0::/:\n").unwrap();
    for target in ways_out(&s.dir.join("passwd")) {
        s.link("/etc/passwd", &target);
        s.run(&["-u", "evil"], &["true"])
            .fails(125, &["launch: user 'evil': the rootfs has no /etc/passwd\n"]);
    }
}

#[test]
fn dangling_and_looping_targets_are_refused() {
    let Some(s) = Sandbox::new() else { return };
    let volume = format!("{}:/way", s.canary().path().display());
    for target in ["/none/at/all", "way"] {
        s.link("/way", target);
        s.run(&["-v", &volume], &["true"]).fails(125, &["launch: volume "]);
    }
    s.file("/etc/file", "x", 0o644);
    let below = format!("{}:/etc/file/x", s.canary().path().display());
    s.run(&["-v", &below], &["true"]).fails(125, &["launch: volume ", "Not a directory (ENOTDIR)"]);
}

/// CVE-2021-30465: the target is exchanged with a link while containers start.
#[test]
fn targets_exchanged_during_the_start_never_lead_out() {
    let Some(s) = Sandbox::new() else { return };
    let canary = s.canary();
    let source = s.dir.join("vol");
    std::fs::create_dir(&source).unwrap();
    std::fs::create_dir_all(s.rootfs().join("a/b")).unwrap();
    s.link("/x", format!("/../../../../..{}", canary.path().display()));
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, root) = (stop.clone(), s.rootfs());
    let swapper = std::thread::spawn(move || {
        let (a, x) = (root.join("a"), root.join("x"));
        let mut count = 0u32;
        while !flag.load(Ordering::Relaxed) {
            let cwd = rustix::fs::CWD;
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(cwd, &a, cwd, &x, exchange).unwrap();
            count += 1;
        }
        count
    });
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let (volume, deep) =
        (format!("{}:/a/b", source.display()), format!("{}:/a/b/c/d", source.display()));
    let mut ran = 0;
    for n in 0..rounds(200) {
        let mut options = vec!["-v", if n % 2 == 0 { &volume } else { &deep }];
        options.extend(["--tmpfs", "/a/t"]);
        let run = s.sh(&options, "echo x >/a/t/x; echo x >/a/b/x; exit 0");
        assert!(run.code == 0 || run.code == 125, "{run:#?}");
        ran += u32::from(run.code == 0);
        canary.check();
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    assert!(ran > 0 && swaps > rounds(1000), "{ran} starts, {swaps} exchanges");
    assert_eq!(mounts, std::fs::read_to_string("/proc/self/mountinfo").unwrap());
}

#[test]
fn device_links_in_the_image_are_covered() {
    let Some(s) = Sandbox::new() else { return };
    let canary = s.canary();
    for name in ["null", "console", "ptmx", "pts", "shm", "tty", "fd", "mqueue"] {
        s.link(&format!("/dev/{name}"), canary.path());
    }
    let out = s.sh(NONE, "stat -c %t:%T /dev/null; echo x >/dev/null; readlink /dev/ptmx; test -d /dev/pts && echo pts").ok();
    assert_eq!(out, "1:3\npts/ptmx\npts");
    s.run(&["-t"], &["true"]).expect(0);
    canary.check();
}

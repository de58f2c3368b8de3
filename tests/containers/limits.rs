//! Limits: visible inside, enforced by the kernel, told to the user, gone at the end.
//! The same on cgroup v1, on v2 and where some controllers are on each.

use crate::common::*;
use crate::living::{started, verb};
use std::process::Command;
use std::time::{Duration, Instant};

const NONE: &[&str] = &[];
const HOG: [&str; 5] = ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"];

/// A sandbox where limits can be set: as root, or as a user with a delegated cgroup.
fn limited() -> Option<Sandbox> {
    let s = Sandbox::new()?;
    let run = s.run(&["--mem", "50M", "--explain"], &["true"]);
    need((run.err.is_empty() && run.code == 0).then_some(()), "needs cgroups that we may use")?;
    Some(s)
}

/// A script line that prints a file of the container's own cgroup.
fn show(v1: &str, v2: &str) -> String {
    format!("cd /sys/fs/cgroup; cat {v1} 2>/dev/null || cat {v2}")
}

fn is_v2() -> bool {
    !std::fs::read_to_string("/proc/mounts").unwrap().contains(" cgroup rw")
}

#[test]
fn memory_is_visible_inside_with_no_swap() {
    let Some(s) = limited() else { return };
    for init in [None, Some("--no-init")] {
        let mut options = vec!["--mem", "200M"];
        options.extend(init);
        let line = show("memory/memory.limit_in_bytes", "memory.max");
        assert_eq!(s.sh(&options, &line).ok(), "209715200");
        let line = show("memory/memory.memsw.limit_in_bytes", "memory.swap.max");
        assert_eq!(s.sh(&options, &line).ok(), if is_v2() { "0" } else { "209715200" });
    }
    for size in ["-m1G", "--memory=1024m", "--mem=1048576k"] {
        let line = show("memory/memory.limit_in_bytes", "memory.max");
        assert_eq!(s.sh(&[size], &line).ok(), "1073741824");
    }
}

#[test]
fn swap_is_what_was_asked_for() {
    let Some(s) = limited() else { return };
    let line = show("memory/memory.memsw.limit_in_bytes", "memory.swap.max");
    let out = s.sh(&["--mem", "100M", "--memory-swap", "150M"], &line).ok();
    assert_eq!(out, if is_v2() { "52428800" } else { "157286400" });
    let out = s.sh(&["--mem", "100M", "--memory-swap", "-1"], &line).ok();
    assert!(out == "max" || out.len() > 15, "{out}");
}

#[test]
fn a_hog_is_killed_and_the_user_is_told() {
    let Some(s) = limited() else { return };
    for init in [&["--mem", "20M"][..], &["--mem", "20M", "--no-init"]] {
        let run = s.run(init, &HOG).expect(137);
        let first = run.err.lines().next().unwrap();
        let peak = first.strip_prefix("launch: killed: out of memory (limit 20M");
        let peak = peak.unwrap_or_else(|| panic!("{run:#?}"));
        assert!(
            peak == ")" || peak.starts_with(", peak 20M)") || peak.starts_with(", peak 19."),
            "{run:#?}"
        );
        assert!(run.err.ends_with("hint: raise the limit with --mem\n"), "{run:#?}");
        assert_eq!(run.err.lines().count(), 2);
    }
}

#[test]
fn a_hog_that_is_a_child_is_a_warning() {
    let Some(s) = limited() else { return };
    let script = format!("{}; echo went on $?; exit 3", HOG.join(" "));
    let run = s.sh(&["--mem", "20M"], &script).expect(3);
    assert_eq!(run.out, "went on 137\n");
    assert!(
        run.err.contains("launch: warning: a process was killed: out of memory (limit 20M"),
        "{run:#?}"
    );
}

#[test]
fn without_a_kill_nothing_is_said() {
    let Some(s) = limited() else { return };
    s.sh(&["--mem", "50M"], "kill -9 $$").expect(137).err.is_empty().then_some(()).expect("silent");
    let fits = ["dd", "if=/dev/zero", "of=/dev/null", "bs=10M", "count=1", "status=none"];
    assert_eq!(
        s.run(&["--mem", "50M"], &fits)
            .expect(0)
            .err
            .lines()
            .filter(|l| l.starts_with("launch"))
            .count(),
        0
    );
}

#[test]
fn files_in_memory_count() {
    let Some(s) = limited() else { return };
    let run =
        s.sh(&["--mem", "20M"], "exec dd if=/dev/zero of=/dev/shm/x bs=1M count=100 2>/dev/null");
    run.fails(137, &["launch: killed: out of memory (limit 20M"]);
}

#[test]
fn one_megabyte_is_enough_for_a_small_program() {
    let Some(s) = limited() else { return };
    s.file("/tiny", tiny_elf(42), 0o755);
    for options in [&["--mem", "1M"][..], &["--mem", "1M", "--no-init"]] {
        for _ in 0..5 {
            assert_eq!(s.run(options, &["/tiny"]).expect(42).err, "");
        }
    }
}

#[test]
fn processor_time() {
    let Some(s) = limited() else { return };
    let line = show("cpu*/cpu.cfs_quota_us", "cpu.max");
    let v2 = is_v2();
    assert_eq!(s.sh(&["--cpus", "0.5"], &line).ok(), if v2 { "50000 100000" } else { "50000" });
    assert_eq!(s.sh(&["--cpus", "2"], &line).ok(), if v2 { "200000 100000" } else { "200000" });
    // A fifth of a processor: one second of time takes about five.
    let burn = "i=0; while [ $i -lt 1000000000 ]; do i=$((i+1)); done";
    let mut c =
        s.command(&["--cpus", "0.2", "--stop-timeout", "0"], &["timeout", "2", "sh", "-c", burn]);
    c.stdout(std::process::Stdio::null());
    let before = cpu_seconds();
    Run::of(c).expect(143);
    let used = cpu_seconds() - before;
    assert!(used < 1.0, "{used} s of 2");
}

/// User and system time of children that have ended.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap()) / 100.0
}

#[test]
fn shares_and_weight_are_the_same_thing() {
    let Some(s) = limited() else { return };
    let line = show("cpu*/cpu.shares", "cpu.weight");
    let shown = |options: &[&str]| s.sh(options, &line).ok();
    if is_v2() {
        assert_eq!(shown(&["--cpu-weight", "200"]), "200");
        assert_eq!(shown(&["--cpu-shares", "1024"]), "100");
        assert_eq!(shown(&["-c", "512"]), "59");
    } else {
        assert_eq!(shown(&["--cpu-shares", "512"]), "512");
        assert_eq!(shown(&["-c", "2"]), "2");
        assert_eq!(shown(&["--cpu-weight", "100"]), "1024");
    }
}

#[test]
fn only_the_processors_named() {
    let Some(s) = limited() else { return };
    let script = "grep Cpus_allowed_list /proc/self/status | cut -f2; grep -c ^processor /proc/cpuinfo >/dev/null; nproc";
    assert_eq!(s.sh(&["--cpuset-cpus", "0"], script).ok(), "0\n1");
}

#[test]
fn a_fork_bomb_is_held_and_everything_of_it_goes() {
    let Some(s) = limited() else { return };
    let script = "b() { b | b & }; b 2>/dev/null
        (while :; do sleep 1000 & done) 2>/dev/null; cd /sys/fs/cgroup
        read n <pids/pids.current 2>/dev/null || read n <pids.current
        read m <pids/pids.max 2>/dev/null || read m <pids.max
        read e <pids/pids.events 2>/dev/null || read e <pids.events
        echo $n $m $e; exit 5";
    for init in [&["--pids-limit", "64"][..], &["--pids-limit", "64", "--no-init"]] {
        let start = Instant::now();
        let run = s.sh(init, script).expect(5);
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
        let words: Vec<&str> = run.out.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u32>().unwrap();
        assert!((1..=64).contains(&number(0)) && words[1] == "64", "{run:#?}");
        // How often one more was refused.
        assert!(words[2] == "max" && number(3) > 0, "{run:#?}");
        s.check_leaks();
    }
}

#[test]
fn all_limits_at_once() {
    let Some(s) = limited() else { return };
    let options = [
        "--mem",
        "64M",
        "--memory-swap",
        "80M",
        "--cpus",
        "1.5",
        "--cpu-shares",
        "300",
        "--pids-limit",
        "30",
        "--cpuset-cpus",
        "0",
    ];
    let line = format!(
        "({}); ({}); ({})",
        show("memory/memory.limit_in_bytes", "memory.max"),
        show("pids/pids.max", "pids.max"),
        show("cpuset/cpuset.cpus", "cpuset.cpus")
    );
    assert_eq!(s.sh(&options, &line).ok(), "67108864\n30\n0");
}

/// A node of any disk of the host's.
fn disk(s: &Sandbox) -> Option<String> {
    let disks = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let number = disks.filter_map(|d| std::fs::read_to_string(d.path().join("dev")).ok()).next();
    let number = need(number, "needs a disk")?;
    let (major, minor) = number.trim().split_once(':').unwrap();
    let node = s.dir.join("disk");
    let mut mknod = Command::new("mknod");
    assert!(mknod.arg(&node).args(["b", major, minor]).status().unwrap().success());
    Some(node.display().to_string())
}

#[test]
fn what_passes_to_a_disk_and_what_memory_others_take_last() {
    let Some(()) = need_root() else { return };
    let Some(s) = limited() else { return };
    let Some(disk) = disk(&s) else { return };
    let number = std::fs::metadata(&disk).unwrap();
    let number = std::os::unix::fs::MetadataExt::rdev(&number);
    let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let [bps, iops] = [format!("{disk}:1M"), format!("{disk}:100")];
    let options = ["--device-write-bps", "/x:9", "--memory-reservation", "10M"];
    s.run(&options, &["true"]).fails(125, &["launch: --device-write-bps /x:9: No such file"]);
    let options = ["--device-write-bps", &bps, "--device-read-iops", &iops];
    let v1 = ["write_bps", "read_iops"].map(|rate| format!("blkio/blkio.throttle.{rate}_device"));
    let out = s.sh(&options, &show(&v1.join(" "), "io.max")).ok();
    let want = match is_v2() {
        true => format!("{number} rbps=max wbps=1048576 riops=100 wiops=max"),
        false => format!("{number} 1048576\n{number} 100"),
    };
    assert_eq!(out, want);
    let line = show("memory/memory.soft_limit_in_bytes", "memory.low");
    assert_eq!(s.sh(&["--memory-reservation", "10M"], &line).ok(), "10485760");
    s.run(&["--device-write-iops", "/dev/null:5"], &["true"])
        .fails(125, &["launch: --device-write-iops /dev/null:5: not a block device\nhint: lsblk"]);
    let mut child = started(&s, "disk", &[], &["sleep", "60"]);
    verb(&["update", "--device-read-bps", &bps, "disk"]).expect(0);
    let facts: serde_json::Value = serde_json::from_str(&verb(&["inspect", "disk"]).ok()).unwrap();
    let cgroups = facts[0]["cgroups"].as_array().unwrap().iter();
    let files = cgroups.flat_map(|dir| {
        let dir = std::path::Path::new(dir.as_str().unwrap());
        ["blkio.throttle.read_bps_device", "io.max"].map(|file| dir.join(file))
    });
    let set: String = files.filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    assert!(set.starts_with(&number) && set.contains("1048576"), "{set}");
    verb(&["rm", "-f", "disk"]).expect(0);
    child.wait().unwrap();
}

#[test]
fn the_container_sees_its_own_cgroup_read_only_and_no_other() {
    let Some(s) = limited() else { return };
    let script = "cut -d: -f3 /proc/self/cgroup | sort -u
        grep -c ' /sys/fs/cgroup.* cgroup2* rw' /proc/mounts
        echo 1 2>/dev/null >/sys/fs/cgroup/memory/memory.limit_in_bytes || echo 1 2>/dev/null >/sys/fs/cgroup/memory.max || echo refused
        mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x 2>/dev/null && echo made
        ls -d /sys/fs/cgroup/launch-* /sys/fs/cgroup/*/launch-* 2>/dev/null; true";
    assert_eq!(s.sh(&["--mem", "50M"], script).ok(), "/\n0\nrefused");
    // Without a limit it is shown nothing of the host's.
    assert_eq!(s.sh(NONE, "ls /sys/fs/cgroup").ok(), "");
}

#[test]
fn what_cannot_be_set_is_refused_before_anything_is_made() {
    let Some(s) = limited() else { return };
    let before = snapshot(&s.rootfs());
    let text = "launch: --cpuset-cpus 4000: there is no processor 4000 to use\nhint: available: 0";
    s.run(&["--cpuset-cpus", "4000"], &["true"]).fails(125, &[text]);
    s.run(&["--mem", "50M", "--cpuset-cpus", "0,4000"], &["true"])
        .fails(125, &["no processor 4000"]);
    assert!(before == snapshot(&s.rootfs()));
}

/// A host whose cgroups cannot be used says so; nothing runs without the limit.
#[test]
fn a_host_without_usable_cgroups_is_an_error_for_root() {
    let Some(()) = need_root() else { return };
    let Some(s) = limited() else { return };
    let Ok(_) = Command::new("unshare").arg("--help").output() else {
        return skip("needs unshare");
    };
    let inside = |before: &str, options: &str| {
        let line = format!(
            "{before} && {} {options} {} echo ran",
            launch().display(),
            s.rootfs().display()
        );
        let mut c = Command::new("unshare");
        c.args(["-m", "/bin/sh", "-c", &line]);
        Run::of(c)
    };
    let read_only = "for m in $(grep -E ' cgroup2? ' /proc/mounts | cut -d' ' -f2); do mount -o remount,bind,ro $m || exit 9; done";
    inside(read_only, "--mem 50M")
        .fails(125, &["launch: --mem 50M: ", " is mounted read-only\nhint: "]);
    let hidden = "mount -t tmpfs hidden /sys/fs/cgroup";
    inside(hidden, "--mem 50M").fails(125, &["launch: --mem 50M: ", "\nhint: "]);
    // What only looks like cgroups: nothing is made or written there.
    let dir = s.dir.join("plain");
    let plain = format!(
        "for p in $(cut -d: -f3 /proc/self/cgroup | sort -u) / /..; do d={0}/p/$p; mkdir -p $d; for f in \
         cgroup.procs tasks cgroup.controllers cgroup.subtree_control release_agent; do : >$d/$f; done; done
        for m in $(grep -E ' cgroup2? ' /proc/mounts | cut -d' ' -f2); do mount --bind {0}/p $m || exit 9; done",
        dir.display()
    );
    let run = inside(&plain, "--mem 50M").fails(125, &["launch: --mem 50M: ", "\nhint: "]);
    assert!(!run.err.contains(": write ") && !run.err.contains(": make "), "{run:#?}");
    let gone =
        "for m in $(grep -E ' cgroup2? ' /proc/mounts | cut -d' ' -f2); do umount -l $m; done";
    inside(gone, "--pids-limit 50").fails(125, &["launch: --pids-limit 50: ", "\nhint: mount "]);
    for before in [read_only, hidden, gone, &plain] {
        assert_eq!(inside(before, "").ok(), "ran", "no limit, no cgroup needed");
    }
}

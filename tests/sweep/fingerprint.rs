//! The isolation as the payload sees it, one fact a line. The payload is this program.

use std::fmt::Write;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
/// Of /proc/PID/status.
const STATUS: [&str; 15] = [
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "NSpid",
    "SigBlk",
    "SigIgn",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
];
/// Opened for writing, never written to.
const WRITABLE: [&str; 12] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/swappiness",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/proc/1/exe",
    "/proc/1/oom_score_adj",
    "/sys/kernel/profiling",
    "/sys/kernel/mm/ksm/run",
    "/ro/file",
    "/rw/file",
];
/// What peers hide of /proc and /sys: kind, device, and whether a byte comes out.
const HIDDEN: [&str; 14] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/bus",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const LIMITS: [&str; 8] = [
    "memory/memory.limit_in_bytes",
    "memory/memory.memsw.limit_in_bytes",
    "pids/pids.max",
    "cpu/cpu.cfs_quota_us",
    "memory.max",
    "memory.swap.max",
    "pids.max",
    "cpu.max",
];

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| format!("{}\n", e.kind()))
}

fn link(path: &str) -> String {
    fs::read_link(path).map_or_else(|e| e.kind().to_string(), |p| p.display().to_string())
}

/// The names in a directory, sorted.
fn names(path: &str) -> Vec<String> {
    let list = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> = list.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// All facts, as text.
pub fn take() -> String {
    let mut out = String::new();
    processes(&mut out);
    files(&mut out);
    for (name, value) in std::env::vars() {
        let _ = writeln!(out, "env {name}={value}");
    }
    let cwd = std::env::current_dir().map(|p| p.display().to_string());
    let _ = writeln!(out, "cwd {}", cwd.unwrap_or_default());
    let host = rustix::system::uname();
    let _ = writeln!(out, "hostname {}", host.nodename().to_string_lossy());
    let session = rustix::process::getsid(None).map_or(-1, |p| p.as_raw_nonzero().get());
    let _ = writeln!(out, "session {session}");
    let tty = OpenOptions::new().read(true).open("/dev/tty");
    let _ = writeln!(out, "tty {}", tty.map_or_else(|e| e.to_string(), |_| "yes".into()));
    out
}

fn processes(out: &mut String) {
    for pid in ["self", "1"] {
        let status = read(&format!("/proc/{pid}/status"));
        for line in status.lines() {
            let name = line.split(':').next().unwrap_or_default();
            // The init may still be on the way to its own signals.
            if STATUS.contains(&name) && (pid == "self" || !name.starts_with("Sig")) {
                let _ = writeln!(out, "{pid} {line}");
            }
        }
        let _ = writeln!(out, "{pid} oom {}", read(&format!("/proc/{pid}/oom_score_adj")).trim());
        for name in NAMESPACES {
            let _ = writeln!(out, "{pid} ns {}", link(&format!("/proc/{pid}/ns/{name}")));
        }
        for line in read(&format!("/proc/{pid}/cgroup")).lines() {
            let _ = writeln!(out, "{pid} cgroup {line}");
        }
    }
    for map in ["uid_map", "gid_map", "setgroups", "limits"] {
        for line in read(&format!("/proc/self/{map}")).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let _ = writeln!(out, "{map} {}", words.join(" "));
        }
    }
    for fd in names("/proc/self/fd") {
        // The directory that is just being read is one, too.
        if let Ok(to) = fs::read_link(format!("/proc/self/fd/{fd}")) {
            let _ = writeln!(out, "fd {fd} {}", to.display());
        }
    }
    let _ = writeln!(
        out,
        "others {:?}",
        names("/proc").iter().filter(|n| n.parse::<u32>().is_ok()).count()
    );
}

fn files(out: &mut String) {
    for line in read("/proc/self/mountinfo").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        // Without the numbers of the mounts, and of the device.
        let line = words.get(3..).unwrap_or_default().join(" ");
        // A throw-away layer may be here or there.
        let line = line.replace("dir=/run/", "dir=DIR/").replace("dir=/tmp/", "dir=DIR/");
        let _ = writeln!(out, "mount {line}");
    }
    for path in WRITABLE {
        let opened = OpenOptions::new().append(true).open(path);
        let _ = writeln!(
            out,
            "write {path} {}",
            opened.map_or_else(|e| e.to_string(), |_| "yes".into())
        );
    }
    for path in HIDDEN {
        // Which keys there are is the host's affair, and changes.
        let state = if path == "/proc/keys" { kind(path) } else { state(path) };
        let _ = writeln!(out, "hidden {path} {state}");
    }
    for path in LIMITS {
        let _ = writeln!(out, "limit {path} {}", read(&format!("/sys/fs/cgroup/{path}")).trim());
    }
    for dir in ["/dev", "/", "/ro", "/rw"] {
        for name in names(dir) {
            let path = format!("{dir}/{name}");
            if let Ok(m) = fs::symlink_metadata(&path) {
                let (mode, device) = (m.mode(), m.rdev());
                let _ = writeln!(out, "file {path} {mode:o} {}:{} {device:x}", m.uid(), m.gid());
            }
        }
    }
    let _ = writeln!(out, "lo {}", read("/sys/class/net/lo/flags").trim());
    let _ = writeln!(out, "links {:?}", names("/sys/class/net"));
}

fn kind(path: &str) -> String {
    let device = fs::metadata(path).map(|m| m.file_type().is_char_device());
    device.map_or_else(|e| e.kind().to_string(), |d| if d { "device" } else { "file" }.into())
}

fn state(path: &str) -> String {
    use std::io::Read;
    let Ok(m) = fs::metadata(path) else { return "absent".into() };
    if m.is_dir() {
        return format!("directory of {}", names(path).len().min(1));
    }
    let kind = kind(path);
    // A pipe or /proc/kmsg would wait.
    let opened = rustix::fs::open(
        path,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK,
        rustix::fs::Mode::empty(),
    );
    let mut byte = [0];
    match opened.map(fs::File::from) {
        Err(e) => format!("{kind} {e}"),
        Ok(mut file) => match file.read(&mut byte) {
            Ok(n) => format!("{kind} {n}"),
            Err(e) => format!("{kind} {e}"),
        },
    }
}

/// What differs from one start to the next by its nature is made the same: names and
/// numbers; a namespace is the host's or not.
pub fn normal(text: &str, ignore: &[&str]) -> String {
    let host: Vec<String> =
        NAMESPACES.iter().map(|n| link(&format!("/proc/self/ns/{n}"))).collect();
    let mut out = String::new();
    for line in text.lines().filter(|l| !ignore.iter().any(|i| l.starts_with(i))) {
        let line = match line.split_once(" ns ") {
            Some((who, ns)) => {
                let kind = ns.split(':').next().unwrap_or_default();
                let whose = if host.iter().any(|h| h == ns) { "the host's" } else { "its own" };
                format!("{who} ns {kind} {whose}")
            }
            None => without_names(line),
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Eight hexadecimal digits as a word are a container's name; so is what we call them.
fn without_names(line: &str) -> String {
    let mut out = String::new();
    for part in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let hex = word.len() == 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
        out.push_str(if hex { "NAME" } else { word });
        out.push_str(&part[word.len()..]);
    }
    // The number of an anonymous file, a pipe.
    match (out.find(":["), out.rfind(']')) {
        (Some(at), Some(end)) if end > at => format!("{}N{}", &out[..at + 2], &out[end..]),
        _ => out,
    }
}

/// The lines in which they differ.
pub fn difference(a: &str, b: &str) -> Vec<String> {
    let (left, right): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let gone = left.iter().filter(|l| !right.contains(l)).map(|l| format!("- {l}"));
    let come = right.iter().filter(|l| !left.contains(l)).map(|l| format!("+ {l}"));
    gone.chain(come).collect()
}

//! Peers, given what comes closest to `launch --mem --pids-limit --cpus -v`.

use crate::common::Sandbox;
use crate::subjects::{Subject, own_name};
use std::io::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of Go's runtime: threads waiting for each other, and signals to them.
const GO: [libc::c_long; 9] = [
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_sched_yield,
    libc::SYS_epoll_pwait,
    libc::SYS_getpid,
];

fn config(s: &Sandbox, name: &str) -> serde_json::Value {
    let caps: Vec<String> = "CHOWN DAC_OVERRIDE FSETID FOWNER NET_RAW SETGID SETUID SETFCAP \
        SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
        .split_whitespace()
        .map(|c| format!("CAP_{c}"))
        .collect();
    let mount = |at: &str, kind: &str, options: &[&str]| serde_json::json!({ "destination": at, "type": kind, "source": kind, "options": options });
    let bind = |dir: &str, how: &str| {
        serde_json::json!({ "destination": format!("/{dir}"), "type": "bind",
            "source": s.dir.join(dir), "options": ["rbind", how] })
    };
    let namespaces = ["pid", "mount", "uts", "ipc", "network", "cgroup"];
    serde_json::json!({
        "ociVersion": "1.0.0",
        "hostname": "box",
        "root": { "path": s.rootfs() },
        "process": {
            "cwd": "/", "args": ["/probe"], "env": ["PATH=/bin"], "noNewPrivileges": true,
            "user": { "uid": 0, "gid": 0 },
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
        },
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "ro"]),
            bind("ro", "ro"),
            bind("rw", "rw"),
        ],
        "linux": {
            "cgroupsPath": format!("/{}-{name}", own_name()),
            "namespaces": namespaces.map(|n| serde_json::json!({ "type": n })),
            "resources": {
                "memory": { "limit": 50 << 20 }, "pids": { "limit": 60 },
                "cpu": { "quota": 150_000, "period": 100_000 },
            },
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list",
                "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                "/proc/sysrq-trigger"],
        },
    })
}

fn runtime(s: &Sandbox, name: &'static str, program: PathBuf, go: bool) -> Result<Subject> {
    let bundle = s.dir.join(name);
    std::fs::create_dir_all(&bundle)?;
    std::fs::write(bundle.join("config.json"), config(s, name).to_string())?;
    let id = format!("{}-{name}", own_name());
    let call = move |words: &[&str]| {
        let mut c = Command::new(&program);
        c.args(words).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(&bundle);
        c
    };
    let (again, name_again) = (call.clone(), id.clone());
    Ok(Subject {
        command: Box::new(move || call(&["run", &id])),
        clear: Some(Box::new(move || again(&["delete", "-f", &name_again]))),
        ..peer(name, if go { &GO } else { &[] })
    })
}

fn peer(name: &'static str, skip: &'static [libc::c_long]) -> Subject {
    Subject {
        name,
        user: None,
        command: Box::new(|| Command::new("/bin/false")),
        clear: None,
        says: &[""],
        init: None,
        dirs: vec!["/run".into(), "/tmp".into(), "/dev/shm".into()],
        skip,
        // Its process 1 gives them up while the payload runs already.
        ignore: &["1 CapPrm", "1 CapEff"],
        seconds: 30,
        bridged: false,
    }
}

fn bwrap(s: &Sandbox, program: PathBuf) -> Result<Subject> {
    let dir = s.dir.clone();
    // It would make them at the first start, which is then not like the others.
    for name in ["ro", "rw", "proc", "dev"] {
        std::fs::create_dir_all(s.rootfs().join(name))?;
    }
    Ok(Subject {
        command: Box::new(move || {
            let mut c = Command::new(&program);
            c.arg("--bind").arg(dir.join("rootfs")).arg("/");
            c.arg("--ro-bind").arg(dir.join("ro")).arg("/ro");
            c.arg("--bind").arg(dir.join("rw")).arg("/rw");
            c.args(["--proc", "/proc", "--dev", "/dev", "--unshare-all", "--hostname", "box"]);
            c.args(["--die-with-parent", "--new-session", "/probe"]).env("PATH", "/bin");
            c
        }),
        ..peer("bwrap", &[])
    })
}

/// Those that are installed.
pub fn installed(s: &Sandbox) -> Result<Vec<Subject>> {
    let find = |name: &str| {
        let dirs = ["/usr/bin", "/usr/sbin", "/bin", "/usr/local/bin"].map(Path::new);
        dirs.iter().map(|d| d.join(name)).find(|p| p.exists())
    };
    let mut found = Vec::new();
    if let Some(program) = find("crun") {
        found.push(runtime(s, "crun", program, false)?);
    }
    if let Some(program) = find("runc") {
        found.push(runtime(s, "runc", program, true)?);
    }
    if let Some(program) = find("bwrap") {
        found.push(bwrap(s, program)?);
    }
    Ok(found)
}

/// crun 1.8 refuses a host that has both versions of cgroups.
pub fn hide_version_2() -> Result<()> {
    let unified = "/sys/fs/cgroup/unified";
    if Path::new(unified).join("cgroup.procs").exists() {
        rustix::mount::unmount(unified, rustix::mount::UnmountFlags::DETACH)?;
    }
    Ok(())
}

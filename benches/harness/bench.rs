//! The ground everything is measured on: one rootfs, the floor, cgroups; removed at the end.

use super::{LAUNCH, Result, sys};
use std::cell::Cell;
use std::fs::{self, create_dir_all, write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CGROUP: &str = "/sys/fs/cgroup";
const APPLETS: [&str; 9] = ["sh", "true", "cat", "sleep", "mount", "mknod", "ln", "ip", "hostname"];
const FREESTANDING: [&str; 9] = [
    "-Os",
    "-static",
    "-nostdlib",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-no-pie",
    "-s",
    "-Wl,--build-id=none,-z,noseparate-code,-z,norelro",
];

/// Where the floor makes its cgroup.
pub struct Cgroup {
    /// The floor's first argument.
    pub version: &'static str,
    pub parent: PathBuf,
}

pub struct Bench {
    /// Part of every name that could outlive us, so that it can be found again.
    pub name: String,
    dir: PathBuf,
    pub root: PathBuf,
    pub floor: PathBuf,
    pub cgroup: Option<Cgroup>,
    bundles: Cell<usize>,
}

impl Bench {
    pub fn new() -> Result<Self> {
        if !sys::is_root() {
            return Err("the peers need root".into());
        }
        sys::watch();
        sys::private_mounts()?;
        let unified = format!("{CGROUP}/unified");
        if Path::new(&unified).join("cgroup.procs").exists() {
            sys::hide(&unified)?;
        }
        let name = format!("launch-bench-{}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        let (root, floor) = (dir.join("root"), dir.join("floor"));
        let mut bench = Self { name, dir, root, floor, cgroup: None, bundles: Cell::new(0) };
        bench.make_root()?;
        let init = bench.init()?;
        bench.compile(&bench.floor, &[&format!("-DINIT=\"{}\"", init.display())])?;
        bench.compile(&bench.root.join("payload"), &["-DPAYLOAD"])?;
        bench.cgroup = bench.make_cgroup()?;
        Ok(bench)
    }

    fn make_root(&self) -> Result<()> {
        for dir in ["bin", "dev", "proc", "sys", "tmp", "run", "etc", "root", "usr", "var"] {
            create_dir_all(self.root.join(dir))?;
        }
        fs::copy("/bin/busybox", self.root.join("bin/busybox"))
            .map_err(|e| format!("/bin/busybox (Debian: busybox-static): {e}"))?;
        for applet in APPLETS {
            symlink("busybox", self.root.join("bin").join(applet))?;
        }
        write(self.root.join("etc/os-release"), "ID=bench\n")?;
        Ok(())
    }

    /// launch's own, as a file.
    fn init(&self) -> Result<PathBuf> {
        let dir = self.dir.join("inject");
        create_dir_all(&dir)?;
        let mut launch = Command::new(LAUNCH);
        let status = launch.arg("inject").arg(&dir).stdout(Stdio::null()).status()?;
        if status.success() {
            Ok(dir.join("sbin/init"))
        } else {
            Err("launch inject failed".into())
        }
    }

    fn compile(&self, to: &Path, flags: &[&str]) -> Result<()> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor.c");
        let mut cc = Command::new("cc");
        let status = cc.args(FREESTANDING).args(flags).arg("-o").arg(to).arg(source).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("cc {source}: {status}").into()),
            Err(error) => Err(format!("the floor needs cc: {error}").into()),
        }
    }

    fn make_cgroup(&self) -> Result<Option<Cgroup>> {
        let v2 = Path::new(CGROUP).join("cgroup.controllers").exists();
        let (version, base) =
            if v2 { ("2", CGROUP.into()) } else { ("1", format!("{CGROUP}/memory")) };
        let parent = Path::new(&base).join(&self.name);
        if !Path::new(&base).join("cgroup.procs").exists() || fs::create_dir(&parent).is_err() {
            return Ok(None);
        }
        if v2 {
            write(Path::new(&base).join("cgroup.subtree_control"), "+memory")?;
            write(parent.join("cgroup.subtree_control"), "+memory")?;
        }
        Ok(Some(Cgroup { version, parent }))
    }

    /// A new OCI bundle: the same namespaces, mounts and limit as everybody's.
    pub fn bundle(&self, argv: &[&str], limit: u64) -> Result<PathBuf> {
        let dir = self.dir.join(format!("bundle{}", self.bundles.replace(self.bundles.get() + 1)));
        create_dir_all(&dir)?;
        let root = self.root.display();
        let config = format!(
            r#"{{"ociVersion":"1.0.0","hostname":"bench","root":{{"path":"{root}"}},
"process":{{"cwd":"/","args":{argv:?},"env":["PATH=/bin"],"user":{{"uid":0,"gid":0}}}},
"mounts":[{{"destination":"/proc","type":"proc","source":"proc"}},
{{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755"]}}],
"linux":{{"resources":{{"memory":{{"limit":{limit}}}}},"namespaces":[{{"type":"pid"}},{{"type":"mount"}},
{{"type":"uts"}},{{"type":"ipc"}},{{"type":"network"}},{{"type":"cgroup"}}]}}}}"#
        );
        write(dir.join("config.json"), config)?;
        Ok(dir)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).ok();
        remove_cgroups(Path::new(CGROUP), &self.name, 3);
    }
}

/// What launchers left of ours, in every hierarchy, the deepest first.
fn remove_cgroups(dir: &Path, name: &str, depth: usize) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(name);
        if entry.file_type().is_ok_and(|t| t.is_dir()) && (ours || depth > 0) {
            let path = entry.path();
            remove_cgroups(&path, if ours { "" } else { name }, depth.saturating_sub(1));
            if ours {
                fs::remove_dir(path).ok();
            }
        }
    }
}

//! Who is measured, and the command line that makes each do the same work.

use super::{LAUNCH, LIMIT, Options, Result, bench::Bench};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One container to start.
pub struct Job<'a> {
    pub argv: &'a [&'a str],
    pub limit: u64,
    /// The same for the OCI runtimes.
    pub bundle: PathBuf,
}

impl<'a> Job<'a> {
    pub fn new(bench: &Bench, argv: &'a [&'a str], limit: u64) -> Result<Self> {
        Ok(Self { argv, limit, bundle: bench.bundle(argv, limit)? })
    }
}

pub struct Launcher {
    pub name: &'static str,
    /// What it does beside, or leaves out.
    pub work: &'static str,
    program: &'static str,
    pub limits: bool,
    /// The arguments; the command follows them when `appends`.
    args: fn(&Bench, &Job, usize) -> Vec<String>,
    appends: bool,
}

/// A launcher that is here and has started the job once.
pub struct Ready {
    pub launcher: &'static Launcher,
    program: PathBuf,
}

impl Ready {
    /// `id` must be a new one for each container.
    pub fn command(&self, bench: &Bench, job: &Job, id: usize) -> Command {
        let mut command = Command::new(&self.program);
        if self.launcher.program == PAYLOAD {
            command = Command::new(bench.root.join(job.argv[0].trim_start_matches('/')));
            command.args(&job.argv[1..]);
        }
        command.args((self.launcher.args)(bench, job, id));
        if self.launcher.appends {
            command.args(job.argv);
        }
        as_logged_in(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// The same for everybody: RUST_BACKTRACE above all would cost ours. A language is set wherever
/// somebody logs in, and programs with a locale look for it.
pub fn as_logged_in(command: &mut Command) -> &mut Command {
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8")
}

macro_rules! strings {
    ($($s:expr),* $(,)?) => { vec![$($s.to_string()),*] };
}

fn root(bench: &Bench) -> std::path::Display<'_> {
    bench.root.display()
}

fn floor(bench: &Bench, job: &Job, more: &str) -> Vec<String> {
    match &bench.cgroup {
        Some(c) => {
            let (version, prefix) = (format!("{}{more}", c.version), c.parent.join("floor-"));
            strings![version, job.limit, prefix.display(), root(bench)]
        }
        None => strings![format!("0{more}"), "-", "-", root(bench)],
    }
}

fn oci(bench: &Bench, job: &Job, id: usize) -> Vec<String> {
    strings!["run", "--bundle", job.bundle.display(), format!("{}-{id}", bench.name)]
}

fn bwrap(bench: &Bench, _: &Job, _: usize) -> Vec<String> {
    strings![
        "--bind",
        root(bench),
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--unshare-pid",
        "--unshare-uts",
        "--unshare-ipc",
        "--unshare-net",
        "--unshare-cgroup",
        "--hostname",
        "bench",
        "--"
    ]
}

fn unshare_and<const N: usize>(rest: [String; N]) -> Vec<String> {
    let namespaces = ["--pid", "--fork", "--mount", "--uts", "--ipc", "--net", "--cgroup"];
    namespaces.map(String::from).into_iter().chain(rest).collect()
}

/// Changes root by itself.
fn unshare(bench: &Bench, _: &Job, _: usize) -> Vec<String> {
    unshare_and([format!("--root={}", root(bench)), "--mount-proc".into()])
}

fn unshare_chroot(bench: &Bench, _: &Job, _: usize) -> Vec<String> {
    let root = root(bench).to_string();
    unshare_and([format!("--mount-proc={root}/proc"), "chroot".into(), root])
}

fn unshare_dev(bench: &Bench, job: &Job, id: usize) -> Vec<String> {
    let mut args = unshare(bench, job, id);
    let script = "mount -t tmpfs -o mode=755,nosuid dev /dev; hostname bench; ip link set lo up
while read n t a b; do mknod -m 666 /dev/$n $t $a $b; done <<E
null c 1 3\nzero c 1 5\nfull c 1 7\nrandom c 1 8\nurandom c 1 9\ntty c 5 0\nE
ln -s /proc/self/fd /dev/fd
for n in 0:stdin 1:stdout 2:stderr; do ln -s /proc/self/fd/${n%:*} /dev/${n#*:}; done
exec \"$@\"";
    args.extend(strings!["/bin/sh", "-c", script, "sh"]);
    args
}

fn nspawn(bench: &Bench, _: &Job, id: usize) -> Vec<String> {
    let machine = format!("--machine=bench-{id}");
    strings!["-q", "--register=no", "--keep-unit", "--private-network", machine, "-D", root(bench)]
}

const FLOOR: &str = ":floor";
const PAYLOAD: &str = ":payload";
/// Another build of ours, for a comparison within the same rounds.
const ALSO: &str = ":also";

macro_rules! launchers {
    ($($name:literal $program:expr, $limits:literal, $appends:literal, $args:expr, $work:literal;)*) => {
        [$(Launcher { name: $name, work: $work, program: $program, limits: $limits, args: $args, appends: $appends }),*]
    };
}

/// name, program, limits memory, takes the command as arguments, arguments, remark
pub static ALL: [Launcher; 19] = launchers![
    "floor" FLOOR, true, true, |b, j, _| floor(b, j, ""), "fewest system calls";
    "floor-full" FLOOR, true, true, |b, j, _| floor(b, j, "+"), "all mounts of launch";
    "floor-same" FLOOR, true, true, |b, j, _| floor(b, j, "="),
        "all work of launch: mounts, masks, capabilities, filter, process 1";
    "floor-free" FLOOR, false, true, |b, _, _| strings!["0", "-", "-", root(b)], "";
    "launch" LAUNCH, true, true, |b, j, _| strings!["--memory", j.limit, root(b), "--"],
        "with init";
    "launch-free" LAUNCH, false, true, |b, _, _| strings![root(b), "--"], "with init";
    "launch-no-init" LAUNCH, true, true,
        |b, j, _| strings!["--no-init", "--memory", j.limit, root(b), "--"], "";
    "launch-unfiltered" LAUNCH, true, true,
        |b, j, _| strings!["--security-opt", "seccomp=unconfined", "--memory", j.limit, root(b), "--"],
        "without the seccomp filter";
    "launch-unmasked" LAUNCH, true, true,
        |b, j, _| strings!["--security-opt", "seccomp=unconfined", "--security-opt", "unmask=ALL",
            "--memory", j.limit, root(b), "--"],
        "nor anything hidden";
    "also" ALSO, true, true, |b, j, _| strings!["--memory", j.limit, root(b), "--"], "the other build";
    "also-free" ALSO, false, true, |b, _, _| strings![root(b), "--"], "the other build";
    "crun" "crun", true, false, oci, "";
    "runc" "runc", true, false, oci, "";
    "bwrap" "bwrap", false, true, bwrap, "with its init; /dev/pts too";
    "unshare" "unshare", false, true, unshare, "--root; no /dev, no loopback";
    "unshare-chroot" "unshare", false, true, unshare_chroot, "and chroot(1); no /dev, no loopback";
    "unshare-dev" "unshare", false, true, unshare_dev, "--root; the rest by a shell script";
    "nspawn" "systemd-nspawn", false, true, nspawn, "";
    "true" PAYLOAD, false, false, |_, _, _| vec![], "no container: the payload alone";
];

fn find(bench: &Bench, program: &str, also: Option<&Path>) -> Option<PathBuf> {
    match program {
        ALSO => return also.map(Path::to_owned),
        FLOOR => return Some(bench.floor.clone()),
        PAYLOAD => return Some(bench.root.clone()),
        _ => {}
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut paths = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    paths.find_map(|d| Some(d.join(program)).filter(|p| p.is_file()))
}

/// Starts everyone once. Who is not here, or cannot do it, is named with the reason.
pub fn ready(bench: &Bench, options: &Options) -> Result<Vec<Ready>> {
    let (only, also) = (&options.only, options.also.as_deref());
    if bench.cgroup.is_none() {
        println!("No memory cgroup here: nobody's limit is real.\n");
    }
    let mut ready = Vec::new();
    let job = Job::new(bench, &["/bin/true"], LIMIT)?;
    for launcher in &ALL {
        if !only.is_empty() && launcher.name != "floor" && !only.iter().any(|o| o == launcher.name)
        {
            continue;
        }
        if launcher.program == ALSO && also.is_none() {
            continue;
        }
        let Some(program) = find(bench, launcher.program, also) else {
            println!("{}: not installed\n", launcher.name);
            continue;
        };
        let candidate = Ready { launcher, program };
        match first_start(bench, &candidate, &job) {
            Ok(()) => ready.push(candidate),
            Err(error) if launcher.name == "floor" => return Err(error),
            Err(error) => println!("{}: cannot do it: {error}\n", launcher.name),
        }
    }
    Ok(ready)
}

fn first_start(bench: &Bench, ready: &Ready, job: &Job) -> Result<()> {
    let mut command = ready.command(bench, job, 0);
    let output = command.stderr(Stdio::piped()).output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} {}", output.status, text.trim()).into());
    }
    let left = bench.root.join("dev/null");
    if Path::new(&left).exists() { Err("it fills the rootfs's own /dev".into()) } else { Ok(()) }
}

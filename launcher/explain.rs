//! The plan in words and as shell commands.

pub mod harden;
mod host;
mod ids;
mod image;

use crate::plan::Plan;
use crate::step::ChildStep;
use crate::sys::ns;
pub use host::host_words;
use std::ffi::{CStr, CString};
use std::path::Path;

/// `--explain`: every step in its order, each with the command that does the same by hand.
pub fn text(plan: &Plan) -> String {
    let mut out = String::from(
        "# What would be done, in this order; each step with the shell command that comes\n\
         # closest. Steps marked > happen inside, in the new namespaces.\n",
    );
    for (number, (inside, words, shell)) in rows(plan).iter().enumerate() {
        let mark = if *inside { ">" } else { " " };
        out.push_str(&format!("{:>3} {mark} {words}\n", number + 1));
        for line in shell.iter().filter(|l| !l.is_empty()) {
            out.push_str(&format!("        {line}\n"));
        }
    }
    out.push_str("# At the end: wait for the payload, then undo the steps above in reverse.\n");
    out
}

pub fn json(plan: &Plan) -> String {
    let steps: Vec<_> = rows(plan)
        .into_iter()
        .enumerate()
        .map(|(i, (inside, words, shell))| {
            let side = if inside { "inside" } else { "outside" };
            serde_json::json!({ "step": i + 1, "side": side, "words": words, "shell": shell })
        })
        .collect();
    serde_json::json!({ "steps": steps }).to_string() + "\n"
}

/// The words of every step, for the report of `--trace`.
pub fn names(plan: &Plan) -> Vec<String> {
    rows(plan).into_iter().map(|(_, words, _)| words).collect()
}

type Row = (bool, String, Vec<String>);

fn rows(plan: &Plan) -> Vec<Row> {
    let before = plan.pending.iter().map(|p| (false, image::words(p), image::shell(p)));
    let fills = plan.fills.iter().map(|f| (false, image::fill(f), image::fill_shell(f)));
    let before = before.chain(fills);
    let outside = plan.host.iter().map(|s| (false, host_words(s), host::host_shell(s)));
    let inside = plan.child.iter().map(|s| (true, child_words(s), child_shell(s, plan)));
    before.chain(outside).chain(inside).collect()
}

fn limit_words(w: &crate::cgroup::Write) -> String {
    format!("limit {}: {} = {}", w.option, file_name(&w.file), w.value)
}

pub fn child_words(step: &ChildStep) -> String {
    match step {
        ChildStep::DieWithParent => "die when the launcher dies".into(),
        ChildStep::AwaitGo => "wait for the launcher's go".into(),
        ChildStep::EveryProcessor => "be allowed on every processor again".into(),
        ChildStep::JoinNetwork { .. } => "join the network namespace".into(),
        ChildStep::SealInit { .. } => "put init into a sealed memfd".into(),
        ChildStep::MakeCgroup { dir } => format!("make cgroup {}", lossy(dir)),
        ChildStep::WriteCgroup { write, .. } => limit_words(write),
        ChildStep::JoinUnified { dir } => format!("be in cgroup {}", lossy(dir)),
        ChildStep::NewSession => "begin a new session, without a terminal".into(),
        ChildStep::DefaultSignals => "reset signal dispositions and umask".into(),
        ChildStep::PrivateMounts => "keep all mounts private".into(),
        ChildStep::OpenSource { path, .. } => format!("open {}", lossy(path)),
        ChildStep::ReceiveTree { source, .. } => format!("receive {}", source.display()),
        ChildStep::BecomeMapped { uid, gid, .. } => {
            format!("become user {}:{} of the user namespace", uid.as_raw(), gid.as_raw())
        }
        ChildStep::AttachRoot { at, .. } => {
            format!("mount the rootfs over {}, seen by nobody else", lossy(at))
        }
        ChildStep::CloneTree { path, .. } => format!("take hold of {}", lossy(path)),
        ChildStep::AttachTree { target, .. } => format!("show it read-only at {}", lossy(target)),
        ChildStep::BindRoot { path } => format!("bind rootfs {}", lossy(path)),
        ChildStep::Scratch { at, .. } => format!(
            "make room for throw-away layers (tmpfs over {}, seen by nobody else)",
            lossy(at)
        ),
        ChildStep::Overlay(o) => {
            let kind = if o.kept { "the kept layer" } else { "a throw-away layer" };
            format!("put {kind} over {}", o.source.display())
        }
        ChildStep::MakeDir { path } => format!("make directory {}", lossy(path)),
        ChildStep::WorkDir { path, .. } => {
            format!("make directory {}, if it is missing", lossy(path))
        }
        ChildStep::Enter { root } => format!("enter {}", lossy(root)),
        ChildStep::Confine => "see nothing above it any more (chroot)".into(),
        ChildStep::Mount(m) => format!("mount {} on {}", lossy(m.fstype), lossy(m.target)),
        ChildStep::MakeNode { path, .. } => format!("make device {}", lossy(path)),
        ChildStep::BindNode { path, .. } => format!("bind the host's {}", lossy(path)),
        ChildStep::MakeLink { path, target } => {
            format!("link {} to {}", lossy(path), lossy(target))
        }
        ChildStep::Bind(b) => {
            let ro = if b.read_only { ", read-only" } else { "" };
            format!("volume {} on {}{ro}", b.source.display(), lossy(b.target))
        }
        ChildStep::Volume(v) => {
            let (at, vanish) = (lossy(v.target), "writes go to memory and vanish");
            match &v.over {
                None => format!("the image's volume on {at}: {vanish}"),
                Some(dir) => format!("{} on {at}: {vanish}", dir.display()),
            }
        }
        ChildStep::Provide(p) => format!("give it {} of its own", lossy(p.bind.target)),
        ChildStep::Harden(step) => harden::words(step),
        ChildStep::ReadOnly { target } => format!("make {} read-only", lossy(target)),
        ChildStep::OpenTerminal { .. } => "open a pseudo-terminal".into(),
        ChildStep::Pivot => "make it the root, let the old one go (pivot_root)".into(),
        ChildStep::RootAttributes { read_only: true } => {
            "make the root read-only, without devices".into()
        }
        ChildStep::RootAttributes { read_only: false } => "make the root's devices unusable".into(),
        ChildStep::JoinCgroup { tasks } => format!("join the cgroup by {}", lossy(tasks)),
        ChildStep::NewCgroupNamespace => "make the cgroup the root of a cgroup namespace".into(),
        ChildStep::JoinOpenedCgroup { .. } => "join the container's cgroup".into(),
        ChildStep::JoinNamespaces { kinds, .. } => {
            format!("enter the namespace ({}) of the container", flag_names(*kinds))
        }
        ChildStep::EnterRoot { .. } => "enter the container's root".into(),
        ChildStep::LoopbackUp => "bring loopback up".into(),
        ChildStep::Hostname(name) => format!("set hostname {}", lossy(name)),
        ChildStep::Chdir(dir) => format!("enter {}", lossy(dir)),
        ChildStep::DropBounding { .. } => "drop capabilities from the bounding set".into(),
        ChildStep::SetIds { uid, gid, .. } => {
            format!("become user {}:{}", uid.as_raw(), gid.as_raw())
        }
        ChildStep::SetCapabilities { .. } => "keep only the allowed capabilities".into(),
        ChildStep::NoNewPrivileges => "forbid new privileges".into(),
        ChildStep::CloseOnExec { first, .. } => {
            format!("leave descriptors 0 to {} only", first - 1)
        }
        ChildStep::DieWithParentAgain => {
            "die when the launcher dies (changing ids cleared it)".into()
        }
        ChildStep::Outlive => "do not die when the launcher does".into(),
        ChildStep::Redirect { fd: 0, .. } => "read from /dev/null".into(),
        ChildStep::Redirect { fd, .. } => format!("write descriptor {fd} to the log"),
        ChildStep::Inherit { .. } => "keep the descriptor for reports open".into(),
        ChildStep::ExecInit { argv } => format!("run init with {}", command(behind(argv.list()))),
        ChildStep::ExecPayload { argv, .. } => format!("run {}", command(argv.list())),
    }
}

fn child_shell(step: &ChildStep, plan: &Plan) -> Vec<String> {
    let one = |s: String| vec![s];
    match step {
        ChildStep::PrivateMounts => one("mount --make-rprivate /".into()),
        ChildStep::BindRoot { path } => {
            let p = quote(path.to_bytes());
            one(format!("mount --rbind {p} {p}; cd {p}"))
        }
        ChildStep::AttachRoot { at, .. } => {
            one(format!("mount --rbind $TREE {0}; cd {0}", lossy(at)))
        }
        ChildStep::Scratch { at, dirs } => {
            let dirs: Vec<_> = dirs.iter().map(|(d, _)| quote(d.to_bytes())).collect();
            vec![format!("mount -t tmpfs tmpfs {}", lossy(at)), format!("mkdir {}", dirs.join(" "))]
        }
        ChildStep::Overlay(o) => vec![
            format!("cd {}", quote_path(&o.from)),
            format!("mount -t overlay -o {} overlay {}", lossy(o.data), quote(o.target.to_bytes())),
        ],
        ChildStep::MakeDir { path } => one(format!("mkdir {}", quote(path.to_bytes()))),
        ChildStep::WorkDir { path, .. } => one(format!("mkdir -p {}", quote(path.to_bytes()))),
        ChildStep::Enter { root } => one(format!("cd {}", quote(root.to_bytes()))),
        ChildStep::Confine => one("chroot . ...".into()),
        ChildStep::Mount(m) => one(format!(
            "mount -t {} -o {} {} {}",
            lossy(m.fstype),
            mount_options(m.flags, m.data),
            quote(m.source.to_bytes()),
            quote(m.target.to_bytes())
        )),
        ChildStep::MakeNode { path, mode, major, minor } => {
            one(format!("mknod -m {:o} {} c {major} {minor}", mode & 0o7777, lossy(path)))
        }
        ChildStep::BindNode { path, .. } => {
            one(format!("touch {0}; mount --bind $OLD{0} {0}", lossy(path)))
        }
        ChildStep::MakeLink { path, target } => {
            one(format!("ln -s {} {}", lossy(target), lossy(path)))
        }
        ChildStep::Bind(b) => {
            let target = quote(b.target.to_bytes());
            let mut out = vec![format!("mount --rbind {} {target}", quote_path(&b.source))];
            if b.read_only {
                out.push(format!("mount -o remount,bind,ro {target}"));
            }
            out
        }
        ChildStep::Volume(v) => vec![
            format!("cd {}", quote(v.target.to_bytes())),
            format!("mount -t overlay -o {} overlay .", lossy(v.data)),
        ],
        ChildStep::Provide(p) => {
            let target = quote(p.bind.target.to_bytes());
            match &p.text {
                Some(_) => {
                    one(format!("touch {target}; cat > /dev/x; mount --bind /dev/x {target}"))
                }
                None => vec![
                    format!("touch {target}; mount --bind $OLD/run/launch/.net/.../hosts {target}"),
                    format!("mount -o remount,bind,ro {target}"),
                ],
            }
        }
        ChildStep::Harden(step) => harden::shell(step),
        ChildStep::AttachTree { target, .. } => {
            let target = quote(target.to_bytes());
            vec![
                format!("mkdir -p {target}; mount --bind $OLD$DIR {target}"),
                format!("mount -o remount,bind,ro {target}"),
            ]
        }
        ChildStep::ReadOnly { target } => {
            one(format!("mount -o remount,bind,ro {}", quote(target.to_bytes())))
        }
        ChildStep::Pivot => one("pivot_root . .; umount -l .".into()),
        ChildStep::RootAttributes { read_only } => {
            one(format!("mount -o remount,bind,nodev{} /", if *read_only { ",ro" } else { "" }))
        }
        ChildStep::EveryProcessor => one("taskset --pid $ALL $$".into()),
        ChildStep::JoinNetwork { .. } => one("nsenter --net --target $LAUNCHER ...".into()),
        ChildStep::MakeCgroup { dir } => one(format!("mkdir {}", quote(dir.to_bytes()))),
        ChildStep::WriteCgroup { file, write } => {
            one(format!("echo {} > {}", quote(write.value.as_bytes()), quote(file.to_bytes())))
        }
        ChildStep::JoinCgroup { tasks } => one(format!("echo $$ > {}", quote(tasks.to_bytes()))),
        ChildStep::NewCgroupNamespace => one("unshare --cgroup ...".into()),
        other => late_shell(other, plan),
    }
}

fn late_shell(step: &ChildStep, plan: &Plan) -> Vec<String> {
    let one = |s: String| vec![s];
    match step {
        ChildStep::BecomeMapped { uid, gid, .. } => one(format!(
            "setpriv --reuid {} --regid {} --clear-groups ...",
            uid.as_raw(),
            gid.as_raw()
        )),
        ChildStep::NewSession => one("setsid ...".into()),
        ChildStep::DefaultSignals => one("env --default-signal ...; umask 022".into()),
        ChildStep::LoopbackUp => one("ip link set lo up".into()),
        ChildStep::Hostname(name) => one(format!("hostname {}", quote(name.to_bytes()))),
        ChildStep::Chdir(dir) => one(format!("cd {}", quote(dir.to_bytes()))),
        ChildStep::DropBounding { keep } | ChildStep::SetCapabilities { keep } => {
            let names: Vec<_> = (0..64)
                .filter(|n| keep & (1 << n) != 0)
                .filter_map(|n| {
                    crate::cli::caps::name(n)
                        .map(|s| s.trim_start_matches("CAP_").to_ascii_lowercase())
                })
                .collect();
            let list = names.iter().map(|n| format!("+{n}")).collect::<Vec<_>>().join(",");
            let option = match step {
                ChildStep::DropBounding { .. } => "--bounding-set",
                _ => "--inh-caps -all --ambient-caps -all # keep",
            };
            one(format!("setpriv {option} -all,{list} ..."))
        }
        ChildStep::SetIds { uid, gid, groups } => {
            let groups = match groups {
                Some(list) => {
                    let list: Vec<_> = list.iter().map(|g| g.as_raw().to_string()).collect();
                    format!("--groups {}", list.join(","))
                }
                None => "--keep-groups".into(),
            };
            one(format!("setpriv --reuid {} --regid {} {groups} ...", uid.as_raw(), gid.as_raw()))
        }
        ChildStep::NoNewPrivileges => one("setpriv --no-new-privs ...".into()),
        ChildStep::ExecInit { argv } => one(format!(
            "exec env -i {}/sbin/init -- {}",
            environment(plan),
            command(behind(argv.list()))
        )),
        ChildStep::ExecPayload { argv, .. } => {
            one(format!("exec env -i {}{}", environment(plan), command(argv.list())))
        }
        _ => Vec::new(),
    }
}

/// The payload's words of init's command line.
fn behind(argv: &[CString]) -> &[CString] {
    let at = argv.iter().position(|a| a.as_c_str() == c"--").map_or(0, |at| at + 1);
    &argv[at..]
}

fn environment(plan: &Plan) -> String {
    plan.env.iter().map(|e| quote(e.to_bytes()) + " ").collect()
}

fn flag_names(flags: u64) -> String {
    let names = [
        (ns::NEWUSER, "user"),
        (ns::NEWPID, "pid"),
        (ns::NEWNS, "mount"),
        (ns::NEWUTS, "uts"),
        (ns::NEWIPC, "ipc"),
        (ns::NEWNET, "net"),
        (ns::NEWCGROUP, "cgroup"),
    ];
    let set: Vec<_> = names.iter().filter(|(f, _)| flags & f != 0).map(|(_, n)| *n).collect();
    set.join(" ")
}

fn unshare_options(flags: u64) -> String {
    flag_names(flags).split(' ').map(|name| format!("--{name} ")).collect()
}

fn mount_options(flags: u32, data: &CStr) -> String {
    use rustix::mount::MountFlags as F;
    let flags = F::from_bits_retain(flags);
    let names = [
        (F::RDONLY, "ro"),
        (F::NOSUID, "nosuid"),
        (F::NODEV, "nodev"),
        (F::NOEXEC, "noexec"),
        (F::STRICTATIME, "strictatime"),
    ];
    let mut out: Vec<String> =
        names.iter().filter(|(f, _)| flags.contains(*f)).map(|(_, n)| (*n).to_owned()).collect();
    if !data.is_empty() {
        out.push(lossy(data));
    }
    if out.is_empty() { "defaults".into() } else { out.join(",") }
}

fn command(argv: &[CString]) -> String {
    argv.iter().map(|a| quote(a.to_bytes())).collect::<Vec<_>>().join(" ")
}

pub fn lossy(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

fn quote_path(path: &Path) -> String {
    quote(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

/// For a POSIX shell.
fn quote(text: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(b);
    let shown = String::from_utf8_lossy(text);
    if !text.is_empty() && text.iter().all(plain) {
        return shown.into_owned();
    }
    format!("'{}'", shown.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_the_shells() {
        assert_eq!(quote(b"/bin/true"), "/bin/true");
        assert_eq!(quote(b""), "''");
        assert_eq!(quote(b"it's $HOME"), "'it'\\''s $HOME'");
    }

    #[test]
    fn namespaces_by_name() {
        assert_eq!(flag_names(ns::NEWPID | ns::NEWNET), "pid net");
        assert_eq!(unshare_options(ns::NEWPID | ns::NEWNS), "--pid --mount ");
    }
}

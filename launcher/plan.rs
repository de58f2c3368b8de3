//! Spec and host facts to steps: the last place that may look things up or allocate for
//! the child. Nothing on the host has been changed when it returns.

mod mounts;
mod rootfs;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::spec::{Caps, MountOp, Net, Spec};
use crate::step::{ChildStep, HostStep, IdMap};
use crate::sys::{CStrings, ns};
use crate::{cgroup, env, layers, lookup, record, user};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Gid, Uid};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A start, worked out to the last detail.
pub struct Plan {
    pub host: Vec<HostStep>,
    /// The child reads them in the parent's memory; they are never given back.
    pub child: &'static [ChildStep],
    /// Descriptors the child opens on its way.
    pub slots: usize,
    pub warnings: Vec<String>,
    pub cgroups: Option<cgroup::Cgroups>,
    pub env: Vec<CString>,
    /// The root file system, opened once (O_PATH).
    pub rootfs: OwnedFd,
    pub rootless: bool,
}

/// Docker's default set less CAP_MKNOD: without a device filter it would open any disk.
const DEFAULT_CAPS: u64 = crate::cli::caps::DEFAULT & !(1 << 27);

pub fn plan(spec: &Spec, host: &Host) -> Result<Plan> {
    let fd = rootfs::open(&spec.rootfs)?;
    let host_root = rootfs::is_hosts(&fd);
    if host_root && !spec.ephemeral && !spec.read_only {
        return Err(Error::new(format!(
            "rootfs {}: refusing to use the host's own root writable",
            spec.rootfs.display()
        ))
        .hint("add --ephemeral (changes vanish with the container) or --read-only"));
    }
    rootfs::check(spec, &fd)?;
    let id = record::new_id();
    let terminal = host.wants_terminal(spec.tty);
    let mut build = Builder {
        spec,
        host,
        rootfs: fd.as_fd(),
        overlay: spec.ephemeral,
        host_root,
        child: Vec::new(),
        slots: 0,
        warnings: Vec::new(),
        dev_slot: 0,
        sys_slot: 0,
        view: Vec::new(),
        view_sources: Vec::new(),
        view_slot: 0,
    };
    let cgroups = build.cgroups(&id)?;
    let hostname = spec.hostname.clone().unwrap_or_else(|| id.clone());
    let who = build.user()?;
    let env = build.environment(&hostname, &who, terminal)?;
    let workdir = spec.workdir.clone().unwrap_or_else(|| "/".into());
    let search = lookup::search_path(&env);
    let candidates =
        lookup::command(build.rootfs, &spec.command[0], &search, &workdir, &spec.mounts)?;

    build.root()?;
    build.standard_mounts();
    build.cgroup(cgroups.as_ref())?;
    if below_sys(spec) {
        build.cgroup_view()?;
    }
    build.user_mounts()?;
    if terminal {
        build.child.push(ChildStep::OpenTerminal { owner: Uid::from_raw(who.uid) });
    }
    build.child.push(ChildStep::Pivot);
    build.network();
    build.cgroup_view()?;
    build.finish(&hostname, &who, &workdir)?;
    build.exec(candidates, &env)?;
    let host_steps = host_steps(spec, host, &id, cgroups.as_ref());
    let Builder { child, slots, warnings, .. } = build;
    let rootless = host.rootless;
    let child = child.leak();
    Ok(Plan { host: host_steps, child, slots, warnings, cgroups, env, rootfs: fd, rootless })
}

/// The child's steps in the making.
pub(crate) struct Builder<'a> {
    pub spec: &'a Spec,
    pub host: &'a Host,
    pub rootfs: rustix::fd::BorrowedFd<'a>,
    overlay: bool,
    pub host_root: bool,
    pub child: Vec<ChildStep>,
    slots: usize,
    pub warnings: Vec<String>,
    /// Slots of the host's /dev and /sys.
    dev_slot: usize,
    sys_slot: usize,
    view: Vec<cgroup::ViewMount>,
    view_sources: Vec<PathBuf>,
    view_slot: usize,
}

impl Builder<'_> {
    fn cgroups(&mut self, id: &str) -> Result<Option<cgroup::Cgroups>> {
        if !self.spec.limits.any() {
            return Ok(None);
        }
        let layout = cgroup::probe()?;
        let mut groups = cgroup::plan(&layout, &self.spec.limits, id, self.host.rootless)?;
        self.warnings.append(&mut groups.warnings);
        if !self.host.modern {
            return Ok(Some(groups));
        }
        self.view = cgroup::container_view(&groups);
        // In the order in which the view lists them.
        self.view_sources =
            groups.join.tasks.iter().filter_map(|t| t.parent()).map(Path::to_owned).collect();
        self.view_sources.extend(groups.join.unified.clone());
        Ok(Some(groups))
    }

    fn user(&self) -> Result<user::Resolved> {
        match &self.spec.user {
            Some(u) => user::resolve(self.rootfs, u),
            None => Ok(user::Resolved {
                uid: 0,
                gid: 0,
                groups: Vec::new(),
                home: "/root".into(),
                name: Some("root".into()),
            }),
        }
    }

    fn environment(&self, hostname: &str, who: &user::Resolved, tty: bool) -> Result<Vec<CString>> {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let mut base: Vec<(&OsStr, &OsStr)> = vec![
            (OsStr::new("PATH"), OsStr::new(path)),
            (OsStr::new("HOSTNAME"), OsStr::new(hostname)),
            (OsStr::new("HOME"), &who.home),
        ];
        if tty {
            base.push((OsStr::new("TERM"), OsStr::new("xterm")));
        }
        env::build(&self.spec.env, |name| std::env::var_os(name), &base)
    }

    /// From the new session to the change of root.
    fn root(&mut self) -> Result<()> {
        let s = &mut self.child;
        s.push(ChildStep::DieWithParent);
        if self.host.rootless {
            s.push(ChildStep::AwaitGo);
        }
        s.extend([ChildStep::NewSession, ChildStep::DefaultSignals, ChildStep::PrivateMounts]);
        for op in &self.spec.mounts {
            if let MountOp::Bind { source, .. } = op {
                self.open_source(source)?;
            }
        }
        if self.host.rootless {
            self.dev_slot = self.open_source(Path::new("/dev"))?;
            if self.spec.net == Net::Host {
                self.sys_slot = self.open_source(Path::new("/sys"))?;
            }
        }
        if self.overlay || self.host_root {
            layers::add(self)?;
        } else {
            let path = c_path(&absolute(&self.spec.rootfs)?)?;
            self.child.push(ChildStep::BindRoot { path });
        }
        self.child.push(ChildStep::Confine);
        Ok(())
    }

    pub fn open_source(&mut self, path: &Path) -> Result<usize> {
        let slot = self.slots;
        self.slots += 1;
        let path = c_path(&absolute(path)?)?;
        self.child.push(ChildStep::OpenSource { slot, path });
        Ok(slot)
    }

    /// From the detachment of the old root to the last step before exec.
    fn finish(&mut self, hostname: &str, who: &user::Resolved, workdir: &Path) -> Result<()> {
        if self.spec.read_only || !self.spec.caps.privileged {
            self.child.push(ChildStep::RootAttributes { read_only: self.spec.read_only });
        }
        if self.spec.net == Net::None && !apart(self.spec, self.host) {
            self.child.push(ChildStep::LoopbackUp);
        }
        self.child.push(ChildStep::Hostname(c_str(hostname)?));
        self.child.push(ChildStep::Chdir(c_path(workdir)?));
        let keep = kept_capabilities(&self.spec.caps);
        if let Some(keep) = keep {
            self.child.push(ChildStep::DropBounding { keep });
        }
        self.ids(who)?;
        if let Some(keep) = keep {
            self.child.push(ChildStep::SetCapabilities { keep });
        }
        if !self.spec.new_privileges && !self.spec.caps.privileged {
            self.child.push(ChildStep::NoNewPrivileges);
        }
        self.child.push(ChildStep::CloseOnExec);
        self.child.push(ChildStep::DieWithParentAgain);
        Ok(())
    }

    fn ids(&mut self, who: &user::Resolved) -> Result<()> {
        let single = self.host.single_id();
        if single && (who.uid != 0 || who.gid != 0) {
            return Err(Error::new(format!(
                "user {}:{}: only user 0 exists in this user namespace",
                who.uid, who.gid
            ))
            .hint("give yourself subordinate ids: a line each in /etc/subuid and /etc/subgid, and the newuidmap program (package uidmap)"));
        }
        let groups = (!single).then(|| {
            let mut groups = vec![Gid::from_raw(who.gid)];
            groups.extend(who.groups.iter().filter(|g| **g != who.gid).map(|g| Gid::from_raw(*g)));
            groups
        });
        let (uid, gid) = (Uid::from_raw(who.uid), Gid::from_raw(who.gid));
        self.child.push(ChildStep::SetIds { uid, gid, groups });
        Ok(())
    }

    fn exec(&mut self, candidates: Vec<CString>, env: &[CString]) -> Result<()> {
        let command: Vec<CString> =
            self.spec.command.iter().map(|a| c_os(a)).collect::<Result<_>>()?;
        env::check_sizes(&command, env)?;
        self.child.push(if self.spec.no_init {
            ChildStep::ExecPayload { candidates, argv: CStrings::new(command) }
        } else {
            let mut argv: Vec<CString> =
                vec![c"/sbin/init".into(), c"--launched".into(), c"--".into()];
            argv.extend(command);
            ChildStep::ExecInit { argv: CStrings::new(argv) }
        });
        Ok(())
    }
}

fn host_steps(
    spec: &Spec,
    host: &Host,
    id: &str,
    groups: Option<&cgroup::Cgroups>,
) -> Vec<HostStep> {
    let mut steps = Vec::new();
    let mut late = Vec::new();
    let mut at_birth = None;
    if let Some(g) = groups.filter(|g| !g.dirs.is_empty()) {
        let record = HostStep::Record { id: id.into(), items: record::items_of(g) };
        if child_makes(host, g) {
            late = vec![record, HostStep::Go];
        } else {
            steps.push(record);
            steps.extend(g.dirs.iter().cloned().map(HostStep::MakeCgroup));
            steps.extend(g.writes.iter().cloned().map(HostStep::WriteCgroup));
        }
        at_birth = g.join.unified.clone();
    }
    let mut flags = ns::NEWPID | ns::NEWNS | ns::NEWUTS | ns::NEWIPC;
    if spec.net == Net::None && !apart(spec, host) {
        flags |= ns::NEWNET;
    }
    if host.rootless {
        flags |= ns::NEWUSER;
    }
    steps.push(HostStep::Clone { flags, cgroup: at_birth });
    if host.rootless {
        steps.push(HostStep::MapIds(host.id_map.clone()));
    }
    steps.append(&mut late);
    if apart(spec, host) {
        steps.push(HostStep::NewNetwork);
    }
    steps.push(HostStep::Go);
    steps
}

/// The parent makes the network namespace while the child mounts; in a user namespace
/// only the child could.
fn apart(spec: &Spec, host: &Host) -> bool {
    spec.net == Net::None && !host.rootless && host.modern && !below_sys(spec)
}

/// Something of the user's goes below /sys, so /sys has to be there before.
fn below_sys(spec: &Spec) -> bool {
    spec.mounts.iter().any(|m| match m {
        MountOp::Bind { target, .. } | MountOp::Tmpfs { target, .. } => target.starts_with("/sys"),
    })
}

/// Cgroups of version 1 can be joined late, so the child makes them while the parent is
/// busy with the network.
fn child_makes(host: &Host, groups: &cgroup::Cgroups) -> bool {
    !host.rootless && groups.join.unified.is_none()
}

/// None: keep all.
fn kept_capabilities(caps: &Caps) -> Option<u64> {
    (!caps.privileged).then_some((DEFAULT_CAPS & !caps.drop) | caps.add)
}

/// The child moves about; a path must not depend on where it stands.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::os("find the current directory", e))
}

pub fn c_path(path: &Path) -> Result<CString> {
    c_os(path.as_os_str())
}

fn c_os(text: &OsStr) -> Result<CString> {
    c_str(text.as_bytes())
}

pub fn c_str(text: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(text).map_err(|e| {
        let shown = String::from_utf8_lossy(&e.into_vec()).replace('\0', "\\0");
        Error::new(format!("{shown:?}: contains a NUL byte"))
    })
}

/// The id map as `--explain` and newuidmap(1) have it.
impl IdMap {
    pub fn is_single(&self) -> bool {
        matches!(self, IdMap::Single { .. })
    }
}

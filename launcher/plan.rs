//! Spec and host facts to steps: the last place that may look things up or allocate for
//! the child. Nothing on the host has been changed when it returns.

mod detach;
mod devices;
pub mod enter;
mod harden;
mod ids;
mod landlock;
mod mounts;
mod names;
mod network;
mod rootfs;
mod strings;
mod verify;
mod volumes;

pub use ids::sweeps;
pub use rootfs::{Fill, Root, in_use, real};
use rootfs::{is_hosts, spares_it};

use crate::error::Result;
use crate::host::Host;
use crate::idmap::{self, IdMap};
use crate::spec::{Caps, MountOp, Net, Owners, Spec};
use crate::step::{ChildStep, Harden, HostStep, Tree};
use crate::sys::CStrings;
use crate::{cgroup, env, image, layers, lookup, net, record, user};
use mounts::{below_sys, parents};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::Uid;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use strings::c_string;
pub use strings::{absolute, c_path, c_str};

/// A start, worked out to the last detail.
pub struct Plan {
    /// What has to be unpacked before; only where nothing is to be done.
    pub pending: Option<Box<image::look::Pending>>,
    /// Likewise.
    pub fills: Vec<Fill>,
    pub host: Vec<HostStep>,
    /// The child reads them in the parent's memory; they are never given back.
    pub child: &'static [ChildStep],
    /// Descriptors the child opens on its way.
    pub slots: usize,
    /// Those that the child has from the beginning, in the first slots.
    pub opened: Vec<OwnedFd>,
    /// A cgroup of version 2 in which the child is born, opened before.
    pub birthplace: Option<OwnedFd>,
    pub warnings: Vec<String>,
    pub cgroups: Option<cgroup::Cgroups>,
    pub env: Vec<CString>,
    /// The root file system, opened once (O_PATH).
    pub rootfs: OwnedFd,
    /// A root that is a mount of its own already, and its slot.
    pub tree: Option<(usize, OwnedFd)>,
    /// Locks, for as long as the plan lives.
    pub _held: Vec<OwnedFd>,
    pub rootless: bool,
    /// A user namespace, and in it these ids.
    pub ids: Option<IdMap>,
    /// Until the record says which ids are this container's.
    pub ids_lock: Option<idmap::taken::Lock>,
}

/// Docker's default set less CAP_MKNOD: without a device filter it would open any disk.
const DEFAULT_CAPS: u64 = crate::cli::caps::DEFAULT & !(1 << 27);

pub fn plan(spec: &Spec, host: &Host) -> Result<Plan> {
    // Before anything of ours is opened.
    devices::check_preserved(spec.preserve_fds)?;
    work_out(spec, host)
}

fn work_out(spec: &Spec, host: &Host) -> Result<Plan> {
    let found = rootfs::find(spec, host)?;
    let (told, root, fd) = (found.spec, found.root, found.look);
    let (image, command, spec) = (image::apply::words(spec, &told), spec.command.len(), &*told);
    let id = spec.name.clone().unwrap_or_else(record::name::invent);
    let (ids, ids_lock) = ids::choose(spec, host)?;
    let terminal = host.wants_terminal(spec.tty);
    let opened = if spec.detach { detach::places()? } else { Vec::new() };
    let hostname = names::hostname(spec, &id)?;
    let mut build = Builder::new(spec, host, fd.as_fd(), &root);
    (build.ids, build.slots, build.warnings) = (ids.clone(), opened.len(), found.warnings);
    build.host_root = matches!(root, Root::Directory) && spares_it(spec) && is_hosts(&fd);
    build.net = network::wanted(spec, host, &id, &hostname)?;
    let cgroups = build.cgroups(&id)?;
    let who = build.user()?;
    let env = build.environment(&hostname, &who, terminal)?;
    let workdir = spec.workdir.clone().unwrap_or_else(|| "/".into());
    let (search, whole) = (lookup::search_path(&env), found.whole && spec.mounts.is_empty());
    let candidates = lookup::command(build.rootfs, &spec.command[0], &search, &workdir, whole)?;

    build.root(cgroups.as_ref())?;
    build.standard_mounts()?;
    if !build.becomes() {
        build.cgroup(cgroups.as_ref())?;
    }
    if below_sys(spec) {
        build.cgroup_view()?;
    }
    build.user_mounts(&hostname)?;
    if terminal {
        build.child.push(ChildStep::OpenTerminal { owner: Uid::from_raw(who.uid) });
    }
    build.leave_old_root();
    build.network()?;
    build.cgroup_view()?;
    build.finish(&hostname, &who, &workdir)?;
    build.exec(candidates, &env, spec.no_init, opened.get(detach::REPORT))?;
    let facts = record::Facts { image, image_id: found.image_id, command, ..facts(spec, &env) };
    let host_steps = build.host_steps(&id, cgroups.as_ref(), facts)?;
    let Builder { child, slots, warnings, tree_slot, .. } = build;
    let (tree, pending) = root.parts(tree_slot);
    Ok(Plan {
        pending,
        fills: found.fills,
        host: host_steps,
        child: child.leak(),
        slots,
        opened,
        birthplace: None,
        warnings,
        cgroups,
        env,
        rootfs: fd,
        tree,
        _held: found.held,
        rootless: host.rootless,
        ids,
        ids_lock,
    })
}

/// The child's steps in the making.
pub(crate) struct Builder<'a> {
    pub spec: &'a Spec,
    pub host: &'a Host,
    pub rootfs: BorrowedFd<'a>,
    pub ids: Option<IdMap>,
    trees: Vec<Tree>,
    overlay: bool,
    pub host_root: bool,
    pub root: &'a Root,
    /// Of a root that is a mount of its own already.
    pub tree_slot: Option<usize>,
    pub child: Vec<ChildStep>,
    pub slots: usize,
    pub warnings: Vec<String>,
    /// The first volume's.
    source_slot: usize,
    /// Slots of the host's /dev and /sys.
    dev_slot: usize,
    sys_slot: usize,
    view: Vec<cgroup::ViewMount>,
    view_sources: Vec<PathBuf>,
    view_slot: usize,
    /// How many things are hidden so far.
    hidden: usize,
    /// What it is to have on bridges, and the slot of its hosts file.
    net: Option<net::Wanted>,
    hosts_slot: Option<usize>,
    /// What `--device` names, and the first one's slot.
    devices: Vec<devices::Found>,
    device_slot: usize,
}

impl<'a> Builder<'a> {
    fn new(spec: &'a Spec, host: &'a Host, rootfs: BorrowedFd<'a>, root: &'a Root) -> Builder<'a> {
        Builder {
            spec,
            host,
            rootfs,
            ids: None,
            trees: Vec::new(),
            overlay: spec.ephemeral,
            host_root: false,
            root,
            tree_slot: None,
            // Of a usual start; grown step by step it would take three times the memory.
            child: Vec::with_capacity(72),
            slots: 0,
            warnings: Vec::new(),
            source_slot: 0,
            dev_slot: 0,
            sys_slot: 0,
            view: Vec::new(),
            view_sources: Vec::new(),
            view_slot: 0,
            hidden: 0,
            net: None,
            hosts_slot: None,
            devices: Vec::new(),
            device_slot: 0,
        }
    }

    fn cgroups(&mut self, id: &str) -> Result<Option<cgroup::Cgroups>> {
        self.devices = self.find_devices()?;
        let filter = self.device_filter(&self.devices);
        if !self.spec.limits.any() && filter.is_none() {
            return Ok(None);
        }
        let layout = cgroup::probe()?;
        let (limits, filter) = (&self.spec.limits, filter.as_ref());
        let mut groups = cgroup::plan(&layout, limits, filter, id, self.host.rootless)?;
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
    fn root(&mut self, groups: Option<&cgroup::Cgroups>) -> Result<()> {
        let s = &mut self.child;
        s.push(ChildStep::DieWithParent);
        if let Some(dir) = groups.and_then(|g| g.join.unified.as_ref()) {
            s.push(ChildStep::JoinUnified { dir: c_path(dir)? });
        }
        if self.ids.is_some() {
            s.push(ChildStep::AwaitGo);
        }
        s.extend([
            ChildStep::NewSession,
            ChildStep::Harden(Harden::Keyring),
            ChildStep::DefaultSignals,
            ChildStep::PrivateMounts,
        ]);
        if self.becomes() {
            // The host's cgroups are the caller's, whom the next steps leave behind.
            self.cgroup(groups)?;
        }
        self.source_slot = self.slots;
        for op in &self.spec.mounts {
            if let MountOp::Bind { source, owners, .. } = op {
                self.source(source, true, *owners)?;
            }
        }
        self.open_hosts()?;
        let devices = std::mem::take(&mut self.devices);
        self.open_devices(&devices)?;
        self.devices = devices;
        if self.binds_devices() {
            self.dev_slot = self.open_source(Path::new("/dev"))?;
            if self.spec.net == Net::Host {
                self.sys_slot = self.open_source(Path::new("/sys"))?;
            }
        }
        let plain = matches!(self.root, Root::Directory);
        let layered = !self.spec.layers.is_empty() || self.spec.keep.is_some();
        if self.overlay || self.host_root || layered || !plain {
            layers::add(self)?;
        } else if self.sends_trees() {
            let slot = self.tree(None, true, Owners::Natural)?;
            self.become_mapped();
            let at = c_str(layers::scratch_place()?)?;
            self.child.push(ChildStep::AttachRoot { slot, at });
        } else {
            self.become_mapped();
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
        if self.born_in_network() {
            self.child.push(ChildStep::LoopbackUp);
        }
        self.child.push(ChildStep::Hostname(c_str(hostname)?));
        // By descriptors of procfs, which must not become a working directory.
        self.settings()?;
        self.child.push(ChildStep::Chdir(c_path(workdir)?));
        self.verify_mounts();
        if self.loopback_later() {
            self.child.push(ChildStep::AwaitGo);
        }
        self.give_up(who, self.spec.no_init)
    }

    /// Ids, capabilities, system calls; and the look back. The same for `launch exec`.
    fn give_up(&mut self, who: &user::Resolved, bare: bool) -> Result<()> {
        let keep = kept_capabilities(&self.spec.caps);
        let mut filter = self.filter(keep.unwrap_or(u64::MAX))?;
        self.process_limits()?;
        self.hold_rules()?;
        let open = self.spec.caps.privileged && self.spec.landlock.is_empty();
        let fixed = !self.spec.new_privileges && !open;
        let mut look = None;
        if !fixed && let Some(filter) = filter.take() {
            // Without no_new_privs only CAP_SYS_ADMIN may load one, so it has to allow the
            // steps that follow.
            look = self.load(filter);
        }
        self.set_ids(who)?;
        if let Some(keep) = keep {
            self.child.push(ChildStep::SetCapabilities { keep });
        }
        if fixed {
            self.child.push(ChildStep::NoNewPrivileges);
        }
        if self.spec.detach {
            self.redirect();
        }
        let first = 3 + self.spec.preserve_fds as i32;
        self.child.push(ChildStep::CloseOnExec { first, now: bare });
        if self.spec.detach {
            self.child.push(ChildStep::Outlive);
        } else {
            self.child.push(ChildStep::DieWithParentAgain);
        }
        self.verify_process();
        if self.spec.detach && !self.spec.no_init {
            self.child.push(ChildStep::Inherit { slot: detach::REPORT });
        }
        self.landlock();
        if let Some(filter) = filter {
            look = self.load(filter);
        }
        if let Some(look) = look {
            self.harden(look);
        }
        Ok(())
    }

    fn exec(
        &mut self,
        candidates: Vec<CString>,
        env: &[CString],
        bare: bool,
        report: Option<&OwnedFd>,
    ) -> Result<()> {
        let command: Vec<CString> =
            self.spec.command.iter().map(|a| c_string(a.as_bytes())).collect::<Result<_>>()?;
        env::check_sizes(&command, env)?;
        self.child.push(if bare {
            ChildStep::ExecPayload { candidates, argv: CStrings::new(command) }
        } else {
            let mut argv: Vec<CString> = vec![c"/sbin/init".into(), c"--launched".into()];
            argv.extend(self.init_options(report)?);
            argv.push(c"--".into());
            argv.extend(command);
            ChildStep::ExecInit { argv: CStrings::new(argv) }
        });
        Ok(())
    }
}

/// What the record says of the container itself; the command line is the caller's to add.
fn facts(spec: &Spec, env: &[CString]) -> record::Facts {
    let cwd = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let env = env.iter().map(|e| OsStr::from_bytes(e.to_bytes()).to_owned()).collect();
    let (detached, stop_signal) = (spec.detach, spec.stop_signal);
    record::Facts { detached, stop_signal, cwd, env, ..record::Facts::default() }
}

/// None: keep all.
fn kept_capabilities(caps: &Caps) -> Option<u64> {
    (!caps.privileged).then_some((DEFAULT_CAPS & !caps.drop) | caps.add)
}

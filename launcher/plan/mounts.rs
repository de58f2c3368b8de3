//! What is mounted inside: the standard table, the cgroups, the user's volumes.

use super::{Builder, c_path, c_str};
use crate::cgroup;
use crate::error::{Error, Result};
use crate::spec::{MountOp, Net, Spec, TmpfsFlags};
use crate::step::{Bind, ChildStep, Harden, Mount, Volume, Walk};
use crate::table;
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

impl Builder<'_> {
    /// /proc, /sys, /dev and the rest of the table that init has, too.
    pub fn standard_mounts(&mut self) -> Result<()> {
        let late = self.apart();
        for m in table::MOUNTS {
            if m.target == c"/sys" && late {
                // It shows the network namespace of whoever mounts it: after joining.
                continue;
            }
            self.standard_mount(m);
        }
        let devices = std::mem::take(&mut self.devices);
        self.place_devices(devices)?;
        if !self.spec.caps.privileged {
            self.harden(Harden::HoldEmpty);
        }
        self.hide("/proc")?;
        if late { Ok(()) } else { self.hide("/sys") }
    }

    fn standard_mount(&mut self, m: &table::Mount) {
        if m.target == c"/sys" && self.binds_devices() && self.spec.net == Net::Host {
            // sysfs belongs to the network's owner; show the host's, read-only.
            self.child.push(ChildStep::Bind(Box::new(Bind {
                slot: self.sys_slot,
                tree: false,
                target: c"/sys",
                parents: Vec::new(),
                directory: true,
                read_only: true,
                source: "/sys".into(),
            })));
            return;
        }
        let mut flags = m.flags as u32;
        let mut data = m.data;
        if m.target == c"/sys" && !self.spec.caps.privileged {
            flags |= MountFlags::RDONLY.bits();
        }
        if m.target == c"/dev/pts" && !self.has_terminal_group() {
            data = table::DEVPTS_DATA_NOGID;
        }
        self.child.push(ChildStep::Mount(Box::new(Mount {
            source: m.source,
            target: m.target,
            fstype: m.fstype,
            flags,
            data,
            mode: m.mode,
            parents: Vec::new(),
            // What is hidden below them must not be hidden elsewhere.
            walk: match m.target {
                t if [c"/proc", c"/sys", c"/dev"].contains(&t) => Walk::Exact,
                t if t.to_bytes().starts_with(b"/dev/") => Walk::New,
                _ => Walk::Inside,
            },
        })));
        if m.target == c"/dev" {
            self.devices();
        }
    }

    /// The cgroups: made, joined, and taken hold of before the old root goes.
    pub fn cgroup(&mut self, groups: Option<&cgroup::Cgroups>) -> Result<()> {
        if let Some(g) = groups.filter(|g| self.child_makes(g)) {
            // Recorded by now.
            self.child.push(ChildStep::AwaitGo);
            for dir in &g.dirs {
                self.child.push(ChildStep::MakeCgroup { dir: c_path(dir)? });
            }
            for w in &g.writes {
                let (file, write) = (c_path(&w.file)?, Box::new(w.clone()));
                self.child.push(ChildStep::WriteCgroup { file, write });
            }
        }
        if !self.spec.no_init {
            // Before joining: it is the launcher's memory, not the container's.
            self.child.push(ChildStep::SealInit { log: self.log_size() > 0 });
        }
        for tasks in groups.iter().flat_map(|g| &g.join.tasks) {
            self.child.push(ChildStep::JoinCgroup { tasks: c_path(tasks)? });
        }
        self.child.push(ChildStep::NewCgroupNamespace);
        self.view_slot = self.slots;
        for source in self.view_sources.clone() {
            let slot = self.slots;
            self.slots += 1;
            self.child.push(ChildStep::CloneTree { slot, path: c_path(&source)? });
        }
        Ok(())
    }

    /// The container's own cgroups, read-only. Bound from the host's mounts: mounting a
    /// version 1 hierarchy anew takes ten times as long.
    pub fn cgroup_view(&mut self) -> Result<()> {
        let mut room = false;
        let mut slots = self.view_slot..;
        for v in std::mem::take(&mut self.view) {
            let target = match v.target.as_str() {
                "" => c"/sys/fs/cgroup",
                name => c_str(format!("/sys/fs/cgroup/{name}"))?,
            };
            if v.fstype == "tmpfs" {
                room = true;
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                let tmpfs = Mount::tmpfs(target, flags.bits(), c_str(v.data)?);
                self.child.push(ChildStep::Mount(Box::new(tmpfs)));
            } else if let Some(slot) = slots.next() {
                self.child.push(ChildStep::AttachTree { slot, target });
            }
        }
        if room {
            self.child.push(ChildStep::ReadOnly { target: c"/sys/fs/cgroup" });
        }
        Ok(())
    }

    /// It goes once every processor has left the kernel, where the launcher is making the
    /// network: what can be done before that costs no time.
    pub fn leave_old_root(&mut self) {
        self.drop_bounding();
        self.child.push(ChildStep::Pivot);
    }

    /// Joins the network that the parent made meanwhile, and shows it.
    pub fn network(&mut self) -> Result<()> {
        if self.ids.is_none() {
            self.child.push(ChildStep::AwaitGo);
        }
        if self.apart() {
            if self.spreads() {
                self.child.push(ChildStep::EveryProcessor);
            }
            let plugged = self.net.is_some();
            self.child.push(ChildStep::JoinNetwork { plugged });
            for m in table::MOUNTS.iter().filter(|m| m.target == c"/sys") {
                self.standard_mount(m);
            }
            self.hide("/sys")?;
        }
        if !self.spec.caps.privileged {
            self.harden(Harden::ReleaseEmpty);
        }
        Ok(())
    }

    fn devices(&mut self) {
        let slot = self.dev_slot;
        for n in table::NODES {
            self.child.push(if self.binds_devices() {
                ChildStep::BindNode { slot, path: n.path }
            } else {
                ChildStep::MakeNode { path: n.path, mode: n.mode, major: n.major, minor: n.minor }
            });
        }
        for l in table::LINKS {
            self.child.push(ChildStep::MakeLink { path: l.path, target: l.target });
        }
    }

    /// In the user's order, and then what the container has of the host's names.
    pub fn user_mounts(&mut self, hostname: &str) -> Result<()> {
        self.working_directory()?;
        self.own_volumes()?;
        let mut slot = self.source_slot;
        for (n, op) in self.spec.mounts.iter().enumerate() {
            match op {
                MountOp::Bind { source, target, read_only, throw_away, .. } => {
                    let directory = self.source_kind(n, source)? == FileType::Directory;
                    self.child.push(ChildStep::Bind(Box::new(Bind {
                        slot,
                        tree: self.sends_trees(),
                        target: c_path(target)?,
                        parents: parents(target)?,
                        directory,
                        // Not even if the image's links to it change in between.
                        read_only: *read_only || *throw_away,
                        source: source.clone(),
                    })));
                    slot += 1;
                    if *throw_away {
                        if !directory {
                            let why = rustix::io::Errno::NOTDIR;
                            return Err(Error::os(format!("volume {}:O", source.display()), why));
                        }
                        self.throw_away(target, Some(source))?;
                    }
                }
                MountOp::Tmpfs { target, flags, data } => {
                    let (flags, data) = (tmpfs_flags(*flags).bits(), c_str(data.as_str())?);
                    self.child.push(ChildStep::Mount(Box::new(Mount {
                        parents: parents(target)?,
                        walk: Walk::Users,
                        ..Mount::tmpfs(c_path(target)?, flags, data)
                    })));
                }
            }
        }
        self.names(hostname)?;
        self.hide_others()
    }

    /// As docker does it: made in the layer of the container, never in a volume or a directory
    /// of the host.
    fn working_directory(&mut self) -> Result<()> {
        let Some(dir) = self.spec.workdir.as_deref().filter(|d| *d != Path::new("/")) else {
            return Ok(());
        };
        if matches!(self.root, super::Root::Directory) { Ok(()) } else { self.make(dir) }
    }

    fn make(&mut self, dir: &Path) -> Result<()> {
        let (path, parents) = (c_path(dir)?, parents(dir)?);
        self.child.push(ChildStep::WorkDir { path, parents });
        Ok(())
    }

    /// Where all writes vanish anyway, an image's volumes need only be there. Of a layer that is
    /// kept they are no part, and a root that is read-only has them writable.
    fn own_volumes(&mut self) -> Result<()> {
        if !self.spec.read_only && self.spec.keep.is_none() {
            return self.spec.volumes.iter().try_for_each(|path| self.make(path));
        }
        for path in &self.spec.volumes {
            // In memory as it is.
            let ours = |m: &table::Mount| path.starts_with(OsStr::from_bytes(m.target.to_bytes()));
            if !table::MOUNTS.iter().any(ours) {
                self.throw_away(path, None)?;
            }
        }
        Ok(())
    }

    /// Over what is there: the image's, or a directory of the host's.
    fn throw_away(&mut self, target: &Path, over: Option<&Path>) -> Result<()> {
        let room = crate::mount::volume::ROOM;
        let xattr = if self.binds_devices() { ",userxattr" } else { "" };
        let data = format!("lowerdir=.,upperdir={room}/upper,workdir={room}/work{xattr}");
        self.child.push(ChildStep::Volume(Box::new(Volume {
            target: c_path(target)?,
            parents: parents(target)?,
            data: c_str(data)?,
            over: over.map(Path::to_owned),
        })));
        Ok(())
    }

    fn source_kind(&self, mount: usize, source: &Path) -> Result<FileType> {
        let named = || self.spec.named_volumes.iter().any(|v| v.mount == mount);
        match rustix::fs::stat(source) {
            Ok(s) => Ok(FileType::from_raw_mode(s.st_mode)),
            // No more than looked at: it would have been made.
            Err(Errno::NOENT) if self.host.only_look && named() => Ok(FileType::Directory),
            Err(e) => Err(Error::os(format!("volume {}", source.display()), e)
                .hint("the source of a volume must exist on the host")),
        }
    }
}

fn tmpfs_flags(f: TmpfsFlags) -> MountFlags {
    let mut flags = MountFlags::empty();
    for (set, flag) in [
        (!f.exec, MountFlags::NOEXEC),
        (!f.suid, MountFlags::NOSUID),
        (!f.dev, MountFlags::NODEV),
        (f.read_only, MountFlags::RDONLY),
    ] {
        if set {
            flags |= flag;
        }
    }
    flags
}

/// `/a/b/c` gives `/a` and `/a/b`.
pub(super) fn parents(target: &Path) -> Result<Vec<&'static CStr>> {
    let mut path = PathBuf::from("/");
    let mut out = Vec::new();
    let names: Vec<_> = target.components().filter(|c| matches!(c, Component::Normal(_))).collect();
    for name in names.iter().take(names.len().saturating_sub(1)) {
        path.push(name);
        out.push(c_path(&path)?);
    }
    Ok(out)
}

/// Something of the user's goes below /sys, so /sys has to be there before.
pub(super) fn below_sys(spec: &Spec) -> bool {
    spec.mounts.iter().any(|m| m.target().starts_with("/sys"))
}

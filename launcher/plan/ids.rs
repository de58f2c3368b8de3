//! The user namespace's part of a plan: who is who, and how trees come in.

use super::{Builder, absolute, c_path, detach};
use crate::error::{Error, Result};
use crate::host::{Host, TTY};
use crate::idmap::{self, IdMap, Writer, subid, taken};
use crate::record::RecordItem;
use crate::spec::{Id, Net, Owners, Spec, UserNs, UserSpec};
use crate::step::{ChildStep, HostStep, Need, Tree};
use crate::sys::ns;
use crate::{cgroup, record, user};
use rustix::process::{Gid, Uid};
use std::path::Path;

/// The ids, and what keeps others from choosing the same ones meanwhile.
pub fn choose(spec: &Spec, host: &Host) -> Result<(Option<IdMap>, Option<taken::Lock>)> {
    let auto = matches!(spec.userns, UserNs::Auto { .. });
    let lock = (auto && !host.rootless && !host.only_look).then(taken::lock).transpose()?;
    Ok((idmap::choose(spec, host)?, lock))
}

impl Builder<'_> {
    /// The child takes other ids than the caller's before it makes anything.
    pub fn becomes(&self) -> bool {
        self.ids.as_ref().is_some_and(|ids| ids.become_first.is_some())
    }

    /// A user namespace, ours or one around us, may neither make nodes nor mount another's sysfs.
    pub fn binds_devices(&self) -> bool {
        self.ids.is_some() || self.host.nested.is_some()
    }

    pub fn has_terminal_group(&self) -> bool {
        match (&self.ids, &self.host.nested) {
            (Some(ids), _) => ids.has_gid(TTY),
            (None, Some(outer)) => outer.tty,
            (None, None) => true,
        }
    }

    fn may_set_groups(&self) -> bool {
        match (&self.ids, &self.host.nested) {
            (Some(ids), _) => ids.groups,
            (None, Some(outer)) => outer.groups,
            (None, None) => true,
        }
    }

    /// Root inside cannot reach what root outside can: the launcher opens everything.
    pub fn sends_trees(&self) -> bool {
        self.ids.as_ref().is_some_and(|ids| ids.writer == Writer::Root)
    }

    pub fn become_mapped(&mut self) {
        let Some(ids) = &self.ids else { return };
        if let Some((uid, gid)) = ids.become_first {
            let (uid, gid, groups) = (Uid::from_raw(uid), Gid::from_raw(gid), ids.groups);
            self.child.push(ChildStep::BecomeMapped { uid, gid, groups });
            self.child.push(ChildStep::DieWithParentAgain);
        }
    }

    /// A slot for something of the host's: a descriptor of it, or a mount of its own.
    pub fn source(&mut self, path: &Path, recursive: bool, owners: Owners) -> Result<usize> {
        match (self.sends_trees(), owners) {
            (false, Owners::OnDisk) => {
                let said = format!(
                    "volume {}: idmap maps owners into a user namespace of root's",
                    path.display()
                );
                return Err(Error::new(said).hint("run as root, with --userns auto"));
            }
            (false, _) => return self.open_source(path),
            (true, _) => {}
        }
        self.tree(Some(path), recursive, owners)
    }

    /// None: the root file system.
    pub fn tree(&mut self, path: Option<&Path>, recursive: bool, owners: Owners) -> Result<usize> {
        let mapped = match owners {
            Owners::OnDisk => true,
            Owners::Hosts => false,
            Owners::Natural => !self.has_owner(path) && !path.is_some_and(made_by_kernel),
        };
        let shown = path.unwrap_or(&self.spec.rootfs).to_owned();
        let slot = self.slots;
        self.slots += 1;
        self.child.push(ChildStep::ReceiveTree { slot, source: shown.clone() });
        self.trees.push(Tree {
            source: path.map(|p| c_path(&absolute(p)?)).transpose()?,
            recursive,
            mapped,
            shown,
        });
        Ok(slot)
    }

    /// Given to the container's ids once (chown), a tree needs no mapping.
    fn has_owner(&self, path: Option<&Path>) -> bool {
        let stat = match path {
            Some(path) => rustix::fs::stat(path),
            None => rustix::fs::fstat(self.rootfs),
        };
        stat.is_ok_and(|s| self.ids.as_ref().is_some_and(|ids| ids.maps_owner(s.st_uid)))
    }

    fn user_names(&self) -> user::Names<'_> {
        match self.root {
            super::Root::Image { pending: Some(pending), .. } => user::Names::Read(&pending.names),
            _ => user::Names::Below(self.rootfs),
        }
    }

    pub fn user(&self) -> Result<user::Resolved> {
        let default = self.ids.as_ref().map_or((0, 0), |ids| ids.user);
        let mut who = match &self.spec.user {
            Some(u) => user::resolve(self.user_names(), u)?,
            None if default != (0, 0) => {
                let (user, group) = (Id::Number(default.0), Some(Id::Number(default.1)));
                user::resolve(self.user_names(), &UserSpec { user, group })?
            }
            None => user::Resolved {
                uid: 0,
                gid: 0,
                groups: Vec::new(),
                home: "/root".into(),
                name: Some("root".into()),
            },
        };
        self.add_groups(&mut who)?;
        Ok(who)
    }

    /// `--group-add`, all of which have to be there.
    fn add_groups(&self, who: &mut user::Resolved) -> Result<()> {
        user::add_groups(self.user_names(), who, &self.spec.groups)?;
        let Some(ids) = self.ids.as_ref().filter(|_| !self.spec.groups.is_empty()) else {
            return Ok(());
        };
        match who.groups.iter().find(|gid| !ids.groups || !ids.has_gid(**gid)) {
            Some(gid) => {
                Err(Error::new(format!("--group-add: group {gid} is not in this user namespace"))
                    .hint("it needs subordinate ids that include it: launch help rootless"))
            }
            None => Ok(()),
        }
    }

    pub fn set_ids(&mut self, who: &user::Resolved) -> Result<()> {
        if let Some(ids) = &self.ids
            && !(ids.has_uid(who.uid) && ids.has_gid(who.gid))
        {
            return Err(absent(ids, who));
        }
        let has = |gid: &u32| self.ids.as_ref().is_none_or(|ids| ids.has_gid(*gid));
        let groups = self.may_set_groups().then(|| {
            let others = who.groups.iter().copied().filter(|g| *g != who.gid).filter(has);
            std::iter::once(who.gid).chain(others).map(Gid::from_raw).collect()
        });
        let (uid, gid) = (Uid::from_raw(who.uid), Gid::from_raw(who.gid));
        self.child.push(ChildStep::SetIds { uid, gid, groups });
        Ok(())
    }

    pub fn host_steps(
        &mut self,
        id: &str,
        groups: Option<&cgroup::Cgroups>,
        facts: record::Facts,
    ) -> Result<Vec<HostStep>> {
        let mut steps = Vec::new();
        let mut late = Vec::new();
        let mut at_birth = None;
        let mut items = self.ids.as_ref().map_or_else(Vec::new, taken::items);
        let groups = groups.filter(|g| !g.dirs.is_empty());
        items.extend(groups.iter().flat_map(|g| record::items_of(g)));
        items.extend(self.network_item()?);
        let carried = self.carried()?;
        items.extend(carried.iter().cloned().map(RecordItem::Port));
        let by_child = groups.is_some_and(|g| self.child_makes(g));
        // Nobody else's name may be taken, and nothing made before it is written down.
        let named = self.spec.name.is_some() || self.spec.detach || self.net.is_some();
        let first = named || !items.is_empty() && !by_child;
        let files = detach::files_for_others(self.spec, id);
        let need = need(named || !files.is_empty(), &items);
        let record = HostStep::Record { id: id.into(), items, facts: Box::new(facts), need };
        let mut record = Some(record);
        if first {
            steps.extend(record.take());
            if self.spec.detach {
                steps.extend(detach::make_files(self.spec, id));
                late.push(HostStep::NoteProcess);
            }
        }
        if by_child || !files.is_empty() {
            late.extend(record.take());
        }
        late.extend(files);
        late.extend(by_child.then_some(HostStep::Go));
        if let Some(g) = groups {
            if !by_child {
                steps.extend(make_cgroups(g));
            }
            at_birth = g.join.unified.clone();
        }
        let mut sweep = sweeps(self.spec).then_some(HostStep::Sweep);
        let before = self.network_before()?;
        if !before.is_empty() {
            // From the host's own network only can theirs be cleared.
            steps.extend(sweep.take());
        }
        steps.extend(before);
        steps.push(HostStep::Clone { flags: self.new_namespaces(), cgroup: at_birth });
        steps.extend(self.spreads().then_some(HostStep::Spread));
        steps.extend(self.ids.clone().map(HostStep::MapIds));
        steps.append(&mut late);
        steps.extend(sweep);
        steps.extend(self.network_after(id, carried)?);
        steps.push(HostStep::Go);
        // Nothing has to be cleared up, and nobody knows its name yet.
        steps.extend(record);
        steps.extend(std::mem::take(&mut self.trees).into_iter().map(HostStep::SendTree));
        Ok(steps)
    }

    fn new_namespaces(&self) -> u64 {
        let mut flags = ns::NEWPID | ns::NEWNS | ns::NEWUTS | ns::NEWIPC;
        if self.born_in_network() {
            flags |= ns::NEWNET;
        }
        if self.ids.is_some() {
            flags |= ns::NEWUSER;
        }
        flags
    }

    /// The parent makes the network namespace while the child mounts; in a user namespace of
    /// ours only the child could, and in any sysfs is mounted while the outer one is seen.
    pub fn apart(&self) -> bool {
        let Builder { spec, host, .. } = self;
        let own = matches!(spec.net, Net::None | Net::Bridge(_));
        own && !self.binds_devices() && host.modern && !super::below_sys(spec)
    }

    /// Which is worth it where both have much to do.
    pub fn spreads(&self) -> bool {
        self.apart() && self.host.free_choice
    }

    /// Cgroups of version 1 can be joined late, so the child makes them while the parent is
    /// busy with the network.
    pub fn child_makes(&self, groups: &cgroup::Cgroups) -> bool {
        self.ids.is_none() && groups.join.unified.is_none()
    }
}

/// What dead launchers have left is cleared up when the child has begun. It would be in the way
/// of those that ask for a name, an address or ids: then it is done before all else.
pub fn sweeps(spec: &Spec) -> bool {
    let root = rustix::process::geteuid().is_root();
    let ids = matches!(spec.userns, UserNs::Default | UserNs::Host);
    let ids = ids && spec.uid_map.is_empty() && spec.gid_map.is_empty();
    let name = spec.name.is_some() || spec.detach;
    root && ids && !name && matches!(spec.net, Net::None | Net::Host)
}

fn need(looked_for: bool, items: &[RecordItem]) -> Need {
    match items {
        _ if looked_for => Need::Others,
        [] => Need::Nobody,
        _ => Need::Undo,
    }
}

/// By the launcher.
fn make_cgroups(g: &cgroup::Cgroups) -> impl Iterator<Item = HostStep> {
    let filter = g.devices.clone().zip(g.join.unified.clone());
    let filter = filter.map(|(program, dir)| HostStep::FilterDevices { dir, program });
    let dirs = g.dirs.iter().cloned().map(HostStep::MakeCgroup);
    dirs.chain(g.writes.iter().cloned().map(HostStep::WriteCgroup)).chain(filter)
}

/// The kernel's own file systems have no owners on disk, and no idmapped mounts.
fn made_by_kernel(path: &Path) -> bool {
    // proc, sysfs, devpts, cgroup and cgroup2, mqueue, debugfs, bpf, the namespaces' nsfs.
    const KINDS: [u64; 9] = [
        0x9fa0,
        0x6265_6572,
        0x1cd1,
        0x27_e0eb,
        0x6367_7270,
        0x1980_0202,
        0x6462_6720,
        0xcafe_4a11,
        0x6e73_6673,
    ];
    rustix::fs::statfs(path).is_ok_and(|s| KINDS.contains(&(s.f_type as u64)))
}

impl super::Plan {
    pub fn sends_trees(&self) -> bool {
        self.ids.as_ref().is_some_and(|ids| ids.writer == Writer::Root)
    }
}

/// An id that the user namespace does not have, and how to get more.
fn absent(ids: &IdMap, who: &user::Resolved) -> Error {
    let user = format!("user {}:{}", who.uid, who.gid);
    if ids.writer != Writer::Own {
        let last = |ranges: &[idmap::Range]| {
            ranges.iter().map(|r| r.inside + (r.count - 1)).max().unwrap_or(0)
        };
        let (uid, gid) = (last(&ids.uids), last(&ids.gids));
        return Error::new(format!(
            "{user}: not in this user namespace, whose last are {uid}:{gid}"
        ));
    }
    let (name, helpers) = (subid::helper("newuidmap"), subid::helper("newgidmap"));
    let error =
        Error::new(format!("{user}: only user {} exists in this user namespace", ids.user.0));
    let lines = "a line NAME:100000:65536 for you in /etc/subuid and in /etc/subgid";
    error.hint(match (name, helpers) {
        (Some(_), Some(_)) => format!("give yourself subordinate ids: {lines}"),
        _ => format!("it takes newuidmap and newgidmap (Debian: package uidmap), and {lines}"),
    })
}

//! The plan of `launch exec`: one more process in a container that runs. What the process
//! is and may is made by the same code as at a start.

use super::rootfs::Root;
use super::{Builder, Plan, c_path};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::idmap::{self, IdMap, Range, Writer};
use crate::quote::quote;
use crate::record::Found;
use crate::spec::{EnvItem, Net, Spec, UserNs};
use crate::step::{ChildStep, Harden, HostStep};
use crate::sys::ns;
use crate::{cgroup, env, lookup};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Uid;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `spec` is the container's own with the new command, user, directory and terminal; its
/// environment is what is added to the container's. Nothing has been joined when it returns.
pub fn enter(found: &Found, spec: &Spec, user_given: bool, host: &Host) -> Result<Plan> {
    if !host.modern {
        return Err(Error::new("exec: the kernel cannot join a container's namespaces at once")
            .hint("Linux 5.8 is needed"));
    }
    let (pid, pidfd) = found.ready_process()?;
    let own = PathBuf::from(format!("/proc/{}", pid.as_raw_pid()));
    let root = open_dir(&own.join("root"), found)?;
    let mut kinds = kinds(&own, spec, host);
    let mut opened = Vec::new();
    let (tasks, unified) = cgroups(found, &mut opened)?;
    let root_slot = opened.len();
    for fd in [&root, &pidfd] {
        opened.push(fd.try_clone().map_err(|e| Error::os("keep a descriptor", e))?);
    }
    if unified.is_none() {
        kinds |= ns::NEWCGROUP;
    }

    let terminal = host.wants_terminal(spec.tty);
    let mut build = Builder::new(spec, host, root.as_fd(), &Root::Directory);
    build.slots = opened.len();
    build.ids = ids_of(&own, spec, host)?;
    let who = build.user()?;
    let env = environment(found, spec, user_given.then_some(who.home.as_os_str()), terminal)?;
    let workdir = spec.workdir.clone().unwrap_or_else(|| "/".into());
    let search = lookup::search_path(&env);
    let candidates = lookup::command(build.rootfs, &spec.command[0], &search, &workdir, true)?;
    way_in(&mut build, found, tasks, unified.is_some(), root_slot)?;
    if terminal {
        build.child.push(ChildStep::OpenTerminal { owner: Uid::from_raw(who.uid) });
    }
    build.child.push(ChildStep::Chdir(c_path(&workdir)?));
    build.drop_bounding();
    build.give_up(&who, true)?;
    build.exec(candidates, &env, true, None)?;
    let enter = HostStep::Enter { name: found.name.clone(), pid, pidfd, kinds };
    let clone = HostStep::Clone { flags: 0, cgroup: None };
    let score = spec.oom_score_adj.map(HostStep::OomScore).into_iter();
    let Builder { child, slots, warnings, .. } = build;
    Ok(Plan {
        pending: None,
        fills: Vec::new(),
        host: score.chain([enter, clone]).collect(),
        child: child.leak(),
        slots,
        opened,
        birthplace: unified,
        warnings,
        cgroups: None,
        env,
        rootfs: root,
        tree: None,
        _held: Vec::new(),
        rootless: host.rootless,
        ids: None,
        ids_lock: None,
    })
}

/// Its cgroups, and the root; with version 2 the namespace of cgroups as well.
fn way_in(
    build: &mut Builder,
    found: &Found,
    tasks: Vec<usize>,
    unified: bool,
    root_slot: usize,
) -> Result<()> {
    let pid_slot = root_slot + 1;
    build.child.push(ChildStep::DieWithParent);
    build.child.extend(tasks.into_iter().map(|slot| ChildStep::JoinOpenedCgroup { slot }));
    if unified {
        let dir = found.cgroups().find(|dir| cgroup::is_cgroup(dir) == Some(true));
        build.child.push(ChildStep::JoinUnified { dir: c_path(dir.unwrap_or(Path::new("/")))? });
        // After it is in the cgroup: from inside the namespace none outside can be left.
        build.child.push(ChildStep::JoinNamespaces { slot: pid_slot, kinds: ns::NEWCGROUP });
    }
    build.child.extend([
        ChildStep::NewSession,
        ChildStep::Harden(Harden::Keyring),
        ChildStep::DefaultSignals,
        ChildStep::EnterRoot { slot: root_slot },
    ]);
    Ok(())
}

/// All but that of cgroups.
fn kinds(own: &Path, spec: &Spec, host: &Host) -> u64 {
    let mut kinds = ns::NEWPID | ns::NEWNS | ns::NEWUTS | ns::NEWIPC;
    if other_user_namespace(own) {
        kinds |= ns::NEWUSER;
    }
    // In a user namespace the host's network is not for us to join; we are in it.
    if !(host.rootless && spec.net == Net::Host) {
        kinds |= ns::NEWNET;
    }
    kinds
}

fn open_dir(path: &Path, found: &Found) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|e| Error::os(format!("enter container {}", quote(&found.name)), e))
}

/// The ids of its user namespace, if it has one of its own.
fn ids_of(own: &Path, spec: &Spec, host: &Host) -> Result<Option<IdMap>> {
    if !other_user_namespace(own) {
        return Ok(None);
    }
    let read = |file: &str| {
        let path = own.join(file);
        std::fs::read_to_string(&path).map_err(|e| Error::os(format!("read {}", path.display()), e))
    };
    let ranges = |file: &str| -> Result<Vec<Range>> {
        let number = |word: Option<&str>| word.and_then(|w| w.parse().ok());
        let range = |line: &str| {
            let mut words = line.split_whitespace();
            let mut next = || number(words.next());
            Some(Range { inside: next()?, outside: next()?, count: next()? })
        };
        Ok(read(file)?.lines().filter_map(range).collect())
    };
    let user = match spec.userns {
        UserNs::Auto { .. } => (0, 0),
        _ => idmap::choose(spec, host)?.map_or((0, 0), |ids| ids.user),
    };
    Ok(Some(IdMap {
        uids: ranges("uid_map")?,
        gids: ranges("gid_map")?,
        writer: Writer::Own,
        groups: read("setgroups")?.trim() == "allow",
        become_first: None,
        user,
    }))
}

fn other_user_namespace(own: &Path) -> bool {
    let inode = |path: &Path| rustix::fs::stat(path).map_or(0, |s| s.st_ino);
    inode(&own.join("ns/user")) != inode(Path::new("/proc/self/ns/user"))
}

/// Its cgroups, opened while they can be seen: the slots of version 1's `tasks`, and the
/// directory of version 2.
fn cgroups(found: &Found, opened: &mut Vec<OwnedFd>) -> Result<(Vec<usize>, Option<OwnedFd>)> {
    let (mut tasks, mut unified) = (Vec::new(), None);
    for dir in found.cgroups() {
        let failed = |e| Error::os(format!("open cgroup {}", dir.display()), e);
        match cgroup::is_cgroup(dir) {
            // Noted to be made; then it is not in there.
            None if rustix::fs::lstat(dir).is_err_and(|e| e == Errno::NOENT) => {}
            Some(true) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                unified = Some(rustix::fs::open(dir, flags, Mode::empty()).map_err(failed)?);
            }
            None => {
                let dir = dir.display();
                return Err(Error::new(format!("{dir} is no longer a cgroup directory")));
            }
            Some(false) => {
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                let file = rustix::fs::open(dir.join("tasks"), flags, Mode::empty());
                tasks.push(opened.len());
                opened.push(file.map_err(failed)?);
            }
        }
    }
    Ok((tasks, unified))
}

/// The container's own, then what this command adds.
fn environment(
    found: &Found,
    spec: &Spec,
    home: Option<&OsStr>,
    terminal: bool,
) -> Result<Vec<std::ffi::CString>> {
    let split = |word: &'_ OsString| {
        let bytes = word.as_bytes();
        let at = bytes.iter().position(|b| *b == b'=')?;
        let part = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        Some((part(&bytes[..at]), part(&bytes[at + 1..])))
    };
    let mut base: Vec<(OsString, OsString)> =
        found.entry.facts.env.iter().filter_map(split).collect();
    let chosen = found.spec()?.env.iter().any(|e| match e {
        EnvItem::Set(name, _) | EnvItem::FromCaller(name) => name == "HOME",
        EnvItem::File(_) => false,
    });
    if let Some(home) = home.filter(|_| !chosen) {
        base.push(("HOME".into(), home.to_owned()));
    }
    if terminal && !base.iter().any(|(name, _)| name == "TERM") {
        base.push(("TERM".into(), "xterm".into()));
    }
    let base: Vec<(&OsStr, &OsStr)> =
        base.iter().map(|(n, v)| (n.as_os_str(), v.as_os_str())).collect();
    env::build(&spec.env, |name| std::env::var_os(name), &base)
}

impl Plan {
    /// Whether processes inside may trace any other (CAP_SYS_PTRACE).
    pub fn traceable(&self) -> bool {
        const SYS_PTRACE: u64 = 1 << 19;
        !self.child.iter().any(
            |step| matches!(step, ChildStep::SetCapabilities { keep } if keep & SYS_PTRACE == 0),
        )
    }
}

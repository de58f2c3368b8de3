//! The child's life from clone to exec: one step after the other, as the plan says.
//!
//! Nothing here allocates, parses or formats. A step that fails is reported by its
//! number and errno; the parent, which holds the same plan, finds the words.

mod harden;
mod landlock;
mod living;
mod meanwhile;
pub mod seal;
mod terminal;
pub mod verify;

use crate::spec::Fault;
use crate::step::{ChildStep, Overlay};
use crate::sync::{Channel, Report};
use crate::sys::{self, SharedTimes};
use crate::{idmap, mount};
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::CStr;

/// The program that build.rs made.
pub static INIT: &[u8] = include_bytes!(env!("INIT_ELF"));
/// The same, which also keeps the log of a detached container short.
static INIT_WITH_LOG: &[u8] = include_bytes!(env!("INIT_LOG_ELF"));

/// The child's descriptors; all of them are close-on-exec.
pub struct Context {
    pub channel: Channel,
    /// Ours is a copy that would keep the parent's death from being seen.
    pub parent_end: RawFd,
    /// The record, whose lock is the launcher's alone; -1 where there is none yet.
    pub record: RawFd,
    /// The launcher, as a pidfd.
    pub launcher: RawFd,
    /// The cgroup of version 2, and whether we were born in it.
    pub cgroup: RawFd,
    pub born: bool,
    /// The sealed init, once it is made.
    pub init: RawFd,
    /// Sources opened below the old root; -1 until then.
    pub slots: Vec<RawFd>,
    pub old_root: RawFd,
    pub new_root: RawFd,
    /// The pty's other end, once there is one.
    pub terminal: RawFd,
    /// The container's procfs, whatever has its name by now; -1 until it is mounted.
    pub proc: RawFd,
    /// The container's /dev.
    pub dev: RawFd,
    /// Its /proc/sys, writable.
    pub settings: RawFd,
    pub done: Done,
    /// Which of the many things that one step does has failed.
    pub detail: Option<usize>,
    pub fault: Option<Fault>,
    pub times: Option<SharedTimes>,
}

/// What the kernel has said yes to so far: see `step::Done`.
#[derive(Default)]
pub struct Done {
    pub pivot: bool,
    pub network: bool,
    pub cgroup_namespace: bool,
    pub keyring: bool,
    pub processors: bool,
    pub signals: bool,
    /// Descriptors are close-on-exec by one call for all.
    pub at_once: bool,
    pub cgroups: u32,
    pub limits: u32,
    pub volumes: u32,
    /// Landlock's rules are made, and a directory that none of them allows.
    pub rules: Option<(RawFd, RawFd)>,
    /// Bit n: the nth thing to be hidden is not there.
    pub absent: u64,
}

/// Runs the steps; never returns. `first` is the number of the first one in the whole plan.
pub fn run(steps: &[ChildStep], mut cx: Context, first: usize) -> sys::Never {
    sys::close(cx.parent_end);
    if cx.record >= 0 {
        sys::close(cx.record);
    }
    for (index, step) in steps.iter().enumerate() {
        let before = cx.times.as_ref().map(|_| now());
        let result = match cx.fault {
            Some(Fault::Fail(at)) if at == first + index => Err(Errno::IO),
            Some(Fault::Kill(at)) if at == first + index => {
                cx.channel.send(&Report::Kill);
                // A go may be there already: not a step further all the same.
                while cx.channel.await_go().is_ok() {}
                Err(Errno::CONNRESET)
            }
            Some(Fault::Skip(at)) if at == first + index => Ok(()),
            _ => cx.step(step),
        };
        if let Err(errno) = result {
            cx.channel.send(&Report::Failed { step: index, errno, detail: cx.detail });
            break;
        }
        if let (Some(times), Some(before)) = (&cx.times, before) {
            times.set(index, now().saturating_sub(before));
        }
    }
    sys::exit_now(crate::error::Code::Ours as i32)
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn now() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

impl Context {
    fn step(&mut self, step: &ChildStep) -> Result<()> {
        match step {
            ChildStep::DieWithParent => die_with_parent(),
            ChildStep::DieWithParentAgain => {
                die_with_parent()?;
                // It may have died in between, unnoticed.
                self.channel.check_parent()
            }
            ChildStep::AwaitGo => self.channel.await_go(),
            ChildStep::EveryProcessor => self.every_processor(),
            ChildStep::JoinNetwork { plugged } => self.join_network(*plugged),
            ChildStep::SealInit { log } => {
                self.init = leak(seal::seal(if *log { INIT_WITH_LOG } else { INIT })?);
                Ok(())
            }
            ChildStep::MakeCgroup { dir } => {
                let mode = Mode::from_raw_mode(0o755);
                rustix::fs::mkdirat(sys::borrow(self.old_root), relative(dir)?, mode)
            }
            ChildStep::WriteCgroup { file, write } => {
                let fd = self.open_below_old_root(file, OFlags::WRONLY)?;
                rustix::io::write(fd, write.value.as_bytes())?;
                self.done.limits += 1;
                Ok(())
            }
            ChildStep::JoinUnified { .. } if self.born => Ok(()),
            ChildStep::JoinUnified { .. } => {
                let (dir, flags) = (sys::borrow(self.cgroup), OFlags::WRONLY | OFlags::CLOEXEC);
                let fd = rustix::fs::openat(dir, c"cgroup.procs", flags, Mode::empty())?;
                rustix::io::write(fd, b"0").map(drop)
            }
            ChildStep::NewSession => rustix::process::setsid().map(drop),
            ChildStep::DefaultSignals => {
                rustix::process::umask(Mode::empty());
                // The launcher's own, and what its caller may have ignored. To ask for each whether it
                // need be set would take as long.
                for signal in (1..=64).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s)) {
                    sys::default_disposition(signal)?;
                }
                self.done.signals = true;
                Ok(())
            }
            ChildStep::PrivateMounts => self.private_mounts(),
            ChildStep::OpenSource { slot, path } => {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                self.slots[*slot] = leak(rustix::fs::open(*path, flags, Mode::empty())?);
                Ok(())
            }
            ChildStep::ReceiveTree { slot, .. } => {
                self.slots[*slot] = leak(self.channel.receive_tree()?);
                Ok(())
            }
            ChildStep::BecomeMapped { uid, gid, groups } => {
                idmap::become_mapped(*uid, *gid, *groups)
            }
            ChildStep::AttachRoot { slot, at } => {
                idmap::attach_root(sys::borrow(self.slots[*slot]), at)
            }
            ChildStep::CloneTree { slot, path } => {
                let place = self.open_below_old_root(path, OFlags::PATH)?;
                // Before Linux 5.2 the container does not see its cgroups.
                match mount::clone_tree(place.as_fd()) {
                    Err(e) if sys::is_unknown(e) => Ok(()),
                    tree => {
                        self.slots[*slot] = leak(tree?);
                        Ok(())
                    }
                }
            }
            ChildStep::AttachTree { slot, .. } if self.slots[*slot] < 0 => Ok(()),
            ChildStep::AttachTree { slot, target } => {
                match mount::attach_tree(sys::borrow(self.slots[*slot]), target) {
                    // As old as where there is no open_tree; a refusal is something else.
                    Err(Errno::NOSYS) => Ok(()),
                    done => done.and_then(|()| mount::attributes(target, sys::attr::RDONLY)),
                }
            }
            ChildStep::JoinCgroup { tasks } => {
                // "0" is the writer itself. Never cgroup.procs: that waits for all processors.
                let fd = self.open_below_old_root(tasks, OFlags::WRONLY)?;
                rustix::io::write(fd, b"0")?;
                self.done.cgroups += 1;
                Ok(())
            }
            ChildStep::BindRoot { path } => {
                // Twice by name: the second walk ends on top of the new mount.
                rustix::process::chdir(*path)?;
                rustix::mount::mount_bind_recursive(c".", c".")?;
                rustix::process::chdir(*path)
            }
            ChildStep::Scratch { at, dirs } => mount::scratch(at, dirs),
            ChildStep::Overlay(overlay) => self.overlay(overlay),
            ChildStep::MakeDir { path } => rustix::fs::mkdir(*path, Mode::from_raw_mode(0o755)),
            ChildStep::WorkDir { path, parents } => mount::directories(path, parents),
            ChildStep::Enter { root } => rustix::process::chdir(*root),
            ChildStep::Confine => self.confine(),
            ChildStep::Mount(m) => {
                mount::add(m)?;
                if m.target == c"/proc" {
                    self.proc = leak(mount::proc_root(m.target)?);
                }
                Ok(())
            }
            ChildStep::MakeNode { path, mode, major, minor } => {
                mount::make_node(path, *mode, *major, *minor)
            }
            ChildStep::BindNode { slot, path } => self.bind_node(*slot, path),
            ChildStep::MakeLink { path, target } => rustix::fs::symlink(*target, *path),
            ChildStep::Bind(bind) => mount::volume::bind(bind, sys::borrow(self.slots[bind.slot])),
            ChildStep::Harden(step) => self.harden(step),
            ChildStep::Volume(v) => {
                mount::volume::own(v)?;
                self.done.volumes += 1;
                Ok(())
            }
            ChildStep::Provide(p) => mount::volume::provide(p, &self.slots),
            ChildStep::ReadOnly { target } => mount::attributes(target, sys::attr::RDONLY),
            ChildStep::OpenTerminal { owner } => self.open_terminal(*owner),
            ChildStep::Pivot => self.pivot(),
            other => self.late_step(other),
        }
    }

    /// The steps after the old root is gone.
    fn late_step(&mut self, step: &ChildStep) -> Result<()> {
        match step {
            ChildStep::RootAttributes { read_only } => {
                let ro = if *read_only { sys::attr::RDONLY } else { 0 };
                mount::attributes(c"/", sys::attr::NODEV | ro)
            }
            ChildStep::NewCgroupNamespace => {
                harden::new_cgroup_namespace()?;
                self.done.cgroup_namespace = true;
                Ok(())
            }
            ChildStep::LoopbackUp => sys::loopback_up(),
            ChildStep::Hostname(name) => rustix::system::sethostname(name.to_bytes()),
            ChildStep::Chdir(dir) => {
                // `/proc/self/fd/7` is a name for it, with nothing hidden.
                sys::close(self.proc);
                harden::change_directory(dir)
            }
            ChildStep::DropBounding { keep } => crate::caps::drop_bounding(*keep),
            ChildStep::SetIds { uid, gid, groups } => {
                if let Some(groups) = groups {
                    rustix::thread::set_thread_groups(groups)?;
                }
                rustix::thread::set_thread_res_gid(*gid, *gid, *gid)?;
                rustix::thread::set_thread_res_uid(*uid, *uid, *uid)
            }
            ChildStep::SetCapabilities { keep } => crate::caps::set(*keep),
            ChildStep::NoNewPrivileges => rustix::thread::set_no_new_privs(true),
            ChildStep::CloseOnExec { first, now } => {
                rustix::process::umask(Mode::from_raw_mode(0o022));
                self.use_terminal()?;
                self.let_go_of_descriptors(*first, *now)
            }
            ChildStep::ExecInit { argv } => Err(sys::exec_fd(self.init, argv, self.channel.env())),
            ChildStep::ExecPayload { candidates, argv } => {
                sys::set_signal_mask(0)?;
                Err(exec_first(candidates, argv, self.channel.env()))
            }
            other => self.living_step(other),
        }
    }

    fn private_mounts(&mut self) -> Result<()> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change(c"/", private)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.old_root = leak(rustix::fs::open(c"/", flags, Mode::empty())?);
        Ok(())
    }

    /// A path of the host, which is absolute and without symlinks.
    fn open_below_old_root(&self, path: &CStr, flags: OFlags) -> Result<OwnedFd> {
        let path = &path.to_bytes_with_nul()[1..];
        let path = CStr::from_bytes_with_nul(path).map_err(|_| Errno::INVAL)?;
        rustix::fs::openat(sys::borrow(self.old_root), path, flags | OFlags::CLOEXEC, Mode::empty())
    }

    fn overlay(&self, o: &Overlay) -> Result<()> {
        // lowerdir=. : the lower layer is where we stand, whatever its name and whatever
        // covers that name by now.
        rustix::process::fchdir(sys::borrow(self.slots[o.lower]))?;
        let (fstype, mut flags) = (c"overlay", MountFlags::NODEV);
        flags.set(MountFlags::RDONLY, o.read_only);
        rustix::mount::mount(fstype, o.target, fstype, flags, o.data)
    }

    /// From here on every path is resolved below the directory we stand in, a mount of its
    /// own. The old root stays for a while: a user namespace may mount proc and sysfs only
    /// where it sees the host's, and sources are bound from there. It must not be stacked on
    /// the new one, as pivot_root(".", ".") alone would do: `/..` in a symlink of the image
    /// would lead on top of it, and so to the host.
    fn confine(&mut self) -> Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.new_root = leak(rustix::fs::open(c".", flags, Mode::empty())?);
        rustix::process::chroot(c".")?;
        rustix::process::chdir(c"/")
    }

    fn bind_node(&self, slot: usize, path: &CStr) -> Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        drop(rustix::fs::open(path, flags, Mode::from_raw_mode(0o666))?);
        rustix::process::fchdir(sys::borrow(self.slots[slot]))?;
        // The same name in the host's /dev, where we stand: `/dev/null` less its `/dev/`.
        let name = CStr::from_bytes_with_nul(&path.to_bytes_with_nul()[5..]);
        rustix::mount::mount_bind(name.map_err(|_| Errno::INVAL)?, path)
    }

    /// Makes the new root that of the mount namespace, and lets the old one go.
    fn pivot(&mut self) -> Result<()> {
        rustix::process::fchdir(sys::borrow(self.old_root))?;
        rustix::process::chroot(c".")?;
        rustix::process::fchdir(sys::borrow(self.new_root))?;
        match rustix::process::pivot_root(c".", c".") {
            Ok(()) => {
                rustix::process::fchdir(sys::borrow(self.old_root))?;
                rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
            }
            // The root is an initramfs, which cannot be unmounted: cover it instead.
            Err(Errno::INVAL) => {
                rustix::mount::mount_move(c".", c"/")?;
                rustix::process::chroot(c".")?;
            }
            Err(e) => return Err(e),
        }
        // No working directory is to be had by way of them.
        sys::close(self.old_root);
        sys::close(self.new_root);
        self.done.pivot = true;
        rustix::process::chdir(c"/")
    }
}

/// An absolute path without its `/`.
fn relative(path: &CStr) -> Result<&CStr> {
    CStr::from_bytes_with_nul(&path.to_bytes_with_nul()[1..]).map_err(|_| Errno::INVAL)
}

/// Keeps a descriptor open to the end of this process; all are close-on-exec.
fn leak(fd: OwnedFd) -> RawFd {
    let raw = fd.as_raw_fd();
    std::mem::forget(fd);
    raw
}

fn die_with_parent() -> Result<()> {
    let kill = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(kill)
}

/// execvp(3): the first that is there wins, and "permission denied" outlives "not found".
fn exec_first(
    candidates: &[std::ffi::CString],
    argv: &sys::CStrings,
    env: &sys::CStrings,
) -> Errno {
    let mut result = Errno::NOENT;
    for path in candidates {
        match sys::exec_path(path, argv, env) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => result = Errno::ACCESS,
            other => return other,
        }
    }
    result
}

//! The steps that take something away. Nothing here allocates.

use super::verify::verify_filter;
use super::{Context, leak};
use crate::mount;
use crate::spec::Rlimit;
use crate::step::{Harden, Hidden, Setting};
use crate::sys;
use rustix::fd::{AsFd, AsRawFd, RawFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use std::ffi::CStr;

/// Below /dev, for as long as things are being hidden.
const EMPTY: &CStr = c".empty";

impl Context {
    pub(super) fn harden(&mut self, step: &Harden) -> Result<()> {
        match step {
            Harden::HoldEmpty => self.hold_empty(),
            Harden::Hide { paths, first } => self.hide(paths, *first),
            Harden::Device(device) => mount::make_device(device),
            Harden::HoldSettings => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let proc = sys::borrow(self.proc);
                self.settings = leak(rustix::fs::openat(proc, c"sys", flags, Mode::empty())?);
                Ok(())
            }
            Harden::ReadOnly(paths) => self.each(paths, mount::protect),
            Harden::Settings(list) => self.set(list),
            Harden::OomScore(score) => write(sys::borrow(self.proc), c"self/oom_score_adj", score),
            Harden::Limits(limits) => self.limit(limits),
            Harden::Verify { checks, .. } => self.verify(checks),
            Harden::VerifyFilter { mode } => verify_filter(*mode),
            Harden::ReleaseEmpty => {
                rustix::fs::unlinkat(sys::borrow(self.dev), EMPTY, AtFlags::REMOVEDIR)?;
                sys::close(self.dev);
                Ok(())
            }
            Harden::Keyring => {
                own_keyring()?;
                self.done.keyring = true;
                Ok(())
            }
            Harden::HoldRules(landlock) => self.hold_rules(landlock),
            Harden::Landlock => self.apply_rules(),
            Harden::VerifyLandlock => self.verify_landlock(),
            Harden::Filter(filter) => sys::load_filter(&filter.program, filter.flags),
        }
    }

    /// By descriptors: what is mounted on /dev later does not matter.
    fn hold_empty(&mut self) -> Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.dev = leak(rustix::fs::open(c"/dev", flags, Mode::empty())?);
        rustix::fs::mkdirat(sys::borrow(self.dev), EMPTY, Mode::from_raw_mode(0o555))
    }

    /// A directory by the empty one, anything else by null: both are ours, whatever the
    /// image has. What is not there is noted, so that nobody looks for it again.
    fn hide(&mut self, paths: &[Hidden], first: usize) -> Result<()> {
        // Of procfs by descriptors alone: what covers and what is covered is below it.
        // With /dev as the root for a while each is one step away.
        let from_dev = paths.iter().all(|hidden| below_proc(hidden.path).is_some());
        let held = [c"null", EMPTY].map(|name| sys::path_below_fd(self.dev, name));
        let (null, empty) = match from_dev {
            true => (c"/null", c"/.empty"),
            false => (held[0].as_c_str()?, held[1].as_c_str()?),
        };
        let mut place = -1;
        if from_dev {
            self.stand_in(self.dev, &mut place)?;
            rustix::process::chroot(c".")?;
        }
        let (mut met, mut missed) = ([false; 2], [false; 2]);
        for (index, hidden) in paths.iter().enumerate() {
            let done = match below_proc(hidden.path) {
                Some(name) => self
                    .stand_in(self.proc, &mut place)
                    .and_then(|()| cover(hidden, name, null, empty)),
                None => self
                    .stand_in(self.dev, &mut place)
                    .and_then(|()| cover(hidden, hidden.path, c"null", EMPTY)),
            };
            match (done, hidden.directory) {
                (Ok(()), Some(kind)) => met[usize::from(kind)] = true,
                (Ok(()), None) => {}
                (Err(Errno::NOENT), kind) => {
                    missed[0] |= kind != Some(true);
                    missed[1] |= kind != Some(false);
                    if first + index < 64 {
                        self.done.absent |= 1 << (first + index);
                    }
                }
                (Err(e), _) => return self.fails_at(index, e),
            }
        }
        if from_dev {
            rustix::process::fchdir(sys::borrow(self.new_root))?;
            rustix::process::chroot(c".")?;
        }
        // Where not one of a kind was there, what they are covered with may be what is missing.
        for (kind, cover) in [c"null", EMPTY].into_iter().enumerate() {
            if missed[kind] && !met[kind] {
                rustix::fs::statat(sys::borrow(self.dev), cover, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// What does not exist needs no protection.
    fn each(&mut self, paths: &[&CStr], protect: impl Fn(&CStr) -> Result<()>) -> Result<()> {
        let mut place = -1;
        for (index, path) in paths.iter().enumerate() {
            let done = match below_proc(path) {
                Some(name) => self.stand_in(self.proc, &mut place).and_then(|()| protect(name)),
                None => protect(path),
            };
            match done {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return self.fails_at(index, e),
            }
        }
        Ok(())
    }

    /// Goes there unless that is where we are.
    fn stand_in(&self, dir: RawFd, place: &mut RawFd) -> Result<()> {
        if *place != dir {
            rustix::process::fchdir(sys::borrow(dir))?;
            *place = dir;
        }
        Ok(())
    }

    /// The parent is told which it was.
    pub(super) fn fails_at(&mut self, index: usize, e: Errno) -> Result<()> {
        self.detail = Some(index);
        Err(e)
    }

    pub(super) fn let_go_of_descriptors(&mut self, first: RawFd, now: bool) -> Result<()> {
        self.channel.mark()?;
        self.done.at_once = sys::close_on_exec_from(first)?;
        if now { sys::close_all_but(first, &mut self.still_needed()) } else { Ok(()) }
    }

    /// The way to report a failure, and landlock's rules.
    pub(super) fn still_needed(&self) -> [RawFd; 3] {
        let (rules, witness) = self.done.rules.unwrap_or((-1, -1));
        [self.channel.descriptor().as_raw_fd(), rules, witness]
    }

    fn set(&mut self, list: &[Setting]) -> Result<()> {
        for (index, setting) in list.iter().enumerate() {
            let place = sys::borrow(self.settings);
            if let Err(e) = write(place, setting.file, setting.value) {
                return self.fails_at(index, e);
            }
        }
        sys::close(self.settings);
        Ok(())
    }

    fn limit(&mut self, limits: &[Rlimit]) -> Result<()> {
        for (index, limit) in limits.iter().enumerate() {
            if let Err(e) = sys::set_limit(limit.resource, limit.soft, limit.hard) {
                return self.fails_at(index, e);
            }
        }
        Ok(())
    }
}

/// Never the wrong kind first: a mount that comes to nothing waits for all processors.
fn cover(hidden: &Hidden, path: &CStr, null: &CStr, empty: &CStr) -> Result<()> {
    let is_directory = || {
        let mode = rustix::fs::stat(path)?.st_mode;
        Ok(FileType::from_raw_mode(mode) == FileType::Directory)
    };
    let directory = hidden.directory.map_or_else(is_directory, Ok)?;
    let by = |directory: bool| if directory { empty } else { null };
    match rustix::mount::mount_bind(by(directory), path) {
        Err(Errno::NOTDIR) => rustix::mount::mount_bind(by(!directory), path),
        other => other,
    }
}

/// `/proc/a/b` as `a/b`.
fn below_proc(path: &CStr) -> Option<&CStr> {
    let name = path.to_bytes_with_nul().strip_prefix(b"/proc/")?;
    CStr::from_bytes_with_nul(name).ok().filter(|name| !name.is_empty())
}

fn write(place: impl AsFd, file: &CStr, value: &CStr) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(place, file, flags, Mode::empty())?;
    rustix::io::write(fd, value.to_bytes()).map(drop)
}

/// Where an outer filter keeps all keyrings from us, it keeps them from the container, too.
fn own_keyring() -> Result<()> {
    match sys::join_session_keyring() {
        Err(e @ (Errno::PERM | Errno::NOSYS)) if sys::session_keyring() == Err(e) => Ok(()),
        other => other,
    }
}

/// Before Linux 4.6 there are none.
pub(super) fn new_cgroup_namespace() -> Result<()> {
    match sys::unshare(sys::ns::NEWCGROUP) {
        Err(Errno::INVAL) => {
            let exists = rustix::fs::Access::EXISTS;
            match rustix::fs::access(c"/proc/self/ns/cgroup", exists) {
                Err(Errno::NOENT) if rustix::fs::access(c"/proc/self/ns/mnt", exists).is_ok() => {
                    Ok(())
                }
                _ => Err(Errno::INVAL),
            }
        }
        other => other,
    }
}

/// A directory outside the root has no absolute name; getcwd(2) then says so. On its own: the
/// path that it gets would be part of every step's stack.
#[inline(never)]
pub(super) fn change_directory(dir: &CStr) -> Result<()> {
    rustix::process::chdir(dir)?;
    if sys::directory_is_inside_root() { Ok(()) } else { Err(Errno::XDEV) }
}

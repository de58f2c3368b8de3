//! The look back: what the kernel says of this process, against the plan. Nothing here
//! allocates. A step that was left out, or that pretended to succeed, ends the start here.

use super::Context;
use crate::step::{Check, Done};
use crate::{caps, sys};
use rustix::fd::{AsRawFd, RawFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::{Errno, Result};
use rustix::process::Gid;
use std::ffi::CStr;

/// It is not so, as opposed to: it could not be found out.
pub const NOT_SO: Errno = Errno::BADE;

impl Context {
    pub(super) fn verify(&mut self, checks: &[Check]) -> Result<()> {
        for (index, check) in checks.iter().enumerate() {
            let result = match self.holds(check) {
                Ok(true) => continue,
                Ok(false) => Err(NOT_SO),
                Err(e) => Err(e),
            };
            self.detail = Some(index);
            return result;
        }
        Ok(())
    }

    fn holds(&self, check: &Check) -> Result<bool> {
        Ok(match check {
            Check::Root { read_only } => {
                let flags = mount_flags(c"/")?;
                flags.contains(NODEV) && (!read_only || flags.contains(StatVfsMountFlags::RDONLY))
            }
            Check::Done(what) => self.is_done(*what),
            Check::FileSystem { at, magic } => rustix::fs::statfs(*at)?.f_type as i64 == *magic,
            Check::MountPoint(path) => is_mount_point(path)?,
            Check::ReadOnly(path) | Check::Volume { target: path, .. } => match mount_flags(path) {
                Ok(flags) => flags.contains(StatVfsMountFlags::RDONLY),
                Err(Errno::NOENT) => matches!(check, Check::ReadOnly(_)),
                Err(e) => return Err(e),
            },
            Check::Hidden { path, number } => self.is_hidden(path, *number)?,
            other => self.holds_for_process(other)?,
        })
    }

    /// Asked one by one: /proc/self/status, which has it all, would have to be parsed here.
    fn holds_for_process(&self, check: &Check) -> Result<bool> {
        Ok(match check {
            Check::Uid(uid) => sys::user_ids()? == [*uid; 3],
            Check::Gid(gid) => sys::group_ids()? == [*gid; 3],
            Check::Groups(groups) => has_groups(groups)?,
            Check::Capabilities { keep } => !caps::has_beyond(*keep)?,
            Check::NoNewPrivileges => rustix::thread::no_new_privs()?,
            Check::Umask => {
                let planned = Mode::from_raw_mode(0o022);
                rustix::process::umask(planned) == planned
            }
            Check::Session => sys::session()? == rustix::process::getpid().as_raw_nonzero().get(),
            Check::ParentDeath => {
                let signal = rustix::process::parent_process_death_signal()?;
                signal == Some(rustix::process::Signal::KILL)
            }
            Check::Hostname(name) => rustix::system::uname().nodename() == *name,
            Check::Descriptors { from, closed } => self.lets_go(*from, *closed)?,
            Check::Limit(limit) => sys::get_limit(limit.resource)? == (limit.soft, limit.hard),
            Check::OomScore(score) => is_oom_score(score)?,
            _ => false,
        })
    }

    /// The channel, which was marked, stands for all that one call has made close-on-exec.
    fn lets_go(&self, from: RawFd, closed: bool) -> Result<bool> {
        if self.done.at_once && !closed {
            return Ok(sys::is_close_on_exec(self.channel.descriptor().as_raw_fd()));
        }
        let ours = |fd| !closed || self.still_needed().contains(&fd);
        Ok(sys::all_go_at_exec(from, table_size()?, ours))
    }

    fn is_done(&self, what: Done) -> bool {
        match what {
            Done::Pivot => self.done.pivot,
            Done::Network => self.done.network,
            Done::CgroupNamespace => self.done.cgroup_namespace,
            Done::Keyring => self.done.keyring,
            Done::Processors => self.done.processors,
            Done::Signals => self.done.signals,
            Done::Cgroups(count) => self.done.cgroups == count,
            Done::Limits(count) => self.done.limits == count,
            Done::Volumes(count) => self.done.volumes == count,
        }
    }

    /// By our null, or by the empty directory, which has no name any more.
    fn is_hidden(&self, path: &CStr, number: usize) -> Result<bool> {
        if self.done.absent & 1 << number.min(63) != 0 && number < 63 {
            // It was not there when it was to be hidden.
            return Ok(true);
        }
        match rustix::fs::stat(path) {
            Ok(s) => Ok(match FileType::from_raw_mode(s.st_mode) {
                FileType::CharacterDevice => s.st_rdev == rustix::fs::makedev(1, 3),
                FileType::Directory => s.st_nlink == 0,
                _ => false,
            }),
            Err(Errno::NOENT) => Ok(true),
            Err(e) => Err(e),
        }
    }
}

/// In any order.
fn has_groups(groups: &[Gid]) -> Result<bool> {
    let mut few = [0; 32];
    let found = match sys::group_count()? {
        count if count != groups.len() => return Ok(false),
        count if count <= few.len() => sys::groups(&mut few)?,
        // A process has at most 65536 (NGROUPS_MAX).
        count => sys::groups(sys::ids_memory(count)?)?,
    };
    Ok(found.iter().all(|id| groups.iter().any(|group| group.as_raw() == *id)))
}

fn is_oom_score(score: &CStr) -> Result<bool> {
    let mut text = [0; 16];
    let text = read_beginning(c"/proc/self/oom_score_adj", &mut text)?;
    Ok(text.trim_ascii() == score.to_bytes())
}

/// No descriptor has a number as high as this.
fn table_size() -> Result<RawFd> {
    let mut text = [0; 512];
    let text = read_beginning(c"/proc/self/status", &mut text)?;
    size_in(text).ok_or(Errno::NODATA)
}

fn size_in(status: &[u8]) -> Option<RawFd> {
    let size = status.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"FDSize:"))?;
    std::str::from_utf8(size.trim_ascii()).ok()?.parse().ok()
}

fn read_beginning<'a>(path: &CStr, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let count = rustix::io::read(fd, &mut *buffer)?;
    Ok(&buffer[..count])
}

/// ST_NODEV of statvfs(3).
const NODEV: StatVfsMountFlags = StatVfsMountFlags::NODEV;

fn mount_flags(path: &CStr) -> Result<StatVfsMountFlags> {
    Ok(rustix::fs::statvfs(path)?.f_flag)
}

/// By what the kernel says of the place (Linux 5.8), or by its device.
fn is_mount_point(path: &CStr) -> Result<bool> {
    let look = |path: &CStr| {
        rustix::fs::statx(rustix::fs::CWD, path, AtFlags::empty(), StatxFlags::empty())
    };
    let root = StatxAttributes::MOUNT_ROOT;
    match look(path) {
        Ok(s) if s.stx_attributes_mask.contains(root) => Ok(s.stx_attributes.contains(root)),
        Ok(_) | Err(Errno::NOSYS) => {
            Ok(rustix::fs::stat(path)?.st_dev != rustix::fs::stat(c"/")?.st_dev)
        }
        Err(e) => Err(e),
    }
}

pub(super) fn verify_filter(mode: i32) -> Result<()> {
    match sys::seccomp_mode() {
        Ok(found) if found == mode => Ok(()),
        Err(e) if e.raw_os_error() == -mode => Ok(()),
        _ => Err(NOT_SO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_descriptor_is_beyond_the_table() {
        assert_eq!(size_in(b"Name:\tFDSize:\nGid:\t0\nFDSize:\t256\nGroups:\t0 \n"), Some(256));
        assert_eq!(size_in(b"Name:\tx\nGid:\t0\n"), None);
        let highest = rustix::fs::open(c"/", OFlags::PATH, Mode::empty()).unwrap();
        assert!(table_size().unwrap() > highest.as_raw_fd());
    }

    #[test]
    fn of_this_process() {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        assert_eq!(sys::user_ids(), Ok([uid; 3]));
        assert_eq!(sys::group_ids(), Ok([gid; 3]));
        let groups = std::fs::read_to_string("/proc/self/status").unwrap();
        let groups = groups.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
        let mut groups: Vec<_> =
            groups.split_whitespace().map(|id| Gid::from_raw(id.parse().unwrap())).collect();
        assert_eq!(has_groups(&groups), Ok(true));
        groups.push(Gid::from_raw(4_000_000_000));
        assert_eq!(has_groups(&groups), Ok(false));
    }
}

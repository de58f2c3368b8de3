//! The look back: what the kernel says of this process, against the plan. Nothing here
//! allocates. A step that was left out, or that pretended to succeed, ends the start here.

use super::Context;
use crate::step::{Check, Done};
use crate::sys;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::{Errno, Result};
use std::ffi::CStr;

/// It is not so, as opposed to: it could not be found out.
pub const NOT_SO: Errno = Errno::BADE;

/// The bytes of a /proc file that matter, and where its lines begin: each is looked for by
/// its name, many times.
struct Text {
    small: [u8; 2048],
    /// Where that does not do: for users with hundreds of groups.
    large: Option<&'static mut [u8]>,
    len: usize,
    starts: [u32; 80],
    count: usize,
}

impl Context {
    /// On its own: what it needs of the stack would be touched by every step.
    #[inline(never)]
    pub(super) fn verify(&mut self, checks: &[Check], of_process: bool) -> Result<()> {
        let mut status = Text::empty();
        if of_process {
            self.status(&mut status)?;
        }
        for (index, check) in checks.iter().enumerate() {
            let result = match self.holds(check, &status) {
                Ok(true) => continue,
                Ok(false) => Err(NOT_SO),
                Err(e) => Err(e),
            };
            self.detail = Some(index);
            return result;
        }
        Ok(())
    }

    /// One file has it all: user, groups, capabilities, no_new_privs, signals, umask. It is
    /// read once more where the launcher's caller ignored signals, which is dozens of calls
    /// less elsewhere.
    fn status(&self, status: &mut Text) -> Result<()> {
        let file = c"/proc/self/status";
        status.read(file)?;
        match status.hex(b"SigIgn:") {
            Some(ignored) if ignored != 0 && self.done.signals => {
                sys::default_dispositions(ignored)?;
                status.read(file)
            }
            _ => Ok(()),
        }
    }

    fn holds(&self, check: &Check, status: &Text) -> Result<bool> {
        Ok(match check {
            Check::Root { read_only } => {
                let flags = mount_flags(c"/")?;
                flags.contains(NODEV) && (!read_only || flags.contains(StatVfsMountFlags::RDONLY))
            }
            Check::Done(what) => self.is_done(*what),
            Check::FileSystem { at, magic } => {
                rustix::fs::statfs(at.as_c_str())?.f_type as i64 == *magic
            }
            Check::MountPoint(path) => is_mount_point(path)?,
            Check::ReadOnly(path) | Check::Volume { target: path, .. } => match mount_flags(path) {
                Ok(flags) => flags.contains(StatVfsMountFlags::RDONLY),
                Err(Errno::NOENT) => matches!(check, Check::ReadOnly(_)),
                Err(e) => return Err(e),
            },
            Check::Hidden { path, number } => self.is_hidden(path, *number)?,
            Check::Uid(uid) => status.all_are(b"Uid:", *uid),
            Check::Gid(gid) => status.all_are(b"Gid:", *gid),
            Check::Groups(groups) => {
                let found = || status.numbers(b"Groups:");
                found().count() == groups.len()
                    && found().all(|n| groups.iter().any(|g| u64::from(g.as_raw()) == n))
            }
            Check::Capabilities { keep } => {
                let beyond = |name, keep: u64| status.hex(name).is_none_or(|set| set & !keep != 0);
                !beyond(b"CapBnd:", *keep)
                    && !beyond(b"CapPrm:", *keep)
                    && !beyond(b"CapEff:", *keep)
                    && !beyond(b"CapInh:", 0)
                    // Linux 4.3 has these; what is not inheritable is not ambient either.
                    && status.hex(b"CapAmb:").is_none_or(|set| set == 0)
            }
            Check::NoNewPrivileges => status.numbers(b"NoNewPrivs:").eq([1]),
            // Linux 4.7 shows it.
            Check::Umask => status.field(b"Umask:").is_none_or(|text| text == b"0022"),
            Check::Signals => status.hex(b"SigIgn:") == Some(0),
            other => self.holds_for_process(other, status)?,
        })
    }

    fn holds_for_process(&self, check: &Check, status: &Text) -> Result<bool> {
        Ok(match check {
            Check::Session => sys::session()? == rustix::process::getpid().as_raw_nonzero().get(),
            Check::ParentDeath => {
                let signal = rustix::process::parent_process_death_signal()?;
                signal == Some(rustix::process::Signal::KILL)
            }
            Check::Hostname(name) => rustix::system::uname().nodename() == name.as_c_str(),
            Check::Descriptors { from, closed } => {
                let size = status.numbers(b"FDSize:").next().unwrap_or(0) as i32;
                let ours = |fd| !closed || self.still_needed().contains(&fd);
                // The channel, which was marked, stands for those that poll(2) does not see.
                let one_by_one = *closed || !self.done.at_once;
                sys::none_open_but(*from, size, sys::is_close_on_exec)?
                    && (!one_by_one || sys::all_go_at_exec(*from, size, ours))
            }
            Check::Limit(limit) => sys::get_limit(limit.resource)? == (limit.soft, limit.hard),
            Check::OomScore(score) => is_oom_score(score)?,
            _ => false,
        })
    }

    fn is_done(&self, what: Done) -> bool {
        match what {
            Done::Pivot => self.done.pivot,
            Done::Network => self.done.network,
            Done::CgroupNamespace => self.done.cgroup_namespace,
            Done::Keyring => self.done.keyring,
            Done::Processors => self.done.processors,
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

/// On its own: seldom asked for, and a second text on the stack.
#[inline(never)]
fn is_oom_score(score: &CStr) -> Result<bool> {
    let mut text = Text::empty();
    text.read(c"/proc/self/oom_score_adj")?;
    Ok(text.line(0).trim_ascii() == score.to_bytes())
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

impl Text {
    fn empty() -> Text {
        Text { small: [0; 2048], large: None, len: 0, starts: [0; 80], count: 0 }
    }

    fn read(&mut self, path: &CStr) -> Result<()> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        self.large = None;
        self.len = rustix::io::read(&fd, &mut self.small)?;
        if self.len == self.small.len() {
            self.go_on(fd)?;
        }
        self.find_lines();
        Ok(())
    }

    /// A process has at most 65536 groups (NGROUPS_MAX), of eleven bytes each.
    fn go_on(&mut self, fd: impl rustix::fd::AsFd) -> Result<()> {
        let large = sys::memory(1 << 20)?;
        large[..self.len].copy_from_slice(&self.small[..self.len]);
        loop {
            match rustix::io::read(&fd, &mut large[self.len..])? {
                0 if self.len == large.len() => return Err(Errno::TOOBIG),
                0 => break,
                n => self.len += n,
            }
        }
        self.large = Some(large);
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        &self.large.as_deref().unwrap_or(&self.small)[..self.len]
    }

    fn find_lines(&mut self) {
        // Eight bytes at a time: few of them end a line. What is beyond the end is of no text.
        let (words, _) = self.large.as_deref().unwrap_or(&self.small).as_chunks();
        self.count = 1;
        for (number, word) in words.iter().take(self.len.div_ceil(8)).enumerate() {
            let mut ends = line_ends(*word);
            while ends != 0 && self.count < self.starts.len() {
                let start = number * 8 + ends.trailing_zeros() as usize / 8 + 1;
                if start > self.len {
                    return;
                }
                self.starts[self.count] = start as u32;
                self.count += 1;
                ends &= ends - 1;
            }
        }
    }

    fn line(&self, number: usize) -> &[u8] {
        let start = self.starts[number] as usize;
        let next = self.starts[..self.count].get(number + 1);
        &self.bytes()[start..next.map_or(self.len, |next| *next as usize - 1)]
    }

    /// What follows the name and a tab.
    fn field(&self, name: &[u8]) -> Option<&[u8]> {
        let bytes = self.bytes();
        for number in 0..self.count {
            // Most begin otherwise: a call for each that need not be made.
            let first = bytes.get(self.starts[number] as usize);
            if first == name.first()
                && let Some(rest) = self.line(number).strip_prefix(name)
            {
                return Some(rest.trim_ascii());
            }
        }
        None
    }

    fn numbers(&self, name: &[u8]) -> impl Iterator<Item = u64> {
        let words = self.field(name).unwrap_or_default().split(u8::is_ascii_whitespace);
        words.filter(|w| !w.is_empty()).map(|word| number(word, 10))
    }

    fn hex(&self, name: &[u8]) -> Option<u64> {
        self.field(name).map(|word| number(word, 16))
    }

    /// Real, effective, saved and for files.
    fn all_are(&self, name: &[u8], id: u32) -> bool {
        self.numbers(name).eq([u64::from(id); 4])
    }
}

/// The upper bit of each of eight bytes that ends a line.
fn line_ends(word: [u8; 8]) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    // Zero where there was the end of a line; then the upper bits of what is not zero.
    let word = u64::from_le_bytes(word) ^ 0x0a0a_0a0a_0a0a_0a0a;
    !(((word & LOW) + LOW) | word | LOW)
}

/// All bits for what is no number, which is never as planned.
fn number(word: &[u8], base: u32) -> u64 {
    word.iter()
        .try_fold(0u64, |n, b| {
            let digit = char::from(*b).to_digit(base)?;
            n.checked_mul(u64::from(base))?.checked_add(u64::from(digit))
        })
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Text {
        let mut text = Text { len: s.len(), ..Text::empty() };
        text.small[..s.len()].copy_from_slice(s.as_bytes());
        text.find_lines();
        text
    }

    #[test]
    fn fields_of_a_status() {
        let t = text(
            "Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t1\t1\t2\t1\nGroups:\t4 27 \nCapBnd:\t00000000a00425fb\nUmask:\t0022\nX:\t12y\n",
        );
        assert!(t.all_are(b"Uid:", 0) && !t.all_are(b"Gid:", 1) && !t.all_are(b"Uid:", 1));
        assert_eq!(t.numbers(b"Groups:").collect::<Vec<_>>(), [4, 27]);
        assert_eq!(t.hex(b"CapBnd:"), Some(0xa004_25fb));
        assert_eq!(t.field(b"Umask:"), Some(&b"0022"[..]));
        assert_eq!(t.numbers(b"X:").next(), Some(u64::MAX));
        assert_eq!(t.hex(b"None:"), None);
        assert!(!text("").all_are(b"Uid:", 0));
    }

    #[test]
    fn lines_of_any_length() {
        let s = "\na\u{b}\n\n1234567\n\u{8a}12345678901\n\n\n\n\n\n\n\n\n\nend";
        let (t, lines) = (text(s), s.split('\n').map(str::as_bytes));
        assert!((0..t.count).map(|n| t.line(n)).eq(lines));
        assert_eq!(text("x\n").count, 2);
        // What an earlier, longer text has left.
        let mut shorter = text("a\nb\nc\nd\n");
        shorter.len = 3;
        shorter.find_lines();
        assert_eq!((shorter.count, shorter.line(1)), (2, &b"b"[..]));
        assert_eq!(text(&"\n".repeat(2000)).count, 80);
    }

    #[test]
    fn of_this_process() {
        let mut status = Text::empty();
        status.read(c"/proc/self/status").expect("status");
        assert!(status.all_are(b"Uid:", rustix::process::getuid().as_raw()));
        assert!(status.numbers(b"FDSize:").next().is_some_and(|n| n >= 3));
    }
}

//! `--landlock`: rules about paths, in the kernel's own bits.

use super::{Builder, c_path};
use crate::error::{Error, Result};
use crate::spec::PathRule;
use crate::step::{Allowed, Harden, Landlock};
use crate::sys;
use rustix::io::Errno;

/// LANDLOCK_ACCESS_FS_* (linux/landlock.h), and the version that brought the later ones.
const EXECUTE: u64 = 1 << 0;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// Removing, and making of every kind.
const IN_DIRECTORIES: u64 = 0x1ff << 4;
/// Renaming and linking across directories, which version 1 always denies.
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

impl Builder<'_> {
    /// While all rights are there and everything is mounted.
    pub fn hold_rules(&mut self) -> Result<()> {
        if self.spec.landlock.is_empty() {
            return Ok(());
        }
        let version = sys::landlock_version().map_err(refused)?;
        let handled = known(version);
        if let Some(without) = missing(version) {
            self.warnings.push(format!("--landlock: this kernel's does not restrict {without}"));
        }
        let rule = |rule: &PathRule| {
            let access = bits(rule.access) & handled;
            Ok(Allowed { path: c_path(&rule.path)?, access, must: rule.must, wish: rule.access })
        };
        let rules = self.spec.landlock.iter().map(rule).collect::<Result<Vec<_>>>()?;
        let of_files = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
        self.harden(Harden::HoldRules(Landlock { handled, of_files, rules }));
        Ok(())
    }

    /// After everything that looks at files.
    pub fn landlock(&mut self) {
        if !self.spec.landlock.is_empty() {
            self.harden(Harden::Landlock);
            self.harden(Harden::VerifyLandlock);
        }
    }
}

fn known(version: u32) -> u64 {
    let later = [(2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)];
    let later = later.iter().filter(|(since, _)| version >= *since);
    later.fold(EXECUTE | WRITE_FILE | READ_FILE | READ_DIR | IN_DIRECTORIES, |all, (_, bit)| {
        all | bit
    })
}

/// What somebody who reads the rules would think is denied.
fn missing(version: u32) -> Option<&'static str> {
    match version {
        ..3 => Some("truncating of files (Linux 6.2) and ioctls of devices (Linux 6.10)"),
        3..5 => Some("ioctls of devices (Linux 6.10)"),
        _ => None,
    }
}

fn bits(access: u8) -> u64 {
    let meant = [
        (PathRule::READ, READ_FILE | READ_DIR),
        (PathRule::WRITE, WRITE_FILE | IN_DIRECTORIES | REFER | TRUNCATE | IOCTL_DEV),
        (PathRule::EXECUTE, EXECUTE),
    ];
    meant.iter().filter(|(bit, _)| access & bit != 0).fold(0, |all, (_, bits)| all | bits)
}

fn refused(errno: Errno) -> Error {
    let error = Error::os("--landlock: ask the kernel for its version of landlock", errno);
    match errno {
        Errno::NOSYS => error.hint(
            "the kernel has no landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK), or an outer \
             container's filter does not know the call",
        ),
        Errno::OPNOTSUPP => error.hint(
            "landlock is switched off: put it into lsm= on the kernel's command line \
             (now: /sys/kernel/security/lsm)",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_knows_its_bits() {
        assert_eq!([1, 2, 3, 4, 5, 9].map(known), [0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff, 0xffff]);
        for version in 1..10 {
            let all = bits(PathRule::READ | PathRule::WRITE | PathRule::EXECUTE);
            assert_eq!(all & known(version), known(version), "all can be allowed");
        }
        assert_eq!([2, 3, 5].map(|v| missing(v).is_some()), [true, true, false]);
    }

    #[test]
    fn reading_is_not_writing() {
        let [read, write, execute] = [PathRule::READ, PathRule::WRITE, PathRule::EXECUTE].map(bits);
        assert_eq!((read & write, read & execute, write & execute), (0, 0, 0));
    }
}

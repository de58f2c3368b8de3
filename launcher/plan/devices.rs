//! Devices of the host's in the container, and what may be done with them.
//!
//! Without CAP_MKNOD and with `nodev` on every mount but our own /dev no other device can be
//! opened, so a filter is made only where an option opens that door: it costs 0.15 ms, a
//! twelfth of a start. In a user namespace the kernel opens no device that was made in it.

use super::mounts::parents;
use super::{Builder, c_path, kept_capabilities};
use crate::cgroup::devices::{Filter, USUAL};
use crate::error::{Error, Result};
use crate::spec::{Device, DeviceKind, DeviceRule, Owners};
use crate::step::{Bind, ChildStep, Harden, MakeDevice};
use rustix::fs::{FileType, Stat};
use std::path::{Path, PathBuf};

const ALL: u8 = DeviceRule::MAKE | DeviceRule::READ | DeviceRule::WRITE;
const SYS_ADMIN: u64 = 1 << 21;
const MKNOD: u64 = 1 << 27;
/// So many nodes below a directory.
const MOST: usize = 256;

/// A device that is there.
pub struct Found {
    device: Device,
    stat: Stat,
}

impl Builder<'_> {
    /// Every device that the options name, with those below a directory.
    pub fn find_devices(&self) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for device in &self.spec.devices {
            let before = found.len();
            collect(device, &mut found)?;
            let what = format!("--device {}", device.source.display());
            if found.len() == before {
                return Err(Error::new(format!("{what}: no device is in that directory")));
            }
            if self.host.rootless && device.access != ALL {
                return Err(Error::new(format!(
                    "{what}: an ordinary user cannot restrict its use"
                ))
                .hint("leave the third part away; the device's own mode still counts"));
            }
        }
        Ok(found)
    }

    /// None: nothing opens a door that would need it.
    pub fn device_filter(&self, found: &[Found]) -> Option<Filter> {
        let keep = kept_capabilities(&self.spec.caps)?;
        if self.host.rootless {
            return None;
        }
        let able = if self.ids.is_none() { keep & (MKNOD | SYS_ADMIN) } else { 0 };
        let first = self.spec.devices.first().map(|d| format!("--device {}", d.source.display()));
        let (option, asked) = match (first, self.spec.device_rules.is_empty()) {
            (Some(asked), _) => ("--device", asked),
            (None, false) => ("--device-cgroup-rule", "--device-cgroup-rule".to_owned()),
            (None, true) if able & MKNOD != 0 => ("--cap-add", "--cap-add MKNOD".to_owned()),
            (None, true) if able != 0 => ("--cap-add", "--cap-add SYS_ADMIN".to_owned()),
            _ => return None,
        };
        let mut rules = USUAL.to_vec();
        rules.extend(found.iter().map(Found::rule));
        rules.extend(&self.spec.device_rules);
        Some(Filter { rules, option, asked })
    }

    /// Nodes of our own on our own /dev; in a user namespace the host's, by descriptors that
    /// `open_devices` has taken.
    pub fn place_devices(&mut self, found: Vec<Found>) -> Result<()> {
        let mut slot = self.device_slot;
        for Found { device, stat } in found {
            let (target, parents) = (c_path(&device.target)?, parents(&device.target)?);
            if self.ids.is_some() {
                let (tree, source) = (self.sends_trees(), device.source);
                self.child.push(ChildStep::Bind(Box::new(Bind {
                    slot,
                    tree,
                    target,
                    parents,
                    directory: false,
                    read_only: false,
                    source,
                })));
                slot += 1;
                continue;
            }
            self.harden(Harden::Device(Box::new(MakeDevice {
                below_dev: device.target.starts_with("/dev"),
                target,
                parents,
                mode: stat.st_mode,
                device: stat.st_rdev,
                owner: (stat.st_uid, stat.st_gid),
                source: device.source,
            })));
        }
        Ok(())
    }

    pub fn open_devices(&mut self, found: &[Found]) -> Result<()> {
        self.device_slot = self.slots;
        if self.ids.is_some() {
            for Found { device, .. } in found {
                self.source(&device.source, false, Owners::Hosts)?;
            }
        }
        Ok(())
    }
}

impl Found {
    fn rule(&self) -> DeviceRule {
        let block = FileType::from_raw_mode(self.stat.st_mode) == FileType::BlockDevice;
        DeviceRule {
            kind: if block { DeviceKind::Block } else { DeviceKind::Char },
            major: Some(rustix::fs::major(self.stat.st_rdev)),
            minor: Some(rustix::fs::minor(self.stat.st_rdev)),
            access: self.device.access,
        }
    }
}

fn collect(device: &Device, found: &mut Vec<Found>) -> Result<()> {
    let what = || format!("--device {}", device.source.display());
    let stat = rustix::fs::stat(&device.source).map_err(|e| Error::os(what(), e))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice | FileType::BlockDevice => {
            found.push(Found { device: device.clone(), stat });
            Ok(())
        }
        FileType::Directory => below(device, found),
        _ => Err(Error::new(format!("{}: not a device", what()))
            .hint("a file or directory is a volume: -v SRC:DST")),
    }
}

/// Links and what is no device are left out, as docker does.
fn below(device: &Device, found: &mut Vec<Found>) -> Result<()> {
    let what = |e| Error::os(format!("--device {}", device.source.display()), e);
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&device.source).map_err(what)? {
        names.push(Path::new(&entry.map_err(what)?.file_name()).to_owned());
    }
    names.sort();
    for name in names {
        let source = device.source.join(&name);
        let Ok(stat) = rustix::fs::lstat(&source) else { continue };
        let inner = Device { source, target: device.target.join(&name), access: device.access };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => below(&inner, found)?,
            FileType::CharacterDevice | FileType::BlockDevice => {
                found.push(Found { device: inner, stat });
            }
            _ => {}
        }
        if found.len() > MOST {
            return Err(Error::new(format!("--device: more than {MOST} devices")));
        }
    }
    Ok(())
}

/// What `--preserve-fds` promises to pass on is there.
pub fn check_preserved(count: u32) -> Result<()> {
    match (3..3 + count as i32).find(|fd| !crate::sys::is_open(*fd)) {
        Some(fd) => Err(Error::new(format!("--preserve-fds {count}: descriptor {fd} is not open"))),
        None => Ok(()),
    }
}

//! `--device SRC[:DST[:rwm]]`, `--device-cgroup-rule 'c 42:* rwm'`, in docker's form.

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::error::Result;
use crate::quote::quote;
use crate::spec::{Device, DeviceKind, DeviceRule};
use std::ffi::OsStr;
use std::path::PathBuf;

const ALL: u8 = DeviceRule::MAKE | DeviceRule::READ | DeviceRule::WRITE;

pub fn device(draft: &mut Draft, given: Given) -> Result<()> {
    let mut parts = given.text()?.split(':');
    let source = PathBuf::from(parts.next().unwrap_or_default());
    given.check_path(source.as_os_str().as_encoded_bytes(), "the device")?;
    let (target, access) = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => (None, None),
        // `/dev/fuse:r`: what is no path is the access.
        (Some(word), None, _) if !word.starts_with('/') => (None, Some(word)),
        (target, access, None) => (target, access),
        _ => return Err(given.bad("not SRC, SRC:DST or SRC:DST:rwm")),
    };
    let target = match target {
        Some(path) => given.inside(OsStr::new(path), "the place inside")?,
        None if source.is_absolute() => source.clone(),
        None => return Err(given.bad("the device must begin with /")),
    };
    if !source.is_absolute() {
        return Err(given.bad("the device must begin with /"));
    }
    let access = access.map_or(Ok(ALL), |text| access_of(given, text))?;
    draft.spec.devices.push(Device { source, target, access });
    Ok(())
}

pub fn rule(draft: &mut Draft, given: Given) -> Result<()> {
    let form = || given.bad("not of the form 'TYPE MAJOR:MINOR rwm', for example 'c 42:* rwm'");
    let words: Vec<&str> = given.text()?.split(' ').collect();
    let [kind, numbers, access] = words[..] else { return Err(form()) };
    let kind = match kind {
        "a" => DeviceKind::Any,
        "b" => DeviceKind::Block,
        "c" => DeviceKind::Char,
        _ => return Err(form()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(form)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        _ if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().map(Some).map_err(|_| form()),
        _ => Err(form()),
    };
    let (major, minor) = (number(major)?, number(minor)?);
    if kind == DeviceKind::Any && (major.is_some() || minor.is_some()) {
        return Err(given.bad("type a is for all devices, *:*"));
    }
    let access = access_of(given, access)?;
    draft.spec.device_rules.push(DeviceRule { kind, major, minor, access });
    Ok(())
}

/// Some of `rwm`, each once.
fn access_of(given: Given, text: &str) -> Result<u8> {
    let wrong = || given.bad(format!("{} is not made of r, w and m", quote(text)));
    let mut access = 0;
    for c in text.chars() {
        let bit = match c {
            'r' => DeviceRule::READ,
            'w' => DeviceRule::WRITE,
            'm' => DeviceRule::MAKE,
            _ => return Err(wrong()),
        };
        if access & bit != 0 {
            return Err(wrong());
        }
        access |= bit;
    }
    if access == 0 { Err(wrong()) } else { Ok(access) }
}

//! `--volume` and `--tmpfs`.

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::error::{Error, Result};
use crate::image::document::Platform;
use crate::quote::quote;
use crate::size;
use crate::spec::{MountOp, NamedVolume, Owners, TmpfsFlags};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// `SRC:DST[:ro|rw|O,idmap|noidmap]`
pub fn volume(draft: &mut Draft, given: Given) -> Result<()> {
    let parts: Vec<&[u8]> = given.value.as_bytes().split(|b| *b == b':').collect();
    let (source, target, options) = match parts[..] {
        [source, target] => (source, target, &b"rw"[..]),
        [source, target, options] => (source, target, options),
        [target] if target.starts_with(b"/") => {
            let said = given.bad("not of the form SRC:DST or SRC:DST:ro");
            return Err(said.hint("-v NAME:DST is kept by that name; --tmpfs DST vanishes"));
        }
        _ => return Err(given.bad("not of the form SRC:DST or SRC:DST:ro")),
    };
    given.check_path(source, "the source")?;
    let named = !source.contains(&b'/') && source != b"." && source != b"..";
    if named && !is_volume_name(source) {
        return Err(given.bad(VOLUME_NAME));
    }
    let (mut read_only, mut owners, mut throw_away, mut copy) = (None, None, false, true);
    for word in options.split(|b| *b == b',') {
        let twice = match word {
            b"ro" | b"rw" => read_only.replace(word == b"ro").is_some(),
            b"O" => std::mem::replace(&mut throw_away, true) || read_only.replace(false).is_some(),
            b"idmap" => owners.replace(Owners::OnDisk).is_some(),
            // SELinux's labels, which launch does not set; the rest is as it is anyway.
            b"z" | b"Z" | b"private" | b"rprivate" | b"cached" | b"delegated" | b"consistent" => {
                false
            }
            // Into a directory of the host's nothing is copied.
            b"nocopy" => {
                copy = false;
                false
            }
            b"noidmap" => owners.replace(Owners::Hosts).is_some(),
            b"shared" | b"rshared" | b"slave" | b"rslave" => {
                return Err(given.bad("a mount is private: what is mounted later on one side is not seen on the other"));
            }
            _ => return Err(given.bad("after the second ':' comes ro, rw or O, idmap or noidmap")),
        };
        if twice {
            return Err(given.bad("ro, rw and O, idmap and noidmap exclude each other"));
        }
    }
    let (read_only, owners) = (read_only.unwrap_or(false), owners.unwrap_or_default());
    let target = target_path(given, target)?;
    if named {
        let mount = draft.spec.mounts.len();
        draft.spec.named_volumes.push(NamedVolume { mount, copy });
    }
    draft.spec.mounts.push(MountOp::Bind {
        source: PathBuf::from(OsStr::from_bytes(source)),
        target,
        read_only,
        throw_away,
        owners,
    });
    Ok(())
}

pub const VOLUME_NAME: &str = "a volume's name has only letters, digits, '_', '.' and '-'";

pub fn is_volume_name(name: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_.-".contains(b);
    name.first().is_some_and(u8::is_ascii_alphanumeric) && name.iter().all(plain)
}

/// `DST[:size=64m,mode=1777,uid=0,gid=0,nr_inodes=1k,exec,suid,dev,ro]`
pub fn tmpfs(draft: &mut Draft, given: Given) -> Result<()> {
    let bytes = given.value.as_bytes();
    let (target, options) = match bytes.iter().position(|b| *b == b':') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
    let words = options.into_iter().flat_map(|o| o.split(|b| *b == b','));
    tmpfs_at(draft, given, target, words)
}

/// Also of a `--mount type=tmpfs`, whose own words are already out of it.
pub fn tmpfs_at<'a>(
    draft: &mut Draft,
    given: Given,
    target: &[u8],
    words: impl Iterator<Item = &'a [u8]>,
) -> Result<()> {
    let target = target_path(given, target)?;
    let mut flags = TmpfsFlags::default();
    let mut data: Vec<String> = Vec::new();
    for word in words {
        let word = std::str::from_utf8(word).map_err(|_| given.bad("not valid UTF-8"))?;
        match word {
            "ro" | "rw" => flags.read_only = word == "ro",
            "exec" | "noexec" => flags.exec = word == "exec",
            "suid" | "nosuid" => flags.suid = word == "suid",
            "dev" | "nodev" => flags.dev = word == "dev",
            _ => data.push(tmpfs_data(word).map_err(|why| given.bad(why))?),
        }
    }
    draft.spec.mounts.push(MountOp::Tmpfs { target, flags, data: data.join(",") });
    Ok(())
}

/// Over the one that is always there.
pub fn shm_size(draft: &mut Draft, given: Given) -> Result<()> {
    let size = given.size()?;
    if size == 0 {
        return Err(given.bad("not more than 0"));
    }
    let (flags, data) = (TmpfsFlags::default(), format!("mode=1777,size={size}"));
    draft.spec.mounts.push(MountOp::Tmpfs { target: "/dev/shm".into(), flags, data });
    Ok(())
}

/// One option for the kernel, in the form every kernel reads alike.
fn tmpfs_data(word: &str) -> std::result::Result<String, String> {
    let known = "size, mode, uid, gid, nr_inodes, exec, suid, dev, ro";
    let unknown = || format!("unknown tmpfs option {} ({known})", quote(word));
    let (key, value) = word.split_once('=').ok_or_else(unknown)?;
    let digits = |base: u32| !value.is_empty() && value.chars().all(|c| c.is_digit(base));
    let number = |most: u32| value.parse::<u32>().ok().filter(|n| digits(10) && *n <= most);
    let refuse = |want: &str| Err(format!("{key} {}: not {want}", quote(value)));
    match key {
        "size" if value.ends_with('%') => match value.strip_suffix('%').map(str::parse::<u8>) {
            Some(Ok(1..=100)) if !value.starts_with('+') => Ok(format!("size={value}")),
            _ => refuse("1% to 100% of the memory"),
        },
        "size" | "nr_inodes" => match size::parse(value) {
            Ok(0) => refuse("more than 0"),
            Ok(n) => Ok(format!("{key}={n}")),
            Err(why) => Err(format!("{key} {}: {why}", quote(value))),
        },
        "mode" => match u32::from_str_radix(value, 8) {
            Ok(mode) if digits(8) && mode <= 0o7777 => Ok(format!("mode={mode:o}")),
            _ => refuse("an octal mode, for example 1777"),
        },
        "uid" | "gid" => match number(u32::MAX - 1) {
            Some(id) => Ok(format!("{key}={id}")),
            None => refuse("an id from 0 to 4294967294"),
        },
        _ => Err(unknown()),
    }
}

pub fn layer(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.layers.push(given.path()?);
    Ok(())
}

pub fn keep(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.keep = Some(given.path()?);
    Ok(())
}

pub fn platform(draft: &mut Draft, given: Given) -> Result<()> {
    let platform = Platform::parse(given.text()?);
    let platform = platform.ok_or_else(|| given.bad("not of the form OS/ARCH, as linux/arm64"))?;
    draft.spec.image.choice.platform = Some(platform);
    Ok(())
}

pub fn max_size(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.image.limits.bytes = Some(given.size()?);
    Ok(())
}

pub fn max_entries(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.image.limits.entries = Some(given.number(1, u64::MAX)?);
    Ok(())
}

pub fn max_depth(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.image.limits.depth = Some(given.number(1, 2000)?);
    Ok(())
}

fn target_path(given: Given, target: &[u8]) -> Result<PathBuf> {
    let path = given.inside(OsStr::from_bytes(target), "the target")?;
    let plain = normal(&path);
    if path.components().any(|c| c == Component::ParentDir) {
        return Err(given.bad("the target must not contain .."));
    }
    if plain == Path::new("/") {
        return Err(given.bad("the target / would hide the whole root file system"));
    }
    if plain.starts_with("/proc") {
        return Err(given.bad("nothing can be mounted over /proc"));
    }
    Ok(path)
}

/// Without `.`, doubled and trailing slashes.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Two mounts at one place: the first could not be seen.
pub fn check(draft: &Draft) -> Result<()> {
    let mut seen = Vec::new();
    for mount in &draft.spec.mounts {
        let place = normal(mount.target());
        if seen.contains(&place) {
            return Err(Error::new(format!("two mounts have the same target {}", quote(&place))));
        }
        seen.push(place);
    }
    Ok(())
}

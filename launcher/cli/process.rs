//! Options about the process inside: environment, identity, privileges, terminal.

use crate::cli::caps;
use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::cli::signal;
use crate::error::{Error, Result};
use crate::size;
use crate::spec::{EnvItem, Fault, Id, Log, Restart, Seccomp, Tty, UserSpec};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The kernel's HOST_NAME_MAX.
const HOSTNAME_MOST: usize = 64;
/// More are a slip of the keyboard.
const PRESERVED_MOST: u64 = 1000;
/// Eleven days; more is a slip of the keyboard.
const STOP_MOST: u64 = 1_000_000;

/// `K=V`, or `K` for the caller's value.
pub fn env(draft: &mut Draft, given: Given) -> Result<()> {
    let bytes = given.value.as_bytes();
    let own = |b: &[u8]| OsString::from(OsStr::from_bytes(b));
    let item = match bytes.iter().position(|b| *b == b'=') {
        Some(0) => return Err(given.bad("the name before = is empty")),
        None if bytes.is_empty() => return Err(given.bad("the name is empty")),
        Some(at) => EnvItem::Set(own(&bytes[..at]), own(&bytes[at + 1..])),
        None => EnvItem::FromCaller(own(bytes)),
    };
    draft.spec.env.push(item);
    Ok(())
}

pub fn env_file(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.env.push(EnvItem::File(given.path()?));
    Ok(())
}

/// `USER[:GROUP]`
pub fn user(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let user = id(given, "user", user)?;
    let group = group.map(|g| id(given, "group", g)).transpose()?;
    draft.spec.user = Some(UserSpec { user, group });
    Ok(())
}

/// 4294967295 is (uid_t)-1, which the kernel takes for "leave as it is".
fn id(given: Given, what: &str, text: &str) -> Result<Id> {
    if text.is_empty() {
        return Err(given.bad(format!("the {what} is empty")));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse() {
            Ok(n) if n < u32::MAX => Ok(Id::Number(n)),
            _ => Err(given.bad(format!("{what} numbers are 0 to 4294967294"))),
        };
    }
    let allowed = |c: char| c.is_alphanumeric() || "_.-@$\\".contains(c);
    if text.starts_with('-') || text.len() > 256 || !text.chars().all(allowed) {
        return Err(given.bad(format!("not a {what} name or number (USER or USER:GROUP)")));
    }
    Ok(Id::Name(text.to_owned()))
}

pub fn entrypoint(draft: &mut Draft, given: Given) -> Result<()> {
    let word = given.value;
    draft.spec.entrypoint = Some(if word.is_empty() { Vec::new() } else { vec![word.to_owned()] });
    Ok(())
}

pub fn workdir(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.workdir = Some(given.inside(given.value, "the directory")?);
    Ok(())
}

pub fn hostname(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if text.is_empty() {
        return Err(given.bad("the name is empty"));
    }
    if text.len() > HOSTNAME_MOST {
        return Err(
            given.bad(format!("{} bytes, at most {HOSTNAME_MOST} are possible", text.len()))
        );
    }
    if !text.chars().all(allowed) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(given.bad("a host name has only letters, digits, '.', '-' and '_', and begins with a letter or digit"));
    }
    draft.spec.hostname = Some(text.to_owned());
    Ok(())
}

/// `no`, `on-failure`, `on-failure:N`, `always`
pub fn restart(draft: &mut Draft, given: Given) -> Result<()> {
    let wrong = || given.bad("unknown policy (no, on-failure, on-failure:N or always)");
    let (policy, count) = match given.text()?.split_once(':') {
        Some((policy, count)) => (policy, Some(count)),
        None => (given.text()?, None),
    };
    let digits = |c: &str| !c.is_empty() && c.bytes().all(|b| b.is_ascii_digit());
    draft.spec.restart = match (policy, count) {
        ("no", None) => Restart::No,
        ("always" | "unless-stopped", None) => Restart::Always,
        ("on-failure", None) => Restart::OnFailure(None),
        ("on-failure", Some(count)) if digits(count) => {
            Restart::OnFailure(Some(count.parse().map_err(|_| wrong())?))
        }
        _ => return Err(wrong()),
    };
    Ok(())
}

pub fn log_driver(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.log = match given.text()? {
        "file" | "json-file" | "k8s-file" | "local" => Log::default(),
        "journald" => Log::Journal,
        "none" => Log::None,
        _ => return Err(given.bad("unknown log driver (file, journald or none)")),
    };
    Ok(())
}

/// `max-size=SIZE`; what docker's other drivers have is refused.
pub fn log_opt(draft: &mut Draft, given: Given) -> Result<()> {
    let size = given.text()?.strip_prefix("max-size=");
    let size = size.ok_or_else(|| given.bad("unknown (max-size=SIZE)"))?;
    let most = size::parse(size).map_err(|why| given.bad(why))?;
    if most < 16 << 10 {
        return Err(given.bad("at least 16K"));
    }
    draft.log_size = Some(most);
    Ok(())
}

pub fn pidfile(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.pidfile = Some(given.path()?);
    Ok(())
}

pub fn cidfile(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.cidfile = Some(given.path()?);
    Ok(())
}

/// What goes with a detached container only, and what does not go with one.
pub fn detached(draft: &mut Draft) -> Result<()> {
    let spec = &mut draft.spec;
    if let Some(size) = draft.log_size {
        match &mut spec.log {
            Log::File { most } => *most = size,
            _ => return Err(Error::new("--log-opt max-size is for --log-driver file")),
        }
    }
    if !spec.detach {
        if spec.log != Log::default() {
            return Err(
                Error::new("--log-driver and --log-opt are for detached containers").hint("add -d")
            );
        }
        if draft.keep == Some(true) {
            return Err(Error::new("--rm=false: only of a detached container something is kept")
                .hint("add -d"));
        }
        return Ok(());
    }
    if spec.tty == Tty::Always {
        // With a terminal that nobody reads the program would stand still as soon as the
        // kernel's few kilobytes for it are full; and nothing would be in the log.
        return Err(Error::new("-d and -t: no process is left that could read a terminal")
            .hint("leave out -t; launch exec -it NAME sh gives a terminal in it later"));
    }
    spec.tty = Tty::Never;
    spec.remove = draft.keep == Some(false);
    Ok(())
}

pub fn name(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.name = Some(crate::record::name::check(given.value)?);
    Ok(())
}

pub fn cap_add(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.caps.add |= caps::parse(given)?;
    Ok(())
}

pub fn cap_drop(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.caps.drop |= caps::parse(given)?;
    Ok(())
}

pub fn security_opt(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    // Docker takes both; in a path a colon separates.
    let (name, value) = match text.split_once(['=', ':']) {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let spec = &mut draft.spec;
    match (name, value) {
        ("no-new-privileges", None | Some("true")) => spec.new_privileges = false,
        ("no-new-privileges", Some("false")) => spec.new_privileges = true,
        // There is nothing of either.
        ("label", Some("disable")) | ("apparmor", Some("unconfined")) => {}
        ("seccomp", Some("unconfined")) => spec.seccomp = Seccomp::Unconfined,
        ("seccomp", Some("default" | "builtin")) => spec.seccomp = Seccomp::Default,
        ("seccomp", Some(path)) => {
            given.check_path(path.as_bytes(), "the profile's path")?;
            spec.seccomp = Seccomp::File(path.into());
        }
        ("mask", Some(list)) => spec.mask.extend(system_paths(given, list)?),
        ("unmask", Some("ALL" | "all")) | ("systempaths", Some("unconfined")) => {
            spec.unmask.all = true;
        }
        ("unmask", Some(list)) => spec.unmask.paths.extend(system_paths(given, list)?),
        _ => return Err(given.bad(SECURITY_OPTS)),
    }
    Ok(())
}

const SECURITY_OPTS: &str = "unknown (seccomp=FILE, seccomp=unconfined, no-new-privileges=false, \
                             mask=PATH, unmask=PATH, unmask=ALL, systempaths=unconfined)";

/// `/proc/a:/proc/b`
fn system_paths(given: Given, list: &str) -> Result<Vec<PathBuf>> {
    list.split(':').map(|path| given.inside(OsStr::new(path), "a path")).collect()
}

/// May be given many times, and lists with commas.
pub fn group_add(draft: &mut Draft, given: Given) -> Result<()> {
    for word in given.text()?.split(',') {
        let group = id(given, "group", word)?;
        draft.spec.groups.push(group);
    }
    Ok(())
}

pub fn preserve_fds(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.preserve_fds = given.number(0, PRESERVED_MOST)? as u32;
    Ok(())
}

pub fn oom_score_adj(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let score = text.parse().ok().filter(|n| plain && (-1000..=1000).contains(n));
    draft.spec.oom_score_adj =
        Some(score.ok_or_else(|| given.bad("not a whole number from -1000 to 1000"))?);
    Ok(())
}

pub fn stop_signal(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.stop_signal = Some(signal::parse(given)?);
    Ok(())
}

pub fn stop_timeout(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.stop_timeout = given.number(0, STOP_MOST)? as u32;
    Ok(())
}

/// `fail:N`, `kill:N`, `skip:N`
pub fn fault(draft: &mut Draft, given: Given) -> Result<()> {
    let wrong = || given.bad("not fail:N, kill:N or skip:N, N from 1");
    let (kind, step) = given.text()?.split_once(':').ok_or_else(wrong)?;
    let step = step.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
    draft.spec.fault = Some(match kind {
        "fail" => Fault::Fail(step),
        "kill" => Fault::Kill(step),
        "skip" => Fault::Skip(step),
        _ => return Err(wrong()),
    });
    Ok(())
}

/// Docker's rule, so that (default without `drop`) with `add` is what the payload gets:
/// `--cap-drop ALL --cap-add X` is X alone, `--cap-add ALL --cap-drop X` is all but X.
/// One that is named on both sides is a mistake.
pub fn settle(draft: &mut Draft) -> Result<()> {
    let caps = &mut draft.spec.caps;
    let both = caps.add & caps.drop;
    if caps.add == caps::ALL {
        caps.add &= !caps.drop;
    } else if caps.drop != caps::ALL && both != 0 {
        let name = caps::name(both.trailing_zeros()).unwrap_or("?");
        return Err(Error::new(format!("{name} is both in --cap-add and in --cap-drop")));
    }
    Ok(())
}

//! Options about the process inside: environment, identity, privileges, terminal, network.

use crate::cli::caps;
use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::error::{Error, Result};
use crate::spec::{EnvItem, Fault, Id, Net, UserSpec};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The kernel's HOST_NAME_MAX.
const HOSTNAME_MOST: usize = 64;
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

pub fn name(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.name = Some(crate::record::name::check(given.value)?);
    Ok(())
}

pub fn net(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.net = match given.text()? {
        "none" => Net::None,
        "host" => Net::Host,
        _ => return Err(given.bad("unknown network (none or host)")),
    };
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
    let value = text.strip_prefix("no-new-privileges");
    draft.spec.new_privileges = match value {
        Some("" | "=true" | ":true") => false,
        Some("=false" | ":false") => true,
        _ => return Err(given.bad("unknown (no-new-privileges=true or no-new-privileges=false)")),
    };
    Ok(())
}

pub fn stop_timeout(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.stop_timeout = given.number(0, STOP_MOST)? as u32;
    Ok(())
}

/// `fail:N`, `kill:N`
pub fn fault(draft: &mut Draft, given: Given) -> Result<()> {
    let wrong = || given.bad("not fail:N or kill:N, N from 1");
    let (kind, step) = given.text()?.split_once(':').ok_or_else(wrong)?;
    let step = step.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
    draft.spec.fault = Some(match kind {
        "fail" => Fault::Fail(step),
        "kill" => Fault::Kill(step),
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

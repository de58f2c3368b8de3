//! `launch start` and `launch restart`: what a detached container was asked to be, once more.

use crate::end;
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::record::{self, Life};
use crate::spec::{EnvItem, Spec};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What to start, and the words that say so.
pub type Asked = (Box<Spec>, Vec<OsString>);

/// For `launch start`. None: it runs.
pub fn asked(name: &str) -> Result<Option<Asked>> {
    let found = record::find(name.as_ref())?;
    if found.life == Life::Running {
        return Ok(None);
    }
    again(&found).map(Some)
}

/// For `launch restart`: it has ended when this returns.
pub fn stopped(name: &str, signal: Option<i32>, timeout: Option<u32>) -> Result<Asked> {
    // One that is started with --rm is forgotten at its end.
    let asked = again(&record::find(name.as_ref())?)?;
    end::stop(&[name.to_owned()], signal, timeout, &mut std::io::sink())?;
    Ok(asked)
}

/// In the same directory and environment, which becomes this process's directory.
fn again(found: &record::Found) -> Result<Asked> {
    if let Some(error) = found.not_understood() {
        return Err(error);
    }
    let (facts, name) = (&found.entry.facts, quote(&found.name));
    if !facts.detached {
        return Err(Error::new(format!("container {name} is not detached"))
            .hint("who started it can start it again; with -d it is on its own"));
    }
    let mut spec = found.asked()?;
    if spec.rootfs.as_os_str() == "-" {
        return Err(Error::new(format!("container {name}: its root came from standard input"))
            .hint("launch import - NAME keeps it under a name"));
    }
    std::env::set_current_dir(&facts.cwd).map_err(|e| {
        Error::os(format!("go to {}, where {name} was started", facts.cwd.display()), e)
    })?;
    spec.name = Some(found.name.clone());
    // The name is written there, and the file must not exist.
    spec.cidfile = None;
    let pair = |word: &OsString| {
        let at = word.as_bytes().iter().position(|b| *b == b'=')?;
        let own = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some(EnvItem::Set(own(&word.as_bytes()[..at]), own(&word.as_bytes()[at + 1..])))
    };
    spec.env = facts.env.iter().filter_map(pair).collect();
    Ok((spec, facts.argv.clone()))
}

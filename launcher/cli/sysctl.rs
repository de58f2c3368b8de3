//! `--sysctl NAME=VALUE`: only what belongs to a namespace of the container's.

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::error::{Error, Result};
use crate::spec::{Net, Spec};

/// Those of the ipc namespace (ipc_namespaces(7)).
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Dots or slashes separate, as for sysctl(8), but one kind only: `net/ipv4/conf/eth0.1/..`.
pub fn parse(draft: &mut Draft, given: Given) -> Result<()> {
    let form = || given.bad("not NAME=VALUE");
    let (name, value) = given.text()?.split_once('=').ok_or_else(form)?;
    let slashes = name.contains('/');
    let parts: Vec<&str> = name.split(if slashes { '/' } else { '.' }).collect();
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || slashes && c == '.';
    let plain =
        |p: &&str| !p.is_empty() && !p.trim_matches('.').is_empty() && p.chars().all(allowed);
    if !parts.iter().all(plain) {
        return Err(given.bad("the name is not one of a setting"));
    }
    if value.is_empty() {
        // Writing nothing would be no error, and change nothing.
        return Err(given.bad("the value is empty"));
    }
    if value.contains(['\n', '\0']) {
        return Err(given.bad("the value is not one line"));
    }
    let path = parts.join("/");
    let dots = parts.join(".");
    if !path.starts_with("net/") && !path.starts_with("fs/mqueue/") && !IPC.contains(&dots.as_str())
    {
        return Err(given.bad("belongs to no namespace, so it is the host's").hint(
            "settings of a container are net.*, fs.mqueue.*, and of kernel.* msg*, sem and shm*",
        ));
    }
    let sysctls = &mut draft.spec.sysctls;
    sysctls.retain(|(known, _)| *known != path);
    sysctls.push((path, value.to_owned()));
    Ok(())
}

pub fn check(spec: &Spec) -> Result<()> {
    match spec.sysctls.iter().find(|(path, _)| path.starts_with("net/")) {
        Some((path, _)) if spec.net == Net::Host => {
            let name = path.replace('/', ".");
            Err(Error::new(format!("--sysctl {name}: with --net host it is the host's")))
        }
        _ => Ok(()),
    }
}

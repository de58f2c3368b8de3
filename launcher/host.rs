//! Read-only facts about the host and the caller.

use crate::spec::Tty;
use crate::step::IdMap;
use std::path::Path;

pub struct Host {
    /// The caller is not root: everything happens in a user namespace.
    pub rootless: bool,
    pub id_map: IdMap,
    /// Standard input and output are the terminal we are in the foreground of.
    pub on_terminal: bool,
    /// Linux 5.8: setns(2) takes a pidfd, and mounts can be held by descriptors.
    pub modern: bool,
}

impl Host {
    pub fn probe() -> Host {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let rootless = uid != 0;
        let id_map = if rootless { id_map(uid, gid) } else { IdMap::Single { uid, gid } };
        Host { rootless, id_map, on_terminal: on_terminal(), modern: kernel() >= (5, 8) }
    }

    pub fn wants_terminal(&self, tty: Tty) -> bool {
        match tty {
            Tty::Auto => self.on_terminal,
            Tty::Always => true,
            Tty::Never => false,
        }
    }

    /// A user namespace with one id in it: no other user or group can be had.
    pub fn single_id(&self) -> bool {
        self.rootless && self.id_map.is_single()
    }
}

/// Version of the running kernel.
fn kernel() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn on_terminal() -> bool {
    let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    if !rustix::termios::isatty(stdin) || !rustix::termios::isatty(stdout) {
        return false;
    }
    // In the background, raw mode would take the terminal from whoever has it.
    match rustix::termios::tcgetpgrp(stdin) {
        Ok(group) => group == rustix::process::getpgrp(),
        Err(_) => true,
    }
}

/// Subordinate ids where the files and the helpers are there, else the caller's id alone.
fn id_map(uid: u32, gid: u32) -> IdMap {
    let single = IdMap::Single { uid, gid };
    if helper("newuidmap").is_none() || helper("newgidmap").is_none() {
        return single;
    }
    let name = own_name(uid);
    let range = |file: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        subordinate_range(&text, uid, name.as_deref())
    };
    match (range("/etc/subuid"), range("/etc/subgid")) {
        (Some(uids), Some(gids)) => IdMap::Subordinate { uid, gid, uids, gids },
        _ => single,
    }
}

/// A set-user-ID helper of package uidmap, looked for where the system has it, never in
/// the caller's PATH.
pub fn helper(name: &str) -> Option<std::path::PathBuf> {
    ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"]
        .into_iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
}

fn own_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// First and count of the caller's line in subuid(5): `name:first:count` or `uid:first:count`.
fn subordinate_range(text: &str, uid: u32, name: Option<&str>) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        if Some(who) != name && who.parse() != Ok(uid) {
            return None;
        }
        let first: u32 = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        (count > 0 && first.checked_add(count).is_some()).then_some((first, count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ranges() {
        let text = "root:1:2\n\n# c\nann:100000:65536\n1001:200000:10\nbob:x:1\n";
        assert_eq!(subordinate_range(text, 1000, Some("ann")), Some((100_000, 65_536)));
        assert_eq!(subordinate_range(text, 1001, None), Some((200_000, 10)));
        assert_eq!(subordinate_range(text, 7, Some("bob")), None);
        assert_eq!(subordinate_range("ann:4294967295:2", 1, Some("ann")), None);
    }
}

//! `-u USER[:GROUP]`, by the image's own /etc/passwd and /etc/group.

use crate::msg::{fail, say};
use crate::sys::Scratch;
use crate::text::{self, Path};
use core::ffi::CStr;

pub struct User {
    pub uid: u32,
    pub gid: u32,
    groups: [u32; 32],
    count: usize,
    /// `HOME=...`, for the environment.
    pub home: Path<256>,
}

impl User {
    pub fn groups(&self) -> &[u32] {
        self.groups.get(..self.count).unwrap_or_default()
    }

    fn add_group(&mut self, gid: u32) -> Option<()> {
        *self.groups.get_mut(self.count)? = gid;
        self.count += 1;
        Some(())
    }
}

/// The line whose first field is `key`, or whose third is, if `key` is a number.
fn find<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let number = text::number(key);
    text::lines(text).find(|line| match number {
        None => field(line, 0) == key,
        Some(_) => text::number(field(line, 2)) == number,
    })
}

fn field(line: &[u8], index: usize) -> &[u8] {
    line.split(|b| *b == b':').nth(index).unwrap_or_default()
}

const PASSWD: &CStr = c"/etc/passwd";
const GROUP: &CStr = c"/etc/group";

/// None: after the message.
pub fn look_up(spec: &CStr) -> Option<User> {
    let mut sides = spec.to_bytes().splitn(2, |b| *b == b':');
    let (name, group) = (sides.next().unwrap_or_default(), sides.next());
    let passwd = Scratch::read(PASSWD);
    let line = find(passwd.bytes(), name).unwrap_or_default();
    let known = text::number(field(line, 2));
    let Some(uid) = known.or(text::number(name)).filter(|id| *id != u32::MAX) else {
        unknown(b"user", name, PASSWD, &passwd);
        return None;
    };
    let home = if known.is_some() { field(line, 5) } else { b"/" };
    let mut user = User {
        uid,
        gid: text::number(field(line, 3)).unwrap_or(0),
        groups: [0; 32],
        count: 0,
        home: Path::new(&[b"HOME=", home])?,
    };
    let groups = Scratch::read(GROUP);
    if let Some(group) = group {
        // A group that is asked for is the only one.
        let listed = find(groups.bytes(), group).map(|line| field(line, 2)).unwrap_or(group);
        let Some(gid) = text::number(listed).filter(|id| *id != u32::MAX) else {
            unknown(b"group", group, GROUP, &groups);
            return None;
        };
        user.gid = gid;
        user.add_group(gid);
        return Some(user);
    }
    let login = field(line, 0);
    user.add_group(user.gid);
    for line in text::lines(groups.bytes()) {
        let member = field(line, 3).split(|b| *b == b',').any(|m| m == login && !m.is_empty());
        let Some(gid) = text::number(field(line, 2)).filter(|gid| member && *gid != user.gid)
        else {
            continue;
        };
        if user.add_group(gid).is_none() {
            say(&[b"user '", name, b"': in more than 31 groups"]);
            return None;
        }
    }
    Some(user)
}

fn unknown(what: &[u8], name: &[u8], file: &CStr, text: &Scratch) {
    if text.error < 0 {
        fail(b"open", file.to_bytes(), text.error);
    }
    say(&[what, b" '", name, b"': not in ", file.to_bytes()]);
}

//! `-u USER[:GROUP]`, by the image's own /etc/passwd and /etc/group.

use crate::pack::t;
use crate::state::Init;
use crate::sys::{Scratch, Str, z};
use crate::text::{self, field, next_line, value};

/// The line whose first field, or third if that is a number, is `key`.
#[inline(never)]
fn find<'a>(text: Str<'a>, key: Str) -> Str<'a> {
    let mut line = text;
    let index = if text::whole_number(key).is_some() { 2 } else { 0 };
    while !line.is_empty() && !text::same_word(field(line, index), key) {
        line = next_line(line);
    }
    line
}

impl Init {
    /// The id a name or number stands for; None after the message.
    #[inline(never)]
    fn id(&self, line: Str, name: Str, file: Str) -> Option<u32> {
        let listed = if line.is_empty() { name } else { field(line, 2) };
        let found = text::whole_number(listed).filter(|id| *id != u32::MAX);
        if found.is_none() {
            self.say(t!("-u '%': not in %"), name, file, 0);
        }
        found
    }

    #[inline(never)]
    fn add_group(&mut self, gid: u32) {
        if let Some(slot) = self.groups.get_mut(self.group_count as usize) {
            *slot = gid;
            self.group_count += 1;
        }
    }

    /// The groups that list the user, beside its own.
    #[inline(never)]
    fn add_groups(&mut self, text: Str, login: Str) {
        let mut line = text;
        while !line.is_empty() {
            let mut member = field(line, 3);
            while !matches!(member.first(), 0 | b'\n') {
                if text::same_word(member, login) {
                    self.add_group(value(field(line, 2)));
                }
                while !matches!(member.first(), 0 | b'\n' | b',') {
                    member = member.rest();
                }
                if member.first() == b',' {
                    member = member.rest();
                }
            }
            line = next_line(line);
        }
    }

    /// Finds the ids of `spec`. False: after the message.
    pub fn look_up(&mut self, spec: Str) -> bool {
        let (passwd, group) = (z(c"/etc/passwd"), z(c"/etc/group"));
        let users = Scratch::read(passwd);
        let line = find(users.text(), spec);
        let Some(uid) = self.id(line, spec, passwd) else { return false };
        self.uid = uid;
        self.gid = value(field(line, 3));
        self.home.push(z(c"HOME=")).until(field(line, 5), b':');
        if line.is_empty() {
            self.home.byte(b'/');
        }
        let groups = Scratch::read(group);
        let wanted = spec.find(b':').rest();
        if !wanted.is_empty() {
            // A group that is asked for is the only one.
            let Some(gid) = self.id(find(groups.text(), wanted), wanted, group) else {
                return false;
            };
            self.gid = gid;
        }
        self.add_group(self.gid);
        // Without a name there is no membership: an empty list would match.
        if wanted.is_empty() && !line.is_empty() {
            self.add_groups(groups.text(), line);
        }
        true
    }
}

//! Which ids: what was asked for, and what this caller may have.

use super::{IdMap, Ids, Range, Writer, inside, subid, taken, text};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::spec::{MapLine, Spec, UserNs};

/// A whole image's worth of ids: nobody is 65534.
const SIZE: u32 = 65536;
/// No distribution and no program gives these out (systemd's "Users, Groups, UIDs and
/// GIDs" lists who has what).
const UNUSED: Ids = Ids { first: 0x7000_0000, count: 0x0FFE_0000 };

/// The smallest there is: only beyond it the machine is asked for its own.
const PAGE: usize = 4096;

/// None: no user namespace.
pub fn choose(spec: &Spec, host: &Host) -> Result<Option<IdMap>> {
    let map = chosen(spec, host)?;
    for (option, ranges) in map.iter().flat_map(|m| [("--uidmap", &m.uids), ("--gidmap", &m.gids)])
    {
        // user_namespaces(7): a map is written at once, and is shorter than a page.
        let bytes = text(ranges).len();
        if bytes >= PAGE && bytes >= rustix::param::page_size() {
            let most = rustix::param::page_size() - 1;
            let said = format!("{option}: a map of {bytes} bytes, the kernel takes {most}");
            return Err(Error::new(said).hint("ranges that follow on each other can be one"));
        }
    }
    Ok(map)
}

fn chosen(spec: &Spec, host: &Host) -> Result<Option<IdMap>> {
    let mapped = !spec.uid_map.is_empty() || !spec.gid_map.is_empty();
    match (host.rootless, spec.userns) {
        (false, UserNs::Default) if mapped => of_lines_as_root(spec).map(Some),
        (false, UserNs::Default | UserNs::Host) => Ok(None),
        (false, UserNs::Auto { size }) => auto(size.unwrap_or(SIZE)).map(Some),
        (false, UserNs::KeepId { .. }) => {
            Err(Error::new("--userns keep-id: root's own id is never an id inside")
                .hint("--userns auto gives ids that nobody else has, -u USER runs as another user"))
        }
        (true, UserNs::Host) => Err(Error::new(
            "--userns host: an ordinary user needs a user namespace to make a container in",
        )),
        (true, mode) => {
            let own = Own::of_caller(host);
            match mode {
                UserNs::KeepId { uid, gid } => Ok(Some(own.kept(uid, gid))),
                _ if mapped => own.of_lines(spec).map(Some),
                UserNs::Auto { size: Some(size) } => own.limited(size).map(Some),
                _ => Ok(Some(own.usual())),
            }
        }
    }
}

/// What an ordinary user has: his own ids, and subordinate ones where there are helpers to
/// map them.
struct Own {
    uid: u32,
    gid: u32,
    subuids: Vec<Ids>,
    subgids: Vec<Ids>,
}

impl Own {
    fn of_caller(host: &Host) -> Own {
        let (uid, gid) = (host.uid, host.gid);
        let mut own = Own { uid, gid, subuids: Vec::new(), subgids: Vec::new() };
        if subid::helper("newuidmap").is_none() || subid::helper("newgidmap").is_none() {
            return own;
        }
        let users = subid::read("/etc/subuid");
        if users.is_empty() {
            return own;
        }
        let names = subid::names_of(uid);
        let subuids = subid::of_user(&users, uid, &names);
        let subgids = subid::of_user(&subid::read("/etc/subgid"), uid, &names);
        // One kind without the other is of no use.
        if !subuids.is_empty() && !subgids.is_empty() {
            own.subuids = without(subuids, uid);
            own.subgids = without(subgids, gid);
        }
        own
    }

    /// The caller is 0, the subordinate ids are 1 and up.
    fn usual(&self) -> IdMap {
        let (uids, gids) = (kept(self.uid, 0, &self.subuids), kept(self.gid, 0, &self.subgids));
        self.map(uids, gids, (0, 0))
    }

    fn limited(&self, size: u32) -> Result<IdMap> {
        let mut map = self.usual();
        for ranges in [&mut map.uids, &mut map.gids] {
            let have = ranges.iter().map(|r| u64::from(r.count)).sum::<u64>();
            if have < u64::from(size) {
                let said = format!("--userns auto:size={size}: you have {have} ids");
                return Err(Error::new(said).hint(MORE));
            }
            ranges.retain(|r| r.inside < size);
            ranges.iter_mut().for_each(|r| r.count = r.count.min(size - r.inside));
        }
        let Own { uid, gid, .. } = *self;
        if size == 1 {
            map = Own { uid, gid, subuids: Vec::new(), subgids: Vec::new() }.usual();
        }
        Ok(map)
    }

    /// The caller is himself inside, the subordinate ids are around him.
    fn kept(&self, uid: Option<u32>, gid: Option<u32>) -> IdMap {
        let (uid, gid) = (uid.unwrap_or(self.uid), gid.unwrap_or(self.gid));
        let (uids, gids) = (kept(self.uid, uid, &self.subuids), kept(self.gid, gid, &self.subgids));
        self.map(uids, gids, (uid, gid))
    }

    fn of_lines(&self, spec: &Spec) -> Result<IdMap> {
        let (uid_lines, gid_lines) = both(spec);
        let uids = self.lines("--uidmap", uid_lines, self.uid, &self.subuids, "/etc/subuid")?;
        let gids = self.lines("--gidmap", gid_lines, self.gid, &self.subgids, "/etc/subgid")?;
        let map = self.map(uids, gids, (0, 0));
        if map.writer == Writer::Helpers && subid::helper("newuidmap").is_none() {
            return Err(Error::new("--uidmap: other ids than your own need newuidmap")
                .hint("Debian: package uidmap"));
        }
        acting(map, self.uid, self.gid)
    }

    /// Podman's count, where 0 is the caller, as ids of the host.
    fn lines(
        &self,
        option: &str,
        lines: &[MapLine],
        own: u32,
        sub: &[Ids],
        file: &str,
    ) -> Result<Vec<Range>> {
        let table = kept(own, 0, sub);
        let mut out = Vec::new();
        for l in lines {
            if l.absolute {
                out.push(Range { inside: l.inside, outside: l.outside, count: l.count });
                continue;
            }
            let (mut at, mut left) = (l.outside, l.count);
            while left > 0 {
                let of = |r: &&Range| at >= r.inside && at - r.inside < r.count;
                let Some(r) = table.iter().find(of) else {
                    let have: u64 = sub.iter().map(|i| u64::from(i.count)).sum();
                    let said = format!(
                        "{option} {}:{}:{}: you have {have} subordinate ids in {file}, counted from 1",
                        l.inside, l.outside, l.count
                    );
                    return Err(Error::new(said).hint("@100000 is the host's id 100000"));
                };
                let skip = at - r.inside;
                let count = left.min(r.count - skip);
                let inside = l.inside + (l.count - left);
                out.push(Range { inside, outside: r.outside + skip, count });
                at += count;
                left -= count;
            }
        }
        no_overlap(option, &out)?;
        Ok(out)
    }

    fn map(&self, uids: Vec<Range>, gids: Vec<Range>, user: (u32, u32)) -> IdMap {
        let alone = |ranges: &[Range], own: u32| matches!(ranges, [Range { outside, count: 1, .. }] if *outside == own);
        let own = alone(&uids, self.uid) && alone(&gids, self.gid);
        let writer = if own { Writer::Own } else { Writer::Helpers };
        // newgidmap(1), too, denies it to who maps no group but his own.
        let groups = !alone(&gids, self.gid);
        IdMap { uids, gids, writer, groups, become_first: None, user }
    }
}

const MORE: &str = "subordinate ids are lines NAME:FIRST:COUNT in /etc/subuid and /etc/subgid (usermod --add-subuids)";

/// `own` at `place`, the subordinate ids on all places before and after it.
fn kept(own: u32, place: u32, sub: &[Ids]) -> Vec<Range> {
    let mut out = Vec::new();
    let mut next = 0u32;
    for ids in sub {
        let (mut first, mut left) = (ids.first, ids.count);
        while left > 0 {
            if next == place {
                out.push(Range { inside: place, outside: own, count: 1 });
                next += 1;
            }
            let room = if next < place { place - next } else { u32::MAX - next };
            let count = left.min(room);
            if count == 0 {
                break;
            }
            out.push(Range { inside: next, outside: first, count });
            (next, first, left) = (next + count, first + count, left - count);
        }
    }
    if !out.iter().any(|r| r.inside == place && r.outside == own) {
        out.push(Range { inside: place, outside: own, count: 1 });
    }
    out
}

/// The kernel takes no id twice.
fn without(ids: Vec<Ids>, own: u32) -> Vec<Ids> {
    let own = Ids { first: own, count: 1 };
    ids.into_iter().filter(|i| !i.overlaps(&own)).collect()
}

/// Each pair of `--uidmap` and `--gidmap`: one serves for both.
fn both(spec: &Spec) -> (&[MapLine], &[MapLine]) {
    match (spec.uid_map.is_empty(), spec.gid_map.is_empty()) {
        (false, true) => (&spec.uid_map, &spec.uid_map),
        (true, false) => (&spec.gid_map, &spec.gid_map),
        _ => (&spec.uid_map, &spec.gid_map),
    }
}

fn of_lines_as_root(spec: &Spec) -> Result<IdMap> {
    let (uid_lines, gid_lines) = both(spec);
    let ranges = |option: &str, lines: &[MapLine]| -> Result<Vec<Range>> {
        if let Some(l) = lines.iter().find(|l| l.outside == 0) {
            let said = format!(
                "{option} {}:0:{}: the host's id 0 is never an id inside",
                l.inside, l.count
            );
            return Err(Error::new(said).hint("for example --uidmap 0:100000:65536"));
        }
        let of = |l: &MapLine| Range { inside: l.inside, outside: l.outside, count: l.count };
        let out: Vec<Range> = lines.iter().map(of).collect();
        no_overlap(option, &out)?;
        Ok(out)
    };
    let (uids, gids) = (ranges("--uidmap", uid_lines)?, ranges("--gidmap", gid_lines)?);
    let map =
        IdMap { uids, gids, writer: Writer::Root, groups: true, become_first: None, user: (0, 0) };
    acting(map, 0, 0)
}

fn no_overlap(option: &str, ranges: &[Range]) -> Result<()> {
    for (n, a) in ranges.iter().enumerate() {
        if ranges[..n].iter().any(|b| a.outer().overlaps(&b.outer())) {
            return Err(Error::new(format!("{option}: {} is mapped twice", a.outside)));
        }
    }
    Ok(())
}

/// Where the caller is nobody inside, the child takes id 0 before it makes files.
fn acting(mut map: IdMap, uid: u32, gid: u32) -> Result<IdMap> {
    if inside(&map.uids, uid).is_some() && inside(&map.gids, gid).is_some() {
        return Ok(map);
    }
    for (option, has) in [("--uidmap", map.has_uid(0)), ("--gidmap", map.has_gid(0))] {
        if !has {
            let said = format!("{option}: 0 is not mapped, and who mounts must be somebody inside");
            return Err(Error::new(said).hint("for example 0:100000:65536"));
        }
    }
    map.become_first = Some((0, 0));
    Ok(map)
}

/// As root: ids that neither the host nor another container has.
fn auto(size: u32) -> Result<IdMap> {
    let (users, groups) = (subid::read("/etc/subuid"), subid::read("/etc/subgid"));
    let mut pools = Vec::new();
    for name in ["containers", "root"] {
        let of = |text: &str| subid::of_user(text, u32::MAX, &[name.to_owned()]);
        pools.extend(of(&users).into_iter().zip(of(&groups)));
    }
    let (mut uids, mut gids) = taken::ids();
    let pick = pick(size, &pools, &uids, &gids).or_else(|| {
        uids.extend(subid::all(&users));
        gids.extend(subid::all(&groups));
        pick_unused(size, &uids, &gids)
    });
    let available = |ids: &Ids, file: &str| within(&subid::read(file), ids);
    match pick {
        Some((u, g))
            if available(&u, "/proc/self/uid_map") && available(&g, "/proc/self/gid_map") =>
        {
            let range = |ids: Ids| vec![Range { inside: 0, outside: ids.first, count: size }];
            let (uids, gids) = (range(u), range(g));
            let (writer, user) = (Writer::Root, (0, 0));
            Ok(IdMap { uids, gids, writer, groups: true, become_first: Some((0, 0)), user })
        }
        _ => Err(Error::new(format!("--userns auto: no {size} ids in a row are free"))
            .hint("a line containers:FIRST:COUNT in /etc/subuid and in /etc/subgid gives some")),
    }
}

fn pick_unused(size: u32, uids: &[Ids], gids: &[Ids]) -> Option<(Ids, Ids)> {
    // The same numbers for both: easier to read in ls -l of the host.
    let all: Vec<Ids> = uids.iter().chain(gids).copied().collect();
    pick(size, &[(UNUSED, UNUSED)], &all, &all)
}

/// The first place in the first pool that nobody has.
fn pick(size: u32, pools: &[(Ids, Ids)], uids: &[Ids], gids: &[Ids]) -> Option<(Ids, Ids)> {
    for (u, g) in pools {
        for place in 0..u.count.min(g.count) / size {
            let at = |pool: &Ids| Ids { first: pool.first + place * size, count: size };
            let (u, g) = (at(u), at(g));
            if !uids.iter().any(|t| t.overlaps(&u)) && !gids.iter().any(|t| t.overlaps(&g)) {
                return Some((u, g));
            }
        }
    }
    None
}

/// Whether our own user namespace has these ids (its uid_map; empty where there is no /proc).
pub fn within(map: &str, ids: &Ids) -> bool {
    map.is_empty()
        || map.lines().any(|line| {
            let mut numbers = line.split_whitespace().filter_map(|n| n.parse::<u64>().ok());
            match (numbers.next(), numbers.nth(1)) {
                (Some(first), Some(count)) => {
                    first <= u64::from(ids.first) && ids.end() <= first + count
                }
                _ => false,
            }
        })
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;

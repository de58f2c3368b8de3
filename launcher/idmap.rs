//! Ids of a user namespace (user_namespaces(7)): which inside is which outside. How they
//! are chosen: idmap/choose.rs; written, and mounts made with them: idmap/apply.rs; noted in
//! records: idmap/taken.rs.

mod apply;
mod choose;
pub mod subid;
pub mod taken;

pub use apply::{attach_root, become_mapped, map_ids, mapped_tree};
pub use choose::{choose, within};

/// Ids `inside` and up are those from `outside` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// Ids in a row, without a place inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    pub first: u32,
    pub count: u32,
}

/// Who may write the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The caller, for its own id alone; setgroups(2) is denied then.
    Own,
    /// newuidmap(1) and newgidmap(1), for subordinate ids.
    Helpers,
    /// The caller is root. Files keep the owners they have on disk, by idmapped mounts.
    Root,
}

#[derive(Clone, Debug, PartialEq)]
pub struct IdMap {
    pub uids: Vec<Range>,
    pub gids: Vec<Range>,
    pub writer: Writer,
    /// setgroups(2) is possible inside.
    pub groups: bool,
    /// Ids to take inside before anything is mounted, where the caller's own have no
    /// place there.
    pub become_first: Option<(u32, u32)>,
    /// Who the payload is unless --user says otherwise.
    pub user: (u32, u32),
}

impl Ids {
    pub fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.count)
    }

    pub fn overlaps(&self, other: &Ids) -> bool {
        u64::from(self.first) < other.end() && u64::from(other.first) < self.end()
    }
}

impl Range {
    pub fn outer(&self) -> Ids {
        Ids { first: self.outside, count: self.count }
    }
}

impl IdMap {
    pub fn has_uid(&self, uid: u32) -> bool {
        self.uids.iter().any(|r| uid >= r.inside && uid - r.inside < r.count)
    }

    pub fn has_gid(&self, gid: u32) -> bool {
        self.gids.iter().any(|r| gid >= r.inside && gid - r.inside < r.count)
    }

    /// Whether this owner on the host is somebody inside.
    pub fn maps_owner(&self, uid: u32) -> bool {
        inside(&self.uids, uid).is_some()
    }
}

/// The id inside of one outside.
pub fn inside(ranges: &[Range], outside: u32) -> Option<u32> {
    let of = |r: &Range| {
        let offset = outside.checked_sub(r.outside)?;
        (offset < r.count).then(|| r.inside + offset)
    };
    ranges.iter().find_map(of)
}

/// A map as the kernel's files take it.
pub fn text(ranges: &[Range]) -> String {
    let line = |r: &Range| format!("{} {} {}\n", r.inside, r.outside, r.count);
    ranges.iter().map(line).collect()
}

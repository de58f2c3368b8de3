//! How much an archive may unpack to: it must not fill the disk or the memory by claiming,
//! or being, more than anybody meant.

use super::{Result, Wrong};
use crate::archive::read::Member;
use crate::size;

#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub bytes: u64,
    pub entries: u64,
    pub depth: usize,
}

/// What the user has said, if anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unset {
    pub bytes: Option<u64>,
    pub entries: Option<u64>,
    pub depth: Option<u64>,
}

impl Unset {
    /// `size` is the archive's own: no sensible one unpacks to a hundred times as much.
    pub fn for_size(&self, size: u64) -> Limits {
        const GIB: u64 = 1 << 30;
        Limits {
            bytes: self.bytes.unwrap_or_else(|| size.saturating_mul(100).clamp(GIB, 64 * GIB)),
            entries: self.entries.unwrap_or(2_000_000),
            depth: self.depth.unwrap_or(256) as usize,
        }
    }
}

#[derive(Debug, Default)]
pub struct Used {
    bytes: u64,
    entries: u64,
}

impl Used {
    /// Before anything of it is made, so that a claim alone is refused.
    pub fn count(&mut self, member: &Member, most: &Limits) -> Result<()> {
        self.bytes = self.bytes.saturating_add(member.stored);
        if self.bytes > most.bytes {
            let said = format!("the archive unpacks to more than {}", size::human(most.bytes));
            return Err(Wrong::Limit(said, "--max-size raises it"));
        }
        self.entries += 1;
        if self.entries > most.entries {
            let said = format!("the archive has more than {} entries", most.entries);
            return Err(Wrong::Limit(said, "--max-entries raises it"));
        }
        Ok(())
    }
}

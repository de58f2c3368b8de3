//! Ids that containers of this host have: noted in their records.

use super::{IdMap, Ids, Range, Writer};
use crate::error::{Error, Result};
use crate::record::{self, RecordItem};
use rustix::fd::OwnedFd;
use rustix::fs::FlockOperation;
use std::io::Read;

/// Kept until the record is written, so that two starts do not choose the same ids.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "its end is the lock's")] OwnedFd);

pub fn lock() -> Result<Lock> {
    let (_, dir) = record::own_place()?;
    match rustix::fs::flock(&dir, FlockOperation::LockExclusive) {
        Ok(()) => Ok(Lock(dir)),
        Err(e) => Err(Error::os("lock the records of containers", e)),
    }
}

/// Users and groups of all records there are.
pub fn ids() -> (Vec<Ids>, Vec<Ids>) {
    let (mut uids, mut gids) = (Vec::new(), Vec::new());
    for path in record::place::places() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|t| t.is_file()) {
                continue;
            }
            let Ok(file) = std::fs::File::open(entry.path()) else { continue };
            let mut text = Vec::new();
            let _ = file.take(record::RECORD_MAX as u64).read_to_end(&mut text);
            let text = String::from_utf8_lossy(&text);
            // Kept for those who ask how it ended.
            if text.contains("\nended ") {
                continue;
            }
            for (users, ids) in text.lines().filter_map(noted) {
                if users { uids.push(ids) } else { gids.push(ids) }
            }
        }
    }
    (uids, gids)
}

/// What a map's record says: only ids that root gave are anybody's for the time.
pub fn items(map: &IdMap) -> Vec<RecordItem> {
    if map.writer != Writer::Root {
        return Vec::new();
    }
    let item = |users| move |r: &Range| RecordItem::Ids { users, ids: r.outer() };
    let users = map.uids.iter().map(item(true));
    users.chain(map.gids.iter().map(item(false))).collect()
}

/// `u FIRST COUNT` or `g FIRST COUNT`, as records have it after `ids 0 `.
pub fn encode(users: bool, ids: &Ids) -> String {
    format!("{} {} {}", if users { 'u' } else { 'g' }, ids.first, ids.count)
}

pub fn decode(text: &str) -> Option<(bool, Ids)> {
    let mut words = text.split(' ');
    let users = match words.next()? {
        "u" => true,
        "g" => false,
        _ => return None,
    };
    let ids = Ids { first: words.next()?.parse().ok()?, count: words.next()?.parse().ok()? };
    words.next().is_none().then_some((users, ids))
}

fn noted(line: &str) -> Option<(bool, Ids)> {
    decode(line.strip_prefix("ids 0 ")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_back() {
        for (users, ids) in
            [(true, Ids { first: 5, count: 7 }), (false, Ids { first: 1, count: 1 })]
        {
            let line = format!("ids 0 {}", encode(users, &ids));
            assert_eq!(noted(&line), Some((users, ids)));
        }
        for bad in ["ids 0 x 1 2", "ids 0 u 1", "ids 0 u 1 2 3", "cgroup 0 /x", "ids 0 u -1 2"] {
            assert_eq!(noted(bad), None, "{bad}");
        }
    }
}

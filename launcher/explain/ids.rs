//! Words for the steps that make a user namespace's ids.

use super::{quote, quote_path};
use crate::idmap::{IdMap, Range, Writer};
use crate::step::Tree;

/// `0-65535 = 100000-165535`
fn list(ranges: &[Range]) -> String {
    let end = |first: u32, count: u32| match count {
        1 => first.to_string(),
        _ => format!("{first}-{}", first + (count - 1)),
    };
    let one = |r: &Range| format!("{} = {}", end(r.inside, r.count), end(r.outside, r.count));
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
}

pub fn words(map: &IdMap) -> String {
    if map.uids == map.gids {
        return format!("map users and groups (inside = outside): {}", list(&map.uids));
    }
    format!("map users (inside = outside): {}; groups: {}", list(&map.uids), list(&map.gids))
}

pub fn shell(map: &IdMap) -> Vec<String> {
    let numbers = |ranges: &[Range]| -> String {
        ranges.iter().map(|r| format!(" {} {} {}", r.inside, r.outside, r.count)).collect()
    };
    let (uids, gids) = (numbers(&map.uids), numbers(&map.gids));
    if map.writer == Writer::Helpers {
        return vec![format!("newuidmap $PID{uids}"), format!("newgidmap $PID{gids}")];
    }
    let lines = |ranges: &[Range]| -> String {
        let lines = ranges.iter().map(|r| format!("{} {} {}", r.inside, r.outside, r.count));
        lines.collect::<Vec<_>>().join("\\n")
    };
    let write = |file: &str, ranges: &[Range]| {
        format!("printf {} > /proc/$PID/{file}", quote(lines(ranges).as_bytes()))
    };
    let mut out = vec![write("uid_map", &map.uids), write("gid_map", &map.gids)];
    if map.writer == Writer::Own {
        out.insert(0, "echo deny > /proc/$PID/setgroups".into());
    }
    out
}

pub fn tree_words(tree: &Tree) -> String {
    let how = if tree.mapped { ", owners mapped (idmapped mount)" } else { "" };
    format!("pass {} to the child{how}", tree.shown.display())
}

pub fn tree_shell(tree: &Tree) -> Vec<String> {
    let source = match &tree.source {
        Some(path) => quote(path.to_bytes()),
        None => quote_path(&tree.shown),
    };
    let bind = if tree.recursive { "rbind" } else { "bind" };
    let option = if tree.mapped { " -o X-mount.idmap=/proc/$PID/ns/user" } else { "" };
    vec![format!("mount --{bind}{option} {source} $TREE")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_words() {
        let range = |inside, outside, count| Range { inside, outside, count };
        assert_eq!(
            list(&[range(0, 1000, 1), range(1, 100_000, 65_536)]),
            "0 = 1000, 1-65536 = 100000-165535"
        );
    }
}

//! Subordinate ids: subuid(5), subgid(5), and who may use them. Pure but for the reading.

use super::Ids;
use std::path::{Path, PathBuf};

/// All ranges of one user in a file like /etc/subuid, `name:first:count` or
/// `uid:first:count`; one that overlaps an earlier one is left out.
pub fn of_user(text: &str, uid: u32, names: &[String]) -> Vec<Ids> {
    let mut found: Vec<Ids> = Vec::new();
    for (who, ids) in text.lines().filter_map(line) {
        let own = names.iter().any(|n| n == who) || who.parse() == Ok(uid);
        if own && !found.iter().any(|f| f.overlaps(&ids)) {
            found.push(ids);
        }
    }
    found
}

/// All ranges of anybody.
pub fn all(text: &str) -> Vec<Ids> {
    text.lines().filter_map(line).map(|(_, ids)| ids).collect()
}

fn line(line: &str) -> Option<(&str, Ids)> {
    let mut fields = line.trim().split(':');
    let who = fields.next()?;
    let ids = Ids { first: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
    // 0 is the host's root, whatever the file says.
    let good = ids.count > 0 && ids.first > 0 && ids.end() <= u64::from(u32::MAX);
    good.then_some((who, ids))
}

pub fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The user's names in /etc/passwd; where accounts are kept elsewhere, what the
/// environment says: newuidmap(1) asks the system itself.
pub fn names_of(uid: u32) -> Vec<String> {
    let text = read("/etc/passwd");
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    };
    let mut names: Vec<String> = text.lines().filter_map(of_line).collect();
    if names.is_empty() {
        names.extend(std::env::var("USER").ok().filter(|name| !name.is_empty()));
    }
    names
}

/// A set-user-ID helper of package uidmap, looked for where the system has it, never in
/// the caller's PATH.
pub fn helper(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"]
        .into_iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(first: u32, count: u32) -> Ids {
        Ids { first, count }
    }

    #[test]
    fn ranges_of_a_user() {
        let text = "root:1:2\n\n# c\nann:100000:65536\n1001:200000:10\nbob:x:1\nann:300000:1000\n\
            1000:300500:9\nann:0:5\nmax:4294967295:1\nmax:4294967294:2\nmax:4294967294:1\n";
        let of = |uid, name: &str| of_user(text, uid, &[name.to_owned()]);
        assert_eq!(of(1000, "ann"), [ids(100_000, 65_536), ids(300_000, 1000)]);
        assert_eq!(of_user(text, 1001, &[]), [ids(200_000, 10)]);
        assert_eq!(of(7, "bob"), []);
        assert_eq!(of(7, "max"), [ids(4_294_967_294, 1)]);
        assert_eq!(all("a:1:1\nb:2:2\n"), [ids(1, 1), ids(2, 2)]);
    }

    #[test]
    fn any_file() {
        let text = "ann:100000:65536\n1000:5:7\n# x\nbob:4294967295:1\nann:100001:2\n";
        crate::fuzz::fuzz_text(&[text], |text| {
            for ids in of_user(text, 1000, &["ann".to_owned()]).iter().chain(&all(text)) {
                assert!(ids.count > 0 && ids.first > 0 && ids.end() <= u64::from(u32::MAX));
            }
        });
    }
}

//! Paths of an archive as lists of names.

use super::{Path, Result, Wrong};

/// The kernel's own limit for one name.
const NAME_MOST: usize = 255;

/// Without `.` and doubled slashes; a slash at the beginning means the tree's root, and `..`
/// the directory above, which the root does not have.
pub fn clean(path: &[u8]) -> Result<Path> {
    let mut names: Path = Vec::new();
    for name in path.split(|b| *b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                if names.pop().is_none() {
                    return Err(Wrong::Said("its name leads out of the archive".into()));
                }
            }
            _ if name.contains(&0) => return Err(Wrong::Said("a NUL byte in its name".into())),
            _ if name.len() > NAME_MOST => {
                let said =
                    format!("a name of {} bytes, at most {NAME_MOST} are possible", name.len());
                return Err(Wrong::Said(said));
            }
            _ => names.push(name.to_vec()),
        }
    }
    if path.is_empty() {
        return Err(Wrong::Said("an entry without a name".into()));
    }
    Ok(names)
}

pub fn joined(names: &[Vec<u8>]) -> Vec<u8> {
    names.join(&b'/')
}

/// The names of a link's target, last one first, to be walked.
pub fn reversed(target: &[u8]) -> Path {
    let names = target.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".");
    let mut names: Path = names.map(<[u8]>::to_vec).collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning() {
        let clean = |p: &str| {
            clean(p.as_bytes()).ok().map(|n| String::from_utf8_lossy(&joined(&n)).into_owned())
        };
        assert_eq!(clean("./a//b/."), Some("a/b".into()));
        assert_eq!(clean("/etc/passwd"), Some("etc/passwd".into()));
        assert_eq!(clean("a/../b/c/.."), Some("b".into()));
        assert_eq!(clean("./"), Some(String::new()));
        for bad in ["..", "../x", "a/../../x", "/..", "", &format!("a/{}", "x".repeat(256))] {
            assert_eq!(clean(bad), None, "{bad}");
        }
    }
}

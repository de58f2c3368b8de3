//! `--landlock PATH[:ACCESS]`

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::error::{Error, Result};
use crate::spec::{PathRule, Spec};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What nearly every program needs, with the letters of the access. What of it the rootfs
/// does not have is passed over.
pub const SYSTEM: [(&str, &[u8]); 11] = [
    ("/usr", b"rx"),
    ("/bin", b"rx"),
    ("/sbin", b"rx"),
    ("/lib", b"rx"),
    ("/lib32", b"rx"),
    ("/lib64", b"rx"),
    ("/libx32", b"rx"),
    ("/etc", b"r"),
    ("/proc", b"r"),
    ("/sys", b"r"),
    ("/dev", b"rw"),
];

pub fn parse(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.value.as_bytes();
    let rules = &mut draft.spec.landlock;
    if text == b"system" {
        let rule = |(path, letters): (&str, &[u8])| {
            Some(PathRule { path: path.into(), access: access(letters)?, must: false })
        };
        rules.extend(SYSTEM.into_iter().filter_map(rule));
        return Ok(());
    }
    if !text.starts_with(b"/") {
        return Err(given.bad("neither PATH[:ACCESS], a path inside the container, nor system"));
    }
    let (path, letters) = match text.iter().rposition(|b| *b == b':') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b"r"[..]),
    };
    let wrong = || given.bad("after the ':' comes r (also ro), rw, rx or rwx");
    let access = access(letters).ok_or_else(wrong)?;
    given.check_path(path, "the path")?;
    rules.push(PathRule { path: PathBuf::from(OsStr::from_bytes(path)), access, must: true });
    Ok(())
}

/// Letters in any order, each once.
fn access(letters: &[u8]) -> Option<u8> {
    if letters == b"ro" {
        return Some(PathRule::READ);
    }
    let mut access = 0;
    for letter in letters {
        let bit = match letter {
            b'r' => PathRule::READ,
            b'w' => PathRule::WRITE,
            b'x' => PathRule::EXECUTE,
            _ => return None,
        };
        if access & bit != 0 {
            return None;
        }
        access |= bit;
    }
    (access != 0).then_some(access)
}

/// The kernel lets only those restrict themselves who cannot gain anything any more.
pub fn check(spec: &Spec) -> Result<()> {
    if spec.new_privileges && !spec.landlock.is_empty() {
        return Err(Error::new(
            "--landlock and --security-opt no-new-privileges=false exclude each other",
        )
        .hint("under landlock set-user-ID programs and file capabilities raise nothing"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        for (text, want) in
            [("r", 1), ("ro", 1), ("rw", 3), ("wr", 3), ("rx", 5), ("rwx", 7), ("x", 4)]
        {
            assert_eq!(access(text.as_bytes()), Some(want), "{text}");
        }
        for text in ["", "rr", "rwxr", "row", "R", " r"] {
            assert_eq!(access(text.as_bytes()), None, "{text}");
        }
        assert!(SYSTEM.iter().all(|(_, letters)| access(letters).is_some()));
    }
}

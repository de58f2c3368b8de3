//! Words of the user in messages.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Shows any bytes on one line of a terminal and harmlessly, the beginning of long ones.
pub fn quote(value: impl AsRef<OsStr>) -> String {
    const MOST: usize = 80;
    let mut shown = format!("'{}'", plain(value));
    if shown.chars().count() > MOST + 1 {
        shown = shown.chars().take(MOST).chain("...'".chars()).collect();
    }
    shown
}

/// The same without quotes and whole: a path, which an image may have made up. A line end in it
/// would look like a hint of ours.
pub fn plain(value: impl AsRef<OsStr>) -> String {
    let mut shown = String::new();
    for chunk in value.as_ref().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if c.is_control() => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Several lines, in which words of an image's may be, for a terminal.
pub fn harmless(lines: &str) -> String {
    let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
    lines.chars().map(|c| if odd(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        assert_eq!(quote("200X"), "'200X'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a\nb\x1b[2J"), "'a\\nb\\u{1b}[2J'");
        assert_eq!(quote(OsStr::from_bytes(b"a\xffb")), "'a\\xffb'");
        assert_eq!(plain(OsStr::from_bytes(b"/a b\xff\nhint: c")), "/a b\\xff\\nhint: c");
        let long = quote("x".repeat(5000));
        assert!(long.len() < 90 && long.ends_with("...'"), "{long}");
    }
}

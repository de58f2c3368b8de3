//! Names of containers: the user's, or short ones that can be said and typed.

use crate::error::{Error, Result};
use crate::quote::quote;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};

/// Names become files, directories and host names: no separators, no dot or dash in front.
const NAME_MOST: usize = 64;

const ADJECTIVES: [&str; 64] = [
    "able", "agile", "amber", "bold", "brave", "brief", "bright", "brisk", "calm", "civil",
    "clean", "clear", "clever", "cool", "cosy", "crisp", "deft", "eager", "early", "easy", "fair",
    "fast", "fine", "firm", "fond", "free", "fresh", "glad", "golden", "good", "grand", "green",
    "happy", "hardy", "keen", "kind", "large", "light", "lively", "lucky", "merry", "mild", "neat",
    "noble", "plain", "proud", "quick", "quiet", "rapid", "ready", "round", "sharp", "shy",
    "silver", "smart", "snug", "solid", "steady", "sunny", "swift", "tidy", "warm", "wise",
    "young",
];

const NOUNS: [&str; 64] = [
    "acorn", "alder", "apple", "aspen", "badger", "beech", "birch", "bison", "brook", "cedar",
    "cliff", "cloud", "clover", "comet", "crane", "crow", "daisy", "dune", "eagle", "elm",
    "falcon", "fern", "finch", "fir", "fjord", "fox", "goose", "grove", "hare", "hawk", "heron",
    "hill", "holly", "island", "ivy", "lake", "lark", "leaf", "lily", "linden", "lynx", "maple",
    "meadow", "moose", "moss", "oak", "otter", "owl", "pine", "plum", "pond", "poplar", "raven",
    "reed", "river", "robin", "rowan", "sloe", "spruce", "stork", "swan", "thrush", "willow",
    "wren",
];

/// `calm-otter-3f9a`: 28 bits of the kernel's random numbers, so that no two meet.
pub fn invent() -> String {
    // The standard library seeds its hash tables with getrandom(2).
    let bits = RandomState::new().hash_one(0u8);
    let (adjective, noun) = (bits as usize >> 16 & 63, bits as usize >> 22 & 63);
    format!("{}-{}-{:04x}", ADJECTIVES[adjective], NOUNS[noun], bits as u16)
}

/// The user's own, refused where it could be taken for something else.
pub fn check(name: &OsStr) -> Result<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    match name.to_str() {
        Some(text)
            if text.bytes().all(plain)
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.len() <= NAME_MOST =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Error::new(format!(
            "name {}: only [a-zA-Z0-9_.-], a letter or digit first, at most {NAME_MOST}",
            quote(name)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn new_names_are_names_and_differ() {
        let names: std::collections::HashSet<String> = (0..1000).map(|_| invent()).collect();
        assert!(names.len() > 990);
        for name in names {
            assert_eq!(check(name.as_ref()).ok(), Some(name.clone()));
            assert_eq!(name.split('-').count(), 3);
            assert!(name.len() <= 18, "{name}");
        }
    }

    #[test]
    fn bad_names() {
        let long = "a".repeat(65);
        for bad in ["", ".", "..", "a/b", "../x", "a b", "a\n", "-x", ".x", "_x", "é", &long] {
            let said = check(bad.as_ref()).expect_err(bad).to_string();
            assert!(said.starts_with("name '") && !said.contains("a\n"), "{said}");
        }
        assert!(check(OsStr::from_bytes(b"\xff")).is_err());
        assert!(check(long[..64].as_ref()).is_ok());
    }
}

//! /etc/ld.so.cache, glibc's index of libraries (ldconfig(8)).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What is behind the older format's table, or the whole file, since glibc 2.2.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// Every library in the cache: its name and its path, best first.
#[derive(Debug, Default)]
pub struct Cache(Vec<(Vec<u8>, PathBuf)>);

impl Cache {
    /// Of a damaged file as much as can be read.
    pub fn parse(file: &[u8]) -> Cache {
        let Some(start) = file.windows(MAGIC.len()).position(|w| w == MAGIC) else {
            return Cache::default();
        };
        let new = &file[start..];
        let word = |at: usize| -> Option<usize> {
            let bytes = new.get(at..at + 4)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes) as usize)
        };
        let text = |at: usize| -> Option<&[u8]> { new.get(at..)?.split(|b| *b == 0).next() };
        let count = word(MAGIC.len()).unwrap_or(0).min(new.len() / ENTRY);
        let entries = (0..count).filter_map(|n| {
            let at = HEADER + n * ENTRY;
            let (name, path) = (text(word(at + 4)?)?, text(word(at + 8)?)?);
            Some((name.to_vec(), PathBuf::from(OsStr::from_bytes(path))))
        });
        Cache(entries.collect())
    }

    /// All places of a library, for every machine and for better processors, too.
    pub fn find<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a PathBuf> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, path)| path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut out = [MAGIC, &(entries.len() as u32).to_le_bytes()].concat();
        out.resize(HEADER, 0);
        let mut strings = Vec::new();
        let base = HEADER + entries.len() * ENTRY;
        for (name, path) in entries {
            let mut entry = vec![3, 3, 0, 0];
            for text in [name, path] {
                entry.extend(((base + strings.len()) as u32).to_le_bytes());
                strings.extend(text.as_bytes());
                strings.push(0);
            }
            entry.resize(ENTRY, 0);
            out.extend(entry);
        }
        out.extend(strings);
        out
    }

    #[test]
    fn names_and_places() {
        let made = file(&[
            ("libb.so", "/opt/libb.so"),
            ("liba.so.1", "/usr/lib/liba.so.1"),
            ("liba.so.1", "/lib32/liba.so.1"),
        ]);
        for made in [made.clone(), [b"ld.so-1.7.0\0\0\0".to_vec(), made.clone()].concat()] {
            let cache = Cache::parse(&made);
            let found: Vec<_> = cache.find(b"liba.so.1").map(|p| p.display().to_string()).collect();
            assert_eq!(found, ["/usr/lib/liba.so.1", "/lib32/liba.so.1"]);
            assert_eq!(cache.find(b"liba").count(), 0);
        }
        for cut in 0..made.len() {
            Cache::parse(&made[..cut]);
        }
        Cache::parse(&[MAGIC, &[0xff; 60]].concat());
        assert_eq!(Cache::parse(b"").find(b"").count(), 0);
    }

    #[test]
    fn any_file() {
        let whole = file(&[("liba.so.1", "/usr/lib/liba.so.1"), ("b", "/b")]);
        crate::fuzz::fuzz(&[&whole, &whole[..60]], |bytes| {
            assert!(Cache::parse(bytes).0.len() <= bytes.len());
        });
    }
}

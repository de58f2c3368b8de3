//! Files for tests: programs made by hand, and trees compared before and after.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Every entry below a directory, with type, mode, owner and content, but no times.
pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    add_to_snapshot(dir, &mut found);
    found
}

fn add_to_snapshot(path: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let m = std::fs::symlink_metadata(path).unwrap();
    let mut hasher = DefaultHasher::new();
    if m.is_symlink() {
        std::fs::read_link(path).unwrap().hash(&mut hasher);
    } else if m.is_file() {
        std::fs::read(path).unwrap_or_default().hash(&mut hasher);
    } else if m.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            add_to_snapshot(&entry.unwrap().path(), found);
        }
    }
    let line = format!("{:o} {}:{} {:x}", m.mode(), m.uid(), m.gid(), hasher.finish());
    found.insert(path.to_owned(), line);
}

/// The smallest program: exits with `code`.
pub fn tiny_elf(code: u8) -> Vec<u8> {
    let (machine, text): (u16, Vec<u8>) = match std::env::consts::ARCH {
        // mov edi, code; mov eax, 60; syscall
        "x86_64" => (62, vec![0xbf, code, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]),
        // mov x0, code; mov x8, 93; svc 0
        "aarch64" => {
            let words = [0xd280_0000 | u32::from(code) << 5, 0xd280_0ba8, 0xd400_0001];
            (183, words.iter().flat_map(|w: &u32| w.to_le_bytes()).collect())
        }
        other => panic!("no code for {other}"),
    };
    elf(machine, &text)
}

/// A static 64-bit ELF file of one segment that holds `text`.
pub fn elf(machine: u16, text: &[u8]) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let base = 0x40_0000u64;
    out.extend(2u16.to_le_bytes());
    out.extend(machine.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    for word in [base + 120, 64, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    let size = 120 + text.len() as u64;
    out.extend(1u32.to_le_bytes()); // PT_LOAD
    out.extend(5u32.to_le_bytes()); // read, execute
    for word in [0, base, base, size, size, 0x1000] {
        out.extend(word.to_le_bytes());
    }
    out.extend(text);
    out
}

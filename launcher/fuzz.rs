//! Foreign input for unit tests: examples, changed in many ways. The same ones each time,
//! and few; LAUNCH_FUZZ=N makes N for each parser, and others every time.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestRunner};

const CASES: u32 = 256;
/// Bytes that may be in use at most, for the whole test program: its parsers get a few
/// kilobytes each.
const MEMORY_MOST: u64 = 1 << 30;

/// What parsers stumble over.
const WORDS: [&[u8]; 24] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\xff\xfe",
    b"\xc3",
    b" ",
    b"\t",
    b":",
    b"::",
    b",",
    b"=",
    b"-",
    b"+",
    b"/",
    b"../",
    b"\\",
    b"\\012",
    b"-1",
    b"0",
    b"4294967295",
    b"4294967296",
    b"18446744073709551615",
    b"18446744073709551616",
    b"1e999",
];

/// One change: what, where, with what.
type Change = (u8, Index, u8, Index);

fn change(bytes: &mut Vec<u8>, &(what, at, byte, word): &Change) {
    let place = at.index(bytes.len() + 1);
    let rest = place.min(bytes.len().saturating_sub(1));
    match what {
        0 if !bytes.is_empty() => bytes[rest] = byte,
        1 => bytes.insert(place, byte),
        2 if !bytes.is_empty() => drop(bytes.remove(rest)),
        3 => bytes.truncate(place),
        // Twice the same, from here or up to here.
        4 => bytes.extend_from_within(place..),
        5 => drop(bytes.splice(place..place, bytes[..place].to_vec())),
        6 if !bytes.is_empty() => bytes[rest] ^= 1 << (byte % 8),
        _ => drop(bytes.splice(place..place, WORDS[word.index(WORDS.len())].iter().copied())),
    }
    bytes.truncate(1 << 16);
}

fn changed(examples: &[&[u8]]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let examples: Vec<Vec<u8>> = examples.iter().map(|e| e.to_vec()).collect();
    let changes = vec((0..9u8, any::<Index>(), any::<u8>(), any::<Index>()), 0..12);
    (any::<Index>(), changes).prop_map(move |(which, changes)| {
        let mut bytes = examples[which.index(examples.len())].clone();
        changes.iter().for_each(|c| change(&mut bytes, c));
        bytes
    })
}

/// Calls `parser` with changed examples and with noise. It fails when it panics, with the
/// shortest input that was found to make it do so.
pub fn fuzz(examples: &[&[u8]], parser: impl Fn(&[u8])) {
    let asked = std::env::var("LAUNCH_FUZZ").ok().and_then(|n| n.parse().ok());
    let config = Config {
        cases: asked.unwrap_or(CASES),
        rng_seed: if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) },
        failure_persistence: None,
        ..Config::default()
    };
    let input = prop_oneof![8 => changed(examples), 1 => vec(any::<u8>(), 0..300)];
    let result = TestRunner::new(config).run(&input, |bytes| {
        parser(&bytes);
        Ok(())
    });
    if let Err(e) = result {
        panic!("{e}");
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("VmHWM");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak << 10 < MEMORY_MOST, "{peak} kB were in use");
}

/// The same for text.
pub fn fuzz_text(examples: &[&str], parser: impl Fn(&str)) {
    let examples: Vec<&[u8]> = examples.iter().map(|e| e.as_bytes()).collect();
    fuzz(&examples, |bytes| parser(&String::from_utf8_lossy(bytes)));
}

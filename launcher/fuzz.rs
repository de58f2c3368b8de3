//! Foreign input for unit tests: examples, changed in many ways. The same ones each time,
//! and few; LAUNCH_FUZZ=N makes N for each parser, and others every time.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value, json};

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
    bytes(examples, CASES, parser);
}

/// The same with so many cases.
pub fn bytes(examples: &[&[u8]], cases: u32, parser: impl Fn(&[u8])) {
    let input = prop_oneof![8 => changed(examples), 1 => vec(any::<u8>(), 0..300)];
    run(&input, cases, |bytes| parser(bytes));
}

fn run<S: Strategy>(input: &S, cases: u32, parser: impl Fn(&S::Value)) {
    let asked = std::env::var("LAUNCH_FUZZ").ok().and_then(|n| n.parse().ok());
    let config = Config {
        cases: asked.unwrap_or(cases),
        rng_seed: if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) },
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(input, |bytes| {
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

/// What may stand in place of something else.
fn values() -> [Value; 14] {
    let deep = (0..120).fold(json!(1), |inside, _| json!([inside]));
    [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(1.5e300),
        json!(""),
        json!("\0"),
        json!("\u{1f980}:/../"),
        json!("x".repeat(5000)),
        json!([]),
        json!({}),
        json!([["a"], {"b": 4096}]),
        deep,
    ]
}

/// Where there is something, as pointers (RFC 6901).
fn places(value: &Value, here: String, found: &mut Vec<String>) {
    let mut inside = |key: &str, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        places(value, format!("{here}/{key}"), found);
    };
    match value {
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, v)| inside(&n.to_string(), v));
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| inside(k, v)),
        _ => {}
    }
    found.push(here);
}

/// One change: what, where, with what.
fn change_value(whole: &mut Value, &(what, at, other): &(u8, Index, Index)) {
    let mut found = Vec::new();
    places(whole, String::new(), &mut found);
    let elsewhere = whole.pointer(&found[other.index(found.len())]).cloned();
    let Some(place) = whole.pointer_mut(&found[at.index(found.len())]) else { return };
    match (what, &mut *place) {
        // What one part of it has, another one gets.
        (0, _) => *place = elsewhere.unwrap_or_default(),
        (1, Value::Array(list)) => list.extend_from_within(..),
        (1, Value::Object(map)) => drop(map.insert("new".into(), elsewhere.unwrap_or_default())),
        (2, Value::Array(list)) => drop(list.pop()),
        (2, Value::Object(map)) => {
            let key = map.keys().nth(other.index(map.len().max(1))).cloned();
            key.and_then(|key| map.remove(&key));
        }
        _ => *place = values()[other.index(values().len())].clone(),
    }
}

/// The same for documents in JSON: changed as bytes, and as what they mean.
pub fn fuzz_json(examples: &[&[u8]], parser: impl Fn(&[u8])) {
    bytes(examples, CASES / 2, &parser);
    let whole = examples.iter().map(|e| serde_json::from_slice(e).expect("an example"));
    let examples: Vec<Value> = whole.collect();
    let changes = vec((0..6u8, any::<Index>(), any::<Index>()), 0..5);
    run(&(any::<Index>(), changes), CASES / 2, |(which, changes)| {
        let mut value = examples[which.index(examples.len())].clone();
        changes.iter().for_each(|c| change_value(&mut value, c));
        parser(&serde_json::to_vec(&value).expect("text"));
    });
}

//! Sizes as docker writes them: `200M`, `1.5g`, `64k`. Units are powers of 1024.

use crate::quote::quote;

const UNITS: [(&str, u128); 5] =
    [("", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40)];

/// 2^60. More than any machine has, and far from where the kernel's own parser, which
/// counts pages in a signed number, would turn a limit into "unlimited" without a word.
const MOST: u128 = 1 << 60;

/// Bytes, or the reason why `text` is no size, worded to follow `--mem '200X': `.
pub fn parse(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Err("a size is missing, for example 200M".into());
    }
    if text.contains(char::is_whitespace) {
        return Err("a size has no space in it, for example 200M".into());
    }
    if text.starts_with(['-', '+']) {
        return Err("a size has no sign, for example 200M".into());
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return Err("a size begins with a number, for example 200M".into());
    }
    let scale =
        scale(unit).ok_or_else(|| format!("unknown unit {} (use K, M, G or T)", quote(unit)))?;
    if scale == 1 && number.contains('.') {
        return Err("there is no part of a byte (units are K, M, G and T)".into());
    }
    match scaled(number, scale)? {
        bytes if bytes > MOST => Err("more than any machine has (at most 1048576T)".into()),
        bytes => Ok(bytes as u64),
    }
}

/// `m`, `mb` and `mib` in any case are one: docker takes them all for 1048576.
fn scale(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    let letter = match unit.as_str() {
        "b" => "",
        u => u.strip_suffix("ib").or_else(|| u.strip_suffix('b')).unwrap_or(u),
    };
    if letter.is_empty() && unit.len() > 1 {
        return None;
    }
    UNITS.iter().find(|(name, _)| *name == letter).map(|(_, scale)| *scale)
}

/// `number` (digits with at most one dot) times `scale`, rounded down.
pub fn scaled(number: &str, scale: u128) -> Result<u128, String> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if part.is_empty() || !digits(whole) || !digits(part) {
        return Err(format!("{} is not a number", quote(number)));
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() > 20 {
        return Err("the number is far too large".into());
    }
    // At most 20 digits and 2^40: far below 2^128.
    let value = |s: &str| s.bytes().fold(0u128, |n, b| n * 10 + u128::from(b - b'0'));
    let part = &part[..part.len().min(18)];
    Ok(value(whole) * scale + value(part) * scale / 10u128.pow(part.len() as u32))
}

/// The shortest form that says it well: `200M`, `1.5G`, `4095` (bytes).
pub fn human(bytes: u64) -> String {
    let large = UNITS.iter().rev().find(|(_, scale)| u128::from(bytes) >= *scale);
    let (unit, scale) = large.map_or(("", 1), |(unit, scale)| (*unit, *scale as u64));
    let (whole, part) = (bytes / scale, u128::from(bytes % scale) * 10 / u128::from(scale));
    match part {
        0 => format!("{whole}{}", unit.to_ascii_uppercase()),
        _ => format!("{whole}.{part}{}", unit.to_ascii_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("4096", 4096),
            ("4096b", 4096),
            ("4096B", 4096),
            ("64k", 65536),
            ("64K", 65536),
            ("64kb", 65536),
            ("64KiB", 65536),
            ("200m", 209_715_200),
            ("200M", 209_715_200),
            ("200MB", 209_715_200),
            ("200MiB", 209_715_200),
            ("1.5g", 1_610_612_736),
            (".5g", 536_870_912),
            ("0.5G", 536_870_912),
            ("007k", 7168),
            ("1.0k", 1024),
            ("1.0001k", 1024),
            ("1t", 1 << 40),
            ("1048576T", 1 << 60),
            ("0.0000000000000000000001t", 0),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn bad() {
        for (text, why) in [
            ("", "missing"),
            (" ", "space"),
            ("200 M", "space"),
            ("20 0m", "space"),
            ("200M\n", "space"),
            ("-1", "sign"),
            ("-5m", "sign"),
            ("+5m", "sign"),
            ("m", "begins with a number"),
            ("inf", "begins with a number"),
            ("nan", "begins with a number"),
            ("\u{ff12}\u{ff10}\u{ff10}m", "begins with a number"),
            ("\u{663}m", "begins with a number"),
            ("200X", "unknown unit 'X' (use K, M, G or T)"),
            ("200mm", "unknown unit 'mm'"),
            ("200ib", "unknown unit 'ib'"),
            ("200bb", "unknown unit 'bb'"),
            ("200kk", "unknown unit 'kk'"),
            ("1e999", "unknown unit 'e999'"),
            ("1e3", "unknown unit 'e3'"),
            ("0x100", "unknown unit 'x100'"),
            ("200M,5", "unknown unit 'M,5'"),
            ("200p", "unknown unit 'p'"),
            ("1.5", "part of a byte"),
            ("1.5b", "part of a byte"),
            ("1.", "part of a byte"),
            ("1.g", "'1.' is not a number"),
            (".g", "'.' is not a number"),
            ("1..5g", "'1..5' is not a number"),
            ("1.2.3g", "'1.2.3' is not a number"),
            ("9223372036854775807", "more than any machine has"),
            ("9223372036854775808", "more than any machine has"),
            ("18446744073709551616", "more than any machine has"),
            ("99999999999g", "more than any machine has"),
            ("1048577T", "more than any machine has"),
            ("99999999999999999999t", "more than any machine has"),
            ("999999999999999999999999999999999999999999t", "far too large"),
        ] {
            let got = parse(text).expect_err(text);
            assert!(got.contains(why), "{text}: {got}");
        }
    }

    #[test]
    fn in_words() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1K"),
            (1536, "1.5K"),
            (209_715_200, "200M"),
            (209_715_199, "199.9M"),
            (1 << 30, "1G"),
            (1 << 60, "1048576T"),
            (u64::MAX, "16777215.9T"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}

//! Points in time on the command line.

use crate::cli::given::Given;
use crate::error::Result;

/// `10m` ago (s, m, h, d), seconds after 1970, or RFC 3339 in UTC. `now` and the result are
/// milliseconds after 1970.
pub fn parse(given: Given) -> Result<When> {
    let text = given.text()?;
    let number = |t: &str| {
        let plain = !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        t.parse::<u64>().ok().filter(|_| plain)
    };
    if let Some(seconds) = number(text).and_then(|s| s.checked_mul(1000)) {
        return Ok(When::At(seconds));
    }
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let ago = units
        .iter()
        .find_map(|(unit, seconds)| number(text.strip_suffix(unit)?)?.checked_mul(seconds * 1000));
    match (ago, date(text)) {
        (Some(ago), _) => Ok(When::Ago(ago)),
        (_, Some(at)) => Ok(When::At(at)),
        _ => Err(given.bad("not a time: 10m (ago), seconds after 1970, or 2026-11-24T12:00:00Z")),
    }
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    At(u64),
    Ago(u64),
}

impl When {
    pub fn before(self, now: u64) -> u64 {
        match self {
            When::At(time) => time,
            When::Ago(ago) => now.saturating_sub(ago),
        }
    }
}

/// `2026-11-24`, `2026-11-24T11:27:00`, with or without a fraction and `Z`.
fn date(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (day, clock) = text.split_once('T').unwrap_or((text, "0:0:0"));
    let clock = clock.split('.').next()?;
    let numbers = |text: &str, by: char| -> Option<[u64; 3]> {
        let parts: Option<Vec<u64>> = text.split(by).map(|p| p.parse().ok()).collect();
        parts?.try_into().ok()
    };
    let [year, month, date] = numbers(day, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&date)
        && hour < 24
        && minute < 60
        && second < 61;
    if !fits {
        return None;
    }
    // Days, with the year beginning in March so that leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + date - 1;
    Some(((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn times() {
        let parse = |text| parse(Given { name: "--since", value: OsStr::new(text) }).ok();
        for (text, when) in [
            ("10m", When::Ago(600_000)),
            ("0s", When::Ago(0)),
            ("1700000000", When::At(1_700_000_000_000)),
            ("1970-01-01", When::At(0)),
            ("2000-02-29T00:00:00Z", When::At(951_782_400_000)),
            ("2024-02-29T23:59:59.5", When::At(1_709_251_199_000)),
        ] {
            assert_eq!(parse(text), Some(when), "{text}");
        }
        for bad in [
            "",
            "m",
            "-1m",
            "10x",
            "2026-13-01",
            "2026-11-24T25:00:00",
            "yesterday",
            "99999999999999999999",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    /// The other way round: age.rs.
    #[test]
    fn dates_agree_with_their_stamps() {
        for day in (0..40_000).step_by(13) {
            let time = day * 86_400_000 + 45_296_000;
            assert_eq!(date(&crate::age::stamp(time)), Some(time));
        }
    }
}

//! Signals by name and number (signal(7)).

use crate::cli::given::Given;
use crate::cli::suggest;
use crate::error::Result;

/// In the order of their numbers, from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// `TERM`, `sigterm`, `15`, `RTMIN+3`.
pub fn parse(given: Given) -> Result<i32> {
    let text = given.text()?;
    number(text).ok_or_else(|| {
        let error =
            given.bad("no such signal: 1 to 64, or a name such as TERM, HUP, USR1, RTMIN+1");
        let upper = text.to_ascii_uppercase();
        match suggest::nearest(upper.strip_prefix("SIG").unwrap_or(&upper), NAMES) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        }
    })
}

/// The same for who has other words for what is wrong.
pub fn number(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let digits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    let number = if digits && name.len() == text.len() {
        name.parse().ok()
    } else if let Some(at) = NAMES.iter().position(|n| *n == name) {
        Some(at as i32 + 1)
    } else {
        real_time(name)
    };
    number.filter(|n| (1..=RTMAX).contains(n))
}

fn real_time(name: &str) -> Option<i32> {
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from),
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        RTMIN + offset(rest, '+')?
    } else {
        RTMAX - offset(name.strip_prefix("RTMAX")?, '-')?
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn parsed(text: &str) -> Option<i32> {
        parse(Given { name: "-s", value: OsStr::new(text) }).ok()
    }

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("SIGKILL", 9),
            ("9", 9),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(parsed(text), Some(number), "{text}");
        }
        for bad in
            ["", "0", "65", "99", "-9", "+9", "SIGFOO", "SIG", "SIG9", "RTMIN-1", "RTMIN+40", "1.5"]
        {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}

//! What is mounted below a directory, by /proc/self/mountinfo, without allocating.

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use std::ffi::CStr;

/// A line has two paths of at most 4 kB, which may be octal, and options.
const LINE: usize = 40 << 10;

/// Calls `each` with every mount point below `top`. An error ends it.
pub fn each(top: &CStr, mut each: impl FnMut(&CStr) -> Result<()>) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(c"/proc/self/mountinfo", flags, Mode::empty())?;
    let mut buffer = [0u8; LINE];
    let mut held = 0;
    loop {
        let n = rustix::io::read(&file, &mut buffer[held..])?;
        held += n;
        let mut start = 0;
        while let Some(length) = buffer[start..held].iter().position(|b| *b == b'\n') {
            if let Some(point) = mount_point(&mut buffer[start..start + length + 1])
                && is_below(top.to_bytes(), point.to_bytes())
            {
                each(point)?;
            }
            start += length + 1;
        }
        buffer.copy_within(start..held, 0);
        held -= start;
        match (n, held) {
            (0, 0) => return Ok(()),
            // A line without an end, or longer than any can be.
            (0, _) | (_, LINE) => return Err(Errno::TOOBIG),
            _ => {}
        }
    }
}

/// The fifth word of a line, its octal escapes undone in place.
fn mount_point(line: &mut [u8]) -> Option<&CStr> {
    let start = line.iter().enumerate().filter(|(_, b)| **b == b' ').nth(3)?.0 + 1;
    let word = &mut line[start..];
    let (mut from, mut to) = (0, 0);
    while *word.get(from)? != b' ' {
        let digits = word.get(from + 1..from + 4)?;
        let escaped = word[from] == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d));
        if escaped {
            let value = digits.iter().fold(0u32, |v, d| v << 3 | u32::from(d - b'0'));
            word[to] = value as u8;
            from += 4;
        } else {
            word[to] = word[from];
            from += 1;
        }
        to += 1;
    }
    word[to] = 0;
    CStr::from_bytes_with_nul(&word[..to + 1]).ok()
}

fn is_below(top: &[u8], point: &[u8]) -> bool {
    let top = top.strip_suffix(b"/").unwrap_or(top);
    point.strip_prefix(top).is_some_and(|rest| rest.len() > 1 && rest[0] == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points() {
        let point = |line: &str| {
            let mut line = line.as_bytes().to_vec();
            mount_point(&mut line).map(|p| p.to_bytes().to_vec())
        };
        let line = "36 35 98:0 /mnt1 /mnt2/a\\040b\\134 rw,noatime master:1 - ext3 /dev/root rw\n";
        assert_eq!(point(line), Some(b"/mnt2/a b\\".to_vec()));
        assert_eq!(point("36 35 98:0 / / rw - x y z\n"), Some(b"/".to_vec()));
        assert_eq!(point("36 35 98:0\n"), None);
        assert_eq!(point("36 35 98:0 / /abc\n"), None);
    }

    #[test]
    fn below() {
        for (top, inside) in
            [("/data", true), ("/data/", true), ("/", true), ("/dat", false), ("/data/x", false)]
        {
            assert_eq!(is_below(top.as_bytes(), b"/data/x"), inside, "{top}");
        }
    }

    #[test]
    fn our_own() {
        let mut count = 0;
        each(c"/", |_| {
            count += 1;
            Ok(())
        })
        .expect("mountinfo");
        let text = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let below = text.lines().filter(|l| l.split(' ').nth(4) != Some("/")).count();
        assert_eq!(count, below);
    }
}

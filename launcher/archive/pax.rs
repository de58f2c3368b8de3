//! The records of a pax extension (pax(1)): `LENGTH KEY=VALUE` a line.

use std::collections::BTreeMap;

/// What the records say of the entry that follows them.
#[derive(Debug, Default)]
pub struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<(i64, u32)>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub sparse: Sparse,
}

/// GNU's keys for files with holes, in three versions.
#[derive(Debug, Default)]
pub struct Sparse {
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub pieces: Vec<(u64, u64)>,
    /// Version 1.0: the list of pieces is before the data.
    pub in_data: bool,
    offset: Option<u64>,
}

impl Sparse {
    pub fn any(&self) -> bool {
        self.size.is_some() || self.in_data || !self.pieces.is_empty()
    }
}

/// More pieces than this are refused: nothing sensible has them.
pub const PIECES_MOST: usize = 1 << 17;

type Result<T> = std::result::Result<T, String>;

impl Records {
    pub fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.size.is_none()
    }

    pub fn parse(&mut self, mut text: &[u8]) -> Result<()> {
        while !text.is_empty() {
            let (key, value, rest) = record(text).ok_or("a broken pax record")?;
            self.set(key, value)?;
            text = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let shown = || String::from_utf8_lossy(key).into_owned();
        let wrong = || format!("the pax record {} is broken", shown());
        let path = || match value {
            [] => Ok(None),
            v if v.contains(&0) => Err(wrong()),
            v => Ok(Some(v.to_vec())),
        };
        let number = || decimal(value).ok_or_else(wrong);
        let id = || match value {
            [] => Ok(None),
            _ => match decimal(value).and_then(|n| u32::try_from(n).ok()) {
                Some(id) if id != u32::MAX => Ok(Some(id)),
                _ => Err(wrong()),
            },
        };
        match key {
            b"path" => self.path = path()?,
            b"linkpath" => self.link = path()?,
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = id()?,
            b"gid" => self.gid = id()?,
            b"mtime" => self.mtime = Some(time(value).ok_or_else(wrong)?),
            b"GNU.sparse.name" => self.sparse.name = path()?,
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse.size = Some(number()?),
            b"GNU.sparse.major" => self.sparse.in_data = value == b"1",
            b"GNU.sparse.offset" => self.sparse.offset = Some(number()?),
            b"GNU.sparse.numbytes" => {
                let offset = self.sparse.offset.take().ok_or_else(wrong)?;
                self.piece(offset, number()?)?;
            }
            b"GNU.sparse.map" => {
                let numbers: Option<Vec<u64>> = value.split(|b| *b == b',').map(decimal).collect();
                let numbers = numbers.filter(|n| n.len() % 2 == 0).ok_or_else(wrong)?;
                for pair in numbers.chunks(2) {
                    self.piece(pair[0], pair[1])?;
                }
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    if name.is_empty() || name.contains(&0) || name.len() > 255 {
                        return Err(wrong());
                    }
                    self.xattrs.insert(unescape(name), value.to_vec());
                }
            }
        }
        Ok(())
    }

    fn piece(&mut self, offset: u64, length: u64) -> Result<()> {
        if self.sparse.pieces.len() >= PIECES_MOST {
            return Err("a sparse file of too many pieces".into());
        }
        self.sparse.pieces.push((offset, length));
        Ok(())
    }
}

/// An attribute's name as GNU tar has it in a key, which ends at the first `=`.
pub fn escape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in name {
        match byte {
            b'%' => out.extend(b"%25"),
            b'=' => out.extend(b"%3D"),
            byte => out.push(*byte),
        }
    }
    out
}

fn unescape(mut key: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [first, rest @ ..] = key {
        let (byte, rest) = match key {
            [b'%', b'2', b'5', rest @ ..] => (b'%', rest),
            [b'%', b'3', b'D', rest @ ..] => (b'=', rest),
            _ => (*first, rest),
        };
        out.push(byte);
        key = rest;
    }
    out
}

/// Key, value, and what follows.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(21).position(|b| *b == b' ')?;
    let length = usize::try_from(decimal(&text[..space])?).ok()?;
    let inside = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = inside.iter().position(|b| *b == b'=').filter(|at| *at > 0)?;
    Some((&inside[..equals], &inside[equals + 1..], &text[length..]))
}

pub fn decimal(text: &[u8]) -> Option<u64> {
    let digit = |n: u64, b: &u8| n.checked_mul(10)?.checked_add(u64::from(b.wrapping_sub(b'0')));
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    plain.then(|| text.iter().try_fold(0, digit)).flatten()
}

/// `-12.5` is twelve and a half seconds before 1970.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|b| *b == b'.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b""[..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanoseconds = digits.fold(0, |n, b| n * 10 + u32::from(b - b'0'));
    Some(match (negative, nanoseconds) {
        (false, n) => (seconds, n),
        (true, 0) => (-seconds, 0),
        (true, n) => (-seconds - 1, 1_000_000_000 - n),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Records> {
        let mut records = Records::default();
        records.parse(text).map(|()| records)
    }

    #[test]
    fn keys() {
        let text =
            b"12 path=a/b\n20 mtime=1234567.25\n13 uid=70000\n29 SCHILY.xattr.user.x=a=\0\nb\n";
        let records = parse(text).expect("records");
        assert_eq!(records.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(records.mtime, Some((1_234_567, 250_000_000)));
        assert_eq!(records.uid, Some(70000));
        assert_eq!(records.xattrs, [(b"user.x".to_vec(), b"a=\0\nb".to_vec())].into());
    }

    #[test]
    fn names_of_attributes() {
        for name in [&b"user.a=b"[..], b"user.100%", b"user.%3D", b"user.%25="] {
            let escaped = escape(name);
            assert!(!escaped.contains(&b'='), "{escaped:?}");
            assert_eq!(unescape(&escaped), name);
        }
        assert_eq!(unescape(b"user.%41%"), b"user.%41%", "nothing else is meant");
    }

    #[test]
    fn times_before_1970() {
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-3"), Some((-3, 0)));
        assert_eq!(time(b"0.1234567899"), Some((0, 123_456_789)));
        assert_eq!(time(b"1.x"), None);
    }

    #[test]
    fn broken() {
        for text in [
            &b"5 a=b"[..],
            b"100 path=a\n",
            b"x path=a\n",
            b"11 path=a\0b\n",
            b"9 uid=-1\n",
            b"18 uid=4294967295\n",
            b"7 =xyz\n",
            b"6 path\n",
            b"\0\0\0",
            b"99999999999999999999999 a=b\n",
            b"0 a=b\n",
            b"3 a=b\n",
        ] {
            assert!(parse(text).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
    }
}

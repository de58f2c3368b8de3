//! SHA-256, as images name everything by it.

use crate::archive::input::Input;
use sha2::{Digest as _, Sha256};
use std::cell::Cell;
use std::fmt;
use std::io::{BufRead, Read, Result};
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// `sha256:` and 64 hexadecimal digits, or these alone; capital letters are none.
    pub fn parse(text: &str) -> Option<Digest> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        let nibble = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let mut out = [0; 32];
        if hex.len() != 64 {
            return None;
        }
        for (byte, pair) in out.iter_mut().zip(hex.chunks(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Digest(out))
    }

    pub fn finished(sum: Sha256) -> Digest {
        Digest(sum.finalize().into())
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// What the store's directories are called: short, so that many fit into the options of
    /// one mount. The whole is kept beside, and compared.
    pub fn short(&self) -> String {
        self.hex()[..24].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is read through it is hashed and counted.
pub struct Hashed<I> {
    inner: I,
    /// None: counted only.
    sum: Option<Sha256>,
    count: Rc<Cell<u64>>,
}

impl<I: Input> Hashed<I> {
    /// Without a sum where nobody will ask for it: it costs as much as to write a file.
    pub fn wanted(inner: I, sum: bool) -> Hashed<I> {
        Hashed { inner, sum: sum.then(Sha256::new), count: Rc::default() }
    }

    /// Bytes so far, to be looked at while the reader is elsewhere.
    pub fn count(&self) -> Rc<Cell<u64>> {
        self.count.clone()
    }

    /// Of all that was read; of nothing where no sum was wanted.
    pub fn digest(&mut self) -> Digest {
        Digest(self.sum.take().unwrap_or_default().finalize().into())
    }
}

impl<I: Input> BufRead for Hashed<I> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        // What is there already is given again, without reading.
        if let (Some(sum), Ok(bytes)) = (&mut self.sum, self.inner.fill_buf()) {
            sum.update(&bytes[..n.min(bytes.len())]);
        }
        self.inner.consume(n);
        self.count.set(self.count.get() + n as u64);
    }
}

impl<I: Input> Read for Hashed<I> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let n = self.inner.read(out)?;
        if let Some(sum) = &mut self.sum {
            sum.update(&out[..n]);
        }
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}

/// Passing over bytes hashes them, too.
impl<I: Input> Input for Hashed<I> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").hex(), empty);
        assert_eq!(Digest::parse(&format!("sha256:{empty}")), Some(Digest::of(b"")));
        for bad in
            ["", "sha256:", "sha512:00", &empty[1..], &empty.to_uppercase(), &format!("{empty}0")]
        {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn reading_and_skipping_hash_alike() {
        let mut hashed = Hashed::wanted(&b"hello, world"[..], true);
        let mut some = [0; 5];
        hashed.read_exact(&mut some).expect("read");
        hashed.skip(7).expect("skip");
        assert_eq!(hashed.count().get(), 12);
        assert_eq!(hashed.digest(), Digest::of(b"hello, world"));
    }
}

//! Text that is put together, as execve and messages need it.

use super::Str;
use crate::pack::PAIRS;

/// A path, a message or another string put together from pieces; what does not fit
/// is left out.
pub struct Text {
    bytes: [u8; Text::SIZE],
    len: usize,
}

impl Text {
    pub const SIZE: usize = 1024;

    #[inline(never)]
    pub fn new() -> Text {
        Text { bytes: [0; Text::SIZE], len: 0 }
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    #[inline(never)]
    pub fn byte(&mut self, byte: u8) -> &mut Text {
        // One byte always remains for the NUL.
        if let Some([slot, end, ..]) = self.bytes.get_mut(self.len..) {
            (*slot, *end) = (byte, 0);
            self.len += 1;
        }
        self
    }

    /// The text up to this byte.
    #[inline(never)]
    pub fn until(&mut self, text: Str, stop: u8) -> &mut Text {
        let mut text = text;
        while text.first() != stop && !text.is_empty() {
            self.byte(text.first());
            text = text.rest();
        }
        self
    }

    /// One byte of a packed message (`pack`).
    #[inline(never)]
    pub fn unpack(&mut self, byte: u8) -> &mut Text {
        match PAIRS.get(usize::from(byte).wrapping_sub(128)) {
            Some(&[first, second]) => self.unpack(first).unpack(second),
            None => self.byte(byte),
        }
    }

    /// The packed text up to this byte.
    #[inline(never)]
    pub fn message(&mut self, text: Str, stop: u8) -> &mut Text {
        let mut text = text;
        while text.first() != stop && !text.is_empty() {
            self.unpack(text.first());
            text = text.rest();
        }
        self
    }

    #[inline(never)]
    pub fn push(&mut self, text: Str) -> &mut Text {
        self.until(text, 0)
    }

    #[inline(never)]
    pub fn number(&mut self, number: u32, base: u32) -> &mut Text {
        // By recursion, as the last digit comes out first.
        if number >= base {
            self.number(number.checked_div(base).unwrap_or(0), base);
        }
        self.byte(b'0' + number.checked_rem(base).unwrap_or(0) as u8)
    }

    #[cfg(feature = "inittab")]
    /// The words, each with its NUL.
    pub fn split(&mut self) -> &[u8] {
        let all = self.bytes.get_mut(..=self.len).unwrap_or_default();
        for byte in all.iter_mut() {
            if matches!(byte, b' ' | b'\t') {
                *byte = 0;
            }
        }
        all
    }

    pub fn as_str(&self) -> Str<'_> {
        Str::trusted(&self.bytes)
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

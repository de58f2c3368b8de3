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

    /// The packed text up to this byte. In it stand `%` for the next of the two strings, up
    /// to its end or that of its line, `#` for the number, `&` for it in octal, and `^` for
    /// the error with this number, as in `msg`.
    #[inline(never)]
    pub fn format(&mut self, text: Str, stop: u8, strings: [Str; 2], number: usize) -> &mut Text {
        let (mut text, [mut next, last]) = (text, strings);
        while text.first() != stop && !text.is_empty() {
            match text.first() {
                b'%' => {
                    self.until(next, b'\n');
                    next = last;
                }
                b'#' => _ = self.number(number as u32, 10),
                b'&' => _ = self.number(number as u32, 8),
                b'^' => crate::msg::error(self, number),
                byte => _ = self.unpack(byte),
            }
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

    /// The addresses of the words, each of which now ends with a NUL.
    pub fn split(&mut self, words: &mut [*const u8]) {
        let (mut words, mut blank) = (words.iter_mut(), true);
        for byte in &mut self.bytes {
            let was_blank = blank;
            blank = matches!(*byte, b' ' | b'\t');
            if *byte == 0 {
                break;
            } else if blank {
                *byte = 0;
            } else if was_blank && let Some(word) = words.next() {
                *word = byte;
            }
        }
    }

    pub fn as_str(&self) -> Str<'_> {
        Str::trusted(&self.bytes)
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

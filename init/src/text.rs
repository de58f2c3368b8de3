//! Numbers, words and paths, without an allocator and without core::fmt, which alone
//! would cost 3.5 KB.

use crate::sys::{Str, z};

/// The number at the start of the text, which then begins after it; None also if it
/// does not fit.
#[inline(never)]
pub fn number(text: &mut Str) -> Option<u32> {
    let (mut sum, mut any) = (0u64, false);
    loop {
        let digit = text.first().wrapping_sub(b'0');
        if digit > 9 {
            return if any { u32::try_from(sum).ok() } else { None };
        }
        sum = (sum * 10 + u64::from(digit)).min(1 << 32);
        any = true;
        *text = text.rest();
    }
}

/// A text that is a number and nothing else.
#[inline(never)]
pub fn whole_number(text: Str) -> Option<u32> {
    let mut rest = text;
    let number = number(&mut rest);
    if ends_word(rest.first()) { number } else { None }
}

/// A name ends where a list, a line of colon-separated fields or an option's value goes on.
fn ends_word(byte: u8) -> bool {
    matches!(byte, 0 | b' ' | b':' | b'=' | b',' | b'\n')
}

#[inline(never)]
pub fn same_word(a: Str, b: Str) -> bool {
    let (mut a, mut b) = (a, b);
    while !ends_word(a.first()) && a.first() == b.first() {
        (a, b) = (a.rest(), b.rest());
    }
    ends_word(a.first()) && ends_word(b.first())
}

/// The place of a word in a list of words with one space between them.
#[inline(never)]
pub fn place(list: Str, word: Str) -> Option<u8> {
    let (mut list, mut index) = (list, 0);
    while !list.is_empty() {
        if same_word(list, word) {
            return Some(index);
        }
        list = list.find(b' ').rest();
        index += 1;
    }
    None
}

/// The field of a line, up to the next colon or the line's end.
#[inline(never)]
pub fn field(line: Str, index: usize) -> Str {
    let (mut text, mut left) = (line, index);
    while left > 0 {
        match text.first() {
            0 | b'\n' => return Str::EMPTY,
            b':' => left -= 1,
            _ => {}
        }
        text = text.rest();
    }
    text
}

pub fn next_line(text: Str) -> Str {
    text.find(b'\n').rest()
}

/// By number, from 1.
const SIGNALS: Str = z(c"HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS");

/// A signal by name, with or without SIG, or by number, 0 included.
#[inline(never)]
pub fn signal(text: Str) -> Option<u8> {
    match whole_number(text) {
        Some(number) if number <= 64 => Some(number as u8),
        _ => Some(place(SIGNALS, text.after(z(c"SIG")).unwrap_or(text))? + 1),
    }
}

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
        Str::from_buffer(&self.bytes)
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

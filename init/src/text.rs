//! Numbers, signal names and paths, without an allocator and without core::fmt,
//! which alone would cost 3.5 KB.

use core::ffi::CStr;

pub fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |sum, digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
    })
}

/// The digits of one number.
pub struct Digits {
    buffer: [u8; 10],
    start: usize,
}

impl Digits {
    pub fn new(number: u32, base: u32) -> Digits {
        let mut digits = Digits { buffer: [0; 10], start: 10 };
        let mut rest = number;
        for (i, slot) in digits.buffer.iter_mut().enumerate().rev() {
            *slot = b'0' + (rest % base) as u8;
            digits.start = i;
            rest /= base;
            if rest == 0 {
                break;
            }
        }
        digits
    }

    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }
}

pub fn decimal(number: i32) -> Digits {
    Digits::new(number as u32, 10)
}

/// By number, from 1.
const SIGNALS: &[u8] = b"HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";

/// A signal by name, with or without SIG, or by number, 0 included.
pub fn signal(text: &[u8]) -> Option<u8> {
    if let Some(number) = number(text) {
        return (number <= 64).then_some(number as u8);
    }
    let name = text.strip_prefix(b"SIG").unwrap_or(text);
    let at = SIGNALS.split(|b| *b == b' ').position(|known| known == name)?;
    Some(at as u8 + 1)
}

/// A path (or another string for the kernel) put together from pieces.
pub struct Path<const SIZE: usize> {
    buffer: [u8; SIZE],
    len: usize,
}

impl<const SIZE: usize> Path<SIZE> {
    /// None if it does not fit.
    pub fn new(pieces: &[&[u8]]) -> Option<Path<SIZE>> {
        let mut path = Path { buffer: [0; SIZE], len: 0 };
        for piece in pieces {
            let end = path.len + piece.len();
            path.buffer.get_mut(path.len..end)?.copy_from_slice(piece);
            path.len = end;
        }
        // One byte must be left for the NUL.
        (path.len < SIZE).then_some(path)
    }

    pub fn as_cstr(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.buffer).unwrap_or_default()
    }
}

pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n')
}

/// Words between white space; a word in double quotes may hold some, as on the
/// kernel's command line.
pub fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let split = text.split(move |b| {
        quoted ^= *b == b'"';
        !quoted && b.is_ascii_whitespace()
    });
    split.filter(|word| !word.is_empty())
}

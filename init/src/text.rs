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

/// Such a number, or 0.
#[inline(never)]
pub fn value(text: Str) -> u32 {
    whole_number(text).unwrap_or(0)
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

/// The place, from 1, of a word in a list of words with one space between them; 0: it
/// is not there.
#[inline(never)]
pub fn place(list: Str, word: Str) -> u8 {
    let (mut list, mut index) = (list, 0);
    while !list.is_empty() {
        index += 1;
        if same_word(list, word) {
            return index;
        }
        list = list.find(b' ').rest();
    }
    0
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

/// Where process 1's own arguments begin. The kernel hands over (as `argc` words, of which
/// `first` is the second) the words it does not know, and then those behind `--`; only its
/// command line tells which is which. `end` gets what stands behind `init.end=`.
pub fn kernel_line(line: Str, first: Str, argc: usize, mut end: impl FnMut(Str)) -> usize {
    let (mut word, mut behind, mut known) = (line, None, argc < 2);
    while !matches!(word.first(), 0 | b'\n') {
        if let Some(count) = &mut behind {
            *count += 1;
        } else if let Some(name) = word.after(z(c"init.end=")) {
            end(name);
        } else if word.after(z(c"-- ")).is_some() {
            behind = Some(0);
        } else if same_word(word, first) {
            known = true;
        }
        word = next_word(word);
    }
    match behind {
        Some(count) => argc.saturating_sub(count),
        // Whoever started us instead of the kernel meant its words for us.
        None => {
            if known {
                argc
            } else {
                1
            }
        }
    }
}

/// Behind the blanks that end this word of the command line; quotes protect blanks.
fn next_word(word: Str) -> Str {
    let (mut text, mut quoted) = (word, false);
    while !text.is_empty() && (quoted || text.first() != b' ') {
        quoted ^= text.first() == b'"';
        text = text.rest();
    }
    while text.first() == b' ' {
        text = text.rest();
    }
    text
}

/// The text behind its number, in a list with one on each line; empty if there is none.
#[inline(never)]
pub fn numbered(list: Str<'static>, wanted: u32) -> Str<'static> {
    let mut line = list;
    while !line.is_empty() {
        let mut rest = line;
        if number(&mut rest) == Some(wanted) {
            return rest.rest();
        }
        line = next_line(line);
    }
    line
}

/// By number, from 1.
const SIGNALS: Str = z(c"HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS");

/// A signal by name, with or without SIG, or by number, 0 included.
#[inline(never)]
pub fn signal(text: Str) -> Option<u8> {
    let number = match whole_number(text) {
        Some(number) => number,
        None => match place(SIGNALS, text.after(z(c"SIG")).unwrap_or(text)) {
            0 => 65,
            place => place.into(),
        },
    };
    if number > 64 { None } else { Some(number as u8) }
}

//! Messages with their commonest pairs of bytes as one byte each: a third shorter. The
//! compiler packs them (`t!`), `Text::unpack` reads them.

/// Byte 128 + n stands for pair n, whose halves may be such bytes themselves. Made from
/// the messages by pairs.py. Never holds a digit, `%`, `=` or newline.
pub const PAIRS: &[[u8; 2]] = &include!("../pairs.in");

const LONGEST: usize = 1400;

/// The packed bytes, and how many there are.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks")]
const fn squeeze(text: &[u8]) -> ([u8; LONGEST], usize) {
    let mut bytes = [0; LONGEST];
    let mut len = 0;
    while len < text.len() {
        bytes[len] = text[len];
        len += 1;
    }
    let mut n = 0;
    while n < PAIRS.len() {
        let (mut from, mut to) = (0, 0);
        while from < len {
            let same =
                from + 1 < len && bytes[from] == PAIRS[n][0] && bytes[from + 1] == PAIRS[n][1];
            bytes[to] = if same { 128 + n as u8 } else { bytes[from] };
            from += if same { 2 } else { 1 };
            to += 1;
        }
        len = to;
        n += 1;
    }
    (bytes, len)
}

pub const fn packed_len(text: &[u8]) -> usize {
    squeeze(text).1 + 1
}

/// With its NUL.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks")]
pub const fn pack<const N: usize>(text: &[u8]) -> [u8; N] {
    let (bytes, len) = squeeze(text);
    let mut packed = [0; N];
    let mut i = 0;
    while i < len {
        packed[i] = bytes[i];
        i += 1;
    }
    packed
}

/// A packed message, for `Text::unpack` and what is built on it: `say`, `hint`, `print`.
macro_rules! t {
    ($text:expr) => {{
        const TEXT: &[u8] = str::as_bytes($text);
        #[allow(long_running_const_eval)]
        const PACKED: &[u8; $crate::pack::packed_len(TEXT)] = &$crate::pack::pack(TEXT);
        $crate::sys::Str::packed(PACKED)
    }};
}
pub(crate) use t;

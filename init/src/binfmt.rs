//! Says from its first bytes what kind of program a file is, so that a failed
//! execve can be explained: the kernel's ENOENT for a missing loader reads as if
//! the program itself were missing. Pure, `core` only: init and the launcher both
//! include this very file.

use core::ffi::CStr;

/// How many bytes of the file are worth reading.
#[allow(dead_code, reason = "init makes do with less")]
pub const HEAD: usize = 4096;

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Format<'a> {
    Empty,
    /// `interp` is where the path of the dynamic loader lies in the file (offset,
    /// length with its NUL), if there is one.
    Elf {
        machine: u16,
        interp: Option<(u64, u64)>,
    },
    /// An ELF header that promises more than the file holds.
    TruncatedElf,
    /// A `#!` line; `crlf`: it ends in a carriage return, which the kernel takes for
    /// a part of the interpreter's name. `interpreter` is without it.
    Script {
        interpreter: &'a [u8],
        crlf: bool,
    },
    /// Nothing the kernel knows; a shell would take it for a script.
    Unknown,
}

/// A reader of ELF's numbers, in the file's own class and byte order.
struct Elf<'a> {
    head: &'a [u8],
    wide: bool,
    big: bool,
}

impl Elf<'_> {
    /// The number of `size` bytes at `at`; beyond the head all bits are set, which no
    /// bound passes.
    fn number(&self, at: u64, size: u64) -> u64 {
        let mut value = 0;
        for i in 0..size {
            let i = if self.big { i } else { size - 1 - i };
            let Some(byte) = self.head.get(at.wrapping_add(i) as usize) else { return u64::MAX };
            value = value << 8 | u64::from(*byte);
        }
        value
    }

    /// The number at `narrow` in a 32-bit file, at `wide` in a 64-bit one, as wide as an address.
    fn word(&self, narrow: u64, wide: u64) -> u64 {
        if self.wide { self.number(wide, 8) } else { self.number(narrow, 4) }
    }
}

const PT_INTERP: u64 = 3;

fn elf(head: &[u8], file_len: u64) -> Format<'static> {
    let mut elf = Elf { head, wide: false, big: false };
    elf.wide = elf.number(4, 1) == 2;
    elf.big = elf.number(5, 1) == 2;
    let table = elf.word(28, 32);
    let sizes = if elf.wide { 54 } else { 42 };
    let (size, count) = (elf.number(sizes, 2), elf.number(sizes + 2, 2));
    // A count beyond the head must not be counted up to where the file's length is unknown.
    if count == u64::MAX || table.saturating_add(size.saturating_mul(count)) > file_len {
        return Format::TruncatedElf;
    }
    let mut interp = None;
    for i in 0..count {
        // Where the file's length is unknown nothing has bounded the numbers.
        let at = table.wrapping_add(i.wrapping_mul(size));
        // A table beyond the head is legal, only unusual: its kinds are unknown here.
        if elf.number(at, 4) == PT_INTERP {
            let place = |narrow, wide| elf.word(at.wrapping_add(narrow), at.wrapping_add(wide));
            let (offset, len) = (place(4, 8), place(16, 32));
            if offset.saturating_add(len) > file_len {
                return Format::TruncatedElf;
            }
            interp = Some((offset, len));
        }
    }
    Format::Elf { machine: elf.number(18, 2) as u16, interp }
}

/// The line behind `#!`.
fn script(text: &[u8]) -> Format<'_> {
    let (mut start, mut end, mut at) = (0, 0, 0);
    // The name is what lies between blanks; the kernel ends it at nothing else.
    for byte in text {
        match byte {
            b'\n' => break,
            b' ' | b'\t' if end == 0 => start = at + 1,
            b' ' | b'\t' => break,
            _ => end = at + 1,
        }
        at += 1;
    }
    let name = text.get(start..end).unwrap_or_default();
    match name.split_last() {
        Some((b'\r', interpreter)) => Format::Script { interpreter, crlf: true },
        _ => Format::Script { interpreter: name, crlf: false },
    }
}

/// `head`: the first bytes of the file, up to HEAD; `file_len`: its whole length.
pub fn identify(head: &[u8], file_len: u64) -> Format<'_> {
    if head.is_empty() {
        Format::Empty
    } else if head.starts_with(b"\x7fELF") {
        elf(head, file_len)
    } else if let Some(line) = head.strip_prefix(b"#!") {
        script(line)
    } else {
        Format::Unknown
    }
}

/// EM_* of the machine this is compiled for.
pub const NATIVE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else if cfg!(target_arch = "riscv64") {
    243
} else if cfg!(target_arch = "x86") {
    3
} else if cfg!(target_arch = "arm") {
    40
} else {
    0
};

/// Machines by their EM_* number, with the names `uname -m` has for them.
pub const MACHINES: &CStr =
    c"3 i386\n20 ppc\n21 ppc64\n22 s390x\n40 arm\n62 x86_64\n183 aarch64\n243 riscv64\n";

#[allow(dead_code, reason = "for the launcher")]
pub fn machine_name(machine: u16) -> &'static str {
    let lines = MACHINES.to_str().unwrap_or_default().lines();
    let mut pairs = lines.filter_map(|line| line.split_once(' '));
    pairs
        .find(|(number, _)| number.parse() == Ok(machine))
        .map_or("another machine", |(_, name)| name)
}

/// Whether this kernel may run a program for `machine`: its own, or its 32-bit relative.
pub fn runs_here(machine: u16) -> bool {
    machine == NATIVE || matches!((NATIVE, machine), (62, 3) | (183, 40))
}

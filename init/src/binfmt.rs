//! Says from its first bytes what kind of program a file is, so that a failed
//! execve can be explained: the kernel's ENOENT for a missing loader reads as if
//! the program itself were missing. Pure, `core` only: init and the launcher both
//! include this very file.

use core::ffi::CStr;

/// How many bytes of the file are looked at.
pub const HEAD: usize = 1024;

/// The first bytes of the file, zeroes behind its end.
pub type Head = [u8; HEAD];

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Format {
    Empty,
    /// An ELF for this machine (EM_*), of another or with no need of a loader.
    Elf {
        machine: u16,
    },
    /// An ELF header that promises more than the file holds.
    TruncatedElf,
    /// Another program runs it, an ELF's loader or a script's interpreter; where in the
    /// file its path is. `crlf`: the line of a script ends in a carriage return, which
    /// the kernel takes for a part of the name; `len` is without it.
    Needs {
        at: u64,
        len: u64,
        crlf: bool,
    },
    /// Nothing the kernel knows; a shell would take it for a script.
    Unknown,
}

/// The eight bytes at `at`, least significant first; beyond the head all bits are
/// set, which no bound passes.
#[inline(never)]
fn word(head: &Head, at: usize) -> u64 {
    let found = head.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
}

fn elf(head: &Head, file_len: u64) -> Format {
    const PT_INTERP: u32 = 3;
    let kind = word(head, 4);
    let mut machine = word(head, 18) as u16;
    if kind & 0xff00 == 0x0200 {
        machine = machine.swap_bytes();
    }
    if file_len < 52 {
        return Format::TruncatedElf;
    }
    if !runs_here(machine) {
        return Format::Elf { machine };
    }
    // From here on it is little-endian, as all that this is written for are. Where in
    // it are: the table's offset, the size of its entries, the path's offset and length.
    let (mask, places) = if kind & 0xff == 2 {
        (u64::MAX, [32, 54, 8, 32])
    } else {
        (u32::MAX.into(), [28, 42, 4, 16])
    };
    let field = |at| word(head, at) & mask;
    let sizes = word(head, places[1]);
    let (size, mut count) = (sizes & 0xffff, sizes >> 16 & 0xffff);
    let mut at = field(places[0]);
    while count > 0 {
        if at >= file_len {
            return Format::TruncatedElf;
        }
        let entry = at as usize;
        // A table beyond the head is legal, only unusual: its kinds are unknown here.
        if word(head, entry) as u32 == PT_INTERP {
            let (at, len) = (field(entry + places[2]), field(entry + places[3]));
            if at.saturating_add(len) > file_len {
                return Format::TruncatedElf;
            }
            return Format::Needs { at, len, crlf: false };
        }
        // Where the file's length is unknown nothing has bounded it.
        at = at.wrapping_add(size);
        count -= 1;
    }
    Format::Elf { machine }
}

/// The line that begins with `#!`.
fn script(head: &Head) -> Format {
    let (mut at, mut len, mut last) = (2, 0, 0);
    // The name is what lies between blanks; the kernel ends it at nothing else.
    for byte in head.iter().skip(2) {
        match byte {
            b' ' | b'\t' if len == 0 => at += 1,
            0 | b'\n' | b' ' | b'\t' => break,
            _ => (len, last) = (len + 1, *byte),
        }
    }
    let crlf = last == b'\r';
    Format::Needs { at, len: len - u64::from(crlf), crlf }
}

/// What the file is, whose whole length is `file_len`.
pub fn identify(head: &Head, file_len: u64) -> Format {
    match word(head, 0) as u32 {
        _ if file_len == 0 => Format::Empty,
        0x464c_457f => elf(head, file_len),
        kind if kind as u16 == 0x2123 => script(head),
        _ => Format::Unknown,
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

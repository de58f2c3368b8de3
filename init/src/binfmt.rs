//! Says from its first bytes what kind of program a file is, so that a failed
//! execve can be explained: the kernel's ENOENT for a missing loader reads as if
//! the program itself were missing. Pure, `core` only: init and the launcher both
//! include this very file.

/// How many bytes of the file are worth reading.
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
    /// The number of `size` bytes at `at`.
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.head.get(at..at.checked_add(size)?)?;
        let mut value = 0;
        for i in 0..size {
            let i = if self.big { i } else { size - 1 - i };
            value = value << 8 | u64::from(*bytes.get(i)?);
        }
        Some(value)
    }

    /// The number at `narrow` in a 32-bit file, at `wide` in a 64-bit one, as wide as an address.
    fn word(&self, narrow: usize, wide: usize) -> Option<u64> {
        if self.wide { self.number(wide, 8) } else { self.number(narrow, 4) }
    }
}

const PT_LOAD: u64 = 1;
const PT_INTERP: u64 = 3;

/// None: the file ends inside a structure that must be there.
fn elf(head: &[u8], file_len: u64) -> Option<Format<'static>> {
    let elf = Elf { head, wide: *head.get(4)? == 2, big: *head.get(5)? == 2 };
    let machine = elf.number(18, 2)? as u16;
    let table = elf.word(28, 32)?;
    let (size, count) = if elf.wide {
        (elf.number(54, 2)?, elf.number(56, 2)?)
    } else {
        (elf.number(42, 2)?, elf.number(44, 2)?)
    };
    if table.checked_add(size * count)? > file_len {
        return None;
    }
    let mut interp = None;
    for i in 0..count {
        let at = (table + i * size) as usize;
        let field = |narrow, wide| elf.word(at.wrapping_add(narrow), at.wrapping_add(wide));
        // A table beyond what was read is legal, only unusual: nothing can be said then.
        let (Some(kind), Some(offset), Some(len)) = (elf.number(at, 4), field(4, 8), field(16, 32))
        else {
            break;
        };
        if kind == PT_LOAD || kind == PT_INTERP {
            if offset.checked_add(len)? > file_len {
                return None;
            }
            if kind == PT_INTERP {
                interp = Some((offset, len));
            }
        }
    }
    Some(Format::Elf { machine, interp })
}

fn script(line: &[u8]) -> Format<'_> {
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let crlf = line.last() == Some(&b'\r');
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|b| *b == b' ' || *b == b'\t').filter(|w| !w.is_empty());
    let interpreter = words.next().unwrap_or_default();
    // With an argument between them, the carriage return spoils the argument, not the name.
    Format::Script { interpreter, crlf: crlf && words.next().is_none() }
}

/// `head`: the first bytes of the file, up to HEAD; `file_len`: its whole length.
pub fn identify(head: &[u8], file_len: u64) -> Format<'_> {
    if head.is_empty() {
        Format::Empty
    } else if head.starts_with(b"\x7fELF") {
        elf(head, file_len).unwrap_or(Format::TruncatedElf)
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

/// The name `uname -m` would print on such a machine.
pub fn machine_name(machine: u16) -> &'static str {
    match machine {
        3 => "i386",
        8 => "mips",
        20 => "ppc",
        21 => "ppc64",
        22 => "s390x",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv",
        258 => "loongarch",
        _ => "another machine",
    }
}

/// Whether this kernel may run a program for `machine`: its own, or its 32-bit relative.
pub fn runs_here(machine: u16) -> bool {
    machine == NATIVE || matches!((NATIVE, machine), (62, 3) | (183, 40))
}

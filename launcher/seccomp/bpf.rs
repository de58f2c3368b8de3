//! Classic BPF as seccomp(2) takes it: an assembler and, for tests and for questions about a
//! filter, an interpreter.
//!
//! Jumps lead forward and reach 255 instructions far, so a program is put together from its
//! end: what is jumped to is there already.

/// One struct sock_filter: code, jt, jf and k, as a little-endian machine has it in memory.
pub type Insn = u64;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;
const ALWAYS: u16 = 0x05;
pub const EQUAL: u16 = 0x15;
pub const GREATER: u16 = 0x25;
pub const AT_LEAST: u16 = 0x35;

/// Offsets in struct seccomp_data.
pub const NUMBER: u32 = 0;
pub const ARCH: u32 = 4;

/// The lower and the upper half of an argument.
pub fn argument(index: u8) -> (u32, u32) {
    let at = 16 + 8 * u32::from(index);
    (at, at + 4)
}

/// An instruction's place, counted from the program's end.
pub type Label = usize;

/// How far jumps are let reach; the rest of 255 is for the way to the next trampoline.
const REACH: usize = 250;

#[derive(Default)]
pub struct Assembler {
    /// Last instruction first.
    code: Vec<Insn>,
    /// What RET instructions there are, the latest of each value.
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    fn push(&mut self, code: u16, jt: usize, jf: usize, k: u32) -> Label {
        debug_assert!(jt < 256 && jf < 256);
        let insn = u64::from(code) | (jt as u64) << 16 | (jf as u64) << 24 | u64::from(k) << 32;
        self.code.push(insn);
        self.code.len() - 1
    }

    /// `to` itself, or a jump to it that is in reach.
    fn near(&mut self, to: Label) -> Label {
        let distance = self.code.len() - to - 1;
        if distance < REACH { to } else { self.push(ALWAYS, 0, 0, distance as u32) }
    }

    pub fn ret(&mut self, value: u32) -> Label {
        let known = self.returns.iter().position(|(v, _)| *v == value);
        if let Some(at) = known
            && self.code.len() - self.returns[at].1 < REACH
        {
            return self.returns[at].1;
        }
        let label = self.push(RETURN, 0, 0, value);
        match known {
            Some(at) => self.returns[at].1 = label,
            None => self.returns.push((value, label)),
        }
        label
    }

    /// To `yes` if what was loaded compares so with `k`, else to `no`.
    pub fn branch(&mut self, how: u16, k: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let (yes, no) = (self.near(yes), self.near(no));
        let here = self.code.len();
        self.push(how, here - yes - 1, here - no - 1, k)
    }

    /// What follows has to be the very next instruction.
    fn follow(&mut self, then: Label) {
        let distance = self.code.len() - then - 1;
        if distance > 0 {
            self.push(ALWAYS, 0, 0, distance as u32);
        }
    }

    pub fn load(&mut self, offset: u32, then: Label) -> Label {
        self.follow(then);
        self.push(LOAD, 0, 0, offset)
    }

    pub fn mask(&mut self, bits: u32, then: Label) -> Label {
        self.follow(then);
        self.push(AND, 0, 0, bits)
    }

    /// The program that begins at `first`.
    pub fn finish(mut self, first: Label) -> Vec<Insn> {
        self.follow(first);
        self.code.reverse();
        self.code
    }
}

/// What a program of the assembler's says to a system call: SECCOMP_RET_* and its data.
#[allow(dead_code, reason = "build.rs does not ask")]
pub fn evaluate(program: &[Insn], arch: u32, number: u32, args: [u64; 6]) -> Option<u32> {
    let (mut at, mut value) = (0usize, 0u32);
    loop {
        let insn = *program.get(at)?;
        let (jt, jf, k) = (insn >> 16 & 255, insn >> 24 & 255, (insn >> 32) as u32);
        let test = |holds: bool| (if holds { jt } else { jf }) as usize;
        at += 1;
        match insn as u16 {
            LOAD => {
                value = match k {
                    NUMBER => number,
                    ARCH => arch,
                    16..=60 => (args[(k as usize - 16) / 8] >> (k % 8 * 8)) as u32,
                    _ => return None,
                }
            }
            AND => value &= k,
            ALWAYS => at += k as usize,
            EQUAL => at += test(value == k),
            GREATER => at += test(value > k),
            AT_LEAST => at += test(value >= k),
            RETURN => return Some(k),
            _ => return None,
        }
    }
}

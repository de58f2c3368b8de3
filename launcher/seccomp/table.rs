//! Which number a system call has on which machine.

/// A machine language as seccomp tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    X86,
    Aarch64,
    Arm,
    Riscv64,
}

impl Arch {
    /// By Rust's name for it.
    pub fn named(target: &str) -> Option<Arch> {
        Some(match target {
            "x86_64" => Arch::X86_64,
            "x86" => Arch::X86,
            "aarch64" => Arch::Aarch64,
            "arm" => Arch::Arm,
            "riscv64" => Arch::Riscv64,
            _ => return None,
        })
    }

    /// AUDIT_ARCH_*
    pub fn audit(self) -> u32 {
        match self {
            Arch::X86_64 => 0xc000_003e,
            Arch::X86 => 0x4000_0003,
            Arch::Aarch64 => 0xc000_00b7,
            Arch::Arm => 0x4000_0028,
            Arch::Riscv64 => 0xc000_00f3,
        }
    }

    /// As `includes` and `excludes` of a profile have it.
    pub fn go_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::X86 => "x86",
            Arch::Aarch64 => "arm64",
            Arch::Arm => "arm",
            Arch::Riscv64 => "riscv64",
        }
    }

    pub fn scmp_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "SCMP_ARCH_X86_64",
            Arch::X86 => "SCMP_ARCH_X86",
            Arch::Aarch64 => "SCMP_ARCH_AARCH64",
            Arch::Arm => "SCMP_ARCH_ARM",
            Arch::Riscv64 => "SCMP_ARCH_RISCV64",
        }
    }

    /// The older languages that its processors and kernels speak, too. Not x32, which hardly
    /// any kernel has and which has a history of holes.
    pub fn understands(self) -> &'static [Arch] {
        match self {
            Arch::X86_64 => &[Arch::X86],
            Arch::Aarch64 => &[Arch::Arm],
            _ => &[],
        }
    }
}

/// Names and numbers, from syscalls.in.
pub struct Table {
    /// Sorted by name.
    rows: Vec<(&'static str, [&'static str; 5])>,
}

impl Table {
    pub fn new() -> Table {
        let lines = include_str!("syscalls.in").lines().filter(|l| !l.starts_with('#'));
        let rows = lines.filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            Some((name, std::array::from_fn(|_| words.next().unwrap_or("-"))))
        });
        Table { rows: rows.collect() }
    }

    fn row(&self, name: &str) -> Option<&[&'static str; 5]> {
        let at = self.rows.binary_search_by_key(&name, |(n, _)| n).ok()?;
        Some(&self.rows[at].1)
    }

    /// Any machine's, at any time.
    pub fn knows(&self, name: &str) -> bool {
        self.row(name).is_some()
    }

    /// None where this machine has no such system call.
    pub fn number(&self, arch: Arch, name: &str) -> Option<u32> {
        self.row(name)?[arch as usize].parse().ok()
    }
}

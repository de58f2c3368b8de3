//! The system call filter (seccomp(2)): docker's default profile, assembled by build.rs, or
//! a profile of the user's.

pub mod bpf;
mod filter;
#[cfg(test)]
mod fuzz_tests;
mod profile;
pub mod table;
#[cfg(test)]
mod tests;

use crate::caps::names;
use crate::error::{Error, Result};
use bpf::Insn;
use profile::{Action, Circumstances};
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;
use table::{Arch, Table};

/// moby's default profile.
static PROFILE: &[u8] = include_bytes!("seccomp/default.json");

// PREBUILT: programs for the usual capabilities and for none; CONDITIONS: the capabilities
// on which the profile depends. Both by build.rs.
include!(concat!(env!("OUT_DIR"), "/seccomp.rs"));

/// The newest kernel that the profile asks for.
const MODERN: (u32, u32) = (4, 8);

/// SECCOMP_FILTER_FLAG_SPEC_ALLOW: a filter is no reason to switch off speculation, as
/// kernels before 5.16 think; runc has it so, too.
const SPEC_ALLOW: u32 = 4;

/// A profile larger than this is something else.
const MOST: u64 = 1 << 20;

/// What is to be loaded.
pub struct Filter {
    pub program: Cow<'static, [Insn]>,
    pub flags: u32,
}

/// The default for these capabilities: with some of them more is allowed.
pub fn default(capabilities: u64, kernel: (u32, u32)) -> Result<Filter> {
    let known = PREBUILT.iter().find(|(caps, _)| caps & CONDITIONS == capabilities & CONDITIONS);
    if let Some((_, program)) = known
        && kernel >= MODERN
    {
        return Ok(Filter { program: Cow::Borrowed(program), flags: SPEC_ALLOW });
    }
    // Of the languages that docker lets in beside the machine's own, none.
    compile(PROFILE, capabilities, kernel, false)
        .map_err(|why| Error::new(format!("seccomp: {why}")))
}

/// A profile of the user's, which has to allow what is `needed` to start anything.
pub fn file(path: &Path, capabilities: u64, kernel: (u32, u32), needed: &[&str]) -> Result<Filter> {
    let what = format!("seccomp profile {}", path.display());
    let text = read(path).map_err(|e| Error::os(&what, e))?;
    if text.len() as u64 > MOST {
        return Err(Error::new(format!("{what}: larger than {MOST} bytes")));
    }
    let filter = compile(&text, capabilities, kernel, true)
        .map_err(|why| Error::new(format!("{what}: {why}")))?;
    match needed.iter().find(|name| !filter.allows(name)) {
        Some(name) => Err(Error::new(format!("{what}: does not allow {name}"))
            .hint("without it launch cannot start a program")),
        None => Ok(filter),
    }
}

impl Filter {
    /// What prctl(PR_GET_SECCOMP) says below it: 2, or minus the error that the filter gives;
    /// None where asking would end the process, or disturb others.
    pub fn mode_from_below(&self) -> Option<i32> {
        const FILTER: i32 = 2;
        let arch = Arch::named(std::env::consts::ARCH)?;
        let args = [libc::PR_GET_SECCOMP as u64, 0, 0, 0, 0, 0];
        let number = libc::SYS_prctl as u32;
        match bpf::evaluate(&self.program, arch.audit(), number, args)? {
            said if passes(said) => Some(FILTER),
            said if said & 0xffff_0000 == filter::value(Action::Errno(0)) => {
                Some(-((said & 0xffff) as i32))
            }
            _ => None,
        }
    }

    pub fn allows(&self, name: &str) -> bool {
        // Of clone's flags those of vfork; what others make of 0 is not asked.
        const VFORK: u64 = 0x4111;
        let Some(arch) = Arch::named(std::env::consts::ARCH) else { return false };
        let Some(number) = Table::new().number(arch, name) else { return true };
        let first = if name == "clone" { VFORK } else { 0 };
        let said = bpf::evaluate(&self.program, arch.audit(), number, [first, 0, 0, 0, 0, 0]);
        said.is_some_and(passes)
    }
}

/// Whether the call is made. As a signed number, as the kernel compares: to kill the process
/// is the least, although it has the highest bit (linux/seccomp.h).
fn passes(said: u32) -> bool {
    said as i32 >= filter::value(Action::Log) as i32
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(MOST + 1).read_to_end(&mut text)?;
    Ok(text)
}

fn compile(
    text: &[u8],
    capabilities: u64,
    kernel: (u32, u32),
    foreign: bool,
) -> std::result::Result<Filter, String> {
    let arch =
        Arch::named(std::env::consts::ARCH).ok_or("no table of this machine's system calls")?;
    let table = Table::new();
    let mut profile = profile::parse(text, Circumstances { arch, capabilities, kernel }, &table)?;
    if !foreign {
        profile.foreign.clear();
    }
    let program = filter::assemble(&profile, arch, &table);
    // BPF_MAXINSNS
    if program.len() > 4096 {
        return Err(format!("{} instructions, but the kernel takes 4096", program.len()));
    }
    Ok(Filter { program: Cow::Owned(program), flags: profile.flags | SPEC_ALLOW })
}

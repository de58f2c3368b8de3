//! Options that limit what the container may use.

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::size;
use crate::spec::{IoLimit, IoRate, Swap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The least with which the init and a small static program start.
const MEMORY_LEAST: u64 = 512 << 10;
/// The kernel's PID_MAX_LIMIT.
const PIDS_MOST: u64 = 4 << 20;
/// The kernel's largest NR_CPUS.
const CPUS_MOST: u64 = 8192;

pub fn memory(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.limits.memory = Some(memory_size(given)?);
    Ok(())
}

pub fn memory_swap(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.limits.memory_swap = Some(match given.value.to_str() {
        Some("-1") => Swap::Unlimited,
        _ => Swap::Total(memory_size(given)?),
    });
    Ok(())
}

fn memory_size(given: Given) -> Result<u64> {
    let unlimited = format!("leave {} away for no limit", given.name);
    if let Some("max" | "unlimited" | "-1") = given.value.to_str() {
        return Err(given.bad("not a limit").hint(unlimited));
    }
    match given.size()? {
        0 => Err(given.bad("0 is not a limit").hint(unlimited)),
        n if n < MEMORY_LEAST => Err(given.bad(format!(
            "too little for any program to start, the least is {}",
            size::human(MEMORY_LEAST)
        ))),
        n => Ok(n),
    }
}

pub fn cpus(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(given.bad("not a number of processors, for example 1.5"));
    }
    let milli = match size::scaled(text, 1000).map_err(|why| given.bad(why))? {
        0 if text.bytes().all(|b| b == b'0' || b == b'.') => {
            return Err(given.bad("0 is not a limit").hint("leave --cpus away for no limit"));
        }
        n if n < 10 => {
            return Err(given.bad("less than 0.01, the least the kernel can measure out"));
        }
        n if n > u128::from(CPUS_MOST) * 1000 => {
            return Err(given.bad(format!("more than {CPUS_MOST}, the most any machine has")));
        }
        n => n as u64,
    };
    draft.spec.limits.cpus_milli = Some(milli);
    Ok(())
}

pub fn cpu_shares(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.limits.cpu_shares = Some(given.number(2, 262_144)?);
    Ok(())
}

pub fn cpu_weight(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.limits.cpu_weight = Some(given.number(1, 10_000)?);
    Ok(())
}

pub fn pids(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.limits.pids = match given.value.to_str() {
        Some("-1") => None,
        Some("0") => return Err(given.bad("0 is not a limit").hint("-1 is no limit")),
        _ => Some(given.number(1, PIDS_MOST)?),
    };
    Ok(())
}

/// `0-2,7`; which of them exist is for the host to say.
pub fn cpuset(draft: &mut Draft, given: Given) -> Result<()> {
    let text = given.text()?;
    let number = |s: &str| {
        let digits = !s.is_empty() && s.len() <= 5 && s.bytes().all(|b| b.is_ascii_digit());
        s.parse::<u64>().ok().filter(|n| digits && *n < CPUS_MOST)
    };
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (number(first), number(last)) {
            (Some(a), Some(b)) if a <= b => {}
            (Some(_), Some(_)) => {
                return Err(given.bad(format!("the range {} runs backwards", quote(range))));
            }
            _ => return Err(given.bad("not a list of processors, for example 0-2,7")),
        }
    }
    draft.spec.limits.cpuset_cpus = Some(text.to_owned());
    Ok(())
}

pub fn memory_reservation(draft: &mut Draft, given: Given) -> Result<()> {
    draft.spec.limits.memory_reservation = Some(memory_size(given)?);
    Ok(())
}

pub fn read_bps(draft: &mut Draft, given: Given) -> Result<()> {
    io(draft, given, IoRate::ReadBytes)
}

pub fn write_bps(draft: &mut Draft, given: Given) -> Result<()> {
    io(draft, given, IoRate::WriteBytes)
}

pub fn read_iops(draft: &mut Draft, given: Given) -> Result<()> {
    io(draft, given, IoRate::ReadOperations)
}

pub fn write_iops(draft: &mut Draft, given: Given) -> Result<()> {
    io(draft, given, IoRate::WriteOperations)
}

/// `/dev/sda:10M`; the last colon counts, as a device's name may have one.
fn io(draft: &mut Draft, given: Given, kind: IoRate) -> Result<()> {
    let bytes = given.value.as_bytes();
    let at = bytes.iter().rposition(|b| *b == b':');
    let parts = at.map(|at| (&bytes[..at], OsStr::from_bytes(&bytes[at + 1..])));
    let Some((device, rate)) = parts.filter(|(device, _)| device.first() == Some(&b'/')) else {
        return Err(given.bad("not of the form DEVICE:RATE, for example /dev/sda:10M"));
    };
    let part = Given { name: given.name, value: rate };
    let rate = match kind {
        IoRate::ReadBytes | IoRate::WriteBytes => {
            size::parse(part.text()?).map_err(|why| given.bad(why))?
        }
        _ => part.number(1, u32::MAX.into()).map_err(|_| {
            given.bad(format!("not a whole number from 1 to {} of operations a second", u32::MAX))
        })?,
    };
    if rate == 0 {
        return Err(given.bad("0 is not a limit").hint(format!("leave {} away", given.name)));
    }
    let device = PathBuf::from(OsStr::from_bytes(device));
    let io = &mut draft.spec.limits.io;
    io.retain(|earlier| (&earlier.device, earlier.kind) != (&device, kind));
    io.push(IoLimit { device, kind, rate });
    Ok(())
}

/// What no option can say alone.
pub fn check(draft: &Draft) -> Result<()> {
    let limits = &draft.spec.limits;
    match (limits.memory, limits.memory_swap) {
        (None, Some(_)) => {
            return Err(Error::new("--memory-swap needs --mem")
                .hint("it is memory and swap together: --mem 200M --memory-swap 300M"));
        }
        (Some(memory), Some(Swap::Total(total))) if total < memory => {
            let said = format!(
                "--memory-swap {} is less than --mem {}",
                size::human(total),
                size::human(memory)
            );
            return Err(Error::new(said)
                .hint("it is memory and swap together; equal to --mem means no swap"));
        }
        _ => {}
    }
    if let (Some(memory), Some(kept)) = (limits.memory, limits.memory_reservation)
        && kept > memory
    {
        let (kept, memory) = (size::human(kept), size::human(memory));
        return Err(Error::new(format!("--memory-reservation {kept} is more than --mem {memory}")));
    }
    if limits.cpu_shares.is_some() && limits.cpu_weight.is_some() {
        return Err(Error::new(
            "--cpu-shares and --cpu-weight set the same thing: give one of them",
        ));
    }
    if limits.pids == Some(1) && !draft.spec.no_init {
        return Err(Error::new("--pids-limit '1': the init and the command are 2 processes")
            .hint("give at least 2, or --no-init"));
    }
    Ok(())
}

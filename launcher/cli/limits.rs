//! Options that limit what the container may use.

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::size;
use crate::spec::Swap;

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

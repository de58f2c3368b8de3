//! The limits of a `Spec` as a list of wishes, one per controller file family, with
//! every value that the kernel would refuse anywhere refused here. Pure.

use super::{Write, io};
use crate::error::{Error, Result};
use crate::spec::{DeviceRule, IoLimit, Limits, Swap};
use std::path::PathBuf;

/// One option of the user's, and what it asks of which controller.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Want {
    pub controller: &'static str,
    pub option: &'static str,
    /// The option with its value, for messages: `--mem 200M`.
    pub asked: String,
    pub value: Value,
}

impl Want {
    /// A value for this wish that needs no undo of its own.
    pub fn write(&self, file: PathBuf, value: String) -> Write {
        Write { file, value, option: self.option, asked: self.asked.clone(), undo: None }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Bytes.
    Memory {
        limit: u64,
        swap: Swap,
    },
    /// Microseconds of processor time per period of so many microseconds.
    Cpus {
        quota: u64,
        period: u64,
    },
    /// Both scales of the same wish.
    Weight {
        shares: u64,
        weight: u64,
    },
    /// Bytes.
    Reservation(u64),
    Pids(u64),
    Cpuset(String),
    Io(IoLimit),
    Devices(Vec<DeviceRule>),
}

/// PID_MAX_LIMIT on 64-bit machines: pids.max takes no more.
const PIDS_MAX: u64 = 4 << 20;
/// Microseconds. The kernel takes no quota below a millisecond (so a hundredth of a
/// processor at this period), and no quota of 2^44.
const PERIOD: u64 = 100_000;
const QUOTA_MIN: u64 = 1_000;
const QUOTA_MAX: u64 = 1 << 43;

pub(super) fn wants(limits: &Limits) -> Result<Vec<Want>> {
    let mut list = Vec::new();
    memory(limits, &mut list)?;
    list.extend(reservation(limits));
    if let Some(milli) = limits.cpus_milli {
        let asked = format!("--cpus {}", decimal(milli));
        let quota = milli.saturating_mul(PERIOD / 1000);
        if !(QUOTA_MIN..QUOTA_MAX).contains(&quota) {
            return Err(Error::new(format!("{asked}: out of range"))
                .hint("from 0.01 to as many processors as there are"));
        }
        let value = Value::Cpus { quota, period: PERIOD };
        list.push(Want { controller: "cpu", option: "--cpus", asked, value });
    }
    weight(limits, &mut list)?;
    if let Some(n) = limits.pids {
        let asked = format!("--pids-limit {n}");
        if !(1..=PIDS_MAX).contains(&n) {
            return Err(Error::new(format!("{asked}: not from 1 to {PIDS_MAX}")));
        }
        let value = Value::Pids(n);
        list.push(Want { controller: "pids", option: "--pids-limit", asked, value });
    }
    if let Some(cpus) = &limits.cpuset_cpus {
        let asked = format!("--cpuset-cpus {cpus}");
        cpu_list(cpus).ok_or_else(|| {
            Error::new(format!("{asked}: not a list of processors such as 0-2,7"))
        })?;
        let value = Value::Cpuset(cpus.clone());
        list.push(Want { controller: "cpuset", option: "--cpuset-cpus", asked, value });
    }
    list.extend(limits.io.iter().map(io::want));
    Ok(list)
}

fn memory(limits: &Limits, list: &mut Vec<Want>) -> Result<()> {
    let Some(limit) = limits.memory else {
        return match limits.memory_swap {
            None => Ok(()),
            Some(_) => Err(Error::new("--memory-swap: needs --mem as well")
                .hint("it is the sum of memory and swap")),
        };
    };
    let asked = format!("--mem {}", size(limit));
    if limit == 0 {
        return Err(Error::new(format!("{asked}: nothing can run in no memory")));
    }
    let swap = limits.memory_swap.unwrap_or(Swap::Total(limit));
    if let Swap::Total(total) = swap
        && total < limit
    {
        return Err(Error::new(format!("--memory-swap {}: less than {asked}", size(total)))
            .hint("it is the sum of memory and swap"));
    }
    let value = Value::Memory { limit, swap };
    list.push(Want { controller: "memory", option: "--mem", asked, value });
    Ok(())
}

fn reservation(limits: &Limits) -> Option<Want> {
    let bytes = limits.memory_reservation?;
    let option = "--memory-reservation";
    let (asked, value) = (format!("{option} {}", size(bytes)), Value::Reservation(bytes));
    Some(Want { controller: "memory", option, asked, value })
}

fn weight(limits: &Limits, list: &mut Vec<Want>) -> Result<()> {
    let (option, n, range, value) = match (limits.cpu_shares, limits.cpu_weight) {
        (None, None) => return Ok(()),
        (Some(_), Some(_)) => {
            return Err(Error::new("--cpu-shares and --cpu-weight say the same: use one"));
        }
        (Some(s), None) => {
            let value = Value::Weight { shares: s, weight: to_weight(s) };
            ("--cpu-shares", s, 2..=262_144, value)
        }
        (None, Some(w)) => {
            let value = Value::Weight { shares: to_shares(w), weight: w };
            ("--cpu-weight", w, 1..=10_000, value)
        }
    };
    let asked = format!("{option} {n}");
    if !range.contains(&n) {
        return Err(Error::new(format!("{asked}: not from {} to {}", range.start(), range.end())));
    }
    list.push(Want { controller: "cpu", option, asked, value });
    Ok(())
}

/// Docker's shares (2, 1024, 262144) to version 2's weight (1, 100, 10000): the curve
/// through these three points that runc 1.3.2 and crun 1.23 use.
fn to_weight(shares: u64) -> u64 {
    let l = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    // The tolerance keeps 1024 at 100 whatever the library's rounding.
    (10f64.powf(exponent) - 1e-6).ceil() as u64
}

/// The inverse of `to_weight`.
fn to_shares(weight: u64) -> u64 {
    let exponent = (weight.clamp(1, 10_000) as f64).log10() + 7.0 / 34.0;
    let l = ((125.0f64 * 125.0 + 4.0 * 612.0 * exponent).sqrt() - 125.0) / 2.0;
    l.exp2().round() as u64
}

/// Ranges of cpuset(7)'s list format, first and last included; None when malformed.
pub(super) fn cpu_list(text: &str) -> Option<Vec<(u32, u32)>> {
    let number = |t: &str| -> Option<u32> {
        t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse().ok()).flatten()
    };
    text.split(',')
        .map(|item| {
            let (a, b) = item.split_once('-').unwrap_or((item, item));
            let (a, b) = (number(a)?, number(b)?);
            (a <= b).then_some((a, b))
        })
        .collect()
}

/// The first processor of `asked` that `have` lacks. Both lists are as the kernel
/// or the user wrote them: unsorted and overlapping ranges are fine.
pub(super) fn missing_cpu(asked: &[(u32, u32)], have: &[(u32, u32)]) -> Option<u32> {
    asked.iter().find_map(|&(first, last)| {
        let mut cpu = first;
        while let Some((_, end)) = have.iter().find(|(a, b)| (*a..=*b).contains(&cpu)) {
            if *end >= last {
                return None;
            }
            cpu = end + 1;
        }
        Some(cpu)
    })
}

/// Bytes in the largest unit that leaves no rest: `200M`, `1G`, `1500`.
pub(super) fn size(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    match units.iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// Thousandths without trailing zeros: 500 is `0.5`.
fn decimal(milli: u64) -> String {
    let text = format!("{}.{:03}", milli / 1000, milli % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(limits: Limits) -> Vec<Want> {
        wants(&limits).expect("accepted")
    }

    #[test]
    fn shares_and_weight_meet_in_the_kernels_fixed_points() {
        for (shares, weight) in [(2, 1), (1024, 100), (262_144, 10_000)] {
            assert_eq!(to_weight(shares), weight);
            assert_eq!(to_shares(weight), shares);
        }
        assert_eq!(to_weight(512), 59);
        let all: Vec<u64> = (2..=262_144).map(to_weight).collect();
        assert!(all.windows(2).all(|w| w[0] <= w[1]), "monotonic");
        assert!((1..=10_000).all(|w| to_weight(to_shares(w)).abs_diff(w) <= w / 50 + 1));
    }

    #[test]
    fn cpus_get_the_long_period_only_below_a_hundredth() {
        let cpus = |milli| ok(Limits { cpus_milli: Some(milli), ..Limits::default() })[0].clone();
        assert_eq!(cpus(500).value, Value::Cpus { quota: 50_000, period: 100_000 });
        assert_eq!(cpus(10).value, Value::Cpus { quota: 1_000, period: 100_000 });
        assert_eq!(cpus(1500).asked, "--cpus 1.5");
        assert_eq!(cpus(2000).asked, "--cpus 2");
        for milli in [0, 9, u64::MAX / 200_000, 1_000_000_000_000] {
            assert!(wants(&Limits { cpus_milli: Some(milli), ..Limits::default() }).is_err());
        }
    }

    #[test]
    fn swap_defaults_to_none_at_all() {
        let limits = Limits { memory: Some(200 << 20), ..Limits::default() };
        let want = ok(limits.clone()).remove(0);
        assert_eq!(want.asked, "--mem 200M");
        assert_eq!(want.value, Value::Memory { limit: 200 << 20, swap: Swap::Total(200 << 20) });
        let less = Limits { memory_swap: Some(Swap::Total(100 << 20)), ..limits };
        assert!(wants(&less).is_err_and(|e| e.to_string().starts_with("--memory-swap 100M")));
        let alone = Limits { memory_swap: Some(Swap::Unlimited), ..Limits::default() };
        assert!(wants(&alone).is_err());
    }

    #[test]
    fn refused_values() {
        let none = Limits::default();
        for bad in [
            Limits { memory: Some(0), ..none.clone() },
            Limits { pids: Some(0), ..none.clone() },
            Limits { pids: Some(PIDS_MAX + 1), ..none.clone() },
            Limits { cpu_shares: Some(1), ..none.clone() },
            Limits { cpu_weight: Some(10_001), ..none.clone() },
            Limits { cpu_weight: Some(5), cpu_shares: Some(5), ..none.clone() },
            Limits { cpuset_cpus: Some("3-1".into()), ..none.clone() },
        ] {
            assert!(wants(&bad).is_err(), "{bad:?}");
        }
        assert_eq!(wants(&none).map(|l| l.len()).ok(), Some(0));
    }

    #[test]
    fn cpu_lists() {
        assert_eq!(cpu_list("0-2,7"), Some(vec![(0, 2), (7, 7)]));
        for bad in ["", ",", "1,", "a", "-1", "1-", "+1", "1--2", " 1", "4294967296", "0-9:1/2"] {
            assert_eq!(cpu_list(bad), None, "{bad}");
        }
        let have = [(0, 1), (4, 7), (2, 2)];
        assert_eq!(missing_cpu(&[(0, 2), (5, 6)], &have), None);
        assert_eq!(missing_cpu(&[(1, 4)], &have), Some(3));
        assert_eq!(missing_cpu(&[(0, u32::MAX)], &[(0, u32::MAX)]), None);
        assert_eq!(missing_cpu(&[(0, 0)], &[]), Some(0));
    }

    #[test]
    fn sizes() {
        assert_eq!(size(1 << 30), "1G");
        assert_eq!(size(1536 << 20), "1536M");
        assert_eq!(size(1500), "1500");
        assert_eq!(size(0), "0");
    }
}

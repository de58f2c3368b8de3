//! What the user's limits are.

use std::path::PathBuf;

/// None: no limit asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Docker's meaning: memory plus swap, in bytes. Default: equal to `memory`, so no swap.
    pub memory_swap: Option<Swap>,
    /// Bytes that others take last.
    pub memory_reservation: Option<u64>,
    /// Thousandths of a processor: `--cpus 0.5` is 500.
    pub cpus_milli: Option<u64>,
    /// Docker's scale, 2 to 262144, 1024 is normal.
    pub cpu_shares: Option<u64>,
    /// cgroup v2's scale, 1 to 10000, 100 is normal.
    pub cpu_weight: Option<u64>,
    pub pids: Option<u64>,
    /// List form of cpuset(7), syntax already checked: `0-2,7`.
    pub cpuset_cpus: Option<String>,
    /// One per device and kind; a later one replaces an earlier one.
    pub io: Vec<IoLimit>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Swap {
    /// Memory and swap together, bytes.
    Total(u64),
    Unlimited,
}

/// The most that may pass to or from one disk in a second.
#[derive(Clone, Debug, PartialEq)]
pub struct IoLimit {
    /// The disk's node, as the user wrote it.
    pub device: PathBuf,
    pub kind: IoRate,
    /// Bytes, or operations; not 0.
    pub rate: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoRate {
    ReadBytes,
    WriteBytes,
    ReadOperations,
    WriteOperations,
}

impl Limits {
    pub fn any(&self) -> bool {
        *self != Limits::default()
    }
}

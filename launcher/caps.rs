//! Capabilities of the child (capabilities(7)).

pub mod names;

use rustix::io::{Errno, Result};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// CAP_LAST_CAP of the newest kernel known; older ones refuse the rest with EINVAL.
const LAST: u32 = 63;

/// Removes everything but `keep` from the bounding set.
pub fn drop_bounding(keep: u64) -> Result<()> {
    for cap in 0..=LAST {
        if keep & (1 << cap) != 0 {
            continue;
        }
        let set = CapabilitySet::from_bits_retain(1 << cap);
        match rustix::thread::remove_capability_from_bounding_set(set) {
            Ok(()) => {}
            // Past the kernel's last capability, which it does not know at all.
            Err(Errno::INVAL) => {
                let unknown = rustix::thread::capability_is_in_bounding_set(set).is_err();
                return if unknown { Ok(()) } else { Err(Errno::INVAL) };
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Permitted and effective become what of `keep` the process has; inheritable and ambient
/// become empty.
pub fn set(keep: u64) -> Result<()> {
    let have = rustix::thread::capabilities(None)?;
    let keep = have.permitted & CapabilitySet::from_bits_retain(keep);
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() },
    )
}

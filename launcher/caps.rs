//! Capabilities of the child (capabilities(7)).

pub mod names;

use rustix::io::{Errno, Result};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// CAP_LAST_CAP of the newest kernel known; older ones refuse the rest with EINVAL.
const LAST: u32 = 63;
/// CAP_AUDIT_READ, which Linux 3.16 has, too.
const EVERYWHERE: u32 = 37;

/// Each by its number and alone; the kernel may not have all of them.
fn all_but(keep: u64) -> impl Iterator<Item = (u32, CapabilitySet)> {
    let others = (0..=LAST).filter(move |cap| keep & (1 << cap) == 0);
    others.map(|cap| (cap, CapabilitySet::from_bits_retain(1 << cap)))
}

/// Removes everything but `keep` from the bounding set.
pub fn drop_bounding(keep: u64) -> Result<()> {
    for (_, set) in all_but(keep) {
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

/// Whether the process has, or could come to have, one that is not to be kept. What is not
/// inheritable is not ambient either.
pub fn has_beyond(keep: u64) -> Result<bool> {
    let have = rustix::thread::capabilities(None)?;
    let usable = (have.permitted | have.effective).bits();
    if usable & !keep != 0 || !have.inheritable.is_empty() {
        return Ok(true);
    }
    for (cap, set) in all_but(keep) {
        match rustix::thread::capability_is_in_bounding_set(set) {
            Ok(false) => {}
            Ok(true) => return Ok(true),
            // There are no more.
            Err(Errno::INVAL) if cap > EVERYWHERE => break,
            Err(e) => return Err(e),
        }
    }
    Ok(false)
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

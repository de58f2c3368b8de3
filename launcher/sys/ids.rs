//! Who this process is (credentials(7)).

use rustix::io::{Errno, Result};
use std::ffi::c_int;

/// Real, effective and saved user; the one for files is the effective one (setresuid(2)).
pub fn user_ids() -> Result<[u32; 3]> {
    three(libc::getresuid)
}

/// Real, effective and saved group, and as above.
pub fn group_ids() -> Result<[u32; 3]> {
    three(libc::getresgid)
}

fn three(get: unsafe extern "C" fn(*mut u32, *mut u32, *mut u32) -> c_int) -> Result<[u32; 3]> {
    let mut ids = [0; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: either of the two writes to each once.
    check(unsafe { get(real, effective, saved) })?;
    Ok(ids)
}

/// How many supplementary groups there are.
pub fn group_count() -> Result<usize> {
    // SAFETY: nothing is written where there is room for nothing.
    check(unsafe { libc::getgroups(0, std::ptr::null_mut()) })
}

/// The supplementary groups, where there is room for all.
pub fn groups(room: &mut [u32]) -> Result<&[u32]> {
    // SAFETY: the kernel writes no more than there is room for.
    let count = check(unsafe { libc::getgroups(room.len() as c_int, room.as_mut_ptr()) })?;
    Ok(&room[..count])
}

/// New memory for so many, for a child that may not use the allocator; never given back.
pub fn ids_memory(count: usize) -> Result<&'static mut [u32]> {
    let at = super::map(count * size_of::<u32>(), libc::MAP_PRIVATE)?;
    // SAFETY: pages nobody else knows of, for as long as the process lives.
    Ok(unsafe { std::slice::from_raw_parts_mut(at as *mut u32, count) })
}

/// None of these calls has a reason to fail here: errno, which the child shares with its
/// parent, stays as it is.
fn check(ret: c_int) -> Result<usize> {
    usize::try_from(ret).map_err(|_| Errno::INVAL)
}

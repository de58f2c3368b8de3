//! A copy of this process, for work that needs other ids or another processor.

use super::{call, check, ns};
use rustix::io::Result;
use rustix::process::Pid;

/// fork(2), with new namespaces if wanted. None in the child, which has a copy of all memory
/// and descriptors and must end by `exit_now`.
pub fn fork(namespaces: u64) -> Result<Option<Pid>> {
    debug_assert!(namespaces & ns::INTO_CGROUP == 0);
    let flags = namespaces as usize | libc::SIGCHLD as usize;
    // SAFETY: a null stack means that the child goes on with a copy of ours; there is one
    // thread, so nothing is half done in it.
    let pid = unsafe { call(libc::SYS_clone, [flags, 0, 0, 0, 0]) }?;
    check(pid as isize)?;
    Ok(Pid::from_raw(pid as i32))
}

//! Which processors a process may run on: sched_setaffinity(2).

use super::call;
use rustix::io::Result;
use rustix::process::Pid;

/// A bit for each processor, as many as Linux can be built for.
type Mask = [u64; 128];
const ALL: Mask = [u64::MAX; 128];

/// There are several, and nobody has chosen some of them for us (taskset(1)), so that a child
/// which is kept from one for a while can have them all again without a difference. What a
/// cpuset cgroup leaves of them is not our concern: the kernel heeds both.
pub fn free_choice() -> bool {
    let mut before = [0; 128];
    let mut after = [0; 128];
    if allowed(&mut before).is_err() || allow(0, &ALL).is_err() {
        return false;
    }
    if allowed(&mut after).is_err() || after != before {
        // Somebody has.
        let _ = allow(0, &before);
        return false;
    }
    after.iter().map(|word| word.count_ones()).sum::<u32>() > 1
}

/// Off the processor that we are on: the kernel may leave a new process where its parent is,
/// to wait there until the parent sleeps.
pub fn keep_off_ours(child: Pid) -> Result<()> {
    let mut mask = ALL;
    // Not by the vDSO, which for one look would have to be mapped and searched.
    let mut ours = 0u32;
    // SAFETY: the kernel writes one unsigned int; the others may be null.
    unsafe { call(libc::SYS_getcpu, [(&raw mut ours) as usize, 0, 0, 0, 0]) }?;
    let ours = ours as usize;
    if let Some(word) = mask.get_mut(ours / 64) {
        *word &= !(1 << (ours % 64));
    }
    allow(child.as_raw_pid() as usize, &mask)
}

pub fn allow_all() -> Result<()> {
    allow(0, &ALL)
}

/// Process 0 is the caller.
fn allow(pid: usize, mask: &Mask) -> Result<()> {
    let args = [pid, size_of::<Mask>(), mask.as_ptr() as usize, 0, 0];
    // SAFETY: the mask lives across the call and carries its own size.
    unsafe { call(libc::SYS_sched_setaffinity, args) }.map(drop)
}

fn allowed(mask: &mut Mask) -> Result<()> {
    let args = [0, size_of::<Mask>(), mask.as_mut_ptr() as usize, 0, 0];
    // SAFETY: the kernel writes no more than the size that it is given.
    unsafe { call(libc::SYS_sched_getaffinity, args) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Mask {
        let mut mask = [0; 128];
        allowed(&mut mask).unwrap();
        mask
    }

    /// The mask is the test's own: each test is a thread.
    #[test]
    fn somebodys_choice_is_left_alone() {
        let before = ours();
        let several = before.iter().map(|word| word.count_ones()).sum::<u32>() > 1;
        assert_eq!(free_choice(), several);
        assert_eq!(ours(), before);
        let first = before.iter().position(|word| *word != 0).unwrap();
        let mut one = [0; 128];
        one[first] = 1 << before[first].trailing_zeros();
        allow(0, &one).unwrap();
        assert!(!free_choice());
        assert_eq!(ours(), one);
        allow_all().unwrap();
        assert_eq!(ours(), before);
    }
}

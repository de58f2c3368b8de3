//! What the payload leaves behind: TERM, until all are gone or the grace is over, KILL.

use crate::sys::{self, Poll, Scratch};
use crate::text::{self, Path};
use core::ffi::CStr;

/// Sends a signal to every other process we answer for; whether there is any.
fn signal_all(signal: i32) -> bool {
    if sys::getpid() == 1 {
        return sys::kill(-1, signal as u8) == 0;
    }
    // -1 would be the whole machine.
    signal_children(c"/proc/thread-self/children", signal)
}

/// The same for a tree: `list` is a file with the pids of its top.
fn signal_children(list: &CStr, signal: i32) -> bool {
    let pids = Scratch::read(list);
    let mut any = false;
    for pid in text::words(pids.bytes()) {
        let Some(number) = text::number(pid) else { continue };
        any = true;
        sys::kill(number as i32, signal as u8);
        if let Some(path) = Path::<64>::new(&[b"/proc/", pid, b"/task/", pid, b"/children"]) {
            signal_children(path.as_cstr(), signal);
        }
    }
    any
}

/// Reaps until no child is left (true) or the time is over.
fn wait_for_all(poll: &mut Poll, millis: i64) -> bool {
    let deadline = sys::now() + millis;
    loop {
        match sys::wait_child(-1, 0).0 {
            1.. => {}
            0 => {
                let left = deadline - sys::now();
                if left <= 0 {
                    return false;
                }
                poll.wait(left);
            }
            _ => return true,
        }
    }
}

pub fn end(poll: &mut Poll, grace: u32) {
    if !signal_all(libc::SIGTERM) {
        return;
    }
    // A stopped process receives TERM only when it goes on.
    signal_all(libc::SIGCONT);
    poll.watch(0, -1);
    poll.watch(1, -1);
    poll.catch(libc::SIGCHLD as u8, libc::SA_NOCLDSTOP as usize);
    if !wait_for_all(poll, i64::from(grace) * 1000) {
        signal_all(libc::SIGKILL);
        wait_for_all(poll, 1000);
    }
}

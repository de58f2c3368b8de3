//! What the payload leaves behind: TERM, until all are gone or the grace is over, KILL.

use crate::state::Init;
use crate::sys::{self, Scratch, Str, Text, z};
use crate::text;

/// Sends a signal to every other process we answer for; whether there is any.
fn signal_all(signal: i32) -> bool {
    if sys::getpid() == 1 {
        return sys::kill(-1, signal as u8) == 0;
    }
    // Nobody left: spares the search in /proc, the slowest part of a short run.
    if sys::wait_child(-1, 0).0 < 0 {
        return false;
    }
    // -1 would be the whole machine.
    signal_children(z(c"/proc/thread-self/children"), signal)
}

/// The same for a tree: `list` is a file with the pids of its top.
fn signal_children(list: Str, signal: i32) -> bool {
    let pids = Scratch::read(list);
    let (mut text, mut any) = (pids.text(), false);
    while let Some(pid) = text::number(&mut text) {
        text = text.rest();
        any = true;
        sys::kill(pid as i32, signal as u8);
        let mut path = Text::new();
        path.push(z(c"/proc/"))
            .number(pid, 10)
            .push(z(c"/task/"))
            .number(pid, 10)
            .push(z(c"/children"));
        signal_children(path.as_str(), signal);
    }
    any
}

impl Init {
    /// Reaps until no child is left (true) or the time is over.
    fn wait_for_all(&mut self, millis: i64) -> bool {
        let deadline = sys::now() + millis;
        loop {
            let (pid, _) = sys::wait_child(-1, 0);
            if pid < 0 {
                return true;
            }
            if pid == 0 {
                let left = deadline - sys::now();
                if left <= 0 {
                    return false;
                }
                self.poll.wait(left);
            }
        }
    }

    pub fn end_leftovers(&mut self) {
        if !signal_all(libc::SIGTERM) {
            return;
        }
        // A stopped process receives TERM only when it goes on.
        signal_all(libc::SIGCONT);
        self.poll.watch(0, -1);
        self.poll.watch(1, -1);
        self.poll.catch(libc::SIGCHLD as u8, libc::SA_NOCLDSTOP as usize);
        if !self.wait_for_all(i64::from(self.grace) * 1000) {
            signal_all(libc::SIGKILL);
            self.wait_for_all(1000);
        }
    }
}

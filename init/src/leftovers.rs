//! What the payload leaves behind: TERM, until all are gone or the grace is over, KILL.

use crate::pack::t;
use crate::state::Init;
use crate::sys::{self, Scratch, Str, Text, z};
use crate::text;

/// The same for a tree: `list` is a file with the pids of its top.
fn signal_children(list: Str, signal: i32) -> bool {
    let pids = Scratch::read(list);
    let (mut text, mut any) = (pids.text(), false);
    while let Some(pid) = text::number(&mut text) {
        text = text.rest();
        any = true;
        sys::kill(pid as i32, signal as u8);
        let mut path = Text::new();
        path.format(t!("/proc/#/task/#/children"), 0, [list; 2], pid as usize);
        signal_children(path.as_str(), signal);
    }
    any
}

impl Init {
    /// Sends a signal to every other process we answer for; whether there is any.
    #[inline(never)]
    fn signal_all(&self, signal: i32) -> bool {
        if self.own_pid == 1 {
            return sys::kill(-1, signal as u8) == 0;
        }
        // Nobody left: spares the search in /proc, the slowest part of a short run. And
        // -1 would be the whole machine.
        sys::wait_child(-1, 0).0 >= 0 && signal_children(z(c"/proc/thread-self/children"), signal)
    }

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
                self.receive(left);
            }
        }
    }

    pub fn end_leftovers(&mut self) {
        if !self.signal_all(libc::SIGTERM) {
            return;
        }
        // A stopped process receives TERM only when it goes on.
        self.signal_all(libc::SIGCONT);
        self.poll.want_children();
        if !self.wait_for_all(i64::from(self.grace) * 1000) {
            self.signal_all(libc::SIGKILL);
            self.wait_for_all(1000);
        }
    }
}

//! The log of a detached container: the payload writes there itself, so nobody counts. We
//! look now and then, and cut off the beginning of what has grown too long, as the
//! launcher's other commands do.

use crate::state::Init;
use crate::sys;

/// Milliseconds from a look to the next where it has grown; twice as long each time it has
/// not, so that a silent container hardly ever wakes up.
const SHORTEST: i64 = 1000;
const LONGEST: i64 = 64_000;

/// Standard output, which is the log.
const LOG: i32 = 1;

#[repr(C)]
pub struct Log {
    /// The most bytes it may take up; 0: there is none, or it is not ours to cut.
    most: u64,
    used: u64,
    pause: i64,
}

impl Init {
    pub fn keep_log(&mut self, kibibytes: u32) {
        self.log = Log { most: u64::from(kibibytes) << 10, used: 0, pause: SHORTEST };
    }

    /// Waits for one signal, and looks after the log; as `receive`.
    pub fn receive_or_look(&mut self) -> i32 {
        if self.log.most == 0 {
            return self.receive(-1);
        }
        let signal = self.receive(self.log.pause);
        // A payload that has us woken all the time must not keep us from it.
        let (size, used) = sys::size_and_used(LOG);
        if used > self.log.most {
            // Whole pages, so that half of what is allowed stays.
            sys::punch(LOG, size.saturating_sub(self.log.most / 2) & !4095);
            self.log.pause = SHORTEST;
        } else if used != self.log.used {
            self.log.pause = SHORTEST;
        } else if signal == 0 {
            self.log.pause = (self.log.pause * 2).min(LONGEST);
        }
        self.log.used = used;
        signal
    }
}

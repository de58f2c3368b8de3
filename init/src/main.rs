//! `init`: the life of process 1.

#![no_std]
#![no_main]

mod args;
mod binfmt;
mod diagnose;
mod exit;
mod inittab;
mod leftovers;
#[cfg(feature = "log")]
mod log;
mod machine;
mod mem;
mod mount;
mod msg;
mod pack;
mod spawn;
mod state;
mod supervise;
mod sys;
mod table;
mod text;
mod user;

use pack::t;
use state::PAUSE;
use sys::z;

/// Everything after the first system call, which has blocked all signals; `mask` is
/// what it was before.
#[inline(never)]
pub fn run(init: &mut state::Init) -> ! {
    init.prepare();
    init.launched = text::same_word(init.stack.arg(1), z(c"--launched"));
    if init.launched {
        // The launcher keeps all signals blocked up to here, so that none is lost between
        // exec and the first system call; what it was before is no mask for a payload.
        init.mask = 0;
        // Run from a descriptor, the name would be its number.
        sys::set_name(z(c"init"));
    }
    // Only the kernel's own process 1 may do this.
    init.machine = init.own_pid == 1 && !init.launched && sys::disable_ctrl_alt_del();
    let code = init.run();
    if init.machine {
        init.end_machine(code);
    }
    sys::exit(code)
}

impl state::Init {
    fn run(&mut self) -> i32 {
        let first = if self.machine { self.boot() } else { 1 };
        let command = match self.parse(first) {
            Ok(command) => command,
            Err(code) => return code,
        };
        if self.own_pid != 1 {
            sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        } else if !self.machine && !self.launched {
            mount::missing(false);
        }
        self.set_path();
        if command < self.stack.argc() || self.has(PAUSE) {
            return self.supervise(command);
        }
        if self.run_inittab() {
            return 0;
        }
        self.say_number(t!("no command given, and no /etc/inittab"), 0);
        exit::OURS
    }
}

/// Where a bug leaves nothing to be done.
pub fn die() -> ! {
    sys::exit(exit::OURS)
}

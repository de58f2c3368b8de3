//! `init`: the life of process 1.

#![no_std]
#![no_main]

mod args;
mod binfmt;
mod diagnose;
mod exit;
#[cfg(feature = "inittab")]
mod inittab;
mod leftovers;
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
use sys::{Stack, Str, z};

/// Everything after the first system call, which has blocked all signals; `mask` is
/// what it was before.
pub fn run(stack: Stack, mask: u64) -> ! {
    let mut init = state::Init::new(stack, mask);
    init.launched = text::same_word(stack.arg(1), z(c"--launched"));
    if init.launched {
        // The launcher keeps all signals blocked up to here, so that none is lost between
        // exec and the first system call; what it was before is no mask for a payload.
        init.mask = 0;
        msg::speak_as_launch();
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
        if command < self.stack.argc() || self.has(b'P') {
            return self.supervise(command);
        }
        #[cfg(feature = "inittab")]
        if self.run_inittab() {
            return 0;
        }
        #[cfg(feature = "inittab")]
        msg::say1(t!("no command given, and no /etc/inittab"), Str::EMPTY);
        #[cfg(not(feature = "inittab"))]
        msg::say1(t!("no command given"), Str::EMPTY);
        exit::OURS
    }
}

/// Where a bug leaves nothing to be done.
pub fn die() -> ! {
    sys::exit(exit::OURS)
}

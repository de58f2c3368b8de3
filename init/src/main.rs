//! `init`: the life of process 1.

#![no_std]
#![no_main]

mod args;
mod binfmt;
mod diagnose;
mod exit;
mod leftovers;
mod mem;
mod mount;
mod msg;
mod spawn;
mod state;
mod supervise;
mod sys;
mod table;
mod text;
mod user;

use sys::{Stack, Str, z};

/// Everything after the first system call, which has blocked all signals; `mask` is
/// what it was before.
pub fn run(stack: Stack, mask: u64) -> ! {
    let mut init = state::Init::new(stack, mask);
    if text::same_word(stack.arg(1).unwrap_or(Str::EMPTY), z(c"--launched")) {
        msg::speak_as_launch();
        // Run from a descriptor, the name would be its number.
        sys::set_name(z(c"init"));
    }
    sys::exit(init.run())
}

impl state::Init {
    fn run(&mut self) -> i32 {
        let command = match self.parse(1) {
            Ok(command) => command,
            Err(code) => return code,
        };
        if self.own_pid == 1 {
            if !self.has(b'X') {
                mount::missing(self.machine);
            }
        } else {
            sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        }
        self.set_path();
        self.name = self.stack.arg(command).unwrap_or(Str::EMPTY);
        self.argv = self.stack.argv(command);
        if self.name.is_empty() && !self.has(b'P') {
            msg::say1(z(c"no command given"), Str::EMPTY);
            return exit::OURS;
        }
        self.supervise()
    }
}

/// Where nothing is left to be done.
pub fn die() -> ! {
    sys::exit(exit::OURS)
}

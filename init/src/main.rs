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
mod supervise;
mod sys;
mod table;
mod text;
mod user;

use sys::Stack;

/// Everything after the first system call, which has blocked all signals; `mask` is
/// what it was before.
pub fn run(stack: Stack, mask: u64) -> ! {
    let launched = stack.arg(1) == Some(c"--launched");
    // The launcher keeps all signals blocked up to here, so that none is lost between
    // exec and the first system call; what it was before is no mask for a payload.
    let mask = if launched { 0 } else { mask };
    if launched {
        msg::speak_as_launch();
        // Run from a descriptor, the name would be its number.
        sys::set_name(c"init");
    }
    let code = match args::parse(stack, 1) {
        Err(code) => code,
        Ok(options) if options.has(b'P') => supervise::pause(&options),
        Ok(mut options) => {
            if !launched && sys::getpid() == 1 {
                mount::missing(false);
            }
            supervise::run(stack, &mut options, mask, false)
        }
    };
    sys::exit(code)
}

/// Where nothing is left to be done.
pub fn die() -> ! {
    sys::exit(exit::OURS)
}

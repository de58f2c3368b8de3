//! The program's beginning, called by the C library: the standard library's own one makes
//! a stack for its overflow handler and asks for a dozen signals, a fiftieth of a start.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// What the standard library would have done that is needed: descriptors 0 to 2 are open,
/// and a pipe nobody reads gives an error instead of a signal. Then the program.
#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    open_standard_descriptors();
    // SAFETY: sets a disposition; there is one thread, and no handler of anybody's.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    super::again::called_with(argv);
    let args = (1..argc as usize).map(|n| {
        // SAFETY: the kernel passes argc strings, each with its NUL, which nobody moves.
        let arg = unsafe { CStr::from_ptr(*argv.add(n)) };
        OsString::from(OsStr::from_bytes(arg.to_bytes()))
    });
    crate::start(args.collect())
}

/// musl's start sets the thread's pointer by this. Its own one fails without a word, by a
/// segmentation fault; nothing may look at that pointer here, so neither at errno.
#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
#[unsafe(no_mangle)]
extern "C" fn __set_thread_area(thread: *mut std::ffi::c_void) -> c_int {
    const ARCH_SET_FS: usize = 0x1002;
    let args = [ARCH_SET_FS, thread as usize, 0, 0, 0];
    // SAFETY: what musl has made for this thread, which has none as yet.
    let Err(e) = (unsafe { super::call(libc::SYS_arch_prctl, args) }) else { return 0 };
    let mut text = *b"launch: begin (arch_prctl): error 000\n";
    let mut rest = e.raw_os_error();
    for digit in text[34..37].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    // SAFETY: the kernel reads the text.
    let _ = unsafe { super::call(libc::SYS_write, [2, text.as_ptr() as usize, text.len(), 0, 0]) };
    super::exit_now(125)
}

/// A descriptor of ours must not become the payload's standard input, output or error.
fn open_standard_descriptors() {
    let mut fds = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: the kernel writes to the three structures that are passed.
    if unsafe { libc::poll(fds.as_mut_ptr(), 3, 0) } < 0 {
        for fd in &mut fds {
            // SAFETY: asks for the flags of a descriptor.
            if unsafe { libc::fcntl(fd.fd, libc::F_GETFD) } < 0 {
                fd.revents = libc::POLLNVAL;
            }
        }
    }
    for _ in fds.iter().filter(|fd| fd.revents & libc::POLLNVAL != 0) {
        // The lowest number that is free: from 0 on, those that were closed.
        // SAFETY: opens a file.
        unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
    }
}

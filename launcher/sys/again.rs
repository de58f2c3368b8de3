//! The program from its beginning, with what it was called with.

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicPtr, Ordering};

static ARGUMENTS: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());

unsafe extern "C" {
    /// environ(7)
    static environ: *const *const c_char;
}

#[cfg_attr(test, allow(dead_code))]
/// `argv` as the kernel has passed it.
pub(super) fn called_with(argv: *const *const c_char) {
    ARGUMENTS.store(argv.cast_mut(), Ordering::Relaxed);
}

/// The name that the kernel gives to what was executed by descriptor (getauxval(3)).
pub fn runs_from_descriptor() -> bool {
    // SAFETY: a string of the kernel's on the stack, which stays, or null.
    let name = unsafe {
        let name = libc::getauxval(libc::AT_EXECFN) as *const c_char;
        if name.is_null() { c"" } else { CStr::from_ptr(name) }
    };
    ["/dev/fd/", "/proc/self/fd/"].iter().any(|dir| name.to_bytes().starts_with(dir.as_bytes()))
}

/// execveat(2) of the program behind `fd`. Returns only on failure.
pub fn begin_again(fd: BorrowedFd<'_>) -> Errno {
    let argv = ARGUMENTS.load(Ordering::Relaxed);
    if argv.is_null() {
        return Errno::NOSYS;
    }
    // SAFETY: the C library's variable, which nobody changes here.
    let env = unsafe { environ };
    let empty = c"".as_ptr() as usize;
    let (argv, env) = (argv as usize, env as usize);
    let args = [fd.as_raw_fd() as usize, empty, argv, env, libc::AT_EMPTY_PATH as usize];
    // SAFETY: both vectors are the kernel's own, or the C library's copy, ended by a null.
    match unsafe { super::call(libc::SYS_execveat, args) }.err().unwrap_or(Errno::IO) {
        // Before Linux 3.19, or refused by a filter.
        e if super::is_unknown(e) => match super::fd_path(fd.as_raw_fd()).as_c_str() {
            Ok(path) => {
                let args = [path.as_ptr() as usize, argv, env, 0, 0];
                // SAFETY: as above.
                unsafe { super::call(libc::SYS_execve, args) }.err().unwrap_or(Errno::IO)
            }
            Err(e) => e,
        },
        e => e,
    }
}

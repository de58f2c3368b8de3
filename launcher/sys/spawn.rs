//! posix_spawn(3): a program of the host's that helps.

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{Errno, Result};
use rustix::process::Pid;
use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;

/// Starts `program` with no signal blocked or ignored (ours stay blocked: one that came
/// meanwhile would end us, and nothing would be undone), with nothing to read and nowhere to
/// write but `stderr`. Not std's Command, which panics where the pipe to its child fails.
pub fn spawn(program: &CStr, argv: &[CString], stderr: BorrowedFd<'_>) -> Result<Pid> {
    unsafe extern "C" {
        static environ: *const *mut c_char;
    }
    let mut words: Vec<*mut c_char> = argv.iter().map(|w| w.as_ptr().cast_mut()).collect();
    words.push(std::ptr::null_mut());
    let mut attr = MaybeUninit::uninit();
    let mut actions = MaybeUninit::uninit();
    let mut mask = MaybeUninit::uninit();
    let flags = (libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF) as libc::c_short;
    let mut pid = 0;
    // SAFETY: what is uninitialised is initialised by the first calls; strings and vectors
    // outlive the call, words ends with a null, and one thread alone reads environ.
    let error = unsafe {
        let (attr, actions) = (attr.as_mut_ptr(), actions.as_mut_ptr());
        let null = c"/dev/null".as_ptr();
        libc::sigemptyset(mask.as_mut_ptr());
        let none = mask.assume_init();
        libc::sigaddset(mask.as_mut_ptr(), libc::SIGPIPE);
        let steps = [
            libc::posix_spawnattr_init(attr),
            libc::posix_spawnattr_setflags(attr, flags),
            libc::posix_spawnattr_setsigmask(attr, &none),
            libc::posix_spawnattr_setsigdefault(attr, mask.as_ptr()),
            libc::posix_spawn_file_actions_init(actions),
            libc::posix_spawn_file_actions_addopen(actions, 0, null, libc::O_RDWR, 0),
            libc::posix_spawn_file_actions_adddup2(actions, 0, 1),
            libc::posix_spawn_file_actions_adddup2(actions, stderr.as_raw_fd(), 2),
        ];
        let error = match steps.into_iter().find(|error| *error != 0) {
            Some(error) => error,
            None => libc::posix_spawn(
                &mut pid,
                program.as_ptr(),
                actions,
                attr,
                words.as_ptr(),
                environ.cast(),
            ),
        };
        libc::posix_spawn_file_actions_destroy(actions);
        libc::posix_spawnattr_destroy(attr);
        error
    };
    match error {
        0 => Pid::from_raw(pid).ok_or(Errno::CHILD),
        error => Err(Errno::from_raw_os_error(error)),
    }
}

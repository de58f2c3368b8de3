//! What init says: `init: <operation> <object>: <errno text> (<ENAME>)`, each line in
//! one write, and perhaps a second line with a hint.

use crate::sys;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Started by the launcher, whose user knows of no init.
static LAUNCHED: AtomicBool = AtomicBool::new(false);

pub fn speak_as_launch() {
    LAUNCHED.store(true, Relaxed);
}

/// Name and text of the errors that do happen here; others are given by number.
const ERRORS: &[u8] = b"\x01EPERM\0Operation not permitted\0\x02ENOENT\0No such file or directory\0\x05EIO\0Input/output error\0\x07E2BIG\0Argument list too long\0\x08ENOEXEC\0Exec format error\0\x0bEAGAIN\0Resource temporarily unavailable\0\x0cENOMEM\0Out of memory\0\x0dEACCES\0Permission denied\0\x0fENOTBLK\0Block device required\0\x10EBUSY\0Device or resource busy\0\x13ENODEV\0No such device\0\x14ENOTDIR\0Not a directory\0\x15EISDIR\0Is a directory\0\x16EINVAL\0Invalid argument\0\x17ENFILE\0Too many open files in system\0\x18EMFILE\0Too many open files\0\x1aETXTBSY\0Text file busy\0\x1cENOSPC\0No space left on device\0\x1eEROFS\0Read-only file system\0\x24ENAMETOOLONG\0File name too long\0\x26ENOSYS\0Function not implemented\0\x28ELOOP\0Too many levels of symbolic links\0";

pub fn say(parts: &[&[u8]]) {
    let prefix: &[u8] = if LAUNCHED.load(Relaxed) { b"launch: " } else { b"init: " };
    let mut line = [&b""[..]; 14];
    let given = parts.iter().copied().chain(core::iter::once(&b"\n"[..]));
    for (slot, part) in line.iter_mut().zip(core::iter::once(prefix).chain(given)) {
        *slot = part;
    }
    sys::writev(2, &line);
}

pub fn hint(text: &[u8]) {
    sys::writev(2, &[b"hint: ", text, b"\n"]);
}

/// `error` is what a system call returned: -errno.
pub fn fail(operation: &[u8], object: &[u8], error: isize) {
    let number = crate::text::decimal(-error as i32);
    let mut fields = ERRORS.split(|b| *b == 0);
    let (mut name, mut text) = (number.bytes(), &b"error"[..]);
    while let (Some([errno, found @ ..]), Some(words)) = (fields.next(), fields.next()) {
        if isize::from(*errno) == -error {
            (name, text) = (found, words);
        }
    }
    let gap: &[u8] = if object.is_empty() { b"" } else { b" " };
    say(&[operation, gap, object, b": ", text, b" (", name, b")"]);
}

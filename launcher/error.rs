//! What went wrong, in the form every message has:
//! `launch: <operation> <object>: <errno text> (<ENAME>)`, then an optional hint.

use rustix::io::Errno;
use std::fmt;

/// Exit codes of the launcher's own making; a payload's status is passed through.
/// The convention of chroot(1), env(1) and podman-run(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Usage, set-up or limits: nothing of the payload ran.
    Ours = 125,
    /// The command was found but cannot be executed.
    CannotExecute = 126,
    /// The command was not found.
    NotFound = 127,
}

/// One failure, worded once, where the operation and the object are known.
#[derive(Debug)]
pub struct Error {
    pub code: Code,
    message: String,
    errno: Option<Errno>,
    hint: Option<String>,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A refusal in our own words: bad input, a contradiction, something missing.
    pub fn new(message: impl Into<String>) -> Error {
        Error { code: Code::Ours, message: message.into(), errno: None, hint: None }
    }

    /// A system call or file operation that failed; `what` is "operation object"
    /// with the object as the user wrote it.
    pub fn os(what: impl Into<String>, errno: impl Into<OsErr>) -> Error {
        Error { errno: Some(errno.into().0), ..Error::new(what) }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// Unless it has one already.
    pub fn or_hint(mut self, hint: impl FnOnce() -> Option<String>) -> Error {
        self.hint = self.hint.or_else(hint);
        self
    }

    /// Another one, of the next object: a message of its own.
    pub fn and(self, next: &Error) -> Error {
        Error { code: self.code, ..Error::new(format!("{self}\nlaunch: {next}")) }
    }

    pub fn code(mut self, code: Code) -> Error {
        self.code = code;
        self
    }
}

/// An error number from rustix or from std; std errors without one become EIO.
pub struct OsErr(pub Errno);

impl From<Errno> for OsErr {
    fn from(e: Errno) -> OsErr {
        OsErr(e)
    }
}

impl From<std::io::Error> for OsErr {
    fn from(e: std::io::Error) -> OsErr {
        OsErr(Errno::from_io_error(&e).unwrap_or(Errno::IO))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(e) = self.errno {
            write!(f, ": {}", describe(e))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// `No such file or directory (ENOENT)`.
pub fn describe(e: Errno) -> String {
    let text = std::io::Error::from(e).to_string();
    let words = text.split(" (os error").next().unwrap_or(&text).to_owned();
    match name(e) {
        Some(n) => format!("{words} ({n})"),
        None => format!("{words} (errno {})", e.raw_os_error()),
    }
}

macro_rules! names {
    ($($id:ident)*) => {
        /// The symbolic name of errno(3).
        fn name(e: Errno) -> Option<&'static str> {
            match e.raw_os_error() {
                $(libc::$id => Some(stringify!($id)),)*
                _ => None,
            }
        }
    };
}

names! { EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES
EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY
EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
ELOOP ENODATA EOVERFLOW EILSEQ EUSERS ENOTSOCK EOPNOTSUPP EADDRINUSE EADDRNOTAVAIL ENETDOWN
ENETUNREACH ECONNRESET ENOBUFS ETIMEDOUT ECONNREFUSED EALREADY ESTALE EUCLEAN EBADMSG EDQUOT ECANCELED ENOKEY }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_form() {
        let e = Error::os("mount proc on /proc", Errno::PERM).hint("try harder");
        assert_eq!(
            e.to_string(),
            "mount proc on /proc: Operation not permitted (EPERM)\nhint: try harder"
        );
    }
}

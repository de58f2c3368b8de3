//! Exit codes, those of a shell and of docker; the payload's own pass through.

/// Usage, or a failure of our own.
pub const OURS: i32 = 125;
pub const CANNOT_EXECUTE: i32 = 126;
pub const NOT_FOUND: i32 = 127;

/// The exit code a shell would give for a wait status: 128+n for signal n.
pub fn code(status: crate::sys::Status) -> i32 {
    // The 0x80 bit says that a core was dumped; real-time signals go up to 64.
    let signal = status & 0x7f;
    if signal == 0 { status >> 8 & 0xff } else { 128 + signal }
}

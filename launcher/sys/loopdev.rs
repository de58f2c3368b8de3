//! Loop devices (loop(4)).

use super::call;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Result;
use std::ffi::c_long;

const LOOP_CTL_GET_FREE: c_long = 0x4c82;
const LOOP_CONFIGURE: c_long = 0x4c0a;
const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;

/// struct loop_config: descriptor, block size, struct loop_info64, reserved.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    /// Device, inode, rdevice, offset, size limit.
    places: [u64; 5],
    /// Number, encryption (two words), flags.
    numbers: [u32; 4],
    names: [u8; 64 + 64 + 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

/// The number of a device that nobody uses, of /dev/loop-control.
pub fn loop_free(control: BorrowedFd<'_>) -> Result<usize> {
    // SAFETY: no pointer is passed.
    unsafe {
        call(libc::SYS_ioctl, [control.as_raw_fd() as usize, LOOP_CTL_GET_FREE as usize, 0, 0, 0])
    }
}

/// Shows `file` read-only as the device, until the last one who has it open lets it go
/// (Linux 5.8).
pub fn loop_configure(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<()> {
    let config = Config {
        fd: file.as_raw_fd() as u32,
        block_size: 0,
        places: [0; 5],
        numbers: [0, 0, 0, READ_ONLY | AUTOCLEAR],
        names: [0; 160],
        init: [0; 2],
        reserved: [0; 8],
    };
    // SAFETY: config has the kernel's layout and lives across the call.
    let args =
        [device.as_raw_fd() as usize, LOOP_CONFIGURE as usize, (&raw const config) as usize, 0, 0];
    // SAFETY: as above; the kernel only reads it.
    unsafe { call(libc::SYS_ioctl, args) }.map(drop)
}

//! Every system call init makes, by its man page name, and all of its unsafe code.
//!
//! # Safety
//! The wrappers take references and C strings, so that what a pointer names outlives
//! the call; everything else they pass is a number. What they return is the kernel's
//! own convention, `-errno` on failure: it is half the size of a Result.

#![allow(unsafe_code)]

mod entry;
mod poll;
mod scratch;
mod str;
mod text;
mod vfork;

pub use entry::{Stack, Vector};
pub use poll::{Poll, Siginfo, ignore_signal};
pub use scratch::Scratch;
pub use str::{Str, Strings, z};
pub use text::Text;
pub use vfork::{Memory, clone};

use core::ffi::c_int;

macro_rules! sys {
    ($name:ident $(, $arg:expr)*) => {
        // SAFETY: see the head of this file.
        unsafe { syscalls::raw_syscall!(syscalls::Sysno::$name $(, $arg)*) as isize }
    };
}
use sys;

/// The exit code or signal of an ended process, as wait4 encodes it.
pub type Status = i32;

/// More than any wait status.
pub const NOT_REAPED: Status = 1 << 16;

/// `AT_FDCWD`: paths are relative to the working directory.
const CWD: isize = libc::AT_FDCWD as isize;

pub fn exit(code: i32) -> ! {
    loop {
        sys!(exit_group, code);
    }
}

/// Blocks every signal and returns the mask as it was.
#[inline(always)]
pub fn block_signals() -> u64 {
    let (all, mut old) = (u64::MAX, 0u64);
    sys!(rt_sigprocmask, libc::SIG_SETMASK, &all as *const u64, &mut old as *mut u64, 8);
    old
}

pub fn set_mask(mask: u64) -> isize {
    sys!(rt_sigprocmask, libc::SIG_SETMASK, &mask as *const u64, 0, 8)
}

pub fn getpid() -> i32 {
    sys!(getpid) as i32
}

/// 0 where the group's number is not visible in this pid namespace.
pub fn getpgrp() -> i32 {
    sys!(getpgid, 0) as i32
}

pub fn setsid() -> isize {
    sys!(setsid)
}

pub fn setpgid() -> isize {
    sys!(setpgid, 0, 0)
}

#[inline(never)]
pub fn kill(pid: i32, signal: u8) -> isize {
    sys!(kill, pid, signal)
}

/// As kill, but the receiver sees who sent the signal first, and its value.
pub fn pass_on(pid: i32, signal: u8, info: &Siginfo) -> isize {
    sys!(rt_sigqueueinfo, pid, signal, info as *const Siginfo)
}

pub fn pidfd_open(pid: i32) -> i32 {
    sys!(pidfd_open, pid, 0) as i32
}

/// The wait status of a process the kernel has reaped, from its pidfd (Linux 6.15);
/// NOT_REAPED, or -errno where the kernel cannot tell.
#[inline(never)]
pub fn pidfd_status(pidfd: i32) -> Status {
    const INFO_EXIT: u64 = 1 << 3;
    // struct pidfd_info, version 0: mask, cgroup id, 11 ids, the exit code.
    #[repr(C)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: Status,
    }
    const PIDFD_GET_INFO: u32 = 0xC040_FF0B;
    let mut info = Info { mask: INFO_EXIT, cgroup: 0, ids: [0; 11], exit_code: 0 };
    let error = sys!(ioctl, pidfd, PIDFD_GET_INFO, &mut info as *mut Info);
    if error < 0 {
        return error as Status;
    }
    if info.mask & INFO_EXIT != 0 { info.exit_code } else { NOT_REAPED }
}

/// The next ended child of any kind without waiting: its pid and status; 0 where all
/// live on, -errno (ECHILD) where there is none. `flags`: WUNTRACED or 0.
pub fn wait_child(pid: i32, flags: c_int) -> (isize, Status) {
    let mut status: Status = 0;
    let flags = libc::WNOHANG | libc::__WALL | flags;
    let mut found = 0;
    // No second SIGCHLD would come: whatever the error is, but for "no child", once more.
    for _ in 0..4 {
        found = sys!(wait4, pid, &mut status as *mut Status, flags, 0);
        if found >= 0 || found == -libc::ECHILD as isize {
            break;
        }
    }
    (found, status)
}

/// One call, so that lines of several writers do not mix.
pub fn write(fd: i32, text: &[u8]) {
    sys!(write, fd, text.as_ptr(), text.len());
}

pub fn write_record(fd: i32, record: [i32; 4]) {
    sys!(write, fd, record.as_ptr(), 16);
}

pub fn write_str(fd: i32, text: Str) {
    sys!(write, fd, text.as_ptr(), text.distance(text.find(0)));
}

pub fn open(path: Str, flags: c_int) -> isize {
    sys!(openat, CWD, path.as_ptr(), flags | libc::O_CLOEXEC)
}

/// Opens it as 0, 1 and 2 as far as these are not open; what there is else is closed.
/// False: it cannot be opened.
pub fn open_standard(path: Str) -> bool {
    loop {
        let fd = sys!(openat, CWD, path.as_ptr(), libc::O_RDWR | libc::O_NOCTTY);
        if !(0..3).contains(&fd) {
            close(fd as i32);
            return fd >= 0;
        }
    }
}

pub fn read(fd: i32, buffer: &mut [u8]) -> isize {
    sys!(read, fd, buffer.as_mut_ptr(), buffer.len())
}

pub fn close(fd: i32) {
    sys!(close, fd);
}

pub fn close_from(fd: i32) {
    sys!(close_range, fd, u32::MAX, 0);
}

pub fn dup_to(fd: i32, to: i32) {
    sys!(dup3, fd, to, libc::O_CLOEXEC);
}

/// Closes the descriptor on exec. -errno if there is none.
pub fn set_cloexec(fd: i32) -> isize {
    sys!(fcntl, fd, libc::F_SETFD, libc::FD_CLOEXEC)
}

/// Makes the descriptor 0, 1 and 2, for the next program, too.
pub fn dup_to_standard(fd: i32) {
    for standard in 0..3 {
        sys!(dup3, fd, standard, 0);
    }
}

/// The foreground process group of the terminal; -errno unless it is our controlling one.
#[inline(never)]
pub fn tcgetpgrp(fd: i32) -> i32 {
    let mut group: i32 = 0;
    let error = sys!(ioctl, fd, libc::TIOCGPGRP, &mut group as *mut i32);
    if error < 0 { error as i32 } else { group }
}

pub fn tcsetpgrp(fd: i32, group: i32) -> isize {
    sys!(ioctl, fd, libc::TIOCSPGRP, &group as *const i32)
}

/// Makes the terminal the controlling one of the session we lead.
pub fn set_ctty(fd: i32) -> isize {
    sys!(ioctl, fd, libc::TIOCSCTTY, 0)
}

pub fn drop_ctty(fd: i32) -> isize {
    sys!(ioctl, fd, libc::TIOCNOTTY)
}

pub fn prctl(option: c_int, value: usize) -> isize {
    sys!(prctl, option, value)
}

/// Sets the name `ps` shows: a program run from a descriptor has the descriptor's number.
pub fn set_name(name: Str) {
    prctl(libc::PR_SET_NAME, name.as_ptr() as usize);
}

pub fn chdir(path: Str) -> isize {
    sys!(chdir, path.as_ptr())
}

pub fn mkdir(path: Str) -> isize {
    sys!(mkdirat, CWD, path.as_ptr(), 0o755)
}

/// A character device, 256 * major + minor, below an open directory.
pub fn mknod(directory: isize, name: Str, device: u32) -> isize {
    sys!(mknodat, directory, name.as_ptr(), libc::S_IFCHR | 0o666, device)
}

pub fn chmod(directory: isize, name: Str, mode: u32) -> isize {
    sys!(fchmodat, directory, name.as_ptr(), mode)
}

pub fn symlink(target: Str, directory: isize, name: Str) -> isize {
    sys!(symlinkat, target.as_ptr(), directory, name.as_ptr())
}

pub fn mount(source: Str, target: Str, fstype: Str, flags: u32, data: Str) -> isize {
    sys!(mount, source.as_ptr(), target.as_ptr(), fstype.as_ptr(), flags, data.as_ptr())
}

pub fn umount(target: Str, flags: c_int) -> isize {
    sys!(umount2, target.as_ptr(), flags)
}

/// The part of struct statx that is asked for; all of it 0 where there is no such file.
#[derive(Default, Clone, Copy)]
pub struct Stat {
    pub mode: u32,
    pub size: u64,
    pub mount_root: bool,
}

pub fn exists(path: Str) -> bool {
    sys!(faccessat, CWD, path.as_ptr(), libc::F_OK) == 0
}

#[inline(never)]
pub fn stat(path: Str) -> Stat {
    const MOUNT_ROOT: u64 = 0x2000;
    const BASIC_STATS: u32 = 0x7ff;
    let mut buffer = [0u64; 32];
    sys!(statx, CWD, path.as_ptr(), libc::AT_NO_AUTOMOUNT, BASIC_STATS, buffer.as_mut_ptr());
    // stx_attributes, stx_mode and stx_size.
    Stat {
        mode: (buffer[3] >> 32) as u32 & 0xffff,
        size: buffer[5],
        mount_root: buffer[1] & MOUNT_ROOT != 0,
    }
}

/// The size of an open file, and the bytes that it takes up; 0 where that is not known.
#[cfg(feature = "log")]
pub fn size_and_used(fd: i32) -> (u64, u64) {
    let mut buffer = [0u64; 32];
    let empty = z(c"");
    sys!(
        statx,
        fd,
        empty.as_ptr(),
        libc::AT_EMPTY_PATH,
        libc::STATX_SIZE | libc::STATX_BLOCKS,
        buffer.as_mut_ptr()
    );
    // stx_size and stx_blocks.
    (buffer[5], buffer[6] * 512)
}

/// Takes the file's first bytes away; all of them where the file system has no holes.
#[cfg(feature = "log")]
pub fn punch(fd: i32, bytes: u64) {
    let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    if sys!(fallocate, fd, hole, 0, bytes) < 0 {
        sys!(ftruncate, fd, 0);
    }
}

/// What a file has at some offset; the buffer's last byte is left alone, for a NUL.
pub fn read_head(path: Str, buffer: &mut [u8], offset: u64) -> isize {
    // Not to be held up by a fifo.
    let fd = open(path, libc::O_RDONLY | libc::O_NONBLOCK);
    let got = sys!(pread64, fd, buffer.as_mut_ptr(), buffer.len() - 1, offset);
    close(fd as i32);
    got
}

pub fn is_symlink(path: Str) -> bool {
    let mut target = [0u8; 1];
    sys!(readlinkat, CWD, path.as_ptr(), target.as_mut_ptr(), target.len()) > 0
}

pub fn set_groups(groups: &[u32]) -> isize {
    sys!(setgroups, groups.len(), groups.as_ptr())
}

pub fn set_gid(gid: u32) -> isize {
    sys!(setresgid, gid, gid, gid)
}

pub fn set_uid(uid: u32) -> isize {
    sys!(setresuid, uid, uid, uid)
}

/// Only the kernel's own process 1 may: elsewhere it is an error, and so tells.
pub fn disable_ctrl_alt_del() -> bool {
    reboot(libc::LINUX_REBOOT_CMD_CAD_OFF) == 0
}

#[inline(never)]
pub fn reboot(command: i32) -> isize {
    sys!(reboot, libc::LINUX_REBOOT_MAGIC1, libc::LINUX_REBOOT_MAGIC2, command)
}

pub fn sync() {
    sys!(sync);
}

pub fn sethostname(name: Str, len: usize) {
    sys!(sethostname, name.as_ptr(), len);
}

/// Brings the interface `lo` up.
pub fn loopback_up() {
    // struct ifreq: the name in 16 bytes, then the flags.
    let mut request = [0u64; 5];
    (request[0], request[2]) = (u64::from_le(0x6f6c), libc::IFF_UP as u64);
    let socket = sys!(socket, libc::AF_INET, libc::SOCK_DGRAM, 0);
    sys!(ioctl, socket, libc::SIOCSIFFLAGS, request.as_ptr());
    close(socket as i32);
}

/// By one memset instead of a store for each member.
#[inline(always)]
pub fn zeroed_init() -> crate::state::Init {
    let mut init = core::mem::MaybeUninit::<crate::state::Init>::zeroed();
    let place = init.as_mut_ptr();
    // SAFETY: the texts are set before anything is read; all other members are numbers,
    // booleans, enumerations with a first value, raw pointers, or made of those.
    unsafe {
        ((*place).path, (*place).user, (*place).workdir) = (Str::EMPTY, Str::EMPTY, Str::EMPTY);
        init.assume_init()
    }
}

/// Milliseconds since some fixed moment.
pub fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    sys!(clock_gettime, libc::CLOCK_MONOTONIC, &mut time as *mut libc::timespec);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// Whether the kernel says it is this version or a later one.
pub fn kernel_at_least(major: u32, minor: u32) -> bool {
    let mut names = [0u8; 6 * 65];
    sys!(uname, names.as_mut_ptr());
    let mut release = Str::from_buffer(names.get(2 * 65..).unwrap_or_default());
    let first = crate::text::number(&mut release).unwrap_or(0);
    release = release.rest();
    first > major || first == major && crate::text::number(&mut release).unwrap_or(0) >= minor
}

pub fn execve(path: Str, argv: Vector, envp: Vector) -> isize {
    sys!(execve, path.as_ptr(), argv.as_ptr(), envp.as_ptr())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    crate::die()
}

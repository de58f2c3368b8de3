//! ptrace(2) and waiting, which std and rustix lack. The sweep's only unsafe code.
#![allow(unsafe_code)]

use std::ffi::{c_long, c_uint, c_void};
use std::io::{Error, Result};
use std::time::Duration;

pub type Pid = libc::pid_t;

/// Every process and thread that comes of a tracee is one; all die with the tracer.
const OPTIONS: c_long = (libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_EXITKILL) as c_long;

/// Linux 5.3; musl's headers have no name for it.
const PTRACE_GET_SYSCALL_INFO: c_uint = 0x420e;

/// Where a tracee stands that has stopped at a system call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    Entry { number: u64 },
    Exit,
    Elsewhere,
}

fn ptrace(request: c_uint, pid: Pid, at: usize, data: usize) -> Result<c_long> {
    // SAFETY: the callers pass addresses of live variables, or numbers.
    let ret = unsafe { libc::ptrace(request as _, pid, at as *mut c_void, data as *mut c_void) };
    if ret == -1 { Err(Error::last_os_error()) } else { Ok(ret) }
}

pub fn seize(pid: Pid) -> Result<()> {
    ptrace(libc::PTRACE_SEIZE as c_uint, pid, 0, OPTIONS as usize).map(drop)
}

/// On to the next beginning or end of a system call, with this signal delivered.
pub fn step(pid: Pid, signal: i32) {
    // A tracee that is gone in the meantime says so by its status.
    let _ = ptrace(libc::PTRACE_SYSCALL as c_uint, pid, 0, signal as usize);
}

/// Leaves a stopped process stopped, but hears of what happens to it.
pub fn listen(pid: Pid) {
    let _ = ptrace(libc::PTRACE_LISTEN as c_uint, pid, 0, 0);
}

pub fn detach(pid: Pid, signal: i32) {
    let _ = ptrace(libc::PTRACE_DETACH as c_uint, pid, 0, signal as usize);
}

/// What PTRACE_EVENT_FORK and its like have to say: the new process.
pub fn event_message(pid: Pid) -> Option<Pid> {
    let mut message: libc::c_ulong = 0;
    ptrace(libc::PTRACE_GETEVENTMSG as c_uint, pid, 0, (&raw mut message) as usize).ok()?;
    Some(message as Pid)
}

pub fn syscall(pid: Pid) -> At {
    // struct ptrace_syscall_info: op in the first byte, the call's number at 24.
    let mut info = [0u64; 12];
    let size = size_of_val(&info);
    match ptrace(PTRACE_GET_SYSCALL_INFO, pid, size, (&raw mut info) as usize) {
        Ok(_) => match info[0] & 0xff {
            1 => At::Entry { number: info[3] },
            2 => At::Exit,
            _ => At::Elsewhere,
        },
        Err(_) => At::Elsewhere,
    }
}

/// Offsets in struct user_regs_struct of x86_64.
#[cfg(target_arch = "x86_64")]
const ORIG_RAX: usize = 15 * 8;
#[cfg(target_arch = "x86_64")]
const RAX: usize = 10 * 8;

/// Of a process at the beginning of a call: makes it getpid(2), which does no harm and
/// which every filter allows.
#[cfg(target_arch = "x86_64")]
pub fn replace_call(pid: Pid) -> Result<()> {
    ptrace(libc::PTRACE_POKEUSER as c_uint, pid, ORIG_RAX, libc::SYS_getpid as usize).map(drop)
}

/// Of a process at the end of a call: what it returns.
#[cfg(target_arch = "x86_64")]
pub fn set_result(pid: Pid, errno: i32) -> Result<()> {
    ptrace(libc::PTRACE_POKEUSER as c_uint, pid, RAX, -(errno as isize) as usize).map(drop)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn replace_call(_: Pid) -> Result<()> {
    Err(Error::from_raw_os_error(libc::ENOSYS))
}

#[cfg(not(target_arch = "x86_64"))]
pub fn set_result(_: Pid, _: i32) -> Result<()> {
    Err(Error::from_raw_os_error(libc::ENOSYS))
}

/// A change of any child or tracee, whatever it is; None when there is none right now.
/// An error: there are no children.
pub fn wait_now() -> Result<Option<(Pid, i32)>> {
    let mut status = 0;
    // SAFETY: points to a live variable.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
    match pid {
        -1 => Err(Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some((pid, status))),
    }
}

fn child_signal() -> libc::sigset_t {
    // SAFETY: a signal set is plain memory, which the two calls fill.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        set
    }
}

/// Before `wait_for_change` can be used. std gives children an empty mask all the same.
pub fn block_child_signal() {
    let set = child_signal();
    // SAFETY: the set is read during the call.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Sleeps until some child has changed, or so long: less than a second.
pub fn wait_for_change(most: Duration) {
    let set = child_signal();
    let time = libc::timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() };
    // SAFETY: both are read during the call.
    unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const time) };
}

pub fn kill(pid: Pid, signal: i32) {
    if pid > 0 {
        // SAFETY: no memory is involved; a process that is gone is no news.
        unsafe { libc::kill(pid, signal) };
    }
}

fn unshare(flags: i32) -> Result<()> {
    // SAFETY: no memory is involved; there is a single thread.
    if unsafe { libc::unshare(flags) } < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Links, rules and ports are ours alone from here on.
pub fn private_network() -> Result<()> {
    unshare(libc::CLONE_NEWNET)
}

/// What is mounted from here on is ours alone; /run, /tmp and /dev/shm are empty.
pub fn private_mounts() -> Result<()> {
    unshare(libc::CLONE_NEWNS)?;
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", "/run", "tmpfs", flags, Some(c"mode=755"))?;
    mount("tmpfs", "/tmp", "tmpfs", flags, Some(c"mode=1777"))?;
    // Others' files come and go there.
    if std::path::Path::new("/dev/shm").is_dir() {
        mount("tmpfs", "/dev/shm", "tmpfs", flags, Some(c"mode=1777"))?;
    }
    Ok(())
}

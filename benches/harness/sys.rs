//! What std lacks: wait4 with resource usage, a private mount namespace, a watchdog.
//! The only unsafe code of the benchmark.

#![allow(unsafe_code)]

use super::Result;
use std::ffi::CString;
use std::fs::File;
use std::io::Error;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// A launch that takes longer hangs.
const LIMIT_S: u32 = 30;

static RUNNING: AtomicI32 = AtomicI32::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

pub struct Ended {
    /// As a shell counts: 128 + signal.
    pub status: i32,
    pub cpu: Duration,
}

pub struct Timed {
    pub wall: Duration,
    pub cpu: Duration,
    pub status: i32,
}

fn check(result: i32) -> Result<i32> {
    if result < 0 { Err(Error::last_os_error().into()) } else { Ok(result) }
}

pub fn is_root() -> bool {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Waits for one child, or for any with -1.
pub fn wait(pid: i32) -> Result<Ended> {
    let mut status = 0;
    // SAFETY: rusage is plain integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both point to live variables of the types the call fills.
    check(unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) })?;
    let signal = status & 0x7f;
    let status = if signal == 0 { status >> 8 & 0xff } else { 128 + signal };
    let time =
        |t: libc::timeval| Duration::from_micros((t.tv_sec as u64) * 1_000_000 + t.tv_usec as u64);
    Ok(Ended { status, cpu: time(usage.ru_utime) + time(usage.ru_stime) })
}

/// The next child to end, and which it is.
pub fn wait_any() -> Result<(i32, Ended)> {
    // SAFETY: siginfo is plain memory, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: points to a live variable of the type the call fills.
    check(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) })?;
    // SAFETY: waitid has filled it for a child.
    let pid = unsafe { info.si_pid() };
    Ok((pid, wait(pid)?))
}

/// Processes whose parent we are.
pub fn children() -> std::collections::BTreeSet<String> {
    let me = std::process::id();
    let file = format!("/proc/{me}/task/{me}/children");
    std::fs::read_to_string(file)
        .unwrap_or_default()
        .split_whitespace()
        .map(|pid| format!("process {pid}"))
        .collect()
}

/// From before the start to after the end of one process.
pub fn time(command: &mut Command) -> Result<Timed> {
    // SAFETY: sets a timer; its signal has a handler by then.
    unsafe { libc::alarm(LIMIT_S) };
    let start = Instant::now();
    let pid = command.spawn()?.id() as i32;
    RUNNING.store(pid, Ordering::Relaxed);
    let ended = wait(pid)?;
    let wall = start.elapsed();
    RUNNING.store(0, Ordering::Relaxed);
    // SAFETY: takes the timer away.
    unsafe { libc::alarm(0) };
    Ok(Timed { wall, cpu: ended.cpu, status: ended.status })
}

/// Started in a session of its own, on a terminal; the other end of that, for us.
pub fn on_a_terminal(command: &mut Command) -> Result<(File, Child)> {
    let (mut master, mut slave) = (-1, -1);
    let (name, settings) = (null_mut(), null_mut::<libc::termios>());
    // SAFETY: both point to live variables; the rest may be null (openpty(3)).
    check(unsafe {
        libc::openpty(&raw mut master, &raw mut slave, name, settings.cast(), null_mut())
    })?;
    // SAFETY: openpty has just made both, for us alone.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    // SAFETY: no memory is involved; the child shall not keep our end.
    check(unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&master), libc::F_SETFD, 1) })?;
    command.stdin(slave.try_clone()?).stderr(slave.try_clone()?).stdout(slave);
    let leader = || {
        // SAFETY: two system calls without memory, as may be between fork and exec.
        match unsafe { libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY as _, 0) < 0 } {
            true => Err(Error::last_os_error()),
            false => Ok(()),
        }
    };
    // SAFETY: the closure does not allocate and takes no lock.
    let child = unsafe { command.pre_exec(leader) }.spawn()?;
    Ok((File::from(master), child))
}

/// Processor time of everything that we started and that has ended, in seconds.
pub fn children_cpu() -> f64 {
    // SAFETY: rusage is plain integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: points to a live variable of the type the call fills.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

pub fn kill(pid: i32) {
    // SAFETY: no memory is involved; a process that is gone is an error we ignore.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Nothing that is mounted or hidden from here on reaches the machine, and what peers
/// leave in /run ends with us.
pub fn private_mounts() -> Result<()> {
    let mount = |kind: Option<&str>, at: &str, flags| -> Result<i32> {
        let (kind, at) = (kind.map(CString::new).transpose()?, CString::new(at)?);
        let kind = kind.as_ref().map_or(null(), |k| k.as_ptr());
        // SAFETY: all strings end with NUL and live until the call returns.
        check(unsafe { libc::mount(kind, at.as_ptr(), kind, flags, null()) })
    };
    // SAFETY: no memory is involved; we have a single thread.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(None, "/", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(Some("tmpfs"), "/run", libc::MS_NOSUID | libc::MS_NODEV)?;
    Ok(())
}

/// Links and rules that are made from here on are not the machine's.
pub fn private_network() -> Result<()> {
    // SAFETY: no memory is involved; we have a single thread.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    Ok(())
}

/// crun 1.8 refuses a hybrid whose unified hierarchy has any controller.
pub fn hide(path: &str) -> Result<()> {
    let path = CString::new(path)?;
    // SAFETY: the string ends with NUL and lives until the call returns.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) })?;
    Ok(())
}

extern "C" fn on_signal(signal: i32) {
    if signal == libc::SIGALRM {
        let pid = RUNNING.load(Ordering::Relaxed);
        if pid > 0 {
            kill(pid);
        }
    } else {
        STOP.store(true, Ordering::Relaxed);
    }
}

/// A hanging launcher is killed; an interrupted benchmark still cleans up.
pub fn watch() {
    let handler = on_signal as extern "C" fn(i32);
    for signal in [libc::SIGALRM, libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only touches atomics and calls kill.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

pub fn interrupted() -> Result<()> {
    if STOP.load(Ordering::Relaxed) { Err("interrupted".into()) } else { Ok(()) }
}

//! One start under ptrace: every system call of the whole process tree is seen, payload
//! excepted, and at one of them something goes wrong.

use crate::processes::{descendants, describe, end_all, file_id, file_of, process_of};
use crate::sys::{self, At, Pid};
use std::collections::HashMap;
use std::io::{Error, Read, Result, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A system call: whose (processes are numbered as they come to be, the launcher is 0),
/// the how many-th of that process, and which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    pub role: usize,
    pub index: usize,
    pub number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// None, and the calls are not looked at.
    None,
    /// None, but all calls are listed.
    Watch,
    /// The call is not made and gives this error.
    Fail { role: usize, index: usize, errno: i32 },
    /// No call of this kind is ever made; all give this error.
    FailAll { number: u64, errno: i32 },
    /// A signal to process `victim`, as the call begins.
    Kill { role: usize, index: usize, victim: usize, signal: i32 },
}

/// Who is traced, and where the tracing ends.
pub struct Setting<'a> {
    /// This program in its role as a stub, at a place that the subject's user can reach.
    pub stub: &'a Path,
    /// The user and group who runs it, where it is not ourselves.
    pub user: Option<u32>,
    /// Whoever executes a file of this name is the payload.
    pub payload: &'a str,
    /// Longer is a hang.
    pub patience: Duration,
}

#[derive(Debug, Default)]
pub struct Outcome {
    /// All calls, with `Fault::Watch`.
    pub calls: Vec<Call>,
    /// The call that was hit; the first one, where there were several.
    pub hit: Option<Call>,
    /// As a shell has it; None after a hang.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    /// Processes that were still there a second after the launcher's end.
    pub left: Vec<String>,
    /// What stood where, when the patience ended.
    pub hang: Option<String>,
}

/// How long everything of the container may outlive the launcher.
const GRACE: Duration = Duration::from_secs(1);

struct Tracee {
    role: usize,
    /// What the call it is in shall return.
    result: Option<i32>,
    stopped_before: bool,
}

struct Tracer<'a> {
    setting: &'a Setting<'a>,
    fault: Fault,
    launcher: Pid,
    tracees: HashMap<Pid, Tracee>,
    /// Process of each role, and how many calls it has made.
    roles: Vec<(Pid, usize)>,
    /// The launcher's own program runs.
    counting: bool,
    /// The fault is done: the rest goes its way untraced.
    done: bool,
    outcome: Outcome,
}

/// What the program does when it is called as a stub: waits until it is traced, and becomes
/// the program of its arguments.
pub fn stub(args: &[std::ffi::OsString]) -> Error {
    let mut byte = [0];
    if let Err(e) = std::io::stdin().read_exact(&mut byte) {
        return e;
    }
    Command::new(&args[0]).args(&args[1..]).stdin(Stdio::null()).exec()
}

/// Runs `command` to its end with at most one fault. Nothing of it runs any more when
/// this returns. The caller has no children and is a subreaper.
pub fn run(setting: &Setting, command: &Command, fault: Fault) -> Result<Outcome> {
    let mut out = scratch_file()?;
    let mut err = scratch_file()?;
    let mut stub = with_stub(setting, command);
    stub.stdin(Stdio::piped()).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let mut child = stub.spawn()?;
    let launcher = child.id() as Pid;
    sys::seize(launcher)?;
    child.stdin.take().map_or(Ok(()), |mut go| go.write_all(b"g"))?;
    let mut tracer = Tracer {
        setting,
        fault,
        launcher,
        tracees: HashMap::new(),
        roles: vec![(launcher, 0)],
        counting: false,
        done: fault == Fault::None,
        outcome: Outcome::default(),
    };
    tracer.tracees.insert(launcher, Tracee { role: 0, result: None, stopped_before: true });
    tracer.follow();
    let mut outcome = tracer.outcome;
    for (file, text) in [(&mut out, &mut outcome.out), (&mut err, &mut outcome.err)] {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
    Ok(outcome)
}

/// Without a name: nothing to be found among what was left.
fn scratch_file() -> Result<std::fs::File> {
    rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC)
        .map(Into::into)
        .map_err(Into::into)
}

/// The same command, by way of the stub.
fn with_stub(setting: &Setting, command: &Command) -> Command {
    let mut c = Command::new(setting.stub);
    c.arg("--stub").arg(command.get_program()).args(command.get_args());
    c.env_clear();
    c.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    if let Some(dir) = command.get_current_dir() {
        c.current_dir(dir);
    }
    if let Some(user) = setting.user {
        c.uid(user).gid(user);
    }
    c
}

impl Tracer<'_> {
    /// Until no process is left, or no time.
    fn follow(&mut self) {
        let start = Instant::now();
        let mut end: Option<Instant> = None;
        loop {
            match sys::wait_now() {
                Err(_) => return,
                Ok(Some((pid, status))) => {
                    self.changed(pid, status);
                    if self.outcome.code.is_some() && end.is_none() {
                        end = Some(Instant::now() + GRACE);
                    }
                    continue;
                }
                Ok(None) => {}
            }
            let now = Instant::now();
            match end {
                Some(end) if now >= end => {
                    self.outcome.left = descendants().iter().map(|p| describe(*p)).collect();
                    return end_all();
                }
                None if now >= start + self.setting.patience => {
                    let all: Vec<String> = descendants().iter().map(|p| describe(*p)).collect();
                    self.outcome.hang = Some(all.join("; "));
                    return end_all();
                }
                _ => sys::wait_for_change(Duration::from_millis(50)),
            }
        }
    }

    fn changed(&mut self, pid: Pid, status: i32) {
        if !libc::WIFSTOPPED(status) {
            self.tracees.remove(&pid);
            if pid == self.launcher {
                let signal = libc::WTERMSIG(status);
                let exited = libc::WIFEXITED(status);
                self.outcome.code =
                    Some(if exited { libc::WEXITSTATUS(status) } else { 128 + signal });
            }
            return;
        }
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        self.meet(pid);
        match event {
            libc::PTRACE_EVENT_EXEC if self.is_payload(pid) => {
                sys::detach(pid, 0);
                self.tracees.remove(&pid);
            }
            libc::PTRACE_EVENT_EXEC => {
                // The stub's own exec may be seen, too.
                self.counting |= file_of(pid) != file_id(self.setting.stub);
                self.go_on(pid, 0);
            }
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                if let Some(new) = sys::event_message(pid) {
                    self.meet(new);
                }
                self.go_on(pid, 0);
            }
            // The first stop of a new one; or a stopped process, which stays so.
            128 if signal == libc::SIGTRAP || self.is_new(pid) => self.go_on(pid, 0),
            128 => sys::listen(pid),
            _ if signal == libc::SIGTRAP | 0x80 => self.at_call(pid),
            _ => self.signalled(pid, signal),
        }
    }

    /// A traced process 1 does not die of its own fault: the kernel takes it for one that
    /// nothing can kill, and it runs into the same again.
    fn signalled(&mut self, pid: Pid, signal: i32) {
        let fatal =
            [libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGSYS];
        if fatal.contains(&signal) { sys::detach(pid, signal) } else { self.go_on(pid, signal) }
    }

    /// By name: what an overlay shows is another file than the one that was put there.
    fn is_payload(&self, pid: Pid) -> bool {
        std::fs::read_link(format!("/proc/{pid}/exe"))
            .is_ok_and(|p| p.file_name().is_some_and(|n| n == self.setting.payload))
    }

    fn is_new(&mut self, pid: Pid) -> bool {
        let tracee = self.tracees.get_mut(&pid);
        tracee.is_some_and(|t| !std::mem::replace(&mut t.stopped_before, true))
    }

    /// A process gets the next role; a thread has its process's.
    fn meet(&mut self, pid: Pid) {
        if self.tracees.contains_key(&pid) {
            return;
        }
        let process = process_of(pid).unwrap_or(pid);
        let role = self.roles.iter().position(|(p, _)| *p == process).unwrap_or_else(|| {
            self.roles.push((process, 0));
            self.roles.len() - 1
        });
        self.tracees.insert(pid, Tracee { role, result: None, stopped_before: false });
    }

    fn go_on(&self, pid: Pid, signal: i32) {
        let waits_for_result = self.tracees.get(&pid).is_some_and(|t| t.result.is_some());
        if self.done && !waits_for_result {
            sys::detach(pid, signal);
        } else {
            sys::step(pid, signal);
        }
    }

    fn at_call(&mut self, pid: Pid) {
        match sys::syscall(pid) {
            At::Entry { number } if self.counting && !self.done => self.entry(pid, number),
            At::Exit => {
                let result = self.tracees.get_mut(&pid).and_then(|t| t.result.take());
                if let Some(errno) = result
                    && sys::set_result(pid, errno).is_err()
                {
                    self.outcome.hit = None;
                }
            }
            _ => {}
        }
        self.go_on(pid, 0);
    }

    fn entry(&mut self, pid: Pid, number: u64) {
        let Some(tracee) = self.tracees.get_mut(&pid) else { return };
        let role = tracee.role;
        let Some((_, count)) = self.roles.get_mut(role) else { return };
        let call = Call { role, index: *count, number };
        *count += 1;
        let here = |r: usize, i: usize| r == call.role && i == call.index;
        match self.fault {
            Fault::Watch => self.outcome.calls.push(call),
            Fault::Fail { role, index, errno } if here(role, index) => {
                self.done = true;
                if can_fail(number) && suppress(pid, number) {
                    self.outcome.hit = Some(call);
                    tracee.result = Some(errno);
                }
            }
            Fault::FailAll { number: n, errno } if n == number && suppress(pid, n) => {
                self.outcome.hit.get_or_insert(call);
                tracee.result = Some(errno);
            }
            Fault::Kill { role, index, victim, signal } if here(role, index) => {
                self.done = true;
                if let Some((process, _)) = self.roles.get(victim) {
                    self.outcome.hit = Some(call);
                    sys::kill(*process, signal);
                }
            }
            _ => {}
        }
    }
}

/// Whatever close(2) says, the descriptor is closed afterwards; nothing else is done.
fn suppress(pid: Pid, number: u64) -> bool {
    number as i64 == libc::SYS_close || sys::replace_call(pid).is_ok()
}

/// Calls that do not return, and those that have no way to fail: credentials(7),
/// umask(2), set_tid_address(2); for ENOSYS neither, as there always were.
pub fn can_fail(number: u64) -> bool {
    const NEVER: [libc::c_long; 14] = [
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_gettid,
        libc::SYS_getuid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getegid,
        libc::SYS_umask,
        libc::SYS_uname,
        libc::SYS_set_tid_address,
    ];
    !NEVER.contains(&(number as libc::c_long))
}

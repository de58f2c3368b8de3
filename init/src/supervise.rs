//! One payload, from its start to the last of what it left behind.

use crate::args::Options;
use crate::spawn::{self, Place, Process, Program, Step};
use crate::sys::{self, Poll, Stack, Status, Wake};
use crate::{diagnose, exit, leftovers, msg, text, user};
use core::ffi::CStr;

pub const DEFAULT_PATH: &CStr =
    c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All that decides what a signal means.
pub struct State<'a> {
    pub rewrite: &'a [u8; 65],
    pub own_pid: i32,
    /// We are in the payload's process group: the terminal signals it, too.
    pub shares_group: bool,
    /// We gave up a terminal: the kernel's HUP and CONT for that are not for the payload.
    pub left_terminal: bool,
    /// As the kernel's process 1, asked to end.
    pub machine: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Ignore,
    Forward(u8),
    /// Some child ended or stopped.
    Reap,
    /// End everything.
    End,
}

/// What one signal leads to.
pub fn step(state: &State, signal: i32, code: i32, pid: i32) -> Action {
    const SI_KERNEL: i32 = 0x80;
    if signal == libc::SIGCHLD && code > 0 {
        return Action::Reap;
    }
    // Our own message found its reader gone: that is not for the payload.
    if signal == libc::SIGPIPE && pid == state.own_pid {
        return Action::Ignore;
    }
    if code == SI_KERNEL
        && (state.shares_group
            || state.left_terminal && matches!(signal, libc::SIGHUP | libc::SIGCONT))
    {
        return Action::Ignore;
    }
    if state.machine && matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGPWR) {
        return Action::End;
    }
    match state.rewrite.get(signal as usize) {
        Some(0) | None => Action::Ignore,
        Some(to) => Action::Forward(*to),
    }
}

/// The payload under supervision.
struct Supervisor<'a> {
    options: &'a Options,
    payload: Process,
    poll: Poll,
    /// The terminal whose foreground group we may have to change, or -1.
    job_control: i32,
    group: bool,
    /// How often the kernel could not say how the payload ended.
    doubts: u32,
}

/// A descriptor of our controlling terminal among 0 to 2, or -1.
fn controlling_terminal() -> i32 {
    (0..=2).find(|fd| sys::tcgetpgrp(*fd).is_ok()).unwrap_or(-1)
}

/// Runs the command of `options` and returns the exit code.
pub fn run(stack: Stack, options: &mut Options, mask: u64, machine: bool) -> i32 {
    let own_pid = sys::getpid();
    if own_pid != 1 {
        sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
    }
    let user = match options.user.map(user::look_up) {
        Some(None) => return exit::OURS,
        found => found.flatten(),
    };
    if let Some(user) = &user {
        stack.set_env(b"HOME=", user.home.as_cstr().as_ptr());
    }
    if stack.env(b"PATH=").is_none() {
        stack.set_env(b"PATH=", DEFAULT_PATH.as_ptr());
    }
    let terminal = controlling_terminal();
    let session = options.has(b'S');
    let mut left_terminal = false;
    if session {
        // A group that nobody can continue is not stopped by these: stop it for good.
        options.stop_for_good();
        left_terminal = terminal >= 0 && sys::drop_ctty(terminal) == 0;
    }
    // Seen from a shell outside our pid namespace we are one job with the payload: it
    // could neither stop nor continue a group that it does not know.
    let shares_group = terminal >= 0 && !session && !options.has(b'g') && sys::getpgrp() == 0;
    let place = if session {
        Place::Session
    } else if shares_group {
        Place::Ours
    } else {
        Place::Group
    };
    let mut program = Program {
        name: stack.arg(options.command).unwrap_or_default(),
        argv: stack.argv(options.command),
        envp: stack.envp(),
        path: stack.env(b"PATH=").unwrap_or_default().to_bytes(),
        mask,
        ignored: 0,
        place,
        terminal,
        console: None,
        ask: None,
        user: user.as_ref(),
        workdir: options.workdir,
        failed: (Step::Clone, 0),
    };
    let payload = match start(stack, options.command, &mut program) {
        Ok(payload) => payload,
        Err(code) => return code,
    };
    let job_control = if own_pid != 1 && place == Place::Group { terminal } else { -1 };
    let state = State { rewrite: &options.rewrite, own_pid, shares_group, left_terminal, machine };
    let group = options.has(b'g');
    let supervisor =
        Supervisor { options, payload, poll: Poll::new(), job_control, group, doubts: 0 };
    supervisor.run(&state)
}

/// Starts the program, through the shell if it is a script without `#!`.
fn start(stack: Stack, command: usize, program: &mut Program) -> Result<Process, i32> {
    if let Some(process) = spawn::spawn(program) {
        return Ok(process);
    }
    if program.failed == (Step::Exec, -libc::ENOEXEC as isize) {
        if let Some(script) = diagnose::shell_script(program) {
            // The path must stay until exec only, and this frame does.
            stack.set_arg(command, script.as_cstr().as_ptr());
            stack.set_before(command, c"/bin/sh".as_ptr());
            let (name, argv) = (program.name, program.argv);
            (program.name, program.argv) = (c"/bin/sh", stack.argv(command - 1));
            if let Some(process) = spawn::spawn(program) {
                return Ok(process);
            }
            (program.name, program.argv) = (name, argv);
        }
    }
    Err(diagnose::report(program))
}

impl Supervisor<'_> {
    fn run(mut self, state: &State) -> i32 {
        // From now on we must not die: whatever fails is left out.
        self.settle();
        let mut ended = self.reap();
        while ended.is_none() {
            let (mut signal, mut code, mut pid) = (0, 0, 0);
            if self.poll.wait(-1) == Wake::Signal {
                (signal, code, pid) =
                    (self.poll.info.signal, self.poll.info.code, self.poll.info.pid);
            } else if self.poll.take_sigchld() {
                signal = libc::SIGCHLD;
            }
            match step(state, signal, code, pid) {
                Action::Forward(to) => self.forward(to),
                Action::End => return self.end(None),
                Action::Ignore | Action::Reap => {}
            }
            if signal == 0 || signal == libc::SIGCHLD {
                ended = self.reap();
            }
        }
        self.end(ended)
    }

    /// Lets go of what the payload alone should hold, and prepares to wait.
    fn settle(&mut self) {
        // A pipe is at its end, and a file system free, when the payload lets go of it.
        sys::chdir(c"/");
        if self.payload.pidfd >= 0 {
            sys::dup_to(self.payload.pidfd, 3);
            self.payload.pidfd = 3;
            self.poll.watch(0, 3);
        }
        sys::close_from(if self.payload.pidfd < 0 { 3 } else { 4 });
        self.poll.catch_all();
        let stops = if self.job_control < 0 { libc::SA_NOCLDSTOP } else { 0 };
        self.poll.catch(libc::SIGCHLD as u8, stops as usize);
        let must_see = self.options.has(b'w') || self.job_control >= 0;
        let can_ask =
            self.payload.pidfd >= 0 && sys::kernel_at_least(6, 15) && sys::pidfd_status(3).is_ok();
        if can_ask && !must_see {
            // Ignored, so that the kernel reaps; blocked, so that one a user sends is
            // not dropped as ignored but shows on a signalfd.
            sys::ignore_signal(libc::SIGCHLD as u8);
            self.poll.forget(libc::SIGCHLD as u8);
            self.poll.watch(1, sys::signalfd(1 << (libc::SIGCHLD - 1)) as i32);
        }
    }

    fn forward(&mut self, signal: u8) {
        if self.options.verbosity > 1 {
            msg::say(&[b"forwarding signal ", text::decimal(signal.into()).bytes()]);
        }
        let Process { pid, pidfd } = self.payload;
        if self.group {
            sys::kill(-pid, signal);
            return;
        }
        // The kernel lets us pass on what sigqueue sent, value and all, but not more.
        let info = Some(&self.poll.info)
            .filter(|i| i.signal == i32::from(signal) && i.code < 0 && i.code != SI_TKILL);
        // Its pidfd never means another process; a kernel before 5.1 has none.
        if pidfd < 0 || sys::pidfd_send_signal(pidfd, signal, info) < 0 {
            sys::kill(pid, signal);
        }
    }

    /// Reaps whatever has ended; the payload's status if it is among that.
    fn reap(&mut self) -> Option<Status> {
        let mut ended = None;
        let flags = if self.job_control < 0 { 0 } else { libc::WUNTRACED };
        loop {
            let (pid, status) = sys::wait_child(-1, flags);
            if pid <= 0 {
                break;
            }
            if status & 0xff == 0x7f {
                self.stopped(pid as i32, status >> 8);
            } else if pid == self.payload.pid as isize {
                ended = Some(status);
            } else if self.options.has(b'w') {
                msg::say(&[b"reaped zombie process ", text::decimal(pid as i32).bytes()]);
            }
        }
        if ended.is_none() && self.poll.is_ready(0) {
            ended = self.status_of_reaped();
        }
        ended
    }

    /// The payload has ended, but wait4 does not know: the kernel reaped it.
    fn status_of_reaped(&mut self) -> Option<Status> {
        if let Ok(Some(status)) = sys::pidfd_status(self.payload.pidfd) {
            return Some(status);
        }
        // It takes the kernel a moment. Should it never say, end rather than hang.
        self.doubts += 1;
        (self.doubts > 10_000).then_some(exit::OURS << 8)
    }

    /// The terminal stopped the payload (^Z): stop as well, so that the shell that
    /// waits for us has its turn, and go on with the payload when it continues us.
    fn stopped(&self, pid: i32, signal: i32) {
        let terminal = self.job_control;
        if pid != self.payload.pid
            || !matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)
        {
            return;
        }
        self.take_terminal();
        sys::kill(sys::getpid(), libc::SIGSTOP as u8);
        if sys::tcgetpgrp(terminal) == Ok(sys::getpgrp()) {
            sys::tcsetpgrp(terminal, pid);
        }
        sys::kill(-pid, libc::SIGCONT as u8);
    }

    fn take_terminal(&self) {
        if self.job_control >= 0 && sys::tcgetpgrp(self.job_control) == Ok(self.payload.pid) {
            sys::tcsetpgrp(self.job_control, sys::getpgrp());
        }
    }

    /// Ends what is left and returns the exit code. None: the payload runs, still.
    fn end(&mut self, status: Option<Status>) -> i32 {
        self.take_terminal();
        leftovers::end(&mut self.poll, self.options.grace);
        let code = status.map_or(0, exit::code);
        let succeeds = self
            .options
            .success
            .get(code as usize / 64)
            .is_some_and(|bits| bits >> (code % 64) & 1 != 0);
        if succeeds { 0 } else { code }
    }
}

/// The value of si_code for tkill and tgkill.
const SI_TKILL: i32 = -6;

/// `-P`: no payload; keeps a pid namespace alive until TERM or INT.
pub fn pause(options: &Options) -> i32 {
    let mut poll = Poll::new();
    poll.catch_all();
    sys::ignore_signal(libc::SIGCHLD as u8);
    loop {
        if poll.wait(-1) == Wake::Signal && matches!(poll.info.signal, libc::SIGTERM | libc::SIGINT)
        {
            leftovers::end(&mut poll, options.grace);
            return 0;
        }
    }
}

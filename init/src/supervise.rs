//! One payload, from its start to the last of what it left behind.

use crate::exit;
use crate::machine::REBOOT;
use crate::pack::t;
use crate::spawn::Program;
use crate::state::{DROP, GROUP, Init, PAUSE, Place, SINGLE, VERBOSE, WARN};
use crate::sys::{self, Siginfo, Status, Str, z};

/// No wait status: the payload has not ended.
const ALIVE: Status = -1;

const PATH: Str = z(c"PATH=");
const DEFAULT_PATH: Str = z(c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

/// What a signal leads to, if not to one that the payload gets.
const NOTHING: u8 = 0;
const END: u8 = 254;

impl Init {
    /// What the signal that was received leads to; no more than a look at the state.
    #[inline(never)]
    fn step(&self) -> u8 {
        const SI_KERNEL: i32 = 0x80;
        let Siginfo { signal, code, pid, .. } = self.poll.info;
        let own =
            matches!(signal, libc::SIGPIPE | libc::SIGHUP | libc::SIGCONT) && pid == self.own_pid;
        // Of a child that ended; for our own message, whose reader is gone, or for the
        // terminal that we left; or the terminal has sent it to the payload as well.
        if signal == libc::SIGCHLD && code > 0
            || own
            || code == SI_KERNEL && self.place == Place::Ours
        {
            return NOTHING;
        }
        let asks = matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGPWR);
        if asks && (self.machine || self.has(PAUSE)) {
            return END;
        }
        match self.rewrite[usize::from(signal as u8)] {
            0 => signal as u8,
            DROP => NOTHING,
            to => to,
        }
    }

    /// Waits as `Poll::wait`.
    pub fn receive(&mut self, millis: i64) -> i32 {
        let signal = self.poll.wait(millis);
        // Whoever asks for the end wants no new start; 33 is no program's own.
        self.stopping |= matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | 33);
        signal
    }

    /// Fills in what a program needs from the environment.
    pub fn set_path(&mut self) {
        if self.stack.env(PATH).is_none() {
            self.stack.set_env(PATH, DEFAULT_PATH);
        }
        self.path = self.stack.env(PATH).unwrap_or(Str::EMPTY);
    }

    /// Runs the command and returns the exit code.
    pub fn supervise(&mut self, command: usize) -> i32 {
        if !self.user.is_empty() {
            if !self.look_up(self.user) {
                return exit::OURS;
            }
            self.stack.set_env(z(c"HOME="), self.home.as_str());
        }
        self.choose_place();
        let program = Program {
            name: self.stack.arg(command),
            argv: self.stack.argv(command),
            console: Str::EMPTY,
            ask: Str::EMPTY,
            takes_terminal: self.left_terminal,
        };
        loop {
            let started = if self.delay > 0 { sys::now() } else { 0 };
            self.poll.want_children();
            let mut status = ALIVE;
            if !self.has(PAUSE) {
                let code = self.spawn(&program);
                if code != 0 {
                    status = code << 8;
                }
            }
            // From now on we must not die: whatever fails is left out.
            self.settle();
            if status == ALIVE {
                self.tell(status, 0);
            }
            while status == ALIVE {
                status = self.next_status();
            }
            let mut code = exit::code(status);
            if self.success[usize::from(code as u8)] {
                code = 0;
            }
            let pause = self.pause(started, code);
            self.tell(status, pause);
            self.take_terminal();
            self.end_leftovers();
            if pause < 0 || self.stopped_within(pause) {
                return code;
            }
            self.restarted += 1;
        }
    }

    /// Waits so many milliseconds, unless the end is asked for.
    #[inline(never)]
    fn stopped_within(&mut self, millis: i32) -> bool {
        let deadline = sys::now() + i64::from(millis);
        loop {
            let left = deadline - sys::now();
            if left <= 0 || self.stopping {
                return self.stopping;
            }
            self.receive(left);
            self.reap();
        }
    }

    /// A record for whoever wants to know that the payload runs, or how it has ended.
    #[inline(never)]
    fn tell(&self, status: Status, pause: i32) {
        if self.report >= 0 {
            sys::write_record(self.report, [self.pid, status, self.restarted, pause]);
        }
    }

    /// How many milliseconds to the next start; -1: there is none.
    fn pause(&mut self, started: i64, code: i32) -> i32 {
        // What could not be started at first never will.
        let hopeless = self.pid == 0 && self.restarted == 0;
        if self.restarts == 0 || self.stopping || hopeless || code == 0 && !self.always {
            return -1;
        }
        self.restarts -= 1;
        if sys::now() - started >= 10_000 {
            self.delay = 100;
        }
        let pause = self.delay;
        self.delay = (pause * 2).min(60_000);
        pause as i32
    }

    /// Waits for one event and answers it; the payload's status if it has ended.
    fn next_status(&mut self) -> Status {
        #[cfg(feature = "log")]
        let signal = self.receive_or_look();
        #[cfg(not(feature = "log"))]
        let signal = self.receive(-1);
        match self.step() {
            NOTHING => {}
            END => {
                // Ctrl-alt-del.
                if self.poll.info.code > 0 && signal == libc::SIGINT {
                    self.end = REBOOT;
                }
                return 0;
            }
            to => self.forward(to),
        }
        if signal == 0 || signal == libc::SIGCHLD { self.reap() } else { ALIVE }
    }

    #[inline(always)]
    fn choose_place(&mut self) {
        if self.machine {
            // With the console as the session's terminal a shell can control its jobs.
            sys::setsid();
            sys::set_ctty(0);
        }
        if self.has(SINGLE) {
            self.place = Place::Group;
            self.flags &= !GROUP;
        }
        for fd in 0..3 {
            if sys::tcgetpgrp(fd) >= 0 {
                self.terminal = fd;
            }
        }
        if self.place == Place::Session {
            // A group that nobody can continue is not stopped by TSTP, TTIN and TTOU.
            for signal in libc::SIGTSTP as usize..=libc::SIGTTOU as usize {
                if self.rewrite[signal] == 0 {
                    self.rewrite[signal] = libc::SIGSTOP as u8;
                }
            }
            self.left_terminal = self.terminal >= 0 && sys::drop_ctty(self.terminal) == 0;
        } else if self.terminal >= 0 && !self.has(GROUP) && sys::getpgrp() == 0 {
            // Seen from a shell outside our pid namespace we are one job with the
            // payload: it could neither stop nor continue a group it does not know.
            self.place = Place::Ours;
        }
        self.job_control = self.terminal >= 0 && self.own_pid != 1 && self.place == Place::Group;
    }

    /// Lets go of what the payload alone should hold, if it is never to have it again.
    fn settle(&mut self) {
        if self.delay > 0 {
            return;
        }
        // A pipe is at its end, and a file system free, when the payload lets go of it.
        sys::chdir(z(c"/"));
        if self.report >= 0 {
            sys::dup_to(self.report, 3);
            self.report = 3;
        }
        sys::close_from(if self.report >= 0 { 4 } else { 3 });
        if self.has(PAUSE) {
            // There is nothing to be told of.
            sys::ignore_signal(libc::SIGCHLD as u8);
        }
    }

    /// Where strangers keep ending here, the kernel shall reap them if it can.
    fn leave_children(&mut self) {
        if self.strangers > 16 && !self.has(WARN) && !self.job_control {
            self.strangers = 0;
            let pidfd = sys::pidfd_open(self.pid);
            if sys::kernel_at_least(6, 15) && sys::pidfd_status(pidfd) >= 0 {
                self.poll.leave_children(pidfd);
            }
        }
    }

    #[inline(always)]
    fn forward(&mut self, signal: u8) {
        const SI_TKILL: i32 = -6;
        if self.has(VERBOSE) {
            self.say_number(t!("forwarding signal #"), signal.into());
        }
        if self.pid <= 0 {
            return;
        }
        if self.has(GROUP) || self.job_control && signal == libc::SIGCONT as u8 {
            sys::kill(-self.pid, signal);
            return;
        }
        let info = &self.poll.info;
        // The kernel lets us pass on what sigqueue sent, value and all, but not more.
        let queued = info.signal == i32::from(signal) && info.code < 0 && info.code != SI_TKILL;
        if !queued || sys::pass_on(self.pid, signal, info) < 0 {
            sys::kill(self.pid, signal);
        }
    }

    /// Reaps whatever has ended; the payload's status if it is among that.
    fn reap(&mut self) -> Status {
        let mut ended = ALIVE;
        loop {
            let (pid, status) =
                sys::wait_child(-1, if self.job_control { libc::WUNTRACED } else { 0 });
            if pid <= 0 {
                break;
            }
            if pid as i32 != self.pid {
                self.strangers += 1;
                if self.has(WARN) {
                    self.say_number(t!("reaped zombie process #"), pid as usize);
                }
            } else if status & 0xff == 0x7f {
                self.stopped(status >> 8);
            } else {
                ended = status;
            }
        }
        if ended != ALIVE {
            return ended;
        }
        if self.poll.payload_ended() {
            // wait4 does not know: the kernel reaped it. That takes a moment. Should its
            // status never show, end rather than hang.
            let status = sys::pidfd_status(self.poll.pidfd());
            if (0..sys::NOT_REAPED).contains(&status) {
                return status;
            }
            self.doubts += 1;
            if self.doubts > 10_000 {
                return exit::OURS << 8;
            }
        } else {
            self.leave_children();
        }
        ended
    }

    /// The terminal stopped the payload (^Z): stop as well, so that the shell that
    /// waits for us has its turn, and go on with the payload when it continues us.
    #[inline(never)]
    fn stopped(&self, signal: i32) {
        if !matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) {
            return;
        }
        self.take_terminal();
        sys::kill(self.own_pid, libc::SIGSTOP as u8);
        if sys::tcgetpgrp(self.terminal) == sys::getpgrp() {
            sys::tcsetpgrp(self.terminal, self.pid);
        }
        // The CONT that woke us is still to be received, and goes to all that stopped. A
        // second one could undo the next ^Z.
    }

    /// Gives the terminal's foreground back to our own group.
    fn take_terminal(&self) {
        if self.job_control && sys::tcgetpgrp(self.terminal) == self.pid {
            sys::tcsetpgrp(self.terminal, sys::getpgrp());
        }
    }
}

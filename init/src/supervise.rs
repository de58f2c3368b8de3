//! One payload, from its start to the last of what it left behind.

use crate::exit;
use crate::msg::say1;
use crate::pack::t;
use crate::spawn::Program;
use crate::state::{DROP, End, Init, Place};
use crate::sys::{self, Status, Str, Text, Wake, z};

const PATH: Str = z(c"PATH=");
const DEFAULT_PATH: Str = z(c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

/// What a signal leads to.
#[derive(PartialEq, Eq)]
pub enum Action {
    Ignore,
    Forward(u8),
    /// End everything.
    End,
}

/// One signal and where it is from.
#[derive(Clone, Copy)]
pub struct Signal {
    pub number: i32,
    /// si_code: <= 0 if a process sent it.
    pub code: i32,
    pub pid: i32,
}

impl Init {
    /// What one signal leads to; no more than a look at the state.
    pub fn step(&self, signal: Signal) -> Action {
        const SI_KERNEL: i32 = 0x80;
        let Signal { number, code, pid } = signal;
        let own =
            matches!(number, libc::SIGPIPE | libc::SIGHUP | libc::SIGCONT) && pid == self.own_pid;
        // Of a child that ended; for our own message, whose reader is gone, or for the
        // terminal that we left; or the terminal has sent it to the payload as well.
        if number == libc::SIGCHLD && code > 0
            || own
            || code == SI_KERNEL && self.place == Place::Ours
        {
            return Action::Ignore;
        }
        if self.machine && matches!(number, libc::SIGTERM | libc::SIGINT | libc::SIGPWR)
            || self.has(b'P') && matches!(number, libc::SIGTERM | libc::SIGINT)
        {
            return Action::End;
        }
        match self.rewrite.get(number as usize) {
            _ if number == 0 => Action::Ignore,
            Some(0) => Action::Forward(number as u8),
            Some(&DROP) | None => Action::Ignore,
            Some(to) => Action::Forward(*to),
        }
    }

    /// Fills in what a program needs from the environment.
    pub fn set_path(&mut self) {
        if self.stack.env(PATH).is_none() {
            self.stack.set_env(PATH, DEFAULT_PATH);
        }
        self.path = self.stack.env(PATH);
    }

    /// Runs the command and returns the exit code.
    pub fn supervise(&mut self, command: usize) -> i32 {
        if let Some(user) = self.user {
            if !self.look_up(user) {
                return exit::OURS;
            }
            self.stack.set_env(z(c"HOME="), self.home.as_str());
        }
        self.choose_place();
        if !self.has(b'P') {
            let program = Program {
                name: self.stack.arg(command),
                argv: self.stack.argv(command),
                console: None,
                ask: None,
                takes_terminal: self.left_terminal,
            };
            let code = self.spawn(&program);
            if code != 0 {
                return code;
            }
        }
        // From now on we must not die: whatever fails is left out.
        self.settle();
        let mut ended = self.reap();
        while ended.is_none() {
            let mut signal = Signal { number: 0, code: 0, pid: 0 };
            if self.poll.wait(-1) == Wake::Signal {
                signal = Signal {
                    number: self.poll.info.signal,
                    code: self.poll.info.code,
                    pid: self.poll.info.pid,
                };
            } else if self.poll.take_sigchld() {
                signal.number = libc::SIGCHLD;
            }
            match self.step(signal) {
                Action::Forward(to) => self.forward(to),
                Action::End => {
                    // Ctrl-alt-del.
                    if signal.code > 0 && signal.number == libc::SIGINT {
                        self.end = End::Reboot;
                    }
                    ended = Some(0);
                }
                Action::Ignore => {}
            }
            if ended.is_none() && (signal.number == 0 || signal.number == libc::SIGCHLD) {
                ended = self.reap();
            }
        }
        self.take_terminal();
        self.end_leftovers();
        let code = exit::code(ended.unwrap_or(0));
        let succeeds =
            self.success.get(code as usize / 64).is_some_and(|bits| bits >> (code % 64) & 1 != 0);
        if succeeds { 0 } else { code }
    }

    fn choose_place(&mut self) {
        for fd in 0..3 {
            if sys::tcgetpgrp(fd) >= 0 {
                self.terminal = fd;
            }
        }
        if self.place == Place::Session {
            // A group that nobody can continue is not stopped by TSTP, TTIN and TTOU.
            for to in self.rewrite.iter_mut().skip(libc::SIGTSTP as usize).take(3) {
                if *to == 0 {
                    *to = libc::SIGSTOP as u8;
                }
            }
            self.left_terminal = self.terminal >= 0 && sys::drop_ctty(self.terminal) == 0;
        } else if self.terminal >= 0 && !self.has(b'g') && sys::getpgrp() == 0 {
            // Seen from a shell outside our pid namespace we are one job with the
            // payload: it could neither stop nor continue a group it does not know.
            self.place = Place::Ours;
        }
        self.job_control = self.terminal >= 0 && self.own_pid != 1 && self.place == Place::Group;
    }

    /// Lets go of what the payload alone should hold, and prepares to wait.
    fn settle(&mut self) {
        // A pipe is at its end, and a file system free, when the payload lets go of it.
        sys::chdir(z(c"/"));
        let has_pidfd = self.pidfd >= 0;
        if has_pidfd {
            sys::dup_to(self.pidfd, 3);
            self.pidfd = 3;
        }
        self.poll.watch(0, self.pidfd);
        sys::close_from(3 + i32::from(has_pidfd));
        self.poll.catch_all(if self.job_control { 0 } else { libc::SA_NOCLDSTOP as usize });
        let can_ask = has_pidfd && sys::kernel_at_least(6, 15) && sys::pidfd_status(3) >= 0;
        if can_ask && !self.has(b'w') && !self.job_control || self.has(b'P') {
            // Ignored, so that the kernel reaps; blocked, so that one a user sends is
            // not dropped as ignored but shows on a signalfd.
            self.poll.forget(libc::SIGCHLD as u8);
            sys::ignore_signal(libc::SIGCHLD as u8);
            self.poll.watch(1, sys::signalfd(1 << (libc::SIGCHLD - 1)) as i32);
        }
    }

    fn forward(&mut self, signal: u8) {
        const SI_TKILL: i32 = -6;
        if self.verbosity > 1 {
            say1(t!("forwarding signal %"), Text::new().number(signal.into(), 10).as_str());
        }
        if self.has(b'g') {
            sys::kill(-self.pid, signal);
            return;
        }
        let info = &self.poll.info;
        // The kernel lets us pass on what sigqueue sent, value and all, but not more.
        let info = if info.signal == i32::from(signal) && info.code < 0 && info.code != SI_TKILL {
            Some(info)
        } else {
            None
        };
        // A pidfd never means another process; a kernel before 5.1 has none.
        if sys::pidfd_send_signal(self.pidfd, signal, info) < 0 && self.pid > 0 {
            sys::kill(self.pid, signal);
        }
    }

    /// Reaps whatever has ended; the payload's status if it is among that.
    fn reap(&mut self) -> Option<Status> {
        let mut ended = None;
        loop {
            let (pid, status) =
                sys::wait_child(-1, if self.job_control { libc::WUNTRACED } else { 0 });
            if pid <= 0 {
                break;
            }
            if pid as i32 != self.pid {
                if self.has(b'w') {
                    say1(
                        t!("reaped zombie process %"),
                        Text::new().number(pid as u32, 10).as_str(),
                    );
                }
            } else if status & 0xff == 0x7f {
                self.stopped(status >> 8);
            } else {
                ended = Some(status);
            }
        }
        if ended.is_none() && self.poll.is_ready(0) {
            // It has ended, but wait4 does not know: the kernel reaped it. That takes a
            // moment. Should its status never show, end rather than hang.
            let status = sys::pidfd_status(self.pidfd);
            if (0..sys::NOT_REAPED).contains(&status) {
                return Some(status);
            }
            self.doubts += 1;
            if self.doubts > 10_000 {
                return Some(exit::OURS << 8);
            }
        }
        ended
    }

    /// The terminal stopped the payload (^Z): stop as well, so that the shell that
    /// waits for us has its turn, and go on with the payload when it continues us.
    fn stopped(&self, signal: i32) {
        if !matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) {
            return;
        }
        self.take_terminal();
        sys::kill(self.own_pid, libc::SIGSTOP as u8);
        if sys::tcgetpgrp(self.terminal) == sys::getpgrp() {
            sys::tcsetpgrp(self.terminal, self.pid);
        }
        sys::kill(-self.pid, libc::SIGCONT as u8);
    }

    /// Gives the terminal's foreground back to our own group.
    fn take_terminal(&self) {
        if self.job_control && sys::tcgetpgrp(self.terminal) == self.pid {
            sys::tcsetpgrp(self.terminal, sys::getpgrp());
        }
    }
}

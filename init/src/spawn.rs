//! The payload, from clone to exec. What runs between the two is the child, on its
//! parent's stack: it only makes system calls and leaves its error in `Init`.

use crate::binfmt::{self, Format};
use crate::exit;
use crate::state::{Init, Place, Step};
use crate::sys::{self, Memory, Str, Text, Vector, z};

/// What to start.
pub struct Program<'a> {
    pub name: Str<'a>,
    pub argv: Vector,
    /// A terminal to open as 0, 1 and 2; empty: those we have.
    pub console: Str<'a>,
    /// Said on that terminal; a line is then waited for.
    pub ask: Str<'a>,
    /// In a session of its own it gets that terminal as its controlling one.
    pub takes_terminal: bool,
}

impl Init {
    /// Starts a program. Returns 0 or, after a message, an exit code.
    pub fn spawn(&mut self, program: &Program) -> i32 {
        self.failed = Step::Clone;
        self.error = 0;
        // Who waits for a line must have memory of its own: it would hold us up.
        let memory = if program.ask.is_empty() { Memory::Shared } else { Memory::Copied };
        let pid = sys::clone(memory, child, &mut (&mut *self, program));
        self.pid = pid as i32;
        if pid < 0 {
            self.error = pid;
        }
        if self.error == 0 {
            return 0;
        }
        sys::wait_child(self.pid, 0);
        self.pid = 0;
        self.explain(program)
    }

    /// From here on in the child. Returns only on failure, with -errno.
    pub fn become_payload(&mut self, program: &Program) -> isize {
        match self.place {
            Place::Ours => {}
            Place::Group => {
                sys::setpgid();
                if self.terminal >= 0 {
                    // From a background group: SIGTTOU is blocked, so the kernel lets it pass.
                    sys::tcsetpgrp(self.terminal, sys::getpid());
                }
            }
            Place::Session => {
                sys::setsid();
                if !program.console.is_empty() {
                    self.failed = Step::Terminal;
                    let fd = sys::open(program.console, libc::O_RDWR | libc::O_NOCTTY);
                    if fd < 0 {
                        return fd;
                    }
                    sys::dup_to_standard(fd as i32);
                }
                if program.takes_terminal {
                    sys::set_ctty(0);
                }
            }
        }
        if !program.ask.is_empty() {
            sys::write_str(1, program.ask);
            while sys::read(0, &mut [0; 64]) < 0 {}
        }
        self.become_user(program)
    }

    fn become_user(&mut self, program: &Program) -> isize {
        if !self.user.is_empty() {
            self.failed = Step::User;
            // Groups first: afterwards there is no right to change them.
            let groups = self.groups.get(..self.group_count as usize).unwrap_or_default();
            let error = sys::set_groups(groups) | sys::set_gid(self.gid) | sys::set_uid(self.uid);
            if error < 0 {
                return -libc::EPERM as isize;
            }
        }
        if !self.workdir.is_empty() {
            self.failed = Step::Workdir;
            let error = sys::chdir(self.workdir);
            if error < 0 {
                return error;
            }
        }
        self.failed = Step::Exec;
        for signal in 1..65 {
            if self.poll.ignored >> (signal - 1) & 1 != 0 {
                sys::ignore_signal(signal);
            }
        }
        // With signals blocked it would not be what was asked for.
        let error = sys::set_mask(self.mask);
        if error < 0 {
            return error;
        }
        self.exec(program)
    }

    /// As execvp: the first of the directories that has the program; one that is there
    /// but may not be run counts only if no other has it.
    fn exec(&mut self, program: &Program) -> isize {
        if program.name.contains(b'/') {
            return self.exec_file(program, program.name);
        }
        let mut worst = -libc::ENOENT as isize;
        let (mut path, mut directories) = (Text::new(), self.path);
        while candidate(&mut path, &mut directories, program.name) {
            let error = self.exec_file(program, path.as_str());
            match -error as i32 {
                libc::EACCES => worst = error,
                libc::ENOENT | libc::ENOTDIR => {}
                _ => return error,
            }
        }
        worst
    }

    fn exec_file(&self, program: &Program, path: Str) -> isize {
        let envp = self.stack.envp();
        let error = sys::execve(path, program.argv, envp);
        if error == -libc::ENOEXEC as isize && is_shell_text(path) {
            let shell = z(c"/bin/sh");
            sys::execve(shell, program.argv.behind(shell, path), envp);
        }
        error
    }
}

extern "C" fn child((init, program): &mut (&mut Init, &Program)) -> ! {
    init.error = init.become_payload(program);
    if !program.ask.is_empty() {
        init.explain(program);
    }
    sys::exit(exit::NOT_FOUND)
}

/// Whether it is text without `#!`, which execvp gives to a shell.
fn is_shell_text(path: Str) -> bool {
    let mut head = [0; binfmt::HEAD];
    let got = sys::read_head(path, &mut head, 0);
    let text = Str::from_buffer(&head);
    got > 0
        && matches!(binfmt::identify(&head, 1), Format::Unknown)
        && text.distance(text.find(0)) as isize >= got.min(255)
}

/// The path of `name` in the first of the directories, which is taken off the list; an
/// empty one is the current directory. False at the end of the list.
pub fn candidate(path: &mut Text, directories: &mut Str, name: Str) -> bool {
    if directories.is_empty() || name.is_empty() {
        return false;
    }
    path.clear();
    if directories.first() == b':' {
        path.byte(b'.');
    }
    path.until(*directories, b':').byte(b'/').push(name);
    *directories = directories.find(b':').rest();
    true
}

//! The payload, from clone to exec. What runs between the two is the child, on its
//! parent's stack: it only makes system calls and leaves its error in `Program`.

use crate::sys::{self, Memory};
use crate::text::Path;
use crate::user::User;
use core::ffi::{CStr, c_char};

/// Where the payload stands among processes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In our process group: a shell outside our pid namespace controls it as one job.
    Ours,
    /// In a group of its own, in the foreground of our terminal if we have one.
    Group,
    /// In a session of its own, with the terminal as its controlling one.
    Session,
}

/// What the child was at when it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Clone,
    User,
    Workdir,
    Terminal,
    Exec,
}

pub struct Program<'a> {
    pub name: &'a CStr,
    pub argv: *const *const c_char,
    pub envp: *const *const c_char,
    /// The directories to look in for a name without a slash.
    pub path: &'a [u8],
    /// The signal mask and the ignored signals it shall find.
    pub mask: u64,
    pub ignored: u64,
    pub place: Place,
    /// A descriptor of our controlling terminal, or -1.
    pub terminal: i32,
    /// A terminal to open as 0, 1 and 2.
    pub console: Option<&'a CStr>,
    /// Said on that terminal; a line is then waited for.
    pub ask: Option<&'static [u8]>,
    pub user: Option<&'a User>,
    pub workdir: Option<&'a CStr>,
    /// Where and with what error (-errno) it failed.
    pub failed: (Step, isize),
}

/// A running payload.
#[derive(Clone, Copy)]
pub struct Process {
    pub pid: i32,
    /// -1 where the kernel has none (before Linux 5.2).
    pub pidfd: i32,
}

/// None: it could not be started, and `program.failed` says why.
pub fn spawn(program: &mut Program) -> Option<Process> {
    program.failed = (Step::Clone, 0);
    // Who waits for a line must have memory of its own: it would hold us up.
    let memory = if program.ask.is_some() { Memory::Copied } else { Memory::Shared };
    let (pid, pidfd) = sys::clone(memory, child, program);
    if pid < 0 {
        program.failed.1 = pid;
    }
    if program.failed.1 == 0 {
        return Some(Process { pid: pid as i32, pidfd });
    }
    if pid > 0 {
        sys::close(pidfd);
        sys::wait_child(pid as i32, 0);
    }
    None
}

extern "C" fn child(program: &mut Program) -> ! {
    program.failed = prepare(program).unwrap_or_else(|failed| failed);
    if program.ask.is_some() {
        crate::diagnose::report(program);
    }
    sys::exit(crate::exit::NOT_FOUND)
}

/// Returns only if something failed.
fn prepare(program: &Program) -> Result<(Step, isize), (Step, isize)> {
    let check = |step, error: isize| if error < 0 { Err((step, error)) } else { Ok(()) };
    match program.place {
        Place::Ours => {}
        Place::Group => {
            sys::setpgid();
            if program.terminal >= 0 {
                // From a background group: SIGTTOU is blocked, so the kernel lets it pass.
                sys::tcsetpgrp(program.terminal, sys::getpid());
            }
        }
        Place::Session => {
            sys::setsid();
            if let Some(console) = program.console {
                check(Step::Terminal, open_console(console))?;
            }
            sys::set_ctty(0);
        }
    }
    if let Some(text) = program.ask {
        sys::writev(1, &[text]);
        while sys::read(0, &mut [0; 64]) < 0 {}
    }
    if let Some(user) = program.user {
        // Groups first: afterwards there is no right to change them.
        check(Step::User, sys::set_groups(user.groups()))?;
        check(Step::User, sys::set_gid(user.gid))?;
        check(Step::User, sys::set_uid(user.uid))?;
    }
    if let Some(directory) = program.workdir {
        check(Step::Workdir, sys::chdir(directory))?;
    }
    for signal in 1..=64u8 {
        if program.ignored >> (signal - 1) & 1 != 0 {
            sys::ignore_signal(signal);
        }
    }
    sys::set_mask(program.mask);
    Ok((Step::Exec, exec(program)))
}

fn open_console(path: &CStr) -> isize {
    let fd = sys::open(path, libc::O_RDWR | libc::O_NOCTTY);
    if fd < 0 {
        return fd;
    }
    for standard in 0..=2 {
        sys::dup_to(fd as i32, standard);
    }
    0
}

/// As execvp: the first of the directories that has the program; one that is there
/// but may not be run counts only if no other has it.
fn exec(program: &Program) -> isize {
    let name = program.name.to_bytes();
    if name.contains(&b'/') {
        return sys::execve(program.name, program.argv, program.envp);
    }
    let mut worst = -libc::ENOENT as isize;
    for directory in program.path.split(|b| *b == b':') {
        let Some(path) = candidate(directory, name) else { continue };
        let error = sys::execve(path.as_cstr(), program.argv, program.envp);
        match -error as i32 {
            libc::EACCES => worst = error,
            libc::ENOENT | libc::ENOTDIR => {}
            _ => return error,
        }
    }
    worst
}

/// The path of `name` below one directory of PATH, an empty one being the current.
pub fn candidate(directory: &[u8], name: &[u8]) -> Option<Path<1024>> {
    let directory = if directory.is_empty() { b"." } else { directory };
    Path::new(&[directory, b"/", name]).filter(|_| !name.is_empty())
}

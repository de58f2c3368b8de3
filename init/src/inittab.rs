//! /etc/inittab, in busybox's format: `terminal:ignored:action:command`.

use crate::machine::{HALT, POWER_OFF, REBOOT};
use crate::pack::t;
use crate::spawn::Program;
use crate::state::{Init, Place};
use crate::sys::{self, Scratch, Str, Text, Vector, z};
use crate::text::{self, field, next_line};

/// By their place here, from 1.
const ACTIONS: Str = z(c"sysinit wait once respawn askfirst ctrlaltdel shutdown restart");
const SYSINIT: u8 = 1;
const WAIT: u8 = 2;
const ONCE: u8 = 3;
const RESPAWN: u8 = 4;
const ASKFIRST: u8 = 5;
const CTRLALTDEL: u8 = 6;
const SHUTDOWN: u8 = 7;
const RESTART: u8 = 8;

/// What makes a command one for the shell.
const SHELL_CHARACTERS: Str = z(c"~`!$^&*()=|\\{}[];\"'<>?");

#[derive(Clone, Copy)]
struct Entry {
    /// None: this place is free.
    line: Option<Str<'static>>,
    action: u8,
    /// 0: does not run.
    pid: i32,
    /// When it may be started, in milliseconds.
    due: i64,
}

const FREE: Entry = Entry { line: None, action: 0, pid: 0, due: 0 };

struct Inittab {
    entries: [Entry; 32],
    /// What a signal asks for; 0: nothing.
    wanted: i32,
}

fn same_line(a: Str, b: Str) -> bool {
    let (mut a, mut b) = (a, b);
    while a.first() == b.first() && !matches!(a.first(), 0 | b'\n') {
        (a, b) = (a.rest(), b.rest());
    }
    a.first() == b.first()
}

impl Inittab {
    /// Takes over what runs already and still is in the file, and ends what is not.
    /// False: there is no such file, or nothing of use in it; all stays as it was.
    fn read(&mut self, init: &Init) -> bool {
        let (mut line, mut number, mut any) = (Scratch::read(z(c"/etc/inittab")).keep(), 0, false);
        let mut new = [FREE; 32];
        let mut free = new.iter_mut();
        while !line.is_empty() {
            number += 1;
            let action = text::place(ACTIONS, field(line, 2));
            if matches!(line.first(), b'#' | b'\n') {
            } else if action == 0 || matches!(field(line, 3).first(), 0 | b'\n') {
                init.say(t!("/etc/inittab:#: cannot use '%'"), line, line, number);
            } else if let Some(entry) = free.next() {
                any = true;
                (entry.line, entry.action) = (Some(line), action);
                for old in &mut self.entries {
                    if old.line.is_some_and(|old| same_line(old, line)) {
                        (entry.pid, entry.due) = (old.pid, old.due);
                        old.pid = 0;
                    }
                }
            }
            line = next_line(line);
        }
        if any {
            for old in &self.entries {
                if old.pid > 0 {
                    sys::kill(old.pid, libc::SIGTERM as u8);
                }
            }
            self.entries = new;
        }
        any
    }
}

impl Init {
    /// Runs the table until something asks for the end. False: there is none.
    pub fn run_inittab(&mut self) -> bool {
        let table = &mut Inittab { entries: [FREE; 32], wanted: 0 };
        if !table.read(self) {
            return false;
        }
        self.place = Place::Session;
        self.poll.want_children();
        self.run_entries(table, SYSINIT);
        self.run_entries(table, WAIT);
        self.run_entries(table, ONCE);
        loop {
            match table.wanted {
                libc::SIGHUP => _ = table.read(self),
                libc::SIGINT if table.entries.iter().any(|e| e.action == CTRLALTDEL) => {
                    self.run_entries(table, CTRLALTDEL);
                }
                0 => {}
                _ => break,
            }
            table.wanted = 0;
            let millis = self.respawn(table);
            self.next_event(table, millis);
        }
        self.end = match table.wanted {
            libc::SIGUSR1 => HALT,
            libc::SIGUSR2 | libc::SIGPWR => POWER_OFF,
            _ => REBOOT,
        };
        let restart = table.wanted == libc::SIGQUIT;
        table.wanted = 0;
        self.run_entries(table, SHUTDOWN);
        self.end_leftovers();
        if restart {
            self.run_entries(table, RESTART);
        }
        true
    }

    /// Starts all of this kind; those that are not started again are waited for.
    fn run_entries(&mut self, table: &mut Inittab, action: u8) {
        for index in 0..32 {
            if table.entries[index].action == action {
                self.start(&mut table.entries[index]);
                while !matches!(action, ONCE | CTRLALTDEL)
                    && table.wanted == 0
                    && table.entries[index].pid > 0
                {
                    self.next_event(table, -1);
                }
            }
        }
    }

    /// Starts what should run again. Returns how long the next of them has to wait.
    #[inline(always)]
    fn respawn(&mut self, table: &mut Inittab) -> i64 {
        let mut millis = -1;
        for entry in &mut table.entries {
            if entry.pid == 0 && matches!(entry.action, RESPAWN | ASKFIRST) {
                let mut left = entry.due - sys::now();
                if left <= 0 {
                    self.start(entry);
                    left = 5000;
                }
                if entry.pid == 0 && !(0..left).contains(&millis) {
                    millis = left;
                }
            }
        }
        millis
    }

    fn next_event(&mut self, table: &mut Inittab, millis: i64) {
        let signal = self.poll.wait(millis);
        if matches!(
            signal,
            libc::SIGHUP
                | libc::SIGINT
                | libc::SIGQUIT
                | libc::SIGTERM
                | libc::SIGUSR1
                | libc::SIGUSR2
                | libc::SIGPWR
        ) {
            table.wanted = signal;
        }
        loop {
            let (pid, _) = sys::wait_child(-1, 0);
            if pid <= 0 {
                break;
            }
            for entry in &mut table.entries {
                if entry.pid == pid as i32 {
                    entry.pid = 0;
                }
            }
        }
    }

    fn start(&mut self, entry: &mut Entry) {
        // Once a second, and a program that cannot be started every five.
        entry.due = sys::now() + 1000;
        self.run_entry(entry);
        entry.pid = self.pid;
        if entry.pid <= 0 {
            entry.due += 4000;
        }
    }

    fn run_entry(&mut self, entry: &Entry) {
        let Some(line) = entry.line else { return };
        let (mut console, mut command, mut shell) = (Text::new(), Text::new(), false);
        console.push(z(c"/dev/")).until(line, b':');
        command.push(z(c"exec "));
        let mut text = field(line, 3);
        let login = text.first() == b'-';
        while !matches!(text.first(), 0 | b'\n') {
            shell |= SHELL_CHARACTERS.contains(text.first());
            command.byte(text.first());
            text = text.rest();
        }
        // The first place is for `Vector::behind`, the last for the null at the end.
        let mut words = [core::ptr::null(); 32];
        if shell && !login {
            words[1] = z(c"/bin/sh").as_ptr();
            words[2] = z(c"-c").as_ptr();
            words[3] = command.as_str().as_ptr();
        } else {
            // `exec` comes first.
            command.split(&mut words[..31]);
        }
        let argv = Vector::new(&mut words[1..]);
        let name = argv.get(0).unwrap_or(Str::EMPTY);
        let ask = entry.action == ASKFIRST;
        let program = Program {
            name: if login { name.rest() } else { name },
            argv,
            console: if line.first() == b':' { Str::EMPTY } else { console.as_str() },
            ask: if ask { z(c"\nPress Enter to activate this console. ") } else { Str::EMPTY },
            takes_terminal: login || ask,
        };
        if entry.action == RESTART {
            // In place of ourselves.
            self.place = Place::Ours;
            self.error = self.become_payload(&program);
            self.explain(&program);
        } else {
            self.spawn(&program);
        }
    }
}

//! /etc/inittab, in busybox's format: `terminal:ignored:action:command`.

use crate::msg::{say, say1};
use crate::pack::t;
use crate::spawn::Program;
use crate::state::{End, Init, Place};
use crate::sys::{self, Scratch, Str, Strings, Text, Vector, Wake, z};
use crate::text::{self, field, next_line};

const ACTIONS: Str = z(c"sysinit wait once respawn askfirst ctrlaltdel shutdown restart");
const SYSINIT: u8 = 0;
const WAIT: u8 = 1;
const ONCE: u8 = 2;
const RESPAWN: u8 = 3;
const ASKFIRST: u8 = 4;
const CTRLALTDEL: u8 = 5;
const SHUTDOWN: u8 = 6;
const RESTART: u8 = 7;

/// What makes a command one for the shell.
const SHELL_CHARACTERS: Str = z(c"~`!$^&*()=|\\{}[];\"'<>?");

#[derive(Clone, Copy)]
struct Entry {
    line: Str<'static>,
    action: u8,
    /// 0: does not run.
    pid: i32,
    /// When it may be started, in milliseconds.
    due: i64,
}

pub struct Inittab {
    entries: [Entry; 32],
    count: usize,
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
    fn new() -> Inittab {
        Inittab {
            entries: [Entry { line: z(c""), action: 0, pid: 0, due: 0 }; 32],
            count: 0,
            wanted: 0,
        }
    }

    /// False: there is no such file, or nothing of use in it.
    fn read(&mut self) -> bool {
        let file = Scratch::read(z(c"/etc/inittab"));
        if file.error < 0 {
            return false;
        }
        let (mut line, mut number) = (file.keep(), 0);
        while !line.is_empty() {
            number += 1;
            if !matches!(line.first(), b'#' | b'\n') {
                let action = text::place(ACTIONS, field(line, 2));
                match (action, self.entries.get_mut(self.count)) {
                    (Some(action), Some(slot)) if !matches!(field(line, 3).first(), 0 | b'\n') => {
                        *slot = Entry { line, action, pid: 0, due: 0 };
                        self.count += 1;
                    }
                    _ => {
                        let mut what = Text::new();
                        what.until(line, b'\n');
                        say(
                            t!("/etc/inittab:%: cannot use '%'"),
                            Text::new().number(number, 10).as_str(),
                            what.as_str(),
                            what.as_str(),
                        );
                    }
                }
            }
            line = next_line(line);
        }
        self.count > 0
    }

    fn running(&mut self) -> &mut [Entry] {
        self.entries.get_mut(..self.count).unwrap_or_default()
    }

    /// Takes over what runs already and still is in the file, and ends what is not.
    fn reload(&mut self) {
        let mut new = Inittab::new();
        if !new.read() {
            return;
        }
        for old in self.running() {
            match new.running().iter_mut().find(|entry| same_line(entry.line, old.line)) {
                Some(entry) => *entry = *old,
                None if old.pid > 0 => _ = sys::kill(old.pid, libc::SIGTERM as u8),
                None => {}
            }
        }
        *self = new;
    }
}

impl Init {
    /// Runs the table until something asks for the end. False: there is none.
    #[inline(never)]
    pub fn run_inittab(&mut self) -> bool {
        let table = &mut Inittab::new();
        if !table.read() {
            return false;
        }
        self.place = Place::Session;
        self.poll.catch_all(libc::SA_NOCLDSTOP as usize);
        self.run_entries(table, SYSINIT, true);
        self.run_entries(table, WAIT, true);
        self.run_entries(table, ONCE, false);
        loop {
            match table.wanted {
                libc::SIGHUP => table.reload(),
                libc::SIGINT if table.entries.iter().any(|e| e.action == CTRLALTDEL) => {
                    self.run_entries(table, CTRLALTDEL, false);
                }
                0 => {}
                _ => break,
            }
            table.wanted = 0;
            let millis = self.respawn(table);
            self.next_event(table, millis);
        }
        let wanted = table.wanted;
        table.wanted = 0;
        self.run_entries(table, SHUTDOWN, true);
        self.end_leftovers();
        match wanted {
            libc::SIGQUIT => self.restart(table),
            libc::SIGUSR1 => self.end = End::Halt,
            libc::SIGUSR2 | libc::SIGPWR => self.end = End::PowerOff,
            _ => self.end = End::Reboot,
        }
        true
    }

    fn run_entries(&mut self, table: &mut Inittab, action: u8, wait: bool) {
        for index in 0..table.count {
            let Some(entry) = table.entries.get_mut(index) else { break };
            if entry.action == action {
                self.start(entry);
                while wait
                    && table.wanted == 0
                    && table.entries.get(index).is_some_and(|e| e.pid > 0)
                {
                    self.next_event(table, -1);
                }
            }
        }
    }

    /// Starts what should run again. Returns how long the next of them has to wait.
    fn respawn(&mut self, table: &mut Inittab) -> i64 {
        let (now, mut millis) = (sys::now(), -1);
        for entry in table.running() {
            if entry.pid == 0 && matches!(entry.action, RESPAWN | ASKFIRST) {
                if entry.due <= now {
                    self.start(entry);
                }
                if entry.pid == 0 && !(0..entry.due - now).contains(&millis) {
                    millis = entry.due - now;
                }
            }
        }
        millis
    }

    fn next_event(&mut self, table: &mut Inittab, millis: i64) {
        if self.poll.wait(millis) == Wake::Signal {
            let signal = self.poll.info.signal;
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
        }
        loop {
            let (pid, _) = sys::wait_child(-1, 0);
            if pid <= 0 {
                break;
            }
            for entry in table.running() {
                if entry.pid == pid as i32 {
                    entry.pid = 0;
                }
            }
        }
    }

    fn start(&mut self, entry: &mut Entry) {
        // Once a second, and a program that cannot be started every five.
        entry.due = sys::now() + 1000;
        if self.with_program(entry, |init, program| init.spawn(program) as isize) == 0 {
            entry.pid = self.pid;
            sys::close(self.pidfd);
        } else {
            entry.due += 4000;
        }
    }

    /// Becomes the program of the first restart entry.
    fn restart(&mut self, table: &mut Inittab) {
        if let Some(entry) = table.running().iter().find(|e| e.action == RESTART) {
            self.place = Place::Ours;
            self.error = self.with_program(entry, |init, program| init.become_payload(program));
            say1(t!("restart: cannot execute '%'"), entry.line);
        }
    }

    fn with_program(&mut self, entry: &Entry, run: fn(&mut Init, &Program) -> isize) -> isize {
        let (mut console, mut command, mut shell) = (Text::new(), Text::new(), false);
        console.push(z(c"/dev/")).until(entry.line, b':');
        let mut text = field(entry.line, 3);
        command.push(z(c"exec "));
        while !matches!(text.first(), 0 | b'\n') {
            shell |= SHELL_CHARACTERS.contains(text.first());
            command.byte(text.first());
            text = text.rest();
        }
        // The first place is for `Vector::behind`, the last for the null at the end.
        let mut words = [core::ptr::null(); 32];
        let mut name = z(c"/bin/sh");
        if shell {
            words[1] = name.as_ptr();
            words[2] = z(c"-c").as_ptr();
            words[3] = command.as_str().as_ptr();
        } else {
            let mut strings = Strings::new(command.split());
            strings.must();
            name = strings.must();
            let (mut word, mut at) = (Some(name), 1);
            while let (Some(text), 0..31) = (word, at) {
                words[at] = text.as_ptr();
                at += usize::from(!text.is_empty());
                word = strings.next();
            }
        }
        let login = name.first() == b'-';
        let ask = entry.action == ASKFIRST;
        let program = Program {
            name: if login { name.rest() } else { name },
            argv: Vector::new(words.get_mut(1..).unwrap_or_default()),
            console: if entry.line.first() == b':' { None } else { Some(console.as_str()) },
            ask: if ask { Some(z(c"\nPress Enter to activate this console. ")) } else { None },
            takes_terminal: login || ask,
        };
        run(self, &program)
    }
}

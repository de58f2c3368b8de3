//! argv -> Init: a superset of tini's, dumb-init's and catatonit's command lines.

use crate::msg::{hint, say};
use crate::pack::t;
use crate::state::{DROP, End, Init, Place};
use crate::sys::{self, Str, Text, z};
use crate::{exit, text};

pub fn end_named(name: Str) -> Option<End> {
    Some(match text::place(z(c"poweroff reboot halt"), name)? {
        0 => End::PowerOff,
        1 => End::Reboot,
        _ => End::Halt,
    })
}

/// Long options and, in the same order, the letters they stand for.
const LONG: Str = z(c"single-child rewrite verbose help version grace user workdir end launched license subreaper group");
const LETTERS: &[u8; 13] = b"crvhVGuDEXlsg";
const WITH_VALUE: Str = z(c"pertuGDE");
const FLAGS: Str = z(c"sgwPX");

fn help() -> Str<'static> {
    t!("\
Usage: init [OPTION]... [--] COMMAND [ARG]...
Runs COMMAND as process 1 should: forwards every signal, reaps zombies, ends what is
left and exits with its status. Takes the options of tini, dumb-init and catatonit,
with their defaults when called by their name.
  -u, --user USER[:GROUP]\trun COMMAND as this user, by name or number
  --workdir DIR\t\t\trun it in this directory
  --grace SECONDS\t\tfrom TERM to KILL for what is left at the end (3)
  -g\t\t\t\tsignal the process group of COMMAND
  -c, --single-child\t\tsignal COMMAND alone, also as dumb-init
  -r, --rewrite FROM:TO\t\tsend signal TO instead of FROM; 0 drops it
  -e CODE\t\t\texit 0 if COMMAND exits with this code
  -p SIGNAL\t\t\tget this signal when the parent dies
  -s\t\t\t\tbe a subreaper: always so, unless process 1
  -w, -v\t\t\ttell of reaped zombies; tell more
  -P\t\t\t\tno COMMAND: wait for TERM or INT
  --end HOW\t\t\tpoweroff, reboot or halt at the end
  -l, -h, --version
As the kernel's process 1 it reads COMMAND from behind -- on the kernel's command
line, and the end from init.end=HOW.
Exit codes: COMMAND's; 128+N by signal N; 127 not found; 126 not executable; 125 ours
")
}
fn version() -> Str<'static> {
    t!(" version 0.1.0\n")
}
fn license() -> Str<'static> {
    t!("Apache License 2.0\n")
}

/// A name and a packed text, line by line.
fn print(name: Str, text: Str) -> ! {
    let (mut line, mut text) = (Text::new(), text);
    line.push(name);
    while !text.is_empty() {
        line.message(text, b'\n').byte(b'\n');
        sys::write(1, line.bytes());
        line.clear();
        text = text.find(b'\n').rest();
    }
    sys::exit(0)
}

/// Last part of a path.
fn file_name(path: Str) -> Str {
    let (mut name, mut rest) = (path, path);
    while !rest.is_empty() {
        name = rest;
        rest = rest.find(b'/').rest();
    }
    name
}

#[inline(never)]
fn wrong(what: Str, argument: Str, value: Str) -> i32 {
    say(what, argument, value, value);
    hint(t!("init --help lists the options"));
    exit::OURS
}

impl Init {
    /// The defaults of the program that argv[0] names, and the variables tini reads.
    fn called(&mut self) -> Str<'static> {
        let called = file_name(self.stack.arg(0));
        if text::same_word(called, z(c"dumb-init")) {
            self.place = Place::Session;
            self.set(b'g');
        }
        if self.stack.env(z(c"TINI_KILL_PROCESS_GROUP=")).is_some() {
            self.set(b'g');
        }
        if let Some(level) = self.stack.env(z(c"TINI_VERBOSITY=")) {
            self.verbosity = text::whole_number(level).unwrap_or(1) as u8;
        }
        called
    }

    fn flag(&mut self, letter: u8, called: Str) -> bool {
        match letter {
            b'v' => self.verbosity += 1,
            b'h' => print(Str::EMPTY, help()),
            b'l' | b'L' => print(Str::EMPTY, license()),
            // `docker info` wants to read tini's name.
            b'V' => print(
                if text::same_word(called, z(c"init")) { called } else { z(c"tini") },
                version(),
            ),
            b'c' => {
                self.place = Place::Group;
                self.flags &= !(1 << (b'g' & 31));
            }
            _ if FLAGS.contains(letter) => self.set(letter),
            _ => return false,
        }
        true
    }

    /// None: the value is not one for this option.
    fn value(&mut self, letter: u8, value: Str<'static>) -> Option<()> {
        match letter {
            b'p' => _ = sys::prctl(libc::PR_SET_PDEATHSIG, text::signal(value)?.into()),
            b'e' => {
                let code = text::whole_number(value)?;
                *self.success.get_mut(code as usize / 64)? |= 1 << (code % 64);
            }
            b'r' => {
                let from = text::signal(value)?;
                let to = text::signal(value.find(b':').rest())?;
                *self.rewrite.get_mut(usize::from(from))? = if to == 0 { DROP } else { to };
            }
            b'u' => self.user = Some(value),
            b'G' => self.grace = text::whole_number(value)?,
            b'D' => self.workdir = Some(value),
            _ => self.end = end_named(value)?,
        }
        Some(())
    }

    /// Reads the options from argv[first] on. Returns the index of the command, or,
    /// after a message, the exit code.
    pub fn parse(&mut self, first: usize) -> Result<usize, i32> {
        let called = self.called();
        let mut at = first;
        loop {
            let argument = self.stack.arg(at);
            let mut letter = argument.rest().first();
            // A lone `-` is a command, however strange.
            if argument.first() != b'-' || letter == 0 {
                break;
            }
            at += 1;
            let mut rest = argument.rest().rest();
            if letter == b'-' {
                if rest.is_empty() {
                    break;
                }
                letter = text::place(LONG, rest)
                    .and_then(|i| LETTERS.get(usize::from(i)))
                    .copied()
                    .unwrap_or(0);
                rest = rest.find(b'=');
            }
            while !WITH_VALUE.contains(letter) {
                if !self.flag(letter, called) || rest.first() == b'=' {
                    return Err(wrong(t!("unknown option '%'"), argument, argument));
                }
                letter = rest.first();
                if letter == 0 {
                    break;
                }
                rest = rest.rest();
            }
            if letter == 0 {
                continue;
            }
            if rest.is_empty() {
                if at == self.stack.argc() {
                    return Err(wrong(t!("option '%' wants a value"), argument, argument));
                }
                rest = self.stack.arg(at);
                at += 1;
            } else if rest.first() == b'=' {
                rest = rest.rest();
            }
            if self.value(letter, rest).is_none() {
                return Err(wrong(t!("option '%': bad value '%'"), argument, rest));
            }
        }
        Ok(at)
    }
}

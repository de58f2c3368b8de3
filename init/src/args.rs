//! argv -> Init: a superset of tini's, dumb-init's and catatonit's command lines.

use crate::machine::ENDS;
use crate::pack::t;
use crate::state::{DROP, GROUP, Init, Place, VERBOSE};
use crate::sys::{self, Str, Text, z};
use crate::{exit, text};

/// Long options and, in the same order, the letters they stand for, behind that of none.
#[cfg(not(feature = "log"))]
const LONG: Str = z(c"single-child rewrite verbose help version grace user workdir end launched license subreaper group restart report");
#[cfg(not(feature = "log"))]
const LETTERS: &[u8; 16] = b"?crvhVGuDEXlsgRO";
#[cfg(not(feature = "log"))]
const WITH_VALUE: Str = z(c"pertuGDERO");
#[cfg(feature = "log")]
const LONG: Str = z(c"single-child rewrite verbose help version grace user workdir end launched license subreaper group restart report log");
#[cfg(feature = "log")]
const LETTERS: &[u8; 17] = b"?crvhVGuDEXlsgROS";
#[cfg(feature = "log")]
const WITH_VALUE: Str = z(c"pertuGDEROS");
/// See the constants in `state`.
const FLAGS: Str = z(c"vgwPcsX");

fn help() -> Str<'static> {
    t!("\
Usage: init [OPTION]... [--] COMMAND [ARG]...
Runs COMMAND, forwards signals, reaps zombies, ends what is left and exits with its
status. Takes the options of tini, dumb-init and catatonit, too, and has their defaults
when called by their name (dumb-init: a session of its own, and -g).
  -u, --user USER[:GROUP]\tby name or number
  --workdir DIR
  --grace SECONDS\t\tfrom TERM to KILL for what is left (3)
  --restart on-failure[:N]\tor always: start again, at first after 100 ms
  --report FD\t\t\twrite there how COMMAND ended
  --end HOW\t\t\tof the machine: poweroff, reboot or halt
  -g\t\t\t\tsignal the process group
  -c, --single-child\t\tsignal COMMAND alone
  -r, --rewrite FROM:TO\t\tsend signal TO for FROM; 0 drops it
  -e CODE\t\t\texit 0 instead of CODE
  -p SIGNAL\t\t\tget it when the parent dies
  -s\t\t\t\tsubreaper: always, unless process 1
  -w, -v\t\t\ttell of zombies, of signals
  -P\t\t\t\tno COMMAND: wait for TERM or INT
  -l, -h, --version
As the kernel's process 1: COMMAND from behind -- on the kernel's command line, HOW
from init.end=HOW; without COMMAND /etc/inittab.
Exit codes: COMMAND's; 128+N: signal N; 127: not found; 126: not executable; 125: ours
")
}
/// Also of the license.
fn version() -> Str<'static> {
    t!(" version 0.1.0 - Apache License 2.0\n")
}

/// A name and a packed text, line by line.
fn print(name: Str, text: Str) -> ! {
    let (mut line, mut text) = (Text::new(), text);
    line.push(name);
    while !text.is_empty() {
        line.format(text, b'\n', [text; 2], 0).byte(b'\n');
        sys::write(1, line.bytes());
        line.clear();
        text = text::next_line(text);
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

impl Init {
    #[inline(never)]
    fn wrong(&self, what: Str, argument: Str, value: Str) -> i32 {
        self.say(what, argument, value, 0);
        exit::OURS
    }

    /// The defaults of the program that argv[0] names, and the variables tini reads.
    fn called(&mut self) -> Str<'static> {
        let called = file_name(self.stack.arg(0));
        if text::same_word(called, z(c"dumb-init")) {
            self.place = Place::Session;
            self.flags |= GROUP;
        }
        if self.stack.env(z(c"TINI_KILL_PROCESS_GROUP=")).is_some() {
            self.flags |= GROUP;
        }
        if self.stack.env(z(c"TINI_VERBOSITY=")).is_some_and(|level| text::value(level) > 1) {
            self.flags |= VERBOSE;
        }
        called
    }

    fn flag(&mut self, letter: u8, called: Str) -> bool {
        match letter {
            b'h' => print(Str::EMPTY, help()),
            // `docker info` wants to read tini's name.
            b'l' | b'L' | b'V' => print(
                if text::same_word(called, z(c"init")) { called } else { z(c"tini") },
                version(),
            ),
            _ if FLAGS.contains(letter) => self.flags |= 1 << FLAGS.distance(FLAGS.find(letter)),
            _ => return false,
        }
        true
    }

    /// None: the value is not one for this option.
    fn value(&mut self, letter: u8, value: Str<'static>) -> Option<()> {
        match letter {
            b'p' => _ = sys::prctl(libc::PR_SET_PDEATHSIG, text::signal(value)?.into()),
            b'e' => {
                self.success[usize::from(u8::try_from(text::whole_number(value)?).ok()?)] = true;
            }
            b'r' => {
                let from = text::signal(value)?;
                let to = text::signal(value.find(b':').rest())?;
                self.rewrite[usize::from(from)] = if to == 0 { DROP } else { to };
            }
            b'u' => self.user = value,
            b'G' => self.grace = text::whole_number(value)?,
            b'D' => self.workdir = value,
            b'O' => {
                let fd = text::whole_number(value)? as i32;
                if sys::set_cloexec(fd) < 0 {
                    return None;
                }
                self.report = fd;
            }
            // In kibibytes; standard output is the log.
            #[cfg(feature = "log")]
            b'S' => self.keep_log(text::whole_number(value)?),
            b'R' => {
                let policy = text::place(z(c"no on-failure always unless-stopped"), value);
                (self.always, self.delay) = (policy > 2, 100);
                self.restarts = match value.find(b':').rest() {
                    _ if policy == 0 => return None,
                    _ if policy == 1 => 0,
                    count if policy == 2 && !count.is_empty() => text::whole_number(count)?,
                    _ => u32::MAX,
                };
            }
            _ => {
                self.end = text::place(ENDS, value);
                if self.end == 0 {
                    return None;
                }
            }
        }
        Some(())
    }

    /// Reads the options from argv[first] on. Returns the index of the command, or,
    /// after a message, the exit code.
    #[inline(always)]
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
                letter = LETTERS.get(usize::from(text::place(LONG, rest))).copied().unwrap_or(0);
                rest = rest.find(b'=');
            }
            while !WITH_VALUE.contains(letter) {
                if !self.flag(letter, called) || rest.first() == b'=' {
                    return Err(self.wrong(
                        t!("unknown option '%'\nhint: init --help lists the options"),
                        argument,
                        argument,
                    ));
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
                    return Err(self.wrong(
                        t!("option '%' wants a value\nhint: init --help lists the options"),
                        argument,
                        argument,
                    ));
                }
                rest = self.stack.arg(at);
                at += 1;
            } else if rest.first() == b'=' {
                rest = rest.rest();
            }
            if self.value(letter, rest).is_none() {
                return Err(self.wrong(
                    t!("option '%': bad value '%'\nhint: init --help lists the options"),
                    argument,
                    rest,
                ));
            }
        }
        Ok(at)
    }
}

//! argv -> Options: a superset of tini's, dumb-init's and catatonit's command lines.

use crate::msg::say;
use crate::sys::{self, Stack};
use crate::{exit, text};
use core::ffi::CStr;

/// What to do with the machine when there is nothing left to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    PowerOff,
    Reboot,
    Halt,
}

impl End {
    pub fn named(name: &[u8]) -> Option<End> {
        match name {
            b"poweroff" => Some(End::PowerOff),
            b"reboot" => Some(End::Reboot),
            b"halt" => Some(End::Halt),
            _ => None,
        }
    }
}

pub struct Options {
    /// One bit for each option without a value, by its letter.
    flags: u64,
    /// tini's scale: 1 warnings, 2 and more: what is done.
    pub verbosity: u32,
    /// Seconds.
    pub grace: u32,
    /// What each signal becomes on its way to the payload; 0: dropped.
    pub rewrite: [u8; 65],
    /// Exit codes that become 0.
    pub success: [u64; 4],
    pub user: Option<&'static CStr>,
    pub workdir: Option<&'static CStr>,
    pub end: Option<End>,
    /// Where in argv the command is; argc if there is none.
    pub command: usize,
}

/// Long names, each behind the letter it stands for.
const LONG: &[u8] = b"csingle-child rrewrite vverbose hhelp Vversion Ggrace uuser Dworkdir Eend Xlaunched llicense ssubreaper ggroup Ppause";
const WITH_VALUE: &[u8] = b"pertuGDE";
const FLAGS: &[u8] = b"sgwcPX";

const HELP: &[u8] = b"\
Usage: init [OPTION]... [--] COMMAND [ARG]...
Runs COMMAND as process 1 should: forwards every signal to it, reaps zombies, ends
what it left behind and exits with its status. Understands the options of tini,
dumb-init and catatonit, and has their defaults when it is called by their name.
  -u, --user USER[:GROUP]  run COMMAND as this user, by name or number
      --workdir DIR        run COMMAND in this directory
      --grace SECONDS      from TERM to KILL for processes left at the end (3)
  -g                       signal the process group of COMMAND
  -c, --single-child       signal COMMAND alone (dumb-init's default is its session)
  -r, --rewrite FROM:TO    send signal TO instead of FROM; 0 drops it
  -e CODE                  exit 0 if COMMAND exits with this code
  -p SIGNAL                get this signal when the parent dies
  -s                       be a subreaper; always so unless process 1
  -w, -v                   tell of reaped zombies; tell more
  -P                       no COMMAND: wait for TERM or INT
      --end HOW            poweroff, reboot or halt the machine at its end
  -l, -h, --version
Without COMMAND it runs /etc/inittab. As the kernel's process 1 it mounts what is
missing and takes its arguments from behind -- on the kernel command line, and the
end from init.end=HOW.
Exit codes: COMMAND's; 128+N by signal N; 127 not found; 126 not executable; 125 ours.
";
const VERSION: &[u8] = concat!(" version ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();
const LICENSE: &[u8] = b"Licensed under the Apache License, Version 2.0.\n";

impl Options {
    pub fn has(&self, letter: u8) -> bool {
        self.flags >> (letter & 63) & 1 != 0
    }

    /// Where TSTP, TTIN and TTOU would do nothing, STOP does; a rewrite of theirs stays.
    pub fn stop_for_good(&mut self) {
        for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            if let Some(to) =
                self.rewrite.get_mut(signal as usize).filter(|to| i32::from(**to) == signal)
            {
                *to = libc::SIGSTOP as u8;
            }
        }
    }

    fn set(&mut self, letter: u8) {
        self.flags |= 1 << (letter & 63);
    }

    /// As `called`, with the environment variables tini reads.
    fn new(stack: Stack, called: &[u8]) -> Options {
        let mut options = Options {
            flags: 0,
            verbosity: 1,
            grace: 3,
            rewrite: core::array::from_fn(|signal| signal as u8),
            success: [0; 4],
            user: None,
            workdir: None,
            end: None,
            command: 0,
        };
        if called == b"dumb-init" {
            options.set(b'g');
            options.set(b'S');
        }
        if stack.env(b"TINI_KILL_PROCESS_GROUP=").is_some() {
            options.set(b'g');
        }
        if let Some(level) = stack.env(b"TINI_VERBOSITY=").and_then(|v| text::number(v.to_bytes()))
        {
            options.verbosity = level;
        }
        options
    }

    /// `called` is the name for --version: `docker info` wants to read tini's.
    fn flag(&mut self, letter: u8, called: &[u8]) -> Option<()> {
        match letter {
            b'v' => self.verbosity += 1,
            b'h' => print(&[HELP]),
            b'l' | b'L' => print(&[LICENSE]),
            b'V' if called == b"docker-init" || called == b"catatonit" => {
                print(&[b"tini", VERSION])
            }
            b'V' => print(&[called, VERSION]),
            b'c' => self.flags &= !(1 << (b'g' & 63) | 1 << (b'S' & 63)),
            _ if FLAGS.contains(&letter) => self.set(letter),
            _ => return None,
        }
        Some(())
    }

    fn value(&mut self, letter: u8, value: &'static CStr) -> Option<()> {
        let bytes = value.to_bytes();
        match letter {
            b'p' => {
                sys::prctl(libc::PR_SET_PDEATHSIG, usize::from(text::signal(bytes)?));
            }
            b'e' => {
                let code = text::number(bytes)?;
                *self.success.get_mut(code as usize / 64)? |= 1 << (code % 64);
            }
            b'r' => {
                let mut sides = bytes.split(|b| *b == b':');
                let (from, to) = (text::signal(sides.next()?)?, text::signal(sides.next()?)?);
                *self.rewrite.get_mut(usize::from(from)).filter(|_| from != 0)? = to;
            }
            b'u' => self.user = Some(value),
            b'G' => self.grace = text::number(bytes)?,
            b'D' => self.workdir = Some(value),
            _ => self.end = Some(End::named(bytes)?),
        }
        Some(())
    }
}

fn print(parts: &[&[u8]]) -> ! {
    sys::writev(1, parts);
    sys::exit(0)
}

/// The letter of a long option and, after `=`, its value.
fn long(name: &'static [u8]) -> Option<(u8, Option<&'static CStr>)> {
    let end = name.iter().position(|b| *b == b'=' || *b == 0)?;
    let word = LONG.split(|b| *b == b' ').find(|word| word.get(1..) == name.get(..end))?;
    let value = name.get(end + 1..).and_then(|v| CStr::from_bytes_with_nul(v).ok());
    Some((*word.first()?, value))
}

/// What is wrong, and with which value.
struct Wrong(&'static [u8], &'static [u8]);

struct Parser {
    stack: Stack,
    at: usize,
    called: &'static [u8],
    options: Options,
}

impl Parser {
    /// The next argument, with its NUL.
    fn next(&mut self) -> Option<&'static CStr> {
        self.at += 1;
        self.stack.arg(self.at - 1)
    }

    fn option(&mut self, letter: u8, attached: Option<&'static CStr>) -> Result<(), Wrong> {
        if !WITH_VALUE.contains(&letter) {
            return match attached {
                None => self.options.flag(letter, self.called).ok_or(Wrong(b"unknown option", b"")),
                Some(value) => Err(Wrong(b"unwanted value", value.to_bytes())),
            };
        }
        let value = attached.or_else(|| self.next()).ok_or(Wrong(b"missing value", b""))?;
        self.options.value(letter, value).ok_or(Wrong(b"bad value", value.to_bytes()))
    }

    /// One argument that begins with `-`; `word` is what follows, with the NUL.
    fn argument(&mut self, word: &'static [u8]) -> Result<(), Wrong> {
        if let Some(name) = word.strip_prefix(b"-") {
            let (letter, value) = long(name).ok_or(Wrong(b"unknown option", b""))?;
            return self.option(letter, value);
        }
        let mut rest = word;
        while let Some((&letter, after)) = rest.split_first() {
            rest = after;
            if letter == 0 {
                break;
            }
            let takes_rest = WITH_VALUE.contains(&letter) && rest.len() > 1;
            let attached = if takes_rest { CStr::from_bytes_with_nul(rest).ok() } else { None };
            self.option(letter, attached)?;
            if takes_rest {
                break;
            }
        }
        Ok(())
    }
}

/// Reads the options from argv[first] on. Err: the exit code, after the message.
pub fn parse(stack: Stack, first: usize) -> Result<Options, i32> {
    let path = stack.arg(0).unwrap_or_default().to_bytes();
    let called = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let mut parser = Parser { stack, at: first, called, options: Options::new(stack, called) };
    while let Some(arg) = stack.arg(parser.at) {
        // A lone `-` is a command, however strange.
        let Some(word) = arg.to_bytes_with_nul().strip_prefix(b"-").filter(|w| w.len() > 1) else {
            break;
        };
        parser.at += 1;
        if word == b"-\0" {
            break;
        }
        if let Err(Wrong(what, value)) = parser.argument(word) {
            say(&[what, b" '", value, b"' in '", arg.to_bytes(), b"'"]);
            crate::msg::hint(b"init --help lists the options");
            return Err(exit::OURS);
        }
    }
    parser.options.command = parser.at;
    Ok(parser.options)
}

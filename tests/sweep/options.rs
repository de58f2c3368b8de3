//! The sweep's command line; as a test it gets the ones of cargo test, too.

use std::ffi::OsString;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wrong {
    Fails { errno: i32 },
    Never { errno: i32 },
    Dies { signal: i32, init: bool },
}

const WRONGS: [(&str, Wrong); 8] = [
    ("ENOMEM", Wrong::Fails { errno: libc::ENOMEM }),
    ("EPERM", Wrong::Fails { errno: libc::EPERM }),
    ("EINTR", Wrong::Fails { errno: libc::EINTR }),
    ("ENOSYS", Wrong::Never { errno: libc::ENOSYS }),
    ("KILL", Wrong::Dies { signal: libc::SIGKILL, init: false }),
    ("TERM", Wrong::Dies { signal: libc::SIGTERM, init: false }),
    ("INIT-KILL", Wrong::Dies { signal: libc::SIGKILL, init: true }),
    ("INIT-TERM", Wrong::Dies { signal: libc::SIGTERM, init: true }),
];

impl Wrong {
    pub fn name(self) -> &'static str {
        WRONGS.iter().find(|(_, w)| *w == self).map_or("", |(n, _)| n)
    }

    pub fn is_inits(self) -> bool {
        matches!(self, Wrong::Dies { init: true, .. })
    }

    pub fn number(self) -> usize {
        WRONGS.iter().position(|(_, w)| *w == self).unwrap_or(0)
    }
}

#[derive(Debug)]
pub struct Options {
    pub wrongs: Vec<Wrong>,
    /// Every so many-th call only.
    pub every: usize,
    only: Vec<String>,
    pub point: Option<(usize, usize)>,
    pub verbose: bool,
    pub peers: bool,
}

const HELP: &str = "\
Usage: benches/sweep [OPTIONS]      (as root)

  --only A,B       only what has one of these in its name: root, user, crun, ...
  --fault F,G      only these: ENOMEM EPERM EINTR ENOSYS KILL TERM INIT-KILL INIT-TERM
  --every N        only each N-th system call (1)
  --point P:N      only the N-th call of process P (both from 0)
  --peers          crun, runc and bwrap, too, where they are installed
  --verbose        every call, and every run
";

impl Options {
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| name.contains(o.as_str()))
    }

    /// None when there is nothing to do. Without options: the sample that tests take.
    pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
        let all = WRONGS.iter().map(|(_, w)| *w).collect();
        let mut o = Options {
            wrongs: all,
            every: 20,
            only: Vec::new(),
            point: None,
            verbose: false,
            peers: false,
        };
        let mut args = args.map(|a| a.to_string_lossy().into_owned());
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{HELP}"));
            let number = |t: &str| t.parse::<usize>().map_err(|e| format!("{t}: {e}\n{HELP}"));
            match arg.as_str() {
                "--full" => o.every = 1,
                "--peers" => o.peers = true,
                "--verbose" => o.verbose = true,
                "--every" => o.every = number(&value()?)?.max(1),
                "--only" => {
                    let list = value()?;
                    let names = list.split(',').map(str::trim).filter(|n| !n.is_empty());
                    o.only = names.map(str::to_owned).collect();
                    if o.only.is_empty() {
                        return Err(format!("--only {list:?} names nobody\n{HELP}"));
                    }
                }
                "--point" => {
                    let text = value()?;
                    let (role, index) = text.split_once(':').ok_or(HELP)?;
                    o.point = Some((number(role)?, number(index)?));
                    o.every = 1;
                }
                "--fault" => {
                    let named = |n: &str| WRONGS.iter().find(|(name, _)| *name == n);
                    let list = value()?;
                    o.wrongs = list
                        .split(',')
                        .map(|n| named(n).map(|(_, w)| *w).ok_or(format!("{n}?\n{HELP}")))
                        .collect::<Result<_, _>>()?;
                }
                "--help" | "-h" => {
                    print!("{HELP}");
                    return Ok(None);
                }
                // cargo test's own.
                "--list" => return Ok(None),
                "--skip" | "--test-threads" => drop(value()?),
                other if other.starts_with('-') => {}
                filter if "sweep".contains(filter) => {}
                _ => return Ok(None),
            }
        }
        Ok(Some(o))
    }
}

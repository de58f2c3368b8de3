//! What one call of `launch` is to do.

use crate::cli::time::When;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::image::{Wishes, volume};
use crate::list::Listing;
use crate::spec::{Limits, Spec};
use crate::stage::Order;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Run {
        spec: Box<Spec>,
        /// The command line that says the same, without `launch`.
        words: Vec<OsString>,
        mode: Mode,
        json: bool,
    },
    Exec {
        exec: Box<Exec>,
        mode: Mode,
        json: bool,
    },
    Ps(Listing),
    Inspect {
        names: Vec<String>,
        format: Option<Format>,
    },
    Port {
        names: Vec<String>,
    },
    Stop {
        /// None: of all that run.
        names: Option<Vec<String>>,
        signal: Option<i32>,
        /// Seconds.
        timeout: Option<u32>,
    },
    Start {
        names: Vec<String>,
    },
    Restart {
        names: Vec<String>,
        signal: Option<i32>,
        /// Seconds.
        timeout: Option<u32>,
    },
    Kill {
        names: Option<Vec<String>>,
        signal: i32,
    },
    Wait {
        names: Vec<String>,
    },
    Logs {
        name: String,
        follow: bool,
        /// Lines.
        tail: Option<u64>,
        since: Option<When>,
        until: Option<When>,
    },
    Stats {
        names: Vec<String>,
        once: bool,
        json: bool,
    },
    Top {
        name: String,
    },
    Pause {
        names: Vec<String>,
        on: bool,
    },
    Update {
        names: Vec<String>,
        limits: Limits,
    },
    Rm {
        names: Vec<String>,
        force: bool,
        all: bool,
    },
    Inject {
        rootfs: PathBuf,
    },
    Stage {
        order: Box<Order>,
        /// An archive to write, in place of the order's directory; `-` is standard output.
        tar: Option<PathBuf>,
    },
    Import {
        file: PathBuf,
        name: Option<String>,
        wishes: Box<Wishes>,
    },
    Images {
        json: bool,
    },
    Rmi {
        names: Vec<String>,
    },
    Prune {
        every: bool,
    },
    Export {
        rootfs: PathBuf,
        keep: Option<PathBuf>,
        /// None: standard output.
        out: Option<PathBuf>,
    },
    Commit {
        dir: PathBuf,
        name: String,
    },
    Volume(volume::Order),
    /// Text for standard output, exit 0.
    Print(String),
}

/// One more process for a container. Of the Spec only what `launch exec` has options for.
#[derive(Clone, Debug, PartialEq)]
pub struct Exec {
    pub name: String,
    pub spec: Spec,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Run,
    /// Print the steps in words and as shell commands; change nothing.
    Explain,
    /// Run, then print the microseconds of each step.
    Trace,
}

impl Mode {
    pub fn of(explain: bool, trace: bool, json: bool) -> Result<Mode> {
        let mode = match (explain, trace) {
            (true, true) => {
                return Err(Error::new(
                    "--explain changes nothing and --trace runs: give one of them",
                ));
            }
            (true, false) => Mode::Explain,
            (false, true) => Mode::Trace,
            (false, false) => Mode::Run,
        };
        if json && mode == Mode::Run {
            return Err(Error::new("--json needs --explain or --trace"));
        }
        Ok(mode)
    }
}

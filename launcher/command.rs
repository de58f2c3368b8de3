//! What one call of `launch` is to do.

use crate::image::Wishes;
use crate::spec::Spec;
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
    Ps {
        /// Also what has ended.
        all: bool,
        quiet: bool,
        /// Commands are not cut.
        whole: bool,
        json: bool,
    },
    Inspect {
        names: Vec<String>,
    },
    Stop {
        names: Vec<String>,
        signal: Option<i32>,
        /// Seconds.
        timeout: Option<u32>,
    },
    Kill {
        names: Vec<String>,
        signal: i32,
    },
    Wait {
        names: Vec<String>,
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
    /// Text for standard output, exit 0.
    Print(String),
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

//! What one call of `launch` is to do.

use crate::spec::Spec;
use crate::stage::Order;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Run {
        spec: Box<Spec>,
        mode: Mode,
        json: bool,
    },
    Inject {
        rootfs: PathBuf,
    },
    Stage {
        order: Box<Order>,
        /// An archive to write, in place of the order's directory; `-` is standard output.
        tar: Option<PathBuf>,
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

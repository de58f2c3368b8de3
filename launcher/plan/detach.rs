//! What a detached container has instead of its launcher: nothing to read, a log, and a
//! file for its init's reports.

use super::{Builder, c_string};
use crate::error::{Error, Result};
use crate::record::File;
use crate::spec::{Log, Restart, Spec};
use crate::step::{ChildStep, Harden, HostStep};
use crate::supervise::NO_RESTART;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::ffi::{CString, OsString};
use std::path::PathBuf;

/// The slots, in this order.
const NULL: usize = 0;
const LOG: usize = 1;
pub const REPORT: usize = 2;

/// /dev/null in each: the files come later, when they are recorded, by the same numbers.
pub fn places() -> Result<Vec<OwnedFd>> {
    let open = |_| {
        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| Error::os("open /dev/null", e))
    };
    (0..3).map(open).collect()
}

pub fn make_files(spec: &Spec, id: &str) -> Vec<HostStep> {
    let mut steps = match spec.log {
        Log::File { .. } => vec![HostStep::MakeFile { file: File::Log, slot: LOG }],
        Log::Journal => vec![HostStep::ToJournal { id: id.to_owned(), slot: LOG }],
        Log::None => Vec::new(),
    };
    steps.push(HostStep::MakeFile { file: File::Report, slot: REPORT });
    steps
}

/// `--pidfile` and `--cidfile`.
pub fn files_for_others(spec: &Spec, id: &str) -> Vec<HostStep> {
    let file = |option, path: &Option<PathBuf>, name| {
        let path = path.clone()?;
        Some(HostStep::WriteFile { option, path, name })
    };
    let pid = file("--pidfile", &spec.pidfile, None);
    pid.into_iter().chain(file("--cidfile", &spec.cidfile, Some(id.to_owned()))).collect()
}

impl Builder<'_> {
    /// Input from nowhere, output to the log.
    pub fn redirect(&mut self) {
        for (slot, fd) in [(NULL, 0), (LOG, 1), (LOG, 2)] {
            self.child.push(ChildStep::Redirect { slot, fd });
        }
    }

    /// The most bytes of the log; 0: there is none, or no init to look after it.
    pub fn log_size(&self) -> u64 {
        match self.spec.log {
            Log::File { most } if self.spec.detach && !self.spec.no_init => most,
            _ => 0,
        }
    }

    /// What the init calls for the log's sake; a filter of the user's may kill for it.
    fn may_cut(&self) -> bool {
        self.child.iter().all(|step| match step {
            ChildStep::Harden(Harden::Filter(filter)) => {
                ["statx", "fallocate", "ftruncate"].iter().all(|name| filter.allows(name))
            }
            _ => true,
        })
    }

    /// Options of init's command line.
    pub fn init_options(&self, report: Option<&OwnedFd>) -> Result<Vec<CString>> {
        let mut argv = Vec::new();
        if let Some(report) = report {
            argv.extend([c"--report".into(), c_string(report.as_raw_fd().to_string())?]);
        }
        if self.log_size() > 0 && self.may_cut() {
            let kibibytes = self.log_size().div_ceil(1024).min(u32::MAX.into());
            argv.extend([c"--log".into(), c_string(kibibytes.to_string())?]);
        }
        let policy = match self.spec.restart {
            Restart::No => return Ok(argv),
            Restart::Always => "always".to_owned(),
            Restart::OnFailure(None) => "on-failure".to_owned(),
            Restart::OnFailure(Some(n)) => format!("on-failure:{n}"),
        };
        argv.extend([c"--restart".into(), c_string(policy)?]);
        argv.push(c_string(format!("--rewrite={NO_RESTART}:0"))?);
        Ok(argv)
    }
}

impl super::Plan {
    /// The words by which the user asked for it, for the record.
    pub fn asked_for(&mut self, words: Vec<OsString>) {
        for step in &mut self.host {
            if let HostStep::Record { facts, .. } = step {
                facts.argv = words;
                return;
            }
        }
    }
}

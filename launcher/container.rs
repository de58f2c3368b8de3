//! A container by its record, as the commands about it see it.

use crate::command::Command;
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::record::{Found, Life};
use crate::spec::Spec;

impl Found {
    /// What was asked for, made from the same words again.
    pub fn spec(&self) -> Result<Box<Spec>> {
        let damaged = || {
            Error::new(format!("container {}: damaged record", quote(&self.name)))
                .hint(self.place.join(&self.name).display().to_string())
        };
        if self.entry.facts.argv.is_empty() {
            return Err(damaged());
        }
        match crate::cli::parse(self.entry.facts.argv.iter().cloned()) {
            Ok(Command::Run { spec, .. }) => Ok(spec),
            _ => Err(damaged()),
        }
    }

    /// One word.
    pub fn state(&self) -> &'static str {
        match self.life {
            Life::Ended => "ended",
            Life::Elsewhere => "elsewhere",
            Life::Running if self.is_starting() => "starting",
            Life::Running if self.is_paused() => "paused",
            Life::Running => "running",
        }
    }

    /// With the exit status of what has ended.
    pub fn status(&self) -> String {
        match &self.entry.ended {
            Some(e) if e.out_of_memory => format!("ended {}, out of memory", e.code),
            Some(e) => format!("ended {}", e.code),
            None => self.state().into(),
        }
    }
}

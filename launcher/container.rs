//! A container by its record, as the commands about it see it.

use crate::cgroup::Glance;
use crate::command::Command;
use crate::error::Result;
use crate::image::apply;
use crate::image::digest::Digest;
use crate::image::store::Store;
use crate::record::{Found, Life};
use crate::spec::Spec;
use std::borrow::Cow;
use std::ffi::OsString;

impl Found {
    /// What the command line said, made from the same words again.
    pub fn asked(&self) -> Result<Box<Spec>> {
        match crate::cli::parse(self.entry.facts.argv.iter().cloned()) {
            Ok(Command::Run { mut spec, .. }) => {
                spec.net.settle(!rustix::process::geteuid().is_root());
                Ok(spec)
            }
            _ => Err(self.damaged("has a damaged record")),
        }
    }

    /// The same with what its image said at its start.
    pub fn spec(&self) -> Result<Box<Spec>> {
        let mut spec = self.asked()?;
        apply::again(&mut spec, &self.entry.facts.image)
            .ok_or_else(|| self.damaged("has a damaged record"))?;
        spec.stop_signal = spec.stop_signal.or(self.entry.facts.stop_signal);
        Ok(spec)
    }

    /// The same with what else its image says, as far as the image is still known.
    pub fn settled_spec(&self) -> Result<Box<Spec>> {
        let mut spec = self.spec()?;
        let id = Digest::parse(&self.entry.facts.image_id);
        let store = id.and_then(|_| Store::existing().ok().flatten());
        let record = id.zip(store).and_then(|(id, store)| store.image(&id).ok().flatten());
        if let Some(whole) = record.and_then(|r| apply::apply(&spec, &r.config).ok()) {
            (spec.volumes, spec.stop_signal) = (whole.volumes, whole.stop_signal);
        }
        Ok(spec)
    }

    /// Of one that runs.
    pub fn glance(&self) -> Glance {
        match self.life {
            Life::Running => Glance::of(self.cgroups()),
            _ => Glance::default(),
        }
    }

    /// The command alone, for a list: the words at the end of what was asked for.
    pub fn command(&self) -> Option<Cow<'_, [OsString]>> {
        let facts = &self.entry.facts;
        let (words, image) = (facts.argv.as_slice(), facts.image.get(2..));
        match (image, facts.command, words.len().checked_sub(facts.command)) {
            (Some(command), ..) => Some(Cow::Borrowed(command)),
            (None, 1.., Some(from)) => Some(Cow::Borrowed(&words[from..])),
            _ => self.spec().ok().map(|spec| Cow::Owned(spec.command)),
        }
    }

    /// One word. `frozen`: its processes stand still.
    pub fn state(&self, frozen: bool) -> &'static str {
        match self.life {
            Life::Ended if self.is_damaged() => "damaged",
            Life::Ended => "ended",
            Life::Elsewhere => "elsewhere",
            Life::Running if self.entry.running && self.is_damaged() => "damaged",
            Life::Running if self.is_starting() => "starting",
            Life::Running if frozen => "paused",
            Life::Running => "running",
        }
    }

    /// With the exit status of what has ended.
    pub fn status(&self, frozen: bool) -> String {
        match &self.entry.ended {
            Some(e) if e.out_of_memory => format!("ended {}, out of memory", e.code),
            Some(e) => format!("ended {}", e.code),
            None => self.state(frozen).into(),
        }
    }
}

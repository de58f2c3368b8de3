//! What is to be thought of one run, and of many.

use crate::fingerprint;
use crate::left::{self, Kind, Things};
use crate::subjects::Subject;
use crate::tracer::{self, Call, Fault, Outcome, Setting};
use std::io::{Error, Result};
use std::time::{Duration, Instant};

/// What an older kernel's way may change, as it is not weaker: without open_tree(2) the
/// container does not see its cgroups, which hold it all the same; without memfd_create(2)
/// its init is another file that cannot be written.
fn older_way(line: &str) -> bool {
    let unseen = ["- mount / /sys/fs/cgroup/", "- limit "].iter().any(|s| line.starts_with(s))
        || line.starts_with("+ limit ") && line.ends_with(" entity not found");
    unseen || line.contains(" write /proc/1/exe ") && !line.ends_with(" yes")
}

/// How long what is about to go may take.
const GRACE: Duration = Duration::from_secs(1);

/// A subject that has been started without a fault, so that it is known how that looks.
pub struct Ready<'a> {
    pub subject: &'a Subject,
    pub setting: &'a Setting<'a>,
    pub calls: Vec<Call>,
    fingerprint: String,
    before: Things,
    names: &'a [String],
}

/// One run with a fault, beside the bar.
#[derive(Debug, Default)]
pub struct Verdict {
    pub hang: Option<String>,
    /// Exit 0, but not what a start without a fault gives: the lines that differ.
    pub weaker: Vec<String>,
    pub same: bool,
    /// Failed, and said nothing.
    pub silent: bool,
    /// After one second.
    pub left: Things,
    /// After the next start, or where that fails, after all that can be done.
    pub left_after: Things,
    /// Why the next start failed.
    pub blocked: Option<String>,
    pub code: Option<i32>,
    pub said: String,
}

impl<'a> Ready<'a> {
    /// Starts it twice, watched and unwatched. Errors: it does not work here, or is not the
    /// same each time.
    pub fn new(subject: &'a Subject, setting: &'a Setting, names: &'a [String]) -> Result<Self> {
        let first = tracer::run(setting, &(subject.command)(), Fault::None)?;
        let before = left::now(&subject.dirs, names, subject.bridged);
        let mut ready = Ready {
            subject,
            setting,
            calls: Vec::new(),
            fingerprint: fingerprint::normal(&first.out, subject.ignore),
            before,
            names,
        };
        let watched = tracer::run(setting, &(subject.command)(), Fault::Watch)?;
        let other = |o: &Outcome| ready.difference(o);
        if first.code != Some(0) || watched.code != Some(0) || !other(&watched).is_empty() {
            let lines = other(&watched).join("\n");
            let codes = (first.code, watched.code, watched.hang);
            let text =
                format!("{}: {codes:?}\n{}\n{}\n{lines}", subject.name, first.err, watched.err);
            return Err(Error::other(text));
        }
        ready.calls = watched.calls;
        Ok(ready)
    }

    fn difference(&self, outcome: &Outcome) -> Vec<String> {
        let found = fingerprint::normal(&outcome.out, self.subject.ignore);
        fingerprint::difference(&self.fingerprint, &found)
    }

    /// What is there now and was not before, when it has had time to go.
    fn left(&self, grace: Duration) -> Things {
        let deadline = Instant::now() + grace;
        loop {
            let now = left::now(&self.subject.dirs, self.names, self.subject.bridged);
            let found = left::difference(&self.before, &now);
            if found.is_empty() || Instant::now() >= deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// One run; None where the fault did not come to pass.
    pub fn judge(&self, fault: Fault) -> Result<Option<(Call, Verdict)>> {
        let outcome = tracer::run(self.setting, &(self.subject.command)(), fault)?;
        let mut verdict = Verdict { code: outcome.code, ..Verdict::default() };
        // Who was killed does not clear up.
        let victim_zero = matches!(fault, Fault::Kill { victim: 0, signal: libc::SIGKILL, .. });
        verdict.left = self.left(if victim_zero { Duration::ZERO } else { GRACE });
        verdict.left.extend(outcome.left.iter().map(|p| (Kind::Process, p.clone())));
        let mut difference = self.difference(&outcome);
        // EPERM is also what a filter says that does not know the call.
        let unknown = matches!(fault, Fault::FailAll { .. })
            || matches!(fault, Fault::Fail { errno: libc::EPERM, .. });
        if unknown {
            difference.retain(|line| !older_way(line));
        }
        verdict.same = outcome.code == Some(0) && difference.is_empty();
        if outcome.code == Some(0) && !verdict.same {
            verdict.weaker = difference;
        }
        verdict.said = outcome.err.trim_end().to_owned();
        let starts = |l: &str| self.subject.says.iter().any(|s| l.starts_with(s));
        // Who is killed says nothing.
        let killed = matches!(fault, Fault::Kill { .. });
        verdict.silent = outcome.code.is_some_and(|c| c != 0)
            && !killed
            && !outcome.err.lines().any(|l| starts(l) && !l.contains(": warning: "));
        verdict.hang = outcome.hang;
        if !verdict.same || !verdict.left.is_empty() {
            self.afterwards(&mut verdict)?;
        }
        Ok(outcome.hit.map(|hit| (hit, verdict)))
    }

    /// The same start again, and what its user would do to clear up.
    fn afterwards(&self, verdict: &mut Verdict) -> Result<()> {
        let next = tracer::run(self.setting, &(self.subject.command)(), Fault::None)?;
        if next.code != Some(0) || !self.difference(&next).is_empty() {
            let lines = self.difference(&next).join("\n");
            verdict.blocked = Some(format!("{:?} {}\n{lines}", next.code, next.err.trim_end()));
        }
        if let Some(clear) = &self.subject.clear {
            tracer::run(self.setting, &clear(), Fault::None)?;
        }
        verdict.left_after = self.left(GRACE);
        verdict.left_after.extend(next.left.iter().map(|p| (Kind::Process, p.clone())));
        left::remove(&verdict.left_after);
        Ok(())
    }
}

//! Runs, counted: the columns in which launchers are compared.

use crate::judge::Verdict;
use crate::left::{Kind, Things};
use crate::options::Wrong;
use crate::tracer::Call;
use std::fmt::Write;

pub const HEAD: &str = "\
| who, fault | points hit | same result | failed, nothing left | clean % | hang | exit 0 but other (close) | no message | left: any (cgroup/path/mount/process) | blocks next start | left after that |
|---|---|---|---|---|---|---|---|---|---|---|";

pub struct Row {
    who: String,
    wrong: Wrong,
    hit: usize,
    same: usize,
    failed: usize,
    clean: usize,
    hang: usize,
    other: usize,
    other_close: usize,
    silent: usize,
    left: usize,
    kinds: [usize; 4],
    blocked: usize,
    left_after: usize,
    /// What a bar of nothing is about, one each.
    pub problems: Vec<String>,
}

impl Row {
    pub fn new(who: &str, wrong: Wrong) -> Row {
        let who = who.to_owned();
        Row {
            who,
            wrong,
            hit: 0,
            same: 0,
            failed: 0,
            clean: 0,
            hang: 0,
            other: 0,
            other_close: 0,
            silent: 0,
            left: 0,
            kinds: [0; 4],
            blocked: 0,
            left_after: 0,
            problems: Vec::new(),
        }
    }

    pub fn add(&mut self, hit: Call, v: &Verdict) {
        self.hit += 1;
        let other = v.code == Some(0) && !v.same;
        let close = hit.number as i64 == libc::SYS_close;
        self.hang += usize::from(v.hang.is_some());
        self.other += usize::from(other && !close);
        self.other_close += usize::from(other && close);
        self.silent += usize::from(v.silent);
        self.blocked += usize::from(v.blocked.is_some());
        self.left += usize::from(!v.left.is_empty());
        self.left_after += usize::from(!v.left_after.is_empty());
        for (count, kinds) in self.kinds.iter_mut().zip([
            &[Kind::Cgroup][..],
            &[Kind::Path],
            &[Kind::Mount, Kind::Link],
            &[Kind::Process],
        ]) {
            *count += usize::from(v.left.iter().any(|(k, _)| kinds.contains(k)));
        }
        let killed = matches!(self.wrong, Wrong::Dies { signal: libc::SIGKILL, init: false });
        // Where nothing can be removed at all, the next one has to do that, too.
        let never = matches!(self.wrong, Wrong::Never { .. })
            && [libc::SYS_unlinkat, libc::SYS_rmdir, libc::SYS_unlink]
                .contains(&(hit.number as i64));
        let gone = v.left.is_empty() || (killed || never) && v.left_after.is_empty();
        let ended = v.hang.is_none() && v.blocked.is_none();
        self.same += usize::from(v.same);
        self.failed += usize::from(v.code.is_some_and(|c| c != 0) && v.left.is_empty());
        let clean = gone && ended && !other && !v.silent;
        self.clean += usize::from(clean);
        if !clean {
            self.problems.push(verdict(self.wrong, &hit, v));
        }
    }

    pub fn line(&self) -> String {
        let percent = 100.0 * self.clean as f64 / self.hit.max(1) as f64;
        let [cgroup, path, mount, process] = self.kinds;
        format!(
            "| {}, {} | {} | {} | {} | **{percent:.1}** | {} | {} (+{}) | {} | {} ({cgroup}/{path}/{mount}/{process}) | {} | {} |",
            self.who,
            self.wrong.name(),
            self.hit,
            self.same,
            self.failed,
            self.hang,
            self.other,
            self.other_close,
            self.silent,
            self.left,
            self.blocked,
            self.left_after,
        )
    }
}

pub fn call(c: &Call) -> String {
    let name = syscalls::Sysno::new(c.number as usize);
    let name = name.map_or_else(|| c.number.to_string(), |s| s.name().to_owned());
    format!("{}:{} {name}", c.role, c.index)
}

/// One run in words.
pub fn verdict(wrong: Wrong, hit: &Call, v: &Verdict) -> String {
    let mut out = format!("  {} at {}:", wrong.name(), call(hit));
    let list =
        |things: &Things| -> String { things.iter().map(|(k, t)| format!(" {k:?} {t}")).collect() };
    match v.code {
        Some(code) => drop(write!(out, " exit {code}")),
        None => drop(write!(out, " HANG {}", v.hang.as_deref().unwrap_or_default())),
    }
    if v.same {
        out.push_str(", same");
    }
    if v.silent {
        out.push_str(", SILENT");
    }
    if !v.said.is_empty() {
        let _ = write!(out, ", said {:?}", v.said);
    }
    if !v.weaker.is_empty() {
        let _ = write!(out, ", OTHER {:#?}", v.weaker);
    }
    for (what, things) in [("LEFT", &v.left), ("LEFT AFTER", &v.left_after)] {
        if !things.is_empty() {
            let _ = write!(out, ", {what}{}", list(things));
        }
    }
    if let Some(why) = &v.blocked {
        let _ = write!(out, ", BLOCKS: {why}");
    }
    out
}

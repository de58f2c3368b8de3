//! What the container may not see, change or call.

use super::{Builder, c_path, c_str};
use crate::error::Result;
use crate::seccomp::{self, Filter};
use crate::spec::{Seccomp, Unmask};
use crate::step::{ChildStep, Harden, Hidden, Setting};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// moby's lists (daemon/pkg/oci/defaults.go, Apache-2.0), of October 2026: what tells of
/// the host, or of its other containers, or lets them be disturbed.
const HIDDEN: [Hidden; 12] = [
    directory(c"/proc/acpi"),
    directory(c"/proc/asound"),
    file(c"/proc/interrupts"),
    file(c"/proc/kcore"),
    file(c"/proc/keys"),
    file(c"/proc/latency_stats"),
    file(c"/proc/sched_debug"),
    directory(c"/proc/scsi"),
    file(c"/proc/timer_list"),
    file(c"/proc/timer_stats"),
    directory(c"/sys/devices/virtual/powercap"),
    directory(c"/sys/firmware"),
];
const READ_ONLY: [&CStr; 5] =
    [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys", c"/proc/sysrq-trigger"];

const fn directory(path: &'static CStr) -> Hidden {
    Hidden { path, directory: Some(true) }
}

const fn file(path: &'static CStr) -> Hidden {
    Hidden { path, directory: Some(false) }
}

/// System calls without which nothing can be started, and that would be hard to find out.
const OWN: [&str; 3] = ["execve", "exit_group", "rt_sigprocmask"];
const OWN_AND_INITS: [&str; 8] = [
    "execveat",
    "execve",
    "exit_group",
    "rt_sigprocmask",
    "rt_sigaction",
    "clone",
    "ppoll",
    "wait4",
];

impl Builder<'_> {
    pub fn drop_bounding(&mut self) {
        let keep = super::kept_capabilities(&self.spec.caps);
        self.child.extend(keep.map(|keep| ChildStep::DropBounding { keep }));
    }

    /// Covers what is below `top`, which is mounted by now: "/proc", "/sys".
    pub fn hide(&mut self, top: &str) -> Result<()> {
        if self.spec.caps.privileged {
            return Ok(());
        }
        let spec = self.spec;
        // The letters will do: of these lists, and as it is a part of every start.
        let here = |path: &CStr| {
            let path = path.to_bytes();
            path.starts_with(top.as_bytes()) && !spec.unmask.has(Path::new(OsStr::from_bytes(path)))
        };
        let mut hidden = HIDDEN.to_vec();
        for path in throttles(top) {
            hidden.push(directory(c_path(&path)?));
        }
        hidden.retain(|h| here(h.path));
        self.cover(hidden, |path| path.starts_with(top))?;
        if top == "/proc" && !spec.sysctls.is_empty() {
            self.harden(Harden::HoldSettings);
        }
        let fixed: Vec<&CStr> = READ_ONLY.into_iter().filter(|path| here(path)).collect();
        if !fixed.is_empty() {
            self.harden(Harden::ReadOnly(fixed));
        }
        Ok(())
    }

    /// The user's, in the image or on volumes.
    pub fn hide_others(&mut self) -> Result<()> {
        let kernels = |p: &Path| p.starts_with("/proc") || p.starts_with("/sys");
        if self.spec.caps.privileged { Ok(()) } else { self.cover(Vec::new(), |p| !kernels(p)) }
    }

    /// Beside those of ours, those of the user's.
    fn cover(&mut self, mut paths: Vec<Hidden>, users: impl Fn(&Path) -> bool) -> Result<()> {
        for path in self.spec.mask.iter().filter(|path| users(path)) {
            paths.push(Hidden { path: c_path(path)?, directory: None });
        }
        let first = self.hidden;
        self.hidden += paths.len();
        if !paths.is_empty() {
            self.harden(Harden::Hide { paths, first });
        }
        Ok(())
    }

    /// What is the container's own, once it is in all of its namespaces.
    pub fn settings(&mut self) -> Result<()> {
        let setting = |(file, value): &(String, String)| {
            let shown = format!("{}={value}", file.replace('/', "."));
            Ok(Setting { file: c_str(file.as_str())?, value: c_str(value.as_str())?, shown })
        };
        let all = self.spec.sysctls.iter().map(setting).collect::<Result<Vec<_>>>()?;
        if !all.is_empty() {
            self.harden(Harden::Settings(all));
        }
        self.oom_score()
    }

    fn oom_score(&mut self) -> Result<()> {
        if let Some(score) = self.spec.oom_score_adj {
            self.harden(Harden::OomScore(c_str(score.to_string())?));
        }
        Ok(())
    }

    /// What may need a capability that is about to go.
    pub fn process_limits(&mut self) -> Result<()> {
        if !self.spec.rlimits.is_empty() {
            self.harden(Harden::Limits(self.spec.rlimits.clone()));
        }
        Ok(())
    }

    /// The filter, and what can be seen of it from below.
    pub fn load(&mut self, filter: Filter) -> Option<Harden> {
        let mode = filter.mode_from_below();
        self.harden(Harden::Filter(filter));
        mode.map(|mode| Harden::VerifyFilter { mode })
    }

    pub fn harden(&mut self, step: Harden) {
        self.child.push(ChildStep::Harden(step));
    }

    /// None: no filter.
    pub fn filter(&self, capabilities: u64) -> Result<Option<Filter>> {
        let kernel = self.host.kernel;
        match &self.spec.seccomp {
            Seccomp::Unconfined => Ok(None),
            Seccomp::Default if self.spec.caps.privileged => Ok(None),
            Seccomp::Default => seccomp::default(capabilities, kernel).map(Some),
            Seccomp::File(path) => {
                let needed = if self.spec.no_init { &OWN[..] } else { &OWN_AND_INITS[..] };
                seccomp::file(path, capabilities, kernel, needed).map(Some)
            }
        }
    }
}

/// How hot each processor has been: a way to spy on what others compute
/// (GHSA-6fw5-f8r9-fgfm). Hardly any virtual machine has it.
fn throttles(top: &str) -> impl Iterator<Item = PathBuf> {
    let path = |n: usize| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle").into();
    let first = "/sys/devices/system/cpu/cpu0/thermal_throttle";
    let any = top == "/sys" && rustix::fs::stat(first).is_ok();
    let count = if any { possible_processors() } else { 0 };
    (0..count).map(path)
}

/// `0-7`
fn possible_processors() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<usize>().ok());
    last.map_or(0, |n| n + 1)
}

impl Unmask {
    fn has(&self, path: &Path) -> bool {
        let named = |p: &PathBuf| match p.file_name() {
            Some(name) if name == "*" => p.parent().is_some_and(|dir| path.starts_with(dir)),
            _ => p == path,
        };
        self.all || self.paths.iter().any(named)
    }
}

//! What is told after the end: times, and the kernel's reason for a kill.

use crate::run::Timing;
use crate::spec::{MountOp, Spec};
use crate::supervise::Status;
use rustix::fs::StatVfsMountFlags;
use std::path::Path;

/// `--trace`: one line a step, microseconds first.
pub fn text(names: &[String], timings: &[Timing]) -> String {
    let mut out = String::from("      us  step\n");
    for t in timings {
        let name = names.get(t.step - 1).map_or("", String::as_str);
        out.push_str(&format!("{:>8.1}  {:>2} {name}\n", micros(t), t.step));
    }
    let total: f64 = timings.iter().map(micros).sum();
    out.push_str(&format!("{total:>8.1}  all steps\n"));
    out
}

pub fn json(names: &[String], timings: &[Timing]) -> String {
    let steps: Vec<_> = timings
        .iter()
        .map(|t| {
            let name = names.get(t.step - 1).map_or("", String::as_str);
            serde_json::json!({ "step": t.step, "words": name, "microseconds": micros(t) })
        })
        .collect();
    serde_json::json!({ "steps": steps }).to_string() + "\n"
}

fn micros(t: &Timing) -> f64 {
    t.nanoseconds as f64 / 1000.0
}

/// Tells that the kernel killed for memory: nothing else in the system does.
pub fn memory(spec: &Spec, status: &Status) -> Option<String> {
    let report = status.memory.as_ref().filter(|r| r.oom_kills > 0)?;
    let limit = size(spec.limits.memory.unwrap_or(report.limit));
    let peak = report.peak.map_or_else(String::new, |p| format!(", peak {}", size(p)));
    let figures = format!("limit {limit}{peak}");
    Some(if status.code == 128 + libc::SIGKILL {
        format!("killed: out of memory ({figures})\nhint: raise the limit with --mem")
    } else {
        let what = match report.oom_kills {
            1 => "a process was".to_owned(),
            n => format!("{n} processes were"),
        };
        format!("warning: {what} killed: out of memory ({figures})")
    })
}

/// What the kernel does where it cannot read a page of a program.
pub fn unreadable(image: &Path, status: &Status) -> Option<String> {
    let said = "killed by SIGBUS: most likely a page of the rootfs could not be read";
    let (image, hint) = (image.display(), crate::failure::DAMAGED);
    (status.code == 128 + libc::SIGBUS).then(|| format!("{image}: {said}\nhint: {hint}"))
}

/// Why nothing could be executed (status 126) where the program lies: permissions do not show it.
pub fn mounted_noexec(spec: &Spec) -> Option<String> {
    let program = spec.command.first().map(Path::new)?;
    let noexec = |path: &Path| {
        rustix::fs::statvfs(path).is_ok_and(|s| s.f_flag.contains(StatVfsMountFlags::NOEXEC))
    };
    let over = |mount: &&MountOp| program.starts_with(mount.target());
    match spec.mounts.iter().rev().find(over) {
        Some(MountOp::Bind { source, .. }) if noexec(source) => {
            Some(format!("volume {} is mounted noexec", source.display()))
        }
        None if noexec(&spec.rootfs) => {
            Some(format!("rootfs {} is mounted noexec", spec.rootfs.display()))
        }
        _ => None,
    }
}

/// 209715200 is `200M`; what is no whole number of a unit gets one decimal.
pub fn size(bytes: u64) -> String {
    let mut unit = 1u64;
    let mut name = "";
    for next in ["K", "M", "G", "T"] {
        if bytes / unit < 1024 {
            break;
        }
        unit *= 1024;
        name = next;
    }
    if bytes.is_multiple_of(unit) {
        format!("{}{name}", bytes / unit)
    } else {
        format!("{:.1}{name}", bytes as f64 / unit as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_they_are_written() {
        for (bytes, text) in [
            (209_715_200, "200M"),
            (1 << 30, "1G"),
            (1536, "1.5K"),
            (512, "512"),
            (209_711_104, "200.0M"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}

//! Words for a step that failed, and what to do about it where that is known.

mod harden;
mod namespaces;

pub use namespaces::{clone_error, user_namespace};

use crate::cgroup;
use crate::error::{Code, Error};
use crate::explain::{child_words, host_words, lossy};
use crate::plan::Plan;
use crate::program;
use crate::step::{ChildStep, HostStep};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Of the program that decides about devices.
pub fn filter_error(step: &HostStep, errno: Errno) -> Error {
    let error = Error::os(host_words(step), errno);
    match errno {
        Errno::NOSYS | Errno::INVAL | Errno::PERM => error.hint(
            "on cgroup v2 this needs bpf(2) (CONFIG_CGROUP_BPF), CAP_SYS_ADMIN, and before \
             Linux 5.11 locked memory (ulimit -l)",
        ),
        _ => error,
    }
}

/// What failed in the child, with what to do about it where that is known.
pub fn child_error(step: &ChildStep, errno: Errno, detail: Option<usize>, plan: &Plan) -> Error {
    let error = of_step(step, errno, detail, plan);
    let unreadable = matches!(errno, Errno::IO | Errno::UCLEAN | Errno::BADMSG);
    error.or_hint(|| (unreadable && plan.tree.is_some()).then(|| DAMAGED.into()))
}

/// Of a root that is a file system image.
pub const DAMAGED: &str = "the image is damaged, or the disk that it is on: dmesg tells where";

fn of_step(step: &ChildStep, errno: Errno, detail: Option<usize>, plan: &Plan) -> Error {
    if let ChildStep::ExecPayload { candidates, argv } = step {
        return program::exec_error(&plan.rootfs, candidates, &argv.list()[0], errno);
    }
    match step {
        ChildStep::MakeCgroup { dir } => {
            return cgroup::create_error(Path::new(OsStr::from_bytes(dir.to_bytes())), errno);
        }
        ChildStep::WriteCgroup { write, .. } => return cgroup::write_error(write, errno),
        _ => {}
    }
    if let ChildStep::Harden(step) = step {
        return harden::error(step, errno, detail).code(Code::Ours);
    }
    let error = Error::os(child_words(step), errno);
    match (step, errno) {
        (ChildStep::Mount(m), Errno::NOENT | Errno::ROFS | Errno::ACCESS | Errno::PERM | Errno::NOSPC) if missing(m, errno) => {
            error.hint(format!("the rootfs has no {}, and it cannot be made there; add --ephemeral", lossy(m.target)))
        }
        // Made, but without any power in it.
        (ChildStep::PrivateMounts | ChildStep::BecomeMapped { .. }, Errno::PERM | Errno::ACCESS) => {
            match user_namespace(plan.rootless) {
                Some(hint) => error.hint(hint),
                None => error.hint("an outer container forbids it (its AppArmor profile or seccomp filter)"),
            }
        }
        (ChildStep::Mount(_), Errno::PERM) if plan.ids.is_some() => {
            error.hint("in a user namespace the kernel allows this only where the host's own /proc and /sys are fully visible; an outer container may hide parts of them")
        }
        (ChildStep::Overlay(_), Errno::NODEV) => error.hint("the kernel has no overlay file system (modprobe overlay)"),
        (ChildStep::Overlay(_), Errno::PERM) if plan.ids.is_some() => error.hint("overlay in a user namespace needs Linux 5.11"),
        (ChildStep::Overlay(_), Errno::INVAL) if plan.sends_trees() => error.hint("a layer over an idmapped mount needs Linux 5.19"),
        (ChildStep::Overlay(_), Errno::INVAL) if plan.rootless => error.hint("something is mounted below it, which a user namespace may not look behind"),
        (ChildStep::Bind(_) | ChildStep::Mount(_), Errno::XDEV) => {
            Error::new(child_words(step) + ": leads into /proc, over which nothing can be mounted")
        }
        (ChildStep::JoinCgroup { .. }, Errno::INVAL) => {
            error.hint("a real-time process cannot enter a cpu cgroup of version 1: start with chrt -o 0")
        }
        (ChildStep::Chdir(dir), Errno::NOENT) => error.hint(format!("the working directory {} must exist in the rootfs", lossy(dir))),
        (ChildStep::Chdir(_), Errno::XDEV) => Error::new(child_words(step) + ": leads out of the rootfs"),
        (ChildStep::SetIds { .. }, Errno::INVAL) if plan.ids.is_some() => {
            error.hint("this id is not in the user namespace")
        }
        (ChildStep::OpenSource { path, .. }, Errno::ACCESS) if plan.rootless => {
            error.hint(format!("{} must be reachable for the calling user", lossy(path)))
        }
        _ => error,
    }
    .code(Code::Ours)
}

fn missing(m: &crate::step::Mount, errno: Errno) -> bool {
    errno != Errno::PERM || m.fstype == c"tmpfs"
}

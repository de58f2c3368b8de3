//! Words for a step that failed, and what to do about it where that is known.

use crate::cgroup;
use crate::error::{Code, Error};
use crate::explain::{child_words, lossy};
use crate::plan::Plan;
use crate::program;
use crate::step::ChildStep;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What failed in the child, with what to do about it where that is known.
pub fn child_error(step: &ChildStep, errno: Errno, plan: &Plan) -> Error {
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
    let error = Error::os(child_words(step), errno);
    match (step, errno) {
        (ChildStep::Mount(m), Errno::NOENT | Errno::ROFS | Errno::ACCESS | Errno::PERM) if missing(m, errno) => {
            error.hint(format!("the rootfs has no {}, and it cannot be made there; add --ephemeral", lossy(&m.target)))
        }
        (ChildStep::Mount(_), Errno::PERM) if plan.ids.is_some() => {
            error.hint("in a user namespace the kernel allows this only where the host's own /proc and /sys are fully visible; an outer container may hide parts of them")
        }
        (ChildStep::Overlay(_), Errno::NODEV) => error.hint("the kernel has no overlay file system (CONFIG_OVERLAY_FS)"),
        (ChildStep::Overlay(_), Errno::PERM) if plan.ids.is_some() => error.hint("overlay in a user namespace needs Linux 5.11"),
        (ChildStep::Overlay(_), Errno::INVAL) if plan.sends_trees() => error.hint("a layer over an idmapped mount needs Linux 5.19"),
        (ChildStep::Overlay(_), Errno::INVAL) if plan.rootless => error.hint("something is mounted below it, which a user namespace may not look behind"),
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
    errno != Errno::PERM || m.fstype.as_c_str() == c"tmpfs"
}

/// clone3 itself refused: namespaces are switched off, used up or not allowed.
pub fn clone_error(errno: Errno, rootless: bool, cgroup: Option<&Path>) -> Error {
    let error = Error::os("make new namespaces", errno);
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|t| t.trim().to_owned());
    match errno {
        Errno::PERM | Errno::ACCESS if rootless => {
            if read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
                return error.hint("user namespaces are off for ordinary users: sysctl kernel.unprivileged_userns_clone=1");
            }
            if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref()
                == Some("1")
            {
                return error.hint("AppArmor restricts user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0");
            }
            error.hint("the kernel or an outer container forbids user namespaces to ordinary users")
        }
        Errno::PERM => {
            error.hint("this needs CAP_SYS_ADMIN; run as an ordinary user to do without")
        }
        Errno::NOSPC | Errno::USERS => {
            error.hint("a limit in /proc/sys/user/ (such as max_user_namespaces) is reached or 0")
        }
        Errno::NOSYS if cgroup.is_some() => {
            error.hint("placing a process in a cgroup at birth needs Linux 5.7")
        }
        Errno::AGAIN => {
            error.hint("a limit on processes is reached (ulimit -u, or pids.max of the own cgroup)")
        }
        Errno::INVAL => error.hint("the kernel lacks one of the namespaces (CONFIG_*_NS)"),
        _ => error,
    }
}

//! Why the kernel makes no namespaces for this caller, by the settings that forbid it.

use crate::error::Error;
use crate::sys::ns;
use rustix::io::Errno;

type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

const CLONE: &str = "/proc/sys/kernel/unprivileged_userns_clone";
const APPARMOR: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

/// clone refused: namespaces are switched off, used up or not allowed.
pub fn clone_error(errno: Errno, flags: u64, rootless: bool) -> Error {
    let error = Error::os("make new namespaces", errno);
    match why(errno, flags, rootless, &read) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// What keeps ordinary users from a user namespace with any power in it.
pub fn user_namespace(rootless: bool) -> Option<String> {
    if rootless { forbidden(&read) } else { None }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn why(errno: Errno, flags: u64, rootless: bool, read: Read<'_>) -> Option<String> {
    Some(match errno {
        Errno::PERM | Errno::ACCESS => match forbidden(read) {
            Some(hint) if rootless => hint,
            _ if filtered(read) => "a seccomp filter, as containers have it, forbids this: run that container with --privileged, or with --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined".into(),
            _ if rootless => "the kernel or an outer container forbids user namespaces to ordinary users".into(),
            _ => "this needs CAP_SYS_ADMIN; run as an ordinary user to do without".into(),
        },
        Errno::NOSPC | Errno::USERS => match used_up(flags, read) {
            Some(hint) => hint,
            None => "a limit in /proc/sys/user/ is reached, here or in an outer user namespace".into(),
        },
        Errno::AGAIN => "a limit on processes is reached (ulimit -u, or pids.max of the own cgroup)".into(),
        Errno::INVAL => "the kernel lacks one of the namespaces (CONFIG_*_NS), or forbids user namespaces (boot option)".into(),
        _ => return None,
    })
}

/// Debian's, and Ubuntu's.
fn forbidden(read: Read<'_>) -> Option<String> {
    let is = |path: &str, value: &str| read(path).is_some_and(|text| text.trim() == value);
    if is(CLONE, "0") {
        return Some(format!(
            "user namespaces are off for ordinary users: sysctl kernel.unprivileged_userns_clone=1 ({CLONE})"
        ));
    }
    if is(APPARMOR, "1") {
        return Some(format!(
            "AppArmor restricts user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 ({APPARMOR}), or a profile for launch with the line: userns,"
        ));
    }
    None
}

/// The kind of namespace of which none may be made. How many there are is not to be seen.
fn used_up(flags: u64, read: Read<'_>) -> Option<String> {
    let kinds = [
        (ns::NEWUSER, "user"),
        (ns::NEWPID, "pid"),
        (ns::NEWNS, "mnt"),
        (ns::NEWUTS, "uts"),
        (ns::NEWIPC, "ipc"),
        (ns::NEWNET, "net"),
    ];
    let asked = kinds.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, kind)| kind);
    let most = asked.filter_map(|kind| {
        let name = format!("max_{kind}_namespaces");
        let most: u64 = read(&format!("/proc/sys/user/{name}"))?.trim().parse().ok()?;
        Some((most, name))
    });
    let (most, name) = most.min()?;
    Some(match most {
        0 => format!("sysctl user.{name} is 0 (/proc/sys/user/{name}): none may be made"),
        _ => format!(
            "a limit in /proc/sys/user/ is reached, here or in an outer user namespace; the lowest is {name} = {most}"
        ),
    })
}

fn filtered(read: Read<'_>) -> bool {
    read("/proc/self/status").is_some_and(|text| text.lines().any(|l| l == "Seccomp:\t2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(errno: Errno, rootless: bool, files: &[(&str, &str)]) -> String {
        let read = |path: &str| {
            files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        why(errno, ns::NEWUSER | ns::NEWPID, rootless, &read).unwrap_or_default()
    }

    #[test]
    fn settings_are_named_with_their_files() {
        for (errno, rootless, file, text, want) in [
            (
                Errno::PERM,
                true,
                CLONE,
                "0\n",
                "kernel.unprivileged_userns_clone=1 (/proc/sys/kernel/unprivileged_userns_clone)",
            ),
            (
                Errno::ACCESS,
                true,
                APPARMOR,
                "1\n",
                "kernel.apparmor_restrict_unprivileged_userns=0 (/proc/sys/kernel/apparmor",
            ),
            (Errno::PERM, false, APPARMOR, "1\n", "this needs CAP_SYS_ADMIN"),
            (Errno::PERM, true, CLONE, "1\n", "forbids user namespaces to ordinary users"),
            (
                Errno::PERM,
                false,
                "/proc/self/status",
                "X:\t1\nSeccomp:\t2\n",
                "a seccomp filter, as containers",
            ),
            (
                Errno::PERM,
                true,
                "/proc/self/status",
                "Seccomp:\t0\n",
                "forbids user namespaces to ordinary",
            ),
            (
                Errno::NOSPC,
                true,
                "/proc/sys/user/max_user_namespaces",
                "0\n",
                "sysctl user.max_user_namespaces is 0 (/proc/sys/user/max_user_namespaces)",
            ),
            (
                Errno::NOSPC,
                false,
                "/proc/sys/user/max_pid_namespaces",
                "7\n",
                "the lowest is max_pid_namespaces = 7",
            ),
            (
                Errno::NOSPC,
                true,
                "/proc/sys/user/max_net_namespaces",
                "0\n",
                "a limit in /proc/sys/user/ is reached",
            ),
            (Errno::AGAIN, true, "", "", "ulimit -u"),
        ] {
            let said = said(errno, rootless, &[(file, text)]);
            assert!(said.contains(want), "{file} {text}: {said}");
        }
        assert_eq!(said(Errno::IO, true, &[]), "");
    }
}

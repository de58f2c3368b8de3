//! What a step that takes something away says when it fails.

use crate::child::verify::NOT_SO;
use crate::error::Error;
use crate::explain::harden;
use crate::step::Harden;
use rustix::io::Errno;

pub fn error(step: &Harden, errno: Errno, detail: Option<usize>) -> Error {
    let words = match detail {
        Some(at) => harden::detail_words(step, at),
        None => harden::words(step),
    };
    match (step, errno) {
        (Harden::Verify { .. }, NOT_SO) => return Error::new(words + ": is not so"),
        (Harden::VerifyLandlock, NOT_SO) => return Error::new(words + " it does not"),
        (Harden::VerifyFilter { .. }, NOT_SO) => return Error::new(words + ": there is none"),
        _ => {}
    }
    let error = Error::os(words, errno);
    match (step, errno) {
        (Harden::Limits(_), Errno::PERM) => {
            error.hint("more than launch's own hard limit (ulimit -H) needs CAP_SYS_RESOURCE")
        }
        (Harden::OomScore(_), Errno::ACCESS) => {
            error.hint("less than launch's own needs CAP_SYS_RESOURCE")
        }
        (Harden::Settings(_), Errno::NOENT) => error.hint(
            "this kernel has no such setting, or not for each container (module not loaded?)",
        ),
        (Harden::Settings(_), Errno::ACCESS | Errno::PERM) => {
            error.hint("the kernel lets only the host's root change it")
        }
        (Harden::Keyring, Errno::DQUOT) => {
            error.hint("the calling user has too many keyrings: /proc/sys/kernel/keys/maxkeys")
        }
        (Harden::HoldRules(_), Errno::NOENT) => {
            error.hint("rules are about paths inside the container that are there")
        }
        (Harden::Landlock, Errno::TOOBIG) => {
            error.hint("there are 16 sets of rules already, one in the other")
        }
        (Harden::Filter(_), Errno::NOSYS | Errno::INVAL) => error.hint(
            "the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER); \
             --security-opt seccomp=unconfined does without",
        ),
        _ => error,
    }
}

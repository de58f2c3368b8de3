//! `--ulimit NAME=SOFT[:HARD]`, in docker's form.

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::cli::suggest;
use crate::error::Result;
use crate::quote::quote;
use crate::spec::Rlimit;

/// RLIMIT_* of x86 and arm; the names are docker's.
const NAMES: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// launch's own child needs some.
const NOFILE_LEAST: u64 = 16;

pub fn name(resource: u32) -> &'static str {
    NAMES.get(resource as usize).copied().unwrap_or("?")
}

pub fn parse(draft: &mut Draft, given: Given) -> Result<()> {
    let form = || given.bad("not NAME=SOFT or NAME=SOFT:HARD");
    let (name, values) = given.text()?.split_once('=').ok_or_else(form)?;
    let Some(resource) = NAMES.iter().position(|n| *n == name) else {
        let error = given.bad(format!("no limit is called {}", quote(name)));
        return Err(match suggest::nearest(name, NAMES) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint(format!("there are {}", NAMES.join(", "))),
        });
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (number(given, soft)?, number(given, hard)?);
    if soft > hard {
        return Err(given.bad("the soft limit is above the hard one"));
    }
    if name == "nofile" && soft < NOFILE_LEAST {
        return Err(given.bad(format!("at least {NOFILE_LEAST} are needed to start anything")));
    }
    let limit = Rlimit { resource: resource as u32, soft, hard };
    let rlimits = &mut draft.spec.rlimits;
    rlimits.retain(|r| r.resource != limit.resource);
    rlimits.push(limit);
    Ok(())
}

/// -1 is docker's word for no limit.
fn number(given: Given, text: &str) -> Result<u64> {
    if text == "unlimited" || text == "-1" {
        return Ok(u64::MAX);
    }
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let wrong = || given.bad(format!("{} is neither a number nor unlimited", quote(text)));
    text.parse().ok().filter(|_| digits).ok_or_else(wrong)
}

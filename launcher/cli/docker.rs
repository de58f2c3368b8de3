//! Options that docker's and podman's users have in their scripts: more rows of the table in
//! flags.rs.

use crate::cli::flags::Arg::{Switch, Value};
use crate::cli::flags::Group::*;
use crate::cli::flags::{Draft, Flag, always};
use crate::cli::given::Given;
use crate::cli::net;
use crate::error::{Error, Result};

/// Docker's, microseconds.
const PERIOD: u64 = 100_000;

pub static FLAGS: &[Flag] = &[
    Flag {
        names: "-l --label",
        arg: Value("KEY[=VALUE]", label),
        group: Further,
        help: "a note that launch ps and inspect show",
        doc: "May be given many times. launch ps --filter label=KEY[=VALUE] finds it.",
    },
    Flag {
        names: "--replace",
        arg: Switch(|d, on| {
            d.spec.replace = on;
            Ok(())
        }),
        group: Further,
        help: "a container of this --name is removed first",
        doc: "As by launch rm -f.",
    },
    Flag {
        names: "--cpu-quota",
        arg: Value("MICROS", |d, given| number(&mut d.quota, given, 1000)),
        group: Further,
        help: "processor time in each --cpu-period",
        doc: "--cpu-quota 50000 is --cpus 0.5.",
    },
    Flag {
        names: "--cpu-period",
        arg: Value("MICROS", |d, given| number(&mut d.period, given, 1000)),
        group: Further,
        help: "what --cpu-quota is a part of (100000)",
        doc: "With --cpu-quota it gives --cpus; the kernel's period stays as it is.",
    },
    Flag {
        names: "--network-alias",
        arg: Value("NAME", net::alias),
        group: More,
        help: "one more name, for others on its bridges",
        doc: "May be given many times.",
    },
    Flag {
        names: "--dns-option --dns-opt",
        arg: Value("OPTION", net::dns_option),
        group: More,
        help: "of resolv.conf(5): ndots:2",
        doc: "May be given many times; beside the host's own options.",
    },
    Flag {
        names: "--pull",
        arg: Value("never", |_, given| match given.value.to_str() {
            Some("never" | "missing") => Ok(()),
            _ => Err(given.bad("nothing is ever fetched").hint("launch help images")),
        }),
        group: Accepted,
        help: "nothing is ever fetched",
        doc: "Images come as files: launch help images.",
    },
    Flag {
        names: "-q --quiet",
        arg: Switch(|_, _| Ok(())),
        group: Accepted,
        help: "no progress is shown but on a terminal",
        doc: "There is nothing to leave out.",
    },
    Flag {
        names: "--sig-proxy",
        arg: Switch(|_, on| always(on, "signals to launch always reach the command")),
        group: Accepted,
        help: "signals to launch always reach the command",
        doc: "Without a launcher in between: -d.",
    },
];

fn label(draft: &mut Draft, given: Given) -> Result<()> {
    let (key, value) = given.text()?.split_once('=').unwrap_or((given.text()?, ""));
    if key.is_empty() {
        return Err(given.bad("the label has no name"));
    }
    draft.spec.labels.retain(|(have, _)| have != key);
    draft.spec.labels.push((key.to_owned(), value.to_owned()));
    Ok(())
}

fn number(place: &mut Option<u64>, given: Given, least: u64) -> Result<()> {
    *place = Some(given.number(least, 1 << 40)?);
    Ok(())
}

/// What two options say together.
pub fn settle(draft: &mut Draft) -> Result<()> {
    if draft.spec.replace && draft.spec.name.is_none() {
        return Err(Error::new("--replace needs --name"));
    }
    let period = draft.period.unwrap_or(PERIOD);
    match (draft.quota, draft.spec.limits.cpus_milli) {
        (Some(_), Some(_)) => {
            return Err(Error::new("--cpus and --cpu-quota set the same thing: give one of them"));
        }
        (Some(quota), None) => match quota * 1000 / period {
            milli @ 10.. => draft.spec.limits.cpus_milli = Some(milli),
            _ => {
                let said = "less than a hundredth of --cpu-period";
                return Err(Error::new(format!("--cpu-quota {quota}: {said} {period}")));
            }
        },
        (None, _) if draft.period.is_some() => {
            return Err(Error::new("--cpu-period needs --cpu-quota"));
        }
        (None, _) => {}
    }
    Ok(())
}

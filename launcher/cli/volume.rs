//! `launch volume`.

use crate::cli::containers::{FORMAT, format};
use crate::cli::mounts::is_volume_name;
use crate::cli::verbs::{Opt, Parse, Taken, Verb};
use crate::command::Command;
use crate::error::{Error, Result};
use crate::image::volume::Order;
use crate::quote::quote;
use std::os::unix::ffi::OsStrExt;

pub static VOLUME: Verb = Verb {
    name: "volume",
    words: "ls|create|rm|inspect|prune [VOLUME...]",
    help: "volumes by name: list, make, remove them",
    doc: "ls lists them, with the containers that have them, ended ones included; inspect\n\
          is JSON. create makes empty ones, as -v VOLUME:DST does by itself. rm removes\n\
          one with all that is in it, unless a container has it; prune --all all those.\n\
          What a volume begins with: launch help volumes.",
    options: &[
        Opt { names: "-q --quiet", value: "", help: "ls: names only" },
        Opt { names: "-f --force", value: "", help: "rm: one that is not there is no error" },
        Opt { names: "-a --all", value: "", help: "prune: those with a name, which all have" },
        FORMAT,
    ],
    flags: &[],
    parse: Parse::Taken(parse),
};

fn parse(mut t: Taken) -> Result<Command> {
    if t.words.is_empty() {
        return Err(t.wrong("ls, create, rm, inspect or prune?"));
    }
    let what = t.words.remove(0);
    let order = match what.to_str() {
        Some("ls" | "list") => {
            t.no_words()?;
            Order::List { quiet: t.is_on("--quiet"), format: format(&t)? }
        }
        Some("prune") => {
            t.no_words()?;
            Order::Prune { every: t.is_on("--all") }
        }
        Some("create") => Order::Create(names(&t)?),
        Some("rm" | "remove") => Order::Remove { names: names(&t)?, force: t.is_on("--force") },
        Some("inspect") => Order::Inspect { names: names(&t)?, format: format(&t)? },
        _ => return Err(t.wrong(&format!("no such command: {}", quote(&what)))),
    };
    Ok(Command::Volume(order))
}

fn names(t: &Taken) -> Result<Vec<String>> {
    if t.words.is_empty() {
        return Err(t.wrong("which volume?"));
    }
    let name = |word: &std::ffi::OsString| match word.to_str() {
        Some(name) if is_volume_name(word.as_bytes()) => Ok(name.to_owned()),
        _ => Err(Error::new(format!("volume {}: {}", quote(word), super::mounts::VOLUME_NAME))),
    };
    t.words.iter().map(name).collect()
}

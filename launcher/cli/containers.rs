//! Commands that list containers, and those that end them.

use crate::cli::given::Given;
use crate::cli::signal;
use crate::cli::verbs::{Opt, Parse, Taken, Verb};
use crate::command::Command;
use crate::error::Result;
use crate::format::{self, Format};
use crate::list::{Filter, Listing};

pub(super) const FORMAT: Opt =
    Opt { names: "--format", value: "TEMPLATE", help: "'{{.Field}}', or json" };
const ALL: Opt = Opt { names: "-a --all", value: "", help: "all that run" };
const JSON: Opt = Opt { names: "--json", value: "", help: "as JSON" };

pub static PS: Verb = Verb {
    name: "ps",
    words: "",
    help: "list containers",
    doc: "Those that run, with -a also those that have ended and whose end is kept. MEMORY\n\
          is what is used of the limit, where there is one; PORTS, if any has some, what\n\
          is published: the host's address and port, then the port inside.\n\
          --filter name=TEXT (in it; ^TEXT$ is all of it), status=running, paused or\n\
          ended (exited), exited=CODE, label=KEY[=VALUE], ancestor=ROOTFS; of one key any,\n\
          of several all.\n\
          --format '{{.Names}}\\t{{.Status}}' is a line for each, with 'table ' before it\n\
          in columns; the fields are those of --json, and docker's.",
    options: &[
        Opt { names: "-a --all", value: "", help: "those that have ended, too" },
        Opt { names: "-q --quiet", value: "", help: "names only" },
        Opt { names: "--no-trunc", value: "", help: "whole commands" },
        Opt { names: "-f --filter", value: "KEY=VALUE", help: "only those (see above)" },
        Opt { names: "-n --last", value: "N", help: "the last N that were started" },
        Opt { names: "-l --latest", value: "", help: "the last one" },
        FORMAT,
        JSON,
    ],
    flags: &[],
    parse: Parse::Taken(|t| {
        t.no_words()?;
        let last = t.given("--last").map(|g| g.number(0, u64::MAX)).transpose()?;
        let json = t.is_on("--json").then_some(Format::Json);
        Ok(Command::Ps(Listing {
            all: t.is_on("--all"),
            quiet: t.is_on("--quiet"),
            whole: t.is_on("--no-trunc"),
            filters: t.all("--filter").map(filter).collect::<Result<_>>()?,
            last: if t.is_on("--latest") { Some(1) } else { last },
            format: format(&t)?.or(json),
        }))
    }),
};

pub static INSPECT: Verb = Verb {
    name: "inspect",
    words: "NAME...",
    help: "all that is known of containers, as JSON",
    doc: "A list, an object for each: what was asked for, and the facts of the moment.\n\
          --format '{{.State.Pid}}' shows one of them; docker's names are known, too:\n\
          {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}, {{json .Config}}.",
    options: &[Opt { names: "-f --format", ..FORMAT }],
    flags: &[],
    parse: Parse::Taken(|t| Ok(Command::Inspect { names: t.names()?, format: format(&t)? })),
};

pub(super) fn format(t: &Taken) -> Result<Option<Format>> {
    let given = t.given("--format");
    given.map(|g| format::parse(g.text()?).map_err(|why| g.bad(why))).transpose()
}

/// Names, or `--all`.
fn some(t: &Taken) -> Result<Option<Vec<String>>> {
    match t.is_on("--all") {
        true => t.no_words().map(|()| None),
        false => t.names().map(Some),
    }
}

fn filter(given: Given) -> Result<Filter> {
    let wrong = || given.bad("name=, id=, status=, exited=, label= or ancestor= are known");
    let (key, value) = given.text()?.split_once('=').ok_or_else(wrong)?;
    Ok(match key {
        "name" | "id" => Filter::Name(value.to_owned()),
        "label" => match value.split_once('=') {
            Some((key, value)) => Filter::Label(key.to_owned(), Some(value.to_owned())),
            None => Filter::Label(value.to_owned(), None),
        },
        "ancestor" => Filter::Ancestor(value.to_owned()),
        "exited" => Filter::Code(value.parse().map_err(|_| given.bad("not a status"))?),
        "status" => Filter::State(match value {
            "exited" | "dead" | "stopped" | "ended" => "ended",
            "created" | "starting" => "starting",
            "running" => "running",
            "paused" => "paused",
            "damaged" => "damaged",
            "elsewhere" => "elsewhere",
            _ => return Err(given.bad("running, paused, ended or exited, starting, damaged")),
        }),
        _ => return Err(wrong()),
    })
}

pub static PORT: Verb = Verb {
    name: "port",
    words: "NAME... | NAME PORT[/tcp|udp]",
    help: "published ports of containers on bridges",
    doc: "A line each: port and protocol inside, then address and port of the host;\n\
          with PORT only where the host has this one.",
    options: &[],
    flags: &[],
    parse: Parse::Taken(|t| {
        // No name has a slash in it.
        let of = |w: &std::ffi::OsString| {
            w.to_str().filter(|w| w.ends_with("/tcp") || w.ends_with("/udp")).map(str::to_owned)
        };
        let names = match &t.words[..] {
            [name, port] if of(port).is_some() => {
                [crate::record::name::check(name)?].into_iter().chain(of(port)).collect()
            }
            _ => t.names()?,
        };
        Ok(Command::Port { names })
    }),
};

pub static STOP: Verb = Verb {
    name: "stop",
    words: "NAME...",
    help: "end containers: the stop signal, then, after a while, SIGKILL",
    doc: "Returns when all processes of it are gone, and everything made for it.",
    options: &[TIMEOUT, SIGNAL, ALL],
    flags: &[],
    parse: Parse::Taken(|t| {
        let (signal, timeout) = how(&t)?;
        Ok(Command::Stop { names: some(&t)?, signal, timeout })
    }),
};

const TIMEOUT: Opt = Opt {
    names: "-t --time --timeout",
    value: "SECS",
    help: "time until SIGKILL (its --stop-timeout, or 10)",
};
const SIGNAL: Opt =
    Opt { names: "-s --signal", value: "SIG", help: "instead of its --stop-signal" };

/// `-s` and `-t`.
fn how(t: &Taken) -> Result<(Option<i32>, Option<u32>)> {
    let signal = t.given("--signal").map(signal::parse).transpose()?;
    let timeout = t.given("--timeout").map(|g| g.number(0, 1_000_000)).transpose()?;
    Ok((signal, timeout.map(|n| n as u32)))
}

pub static START: Verb = Verb {
    name: "start",
    words: "NAME...",
    help: "start detached containers again that have ended",
    doc: "With the same words, in the same directory and environment; the log begins anew.\n\
          What was written to a layer of its own (an image's, --ephemeral) is gone, what\n\
          --keep kept is not. One that runs is no error.",
    options: &[],
    flags: &[],
    parse: Parse::Taken(|t| Ok(Command::Start { names: t.names()? })),
};

pub static RESTART: Verb = Verb {
    name: "restart",
    words: "NAME...",
    help: "end detached containers if they run, and start them again",
    doc: "launch stop, then launch start. What starts one again that ends by itself is the\n\
          option --restart of its start.",
    options: &[TIMEOUT, SIGNAL],
    flags: &[],
    parse: Parse::Taken(|t| {
        let (signal, timeout) = how(&t)?;
        Ok(Command::Restart { names: t.names()?, signal, timeout })
    }),
};

pub static KILL: Verb = Verb {
    name: "kill",
    words: "NAME...",
    help: "send a signal, SIGKILL where none is given",
    doc: "SIGKILL ends every process of it at once. Any other signal goes to its command,\n\
          through its init. Does not wait.",
    options: &[Opt { names: "-s --signal", value: "SIG", help: "name or number" }, ALL],
    flags: &[],
    parse: Parse::Taken(|t| {
        let signal = t.given("--signal").map(signal::parse).transpose()?;
        Ok(Command::Kill { names: some(&t)?, signal: signal.unwrap_or(9) })
    }),
};

pub static WAIT: Verb = Verb {
    name: "wait",
    words: "NAME...",
    help: "wait until they end; print and return their exit status",
    doc: "A line for each. The status of the last one is launch's own.",
    options: &[],
    flags: &[],
    parse: Parse::Taken(|t| Ok(Command::Wait { names: t.names()? })),
};

pub static RM: Verb = Verb {
    name: "rm",
    words: "NAME...",
    help: "forget containers that have ended, with their logs",
    doc: "One that runs is refused unless -f is given, which kills it. With -f, one that\n\
          is not there is no error.",
    options: &[
        Opt { names: "-f --force", value: "", help: "kill it if it runs" },
        Opt { names: "-a --all", value: "", help: "all that have ended; with -f all" },
        Opt { names: "-v --volumes", value: "", help: "no difference: volumes without a name go" },
    ],
    flags: &[],
    parse: Parse::Taken(remove),
};

fn remove(t: Taken) -> Result<Command> {
    let (force, all) = (t.is_on("--force"), t.is_on("--all"));
    let names = if all { t.no_words().map(|()| Vec::new())? } else { t.names()? };
    Ok(Command::Rm { names, force, all })
}

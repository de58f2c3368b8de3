//! Commands about containers that run: logs, stats, top, pause, update.

use crate::cli::flags::{self, Draft};
use crate::cli::verbs::{Opt, Parse, Taken, Verb};
use crate::cli::{Words, apply, limits, time, unexpected};
use crate::command::Command;
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::record::name;
use lexopt::{Arg, Parser};

pub static LOGS: Verb = Verb {
    name: "logs",
    words: "NAME",
    help: "what a detached container has written",
    doc: "The container writes its log itself: no process copies it. No times are in it: a\n\
          start of any container, and launch logs, note how long it is (every ten seconds\n\
          at most), and --since begins at the last such note before TIME, or where the log\n\
          does; --until ends at the first one after TIME. So it may show more than was\n\
          asked for, never less. For the same reason there is no -t (--timestamps).\n\
          Longer than --log-opt max-size allows (1M where not given), it loses its\n\
          beginning. The init looks once a second while it grows, and so does every\n\
          command that comes by, so for a moment it may take up more. With --no-init, or\n\
          a seccomp profile without fallocate, only those commands do.",
    options: &[
        Opt { names: "-f --follow", value: "", help: "go on until it ends" },
        Opt { names: "-n --tail", value: "N", help: "only the last N lines" },
        Opt { names: "--since", value: "TIME", help: "10m (ago), or 2026-11-24T12:00:00Z" },
        Opt { names: "--until", value: "TIME", help: "the same; nothing is followed then" },
    ],
    flags: &[],
    parse: Parse::Taken(|t| {
        let tail = t.given("--tail").filter(|g| g.value != "all");
        Ok(Command::Logs {
            name: one(&t)?,
            follow: t.is_on("--follow"),
            tail: tail.map(|g| g.number(0, u64::MAX)).transpose()?,
            since: t.given("--since").map(time::parse).transpose()?,
            until: t.given("--until").map(time::parse).transpose()?,
        })
    }),
};

pub static STATS: Verb = Verb {
    name: "stats",
    words: "[NAME...]",
    help: "what containers use, again and again on a terminal",
    doc: "CPU is of one processor, WAITS the share of time in which something in it waited\n\
          for memory. What no limit was set on is the sum of its processes.",
    options: &[
        Opt { names: "--no-stream", value: "", help: "once, on a terminal too" },
        Opt { names: "--json", value: "", help: "as JSON, once" },
    ],
    flags: &[],
    parse: Parse::Taken(|t| {
        let names = if t.words.is_empty() { Vec::new() } else { t.names()? };
        Ok(Command::Stats { names, once: t.is_on("--no-stream"), json: t.is_on("--json") })
    }),
};

pub static TOP: Verb = Verb {
    name: "top",
    words: "NAME",
    help: "the processes of a container",
    doc: "With their numbers on the host and inside, and their users on the host.",
    options: &[],
    flags: &[],
    parse: Parse::Taken(|t| Ok(Command::Top { name: one(&t)? })),
};

pub static PAUSE: Verb = Verb {
    name: "pause",
    words: "NAME...",
    help: "let all its processes stand still",
    doc: "By the freezer: they do not notice. launch unpause lets them go on.",
    options: &[],
    flags: &[],
    parse: Parse::Taken(|t| Ok(Command::Pause { names: t.names()?, on: true })),
};

pub static UNPAUSE: Verb = Verb {
    name: "unpause",
    words: "NAME...",
    help: "let them go on",
    doc: "After launch pause.",
    options: &[],
    flags: &[],
    parse: Parse::Taken(|t| Ok(Command::Pause { names: t.names()?, on: false })),
};

pub static UPDATE: Verb = Verb {
    name: "update",
    words: "NAME...",
    help: "change limits while it runs",
    doc: "Of a kind that it was started without, too, where whoever asks could have set it\n\
          then; memory is counted from then on. With --mem, swap is none again unless\n\
          --memory-swap says otherwise.",
    options: &[],
    flags: &[
        "--mem",
        "--memory-swap",
        "--cpus",
        "--cpu-shares",
        "--cpu-weight",
        "--cpuset-cpus",
        "--pids-limit",
        "--memory-reservation",
        "--device-read-bps",
        "--device-write-bps",
        "--device-read-iops",
        "--device-write-iops",
    ],
    parse: Parse::Own(update),
};

fn one(t: &Taken) -> Result<String> {
    match t.names()?.as_slice() {
        [name] => Ok(name.clone()),
        [_, second, ..] => Err(t.wrong(&format!("one word too many: {}", quote(second)))),
        [] => Err(t.wrong("which container?")),
    }
}

fn update(words: Words) -> Result<Command> {
    let mut words = Parser::from_args(words);
    let mut draft = Draft::new();
    let mut names = Vec::new();
    while let Some(word) = words.next().map_err(unexpected)? {
        let option = match word {
            Arg::Value(word) => {
                names.push(name::check(&word)?);
                continue;
            }
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Print(UPDATE.text())),
            Arg::Long(name) => format!("--{name}"),
            Arg::Short(name) => format!("-{name}"),
        };
        let flag = flags::find(&option).ok_or_else(|| super::unknown(&option))?;
        if !UPDATE.has(flag) {
            return Err(Error::new(format!("update: {} is for a start only", quote(&option)))
                .hint("launch help update lists its options"));
        }
        apply(flag, &option, &mut words, &mut draft)?;
    }
    limits::check(&draft)?;
    if names.is_empty() {
        return Err(Error::new("update: which container?").hint(UPDATE.usage()));
    }
    if !draft.spec.limits.any() {
        return Err(Error::new("update: no limit is given").hint(UPDATE.usage()));
    }
    Ok(Command::Update { names, limits: draft.spec.limits })
}

//! `launch exec`: options of a start that make sense for one more process.

use crate::cli::flags::{self, Draft};
use crate::cli::verbs::{Parse, Verb};
use crate::cli::{Words, apply, command, process, unexpected};
use crate::command::{Command, Exec, Mode};
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::record::name;
use lexopt::{Arg, Parser};

pub static EXEC: Verb = Verb {
    name: "exec",
    words: "NAME [--] COMMAND [ARG...]",
    help: "run another command in a container that runs",
    doc: "With the container's user, environment, capabilities and limits, and in its\n\
          namespaces: COMMAND can do what the container's own could, and no more. The exit\n\
          status is COMMAND's, as with a start.",
    options: &[],
    flags: &[
        "--env",
        "--env-file",
        "--user",
        "--workdir",
        "--tty",
        "--no-tty",
        "--interactive",
        "--privileged",
        "--explain",
        "--trace",
        "--json",
        "--fault",
    ],
    parse: Parse::Own(parse),
};

fn parse(words: Words) -> Result<Command> {
    let mut words = Parser::from_args(words);
    let mut draft = Draft::new();
    let word = loop {
        let name = match words.next().map_err(unexpected)? {
            None => return Err(Error::new("exec: NAME and COMMAND are missing").hint(EXEC.usage())),
            Some(Arg::Value(word)) => break word,
            Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Print(EXEC.text())),
            Some(Arg::Long(name)) => format!("--{name}"),
            Some(Arg::Short(name)) => format!("-{name}"),
        };
        let Some(flag) = flags::find(&name) else { return Err(super::unknown(&name)) };
        if !EXEC.has(flag) {
            return Err(Error::new(format!("exec: {} is for a start only", quote(&name)))
                .hint("launch help exec lists its options"));
        }
        apply(flag, &name, &mut words, &mut draft)?;
    };
    let name = name::check(&word)?;
    draft.spec.command = command(words.raw_args().map_err(unexpected)?.collect(), true)?;
    if draft.spec.command.is_empty() {
        return Err(Error::new("exec: COMMAND is missing").hint(EXEC.usage()));
    }
    process::settle(&mut draft)?;
    let mode = Mode::of(draft.explain, draft.trace, draft.json)?;
    Ok(Command::Exec { exec: Box::new(Exec { name, spec: draft.spec }), mode, json: draft.json })
}

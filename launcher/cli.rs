//! The command line: argv to a Command. No look at the host, no output.

pub mod caps;
mod completions;
mod containers;
mod devices;
mod docker;
mod exec;
mod flags;
mod given;
mod help;
mod images;
pub mod landlock;
mod limits;
mod live;
mod man;
mod mount;
mod mounts;
pub mod net;
mod process;
mod rights;
pub mod signal;
mod stage;
pub mod suggest;
mod sysctl;
#[cfg(test)]
mod tests;
pub mod time;
mod topics;
pub mod ulimit;
mod userns;
mod verbs;
mod volume;

use crate::command::{Command, Mode};
use crate::error::{Error, Result};
use crate::quote::quote;
use flags::{Draft, Flag};
use given::Given;
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

type Words = std::vec::IntoIter<OsString>;
type Verb = fn(Words) -> Result<Command>;

/// First words that are not a ROOTFS; a directory of that name is written `./run`.
/// The same, with one line each.
pub const SIMPLE: &[(&str, &str)] = &[
    ("run", "start a container, as without a command"),
    ("inject", "put launch's init into ROOTFS, to stay there"),
    ("stage", "make a ROOTFS of programs of this machine"),
    ("import", "keep an image or archive by a name"),
    ("images", "list what is kept"),
    ("rmi", "forget images"),
    ("prune", "forget what no image needs"),
    ("export", "write an image or a directory as an archive"),
    ("commit", "make an image of a directory"),
    ("help", "more about a command, an option or a topic"),
    ("version", "the version"),
    ("completions", "completions for bash, zsh or fish"),
    ("man", "the manual page"),
];

const VERBS: &[(&str, Verb)] = &[
    ("completions", completions::parse),
    ("man", man),
    ("run", run),
    ("inject", inject),
    ("stage", stage::parse),
    ("import", images::import),
    ("images", images::images),
    ("rmi", images::rmi),
    ("prune", images::prune),
    ("export", images::export),
    ("commit", images::commit),
    ("help", help),
    ("version", version),
];

/// `args` without the program's own name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let mut words = args.into_iter().collect::<Vec<_>>().into_iter();
    let first = words.as_slice().first();
    match first.and_then(|word| VERBS.iter().find(|(name, _)| word == name)) {
        Some((_, verb)) => {
            words.next();
            verb(words)
        }
        None => match first.and_then(|word| verbs::find(word)) {
            Some(verb) => {
                words.next();
                verbs::parse(verb, words)
            }
            None => run(words),
        },
    }
}

fn run(words: Words) -> Result<Command> {
    let asked = words.as_slice().to_vec();
    let mut words = Parser::from_args(words);
    let mut draft = Draft::new();
    let rootfs = loop {
        let name = match words.next().map_err(unexpected)? {
            None => return Err(Error::new("ROOTFS and COMMAND are missing").hint(USAGE)),
            Some(Arg::Value(rootfs)) => break rootfs,
            Some(Arg::Long(name)) => format!("--{name}"),
            Some(Arg::Short(name)) => format!("-{name}"),
        };
        let flag = flags::find(&name).ok_or_else(|| unknown(&name))?;
        if let Some(text) = apply(flag, &name, &mut words, &mut draft)? {
            return Ok(Command::Print(text));
        }
    };
    draft.spec.rootfs = root(rootfs)?;
    draft.spec.command = command(words.raw_args().map_err(unexpected)?.collect(), false)?;
    finish(draft, asked)
}

pub const USAGE: &str =
    "launch [OPTIONS] ROOTFS COMMAND [ARG...], for example: launch ./rootfs /bin/sh
      launch --help says more";

/// Carries out one option. Some(text) ends the command line: help or version.
fn apply(flag: &Flag, name: &str, words: &mut Parser, draft: &mut Draft) -> Result<Option<String>> {
    let long = name.starts_with("--");
    match flag.arg {
        flags::Arg::Help => return Ok(Some(help::overview())),
        flags::Arg::Version => return Ok(Some(version_text())),
        flags::Arg::Switch(set) => {
            // Of a group like -it only the switch itself is taken.
            let value = if long { words.optional_value() } else { None };
            let on = match value.as_ref().map(|v| v.as_bytes()) {
                None | Some(b"true") => true,
                Some(b"false") => false,
                Some(_) => {
                    let value = value.unwrap_or_default();
                    return Err(Given { name, value: &value }.bad("true or false, or nothing"));
                }
            };
            set(draft, on)?;
        }
        flags::Arg::Value(metavar, set) => {
            let value = value(name, metavar, words)?;
            set(draft, Given { name, value: &value })?;
        }
    }
    Ok(None)
}

fn value(name: &str, metavar: &str, words: &mut Parser) -> Result<OsString> {
    let missing = || Error::new(format!("{name} needs a value: {name} {metavar}"));
    let Some(attached) = words.optional_value() else {
        let value = words.value().map_err(|_| missing())?;
        // The value was forgotten and the next option is about to be swallowed.
        if value.to_str().is_some_and(|v| v.starts_with("--") && flags::find(v).is_some()) {
            return Err(
                missing().hint(format!("{} follows where the value should be", value.display()))
            );
        }
        return Ok(value);
    };
    // -mem 200M is -m with the value em, but never meant so.
    let joined = format!("-{name}{}", attached.display());
    if !name.starts_with("--") && flags::find(&joined).is_some() {
        return Err(Error::new(format!("unknown option '{}'", &joined[1..]))
            .hint(format!("did you mean {joined}?")));
    }
    Ok(attached)
}

fn unknown(name: &str) -> Error {
    let error = Error::new(format!("unknown option {}", quote(name)));
    if let Some(ours) = suggest::elsewhere(name) {
        return error.hint(format!("here it is {ours}"));
    }
    match suggest::nearest(name, flags::spellings().filter(|s| s.starts_with("--"))) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint("launch --help lists the options"),
    }
}

/// A verb's own options are few, and listed in its help.
fn no_option(verb: &str, name: &str) -> Error {
    Error::new(format!("{verb}: there is no option {}", quote(name)))
        .hint(format!("launch {verb} --help lists what is there"))
}

/// A switch in short form with a value: `-t=yes`.
fn unexpected(error: lexopt::Error) -> Error {
    match error {
        lexopt::Error::UnexpectedValue { option, value } => {
            Error::new(format!("{option} takes no value, but has {}", quote(&value)))
        }
        other => Error::new(other.to_string()),
    }
}

fn root(word: OsString) -> Result<PathBuf> {
    if word.is_empty() {
        return Err(Error::new("ROOTFS is empty").hint(USAGE));
    }
    let simple = VERBS.iter().map(|(name, _)| *name);
    if let Some(verb) = simple.chain(verbs::VERBS.iter().map(|v| v.name)).find(|v| word == *v) {
        let said = format!("'{verb}' must be the first word after launch");
        return Err(Error::new(said).hint(format!("a directory of that name is written ./{verb}")));
    }
    if let Some((verb, instead)) = suggest::ABSENT.iter().find(|(verb, _)| word == *verb) {
        let said = format!("there is no 'launch {verb}', and a directory is written ./{verb}");
        return Err(Error::new(said).hint(*instead));
    }
    if word.as_bytes().len() >= 4096 {
        return Err(Error::new(format!("ROOTFS {}: longer than 4095 bytes", quote(&word))));
    }
    Ok(PathBuf::from(word))
}

/// The words after ROOTFS (of `exec`: NAME), one `--` before them left out.
fn command(mut words: Vec<OsString>, exec: bool) -> Result<Vec<OsString>> {
    match words.first() {
        Some(first) if first == "--" => drop(words.remove(0)),
        Some(first) if first.as_bytes().starts_with(b"-") => {
            return Err(misplaced(first, exec));
        }
        _ => {}
    }
    match words.first() {
        Some(first) if first.is_empty() => Err(match exec {
            true => Error::new("exec: COMMAND is empty").hint(exec::EXEC.usage()),
            false => Error::new("COMMAND is empty").hint(USAGE),
        }),
        // None: an image may have one.
        _ => Ok(words),
    }
}

/// A word with a dash where COMMAND should be.
fn misplaced(word: &OsStr, exec: bool) -> Error {
    let ours = word.to_str().is_some_and(|w| flags::find(name_part(w)).is_some());
    let (own, place) = if exec { ("launch exec", "NAME") } else { ("launch", "ROOTFS") };
    let what = if exec { "exec: " } else { "" };
    let error = format!("{what}{} stands after {place}, where COMMAND should be", quote(word));
    Error::new(error).hint(match ours {
        true => format!("options go before {place}: {own} [OPTIONS] {place} COMMAND [ARG...]"),
        false => {
            format!("a COMMAND that begins with - is written after --: {own} {place} -- COMMAND")
        }
    })
}

/// The option in `--mem=200M` or `-m200M`.
fn name_part(word: &str) -> &str {
    let end = match word.starts_with("--") {
        true => word.find('='),
        false => word.char_indices().nth(2).map(|(at, _)| at),
    };
    &word[..end.unwrap_or(word.len())]
}

fn finish(mut draft: Draft, words: Vec<OsString>) -> Result<Command> {
    docker::settle(&mut draft)?;
    limits::check(&draft)?;
    net::settle(&mut draft)?;
    mounts::check(&draft)?;
    process::settle(&mut draft)?;
    sysctl::check(&draft.spec)?;
    landlock::check(&draft.spec)?;
    process::detached(&mut draft)?;
    userns::check(&draft.spec)?;
    let mode = Mode::of(draft.explain, draft.trace, draft.json)?;
    Ok(Command::Run { spec: Box::new(draft.spec), words, mode, json: draft.json })
}

fn inject(words: Words) -> Result<Command> {
    let refuse = |why: &str, word: &OsStr| {
        Err(Error::new(format!("inject: {why} {}", quote(word))).hint("launch inject ROOTFS"))
    };
    let mut words = Parser::from_args(words);
    let mut rootfs = None;
    while let Some(word) = words.next().map_err(unexpected)? {
        match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Print(INJECT.to_owned())),
            Arg::Long(name) => return refuse("there is no option", format!("--{name}").as_ref()),
            Arg::Short(name) => return refuse("there is no option", format!("-{name}").as_ref()),
            Arg::Value(word) if rootfs.is_none() => rootfs = Some(word),
            Arg::Value(word) => return refuse("one word too many:", &word),
        }
    }
    match rootfs {
        Some(word) if !word.is_empty() => Ok(Command::Inject { rootfs: PathBuf::from(word) }),
        _ => Err(Error::new("inject: ROOTFS is missing").hint("launch inject ROOTFS")),
    }
}

const INJECT: &str = "\
launch inject ROOTFS

Writes launch's init to ROOTFS/sbin/init, so that the directory can be booted, or run
by other programs. What was there is kept as /sbin/init.orig. Doing it again changes
nothing. launch itself does not need it: it brings its init along.
";

fn help(mut words: Words) -> Result<Command> {
    let topic = words.next();
    if let Some(extra) = words.next() {
        return Err(Error::new(format!("one word too many: {}", quote(&extra)))
            .hint("launch help [COMMAND|OPTION|TOPIC]"));
    }
    Ok(Command::Print(match topic {
        None => help::overview(),
        Some(word) if word == "inject" => INJECT.to_owned(),
        Some(word) if word == "stage" => stage::HELP.to_owned(),
        Some(word)
            if ["import", "images", "rmi", "prune", "export", "commit"]
                .iter()
                .any(|w| word == *w) =>
        {
            images::HELP.to_owned()
        }
        Some(word) => help::about(&word.to_string_lossy())?,
    }))
}

fn man(mut words: Words) -> Result<Command> {
    match words.next() {
        None => Ok(Command::Print(man::page())),
        Some(word) => Err(Error::new(format!("one word too many: {}", quote(&word)))
            .hint("launch man | man -l -")),
    }
}

fn version(mut words: Words) -> Result<Command> {
    match words.next() {
        None => Ok(Command::Print(version_text())),
        Some(word) => Err(Error::new(format!("one word too many: {}", quote(&word)))),
    }
}

fn version_text() -> String {
    concat!("launch ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
}

/// The first word of a command line that was meant where `word` was written.
pub fn nearest_command(word: &str) -> Option<&'static str> {
    let all = SIMPLE.iter().map(|(name, _)| *name).chain(verbs::VERBS.iter().map(|v| v.name));
    suggest::nearest(word, all)
}

//! Commands about containers that are there: one row each, from which parser, help, man
//! page and completions are made.

use crate::cli::{containers, exec, flags, given::Given, live, value, volume};
use crate::command::Command;
use crate::error::{Error, Result};
use crate::quote::quote;
use lexopt::{Arg, Parser};
use std::ffi::OsString;

pub struct Verb {
    pub name: &'static str,
    /// What follows the options: `NAME...` of containers, or `ls|rm` and the like.
    pub words: &'static str,
    /// One line.
    pub help: &'static str,
    /// What `launch help VERB` adds.
    pub doc: &'static str,
    pub options: &'static [Opt],
    /// Options it shares with a start.
    pub flags: &'static [&'static str],
    pub parse: Parse,
}

pub enum Parse {
    /// Options anywhere, then this.
    Taken(fn(Taken) -> Result<Command>),
    /// All of it.
    Own(fn(super::Words) -> Result<Command>),
}

pub struct Opt {
    /// All spellings, short ones first.
    pub names: &'static str,
    /// The metavariable of its value; empty for a switch.
    pub value: &'static str,
    pub help: &'static str,
}

/// What the user wrote after a verb.
pub struct Taken {
    pub verb: &'static Verb,
    options: Vec<(&'static str, String, OsString)>,
    pub words: Vec<OsString>,
}

pub static VERBS: &[&Verb] = &[
    &exec::EXEC,
    &containers::PS,
    &containers::INSPECT,
    &containers::PORT,
    &containers::STOP,
    &containers::START,
    &containers::RESTART,
    &containers::KILL,
    &containers::WAIT,
    &containers::RM,
    &live::LOGS,
    &live::STATS,
    &live::TOP,
    &live::PAUSE,
    &live::UNPAUSE,
    &live::UPDATE,
    &volume::VOLUME,
];

pub fn find(name: &std::ffi::OsStr) -> Option<&'static Verb> {
    VERBS.iter().find(|v| name == v.name).copied()
}

pub fn parse(verb: &'static Verb, words: super::Words) -> Result<Command> {
    let finish = match verb.parse {
        Parse::Own(parse) => return parse(words),
        Parse::Taken(finish) => finish,
    };
    let mut words = Parser::from_args(words);
    let mut taken = Taken { verb, options: Vec::new(), words: Vec::new() };
    while let Some(word) = words.next().map_err(super::unexpected)? {
        let name = match word {
            Arg::Value(word) => {
                taken.words.push(word);
                continue;
            }
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Print(verb.text())),
            Arg::Long(name) => format!("--{name}"),
            Arg::Short(name) => format!("-{name}"),
        };
        let option = verb.option(&name)?;
        let given = if option.value.is_empty() {
            let on = if name.starts_with("--") { words.optional_value() } else { None };
            let on = on.unwrap_or_else(|| "true".into());
            if on != "true" && on != "false" {
                return Err(Given { name: &name, value: &on }.bad("true or false, or nothing"));
            }
            on
        } else {
            value(&name, option.value, &mut words)?
        };
        taken.options.push((option.names, name, given));
    }
    finish(taken)
}

impl Verb {
    fn option(&self, name: &str) -> Result<&'static Opt> {
        let spelled = |o: &&Opt| o.names.split(' ').any(|n| n == name);
        self.options.iter().find(spelled).ok_or_else(|| {
            let known = self.options.iter().flat_map(|o| o.names.split(' '));
            let error = Error::new(format!("{}: unknown option {}", self.name, quote(name)));
            error.hint(match super::suggest::nearest(name, known.filter(|n| n.len() > 2)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("launch help {} lists its options", self.name),
            })
        })
    }

    /// Whether it takes this option of a start.
    pub fn has(&self, flag: &flags::Flag) -> bool {
        self.flags.iter().any(|own| flag.names.split(' ').any(|n| n == *own))
    }

    pub fn usage(&self) -> String {
        let none = self.options.is_empty() && self.flags.is_empty();
        let options = if none { "" } else { " [OPTIONS]" };
        format!("launch {}{options} {}", self.name, self.words).trim_end().to_owned()
    }

    /// `launch help VERB`
    pub fn text(&self) -> String {
        let mut text = format!("{}\n    {}\n\n{}\n", self.usage(), self.help, self.doc);
        text.push('\n');
        for flag in self.flags.iter().filter_map(|name| flags::find(name)) {
            if flag.group != flags::Group::Hidden {
                text.push_str(&super::help::row(flag));
            }
        }
        for option in self.options {
            let names = option.names.replace(' ', ", ");
            let head = format!("  {names} {}", option.value);
            text.push_str(&format!("{:22}  {}\n", head.trim_end(), option.help));
        }
        text
    }
}

impl Taken {
    /// Whether a switch was given; the last one counts.
    pub fn is_on(&self, name: &str) -> bool {
        self.given(name).is_some_and(|g| g.value == "true")
    }

    pub fn given(&self, name: &str) -> Option<Given<'_>> {
        self.all(name).last()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = Given<'_>> {
        let spelled = move |names: &str| names.split(' ').any(|n| n == name);
        self.options
            .iter()
            .filter(move |(names, ..)| spelled(names))
            .map(|(_, name, value)| Given { name, value })
    }

    /// Its words are names of containers, at least one.
    pub fn names(&self) -> Result<Vec<String>> {
        if self.words.is_empty() {
            return Err(self.wrong("which container?"));
        }
        self.words.iter().map(|w| crate::record::name::check(w)).collect()
    }

    pub fn no_words(&self) -> Result<()> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(self.wrong(&format!("one word too many: {}", quote(word)))),
        }
    }

    pub fn wrong(&self, why: &str) -> Error {
        Error::new(format!("{}: {why}", self.verb.name)).hint(self.verb.usage())
    }
}

//! `launch stage`.

use crate::cli::Words;
use crate::cli::given::Given;
use crate::command::Command;
use crate::error::{Error, Result};
use crate::quote::quote;
use crate::stage::{NewUser, Order};
use lexopt::{Arg, Parser};
use std::path::PathBuf;

pub const HELP: &str = "\
launch stage [OPTIONS] DIR PROGRAM...

Makes the directory DIR a root file system that holds these programs of the host and
nothing else: the programs, their loader, every library that the loader would take,
interpreters of scripts, a minimal /etc, and launch's init as /sbin/init. DIR may hold
something already; what is there stays. A PROGRAM without / is looked up as in a container,
then in your PATH. Says what was copied and how large it is.

  --include PATH    a file or directory of the host, too, with the libraries it needs;
                    may be given many times
  --user NAME[:UID[:GID]]   make this user, with /home/NAME (1000 where not given)
  --tar FILE        write an archive instead of DIR, - for standard output
  --bare            without what is known to belong to some programs: python's standard
                    library, nginx's configuration, terminal descriptions

  launch stage ./root bash ls ps && launch ./root bash
";

pub fn parse(words: Words) -> Result<Command> {
    let mut words = Parser::from_args(words);
    let mut order = Order::default();
    let (mut plain, mut tar) = (Vec::new(), None);
    while let Some(word) = words.next().map_err(super::unexpected)? {
        let name = match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Print(HELP.to_owned())),
            Arg::Long("bare") => {
                order.bare = true;
                continue;
            }
            Arg::Long(name @ ("include" | "user" | "tar")) => format!("--{name}"),
            Arg::Long(name) => return Err(super::no_option("stage", &format!("--{name}"))),
            Arg::Short(name) => return Err(super::no_option("stage", &format!("-{name}"))),
            Arg::Value(word) => {
                plain.push(word);
                continue;
            }
        };
        let value = words.value().map_err(|_| Error::new(format!("{name} needs a value")))?;
        let given = Given { name: &name, value: &value };
        match name.as_str() {
            "--include" => order.include.push(given.path()?),
            "--user" => order.user = Some(user(given)?),
            _ => tar = Some(given.path()?),
        }
    }
    let mut plain = plain.into_iter();
    if tar.is_none() {
        let dir = plain.next().filter(|d| !d.is_empty());
        let dir = dir.ok_or_else(|| Error::new("stage: DIR is missing").hint(USAGE))?;
        order.dir = PathBuf::from(dir);
    }
    order.programs = plain.collect();
    if order.programs.iter().any(|p| p.is_empty()) {
        return Err(Error::new("stage: a PROGRAM is empty").hint(USAGE));
    }
    if order.programs.is_empty() && order.include.is_empty() {
        return Err(Error::new("stage: PROGRAM is missing").hint(USAGE));
    }
    Ok(Command::Stage { order: Box::new(order), tar })
}

const USAGE: &str = "launch stage DIR PROGRAM..., for example: launch stage ./root bash ls";

/// `app`, `app:2000` or `app:2000:3000`
fn user(given: Given) -> Result<NewUser> {
    let mut parts = given.text()?.split(':');
    let name = parts.next().unwrap_or_default();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if !begins || name.len() > 32 || !name.chars().all(allowed) {
        return Err(
            given.bad(format!("{} is no user name: small letters, digits, - and _", quote(name)))
        );
    }
    let mut id = |default: u32| match parts.next() {
        None => Ok(default),
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => match text.parse() {
            Ok(n) if (1..u32::MAX).contains(&n) => Ok(n),
            _ => Err(given.bad("ids are 1 to 4294967294")),
        },
        Some(_) => Err(given.bad("not of the form NAME:UID or NAME:UID:GID")),
    };
    let uid = id(1000)?;
    let gid = id(uid)?;
    if parts.next().is_some() {
        return Err(given.bad("not of the form NAME:UID or NAME:UID:GID"));
    }
    Ok(NewUser {
        name: name.into(),
        uid,
        gid,
        home: format!("/home/{name}"),
        shell: "/bin/sh".into(),
    })
}

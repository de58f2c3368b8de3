//! `launch import`, `images`, `rmi`, `prune`, `export`, `commit`.

use crate::cli::flags::Draft;
use crate::cli::given::Given;
use crate::cli::{Words, mounts};
use crate::command::Command;
use crate::error::{Error, Result};
use crate::image::manage::is_name;
use crate::quote::quote;
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::path::PathBuf;

pub const HELP: &str = "\
launch import [OPTIONS] FILE [NAME]  unpack an archive, and call it NAME (else as it does itself)
launch images [--json]               list what is unpacked
launch NAME [COMMAND]                run it; its layers are not changed (--keep DIR)
launch rmi NAME...                   remove a name, and the image with its last one
launch prune [--all]                 remove images without a name, or all that nobody runs
launch export [-o FILE] ROOTFS       a directory, archive or image, with --keep DIR what was
                                     written there, as one archive
launch commit DIR NAME               what --keep has kept in DIR, as an image

FILE is a tar archive of a root file system, of docker save, or an OCI layout (archive or
directory, or skopeo's dir:); gzip, zstd and xz are unpacked; - is standard input. It need not be imported:
launch FILE COMMAND unpacks it once, too. Images are kept below /var/lib/launch, an ordinary
user's below ~/.local/share/launch; LAUNCH_STORE names another place.

Of an image's configuration Entrypoint, Cmd, Env, User, WorkingDir, Volumes and StopSignal
count; its Healthcheck is shown by launch images --json, and not run. OnBuild, Shell and
ArgsEscaped are for those who build images.

  --platform OS/ARCH  which image of several, else the one for this machine
  --ref NAME          which image of several, by its name or tag
  --max-size SIZE, --max-entries N, --max-depth N   how much FILE may unpack to
";

pub fn import(words: Words) -> Result<Command> {
    let mut draft = Draft::new();
    let mut plain = Vec::new();
    let mut words = Parser::from_args(words);
    while let Some(word) = words.next().map_err(super::unexpected)? {
        let name = match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Print(HELP.to_owned())),
            Arg::Long(name) => format!("--{name}"),
            Arg::Short(name) => return Err(super::no_option("import", &format!("-{name}"))),
            Arg::Value(word) => {
                plain.push(word);
                continue;
            }
        };
        let set: fn(&mut Draft, Given) -> Result<()> = match name.as_str() {
            "--platform" => mounts::platform,
            "--max-size" => mounts::max_size,
            "--max-entries" => mounts::max_entries,
            "--max-depth" => mounts::max_depth,
            "--ref" => |draft, given| {
                draft.spec.image.choice.reference = Some(given.text()?.to_owned());
                Ok(())
            },
            _ => return Err(super::no_option("import", &name)),
        };
        let value = words.value().map_err(|_| Error::new(format!("{name} needs a value")))?;
        set(&mut draft, Given { name: &name, value: &value })?;
    }
    let usage = "launch import FILE [NAME]";
    let mut plain = plain.into_iter();
    let file = plain.next().filter(|f| !f.is_empty());
    let file = file.ok_or_else(|| Error::new("import: FILE is missing").hint(usage))?;
    let name = plain.next().map(|n| image_name("import", n)).transpose()?;
    no_more("import", plain.next(), usage)?;
    Ok(Command::Import { file: PathBuf::from(file), name, wishes: Box::new(draft.spec.image) })
}

fn image_name(verb: &str, word: OsString) -> Result<String> {
    match word.to_str().filter(|n| is_name(n)) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Error::new(format!("{verb}: {} is no name for an image", quote(&word)))
            .hint("letters, digits, . _ - / and : before a tag, as in docker")),
    }
}

fn no_more(verb: &str, word: Option<OsString>, usage: &str) -> Result<()> {
    match word {
        Some(word) => {
            Err(Error::new(format!("{verb}: one word too many: {}", quote(&word))).hint(usage))
        }
        None => Ok(()),
    }
}

/// Words and switches of a verb that has no other options. None: help was asked for.
fn simple(
    verb: &str,
    words: Words,
    switches: &[&str],
) -> Result<Option<(Vec<OsString>, Vec<String>)>> {
    let (mut plain, mut on) = (Vec::new(), Vec::new());
    let mut words = Parser::from_args(words);
    while let Some(word) = words.next().map_err(super::unexpected)? {
        let name = match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long(name) => format!("--{name}"),
            Arg::Short(name) => format!("-{name}"),
            Arg::Value(word) => {
                plain.push(word);
                continue;
            }
        };
        if !switches.contains(&name.as_str()) {
            return Err(super::no_option(verb, &name));
        }
        on.push(name);
    }
    Ok(Some((plain, on)))
}

fn help() -> Command {
    Command::Print(HELP.to_owned())
}

pub fn images(words: Words) -> Result<Command> {
    let Some((plain, on)) = simple("images", words, &["--json"])? else { return Ok(help()) };
    no_more("images", plain.into_iter().next(), "launch images [--json]")?;
    Ok(Command::Images { json: !on.is_empty() })
}

pub fn prune(words: Words) -> Result<Command> {
    let Some((plain, on)) = simple("prune", words, &["--all", "-a", "--force", "-f"])? else {
        return Ok(help());
    };
    no_more("prune", plain.into_iter().next(), "launch prune [--all]")?;
    Ok(Command::Prune { every: on.iter().any(|o| o == "--all" || o == "-a") })
}

pub fn rmi(words: Words) -> Result<Command> {
    let Some((plain, _)) = simple("rmi", words, &[])? else { return Ok(help()) };
    if plain.is_empty() {
        return Err(Error::new("rmi: NAME is missing").hint("launch rmi NAME..."));
    }
    let names = plain.into_iter().map(|n| image_name("rmi", n)).collect::<Result<_>>()?;
    Ok(Command::Rmi { names })
}

pub fn commit(words: Words) -> Result<Command> {
    let Some((plain, _)) = simple("commit", words, &[])? else { return Ok(help()) };
    let usage = "launch commit DIR NAME, with the DIR of --keep";
    let mut plain = plain.into_iter();
    let (Some(dir), Some(name)) = (plain.next(), plain.next()) else {
        return Err(Error::new("commit: DIR and NAME are needed").hint(usage));
    };
    no_more("commit", plain.next(), usage)?;
    Ok(Command::Commit { dir: PathBuf::from(dir), name: image_name("commit", name)? })
}

pub fn export(words: Words) -> Result<Command> {
    let (mut plain, mut out, mut keep) = (Vec::new(), None, None);
    let mut words = Parser::from_args(words);
    while let Some(word) = words.next().map_err(super::unexpected)? {
        let name = match word {
            Arg::Long("help") | Arg::Short('h') => return Ok(help()),
            Arg::Long("output") | Arg::Short('o') => "--output",
            Arg::Long("keep") => "--keep",
            Arg::Long(name) => return Err(super::no_option("export", &format!("--{name}"))),
            Arg::Short(name) => return Err(super::no_option("export", &format!("-{name}"))),
            Arg::Value(word) => {
                plain.push(word);
                continue;
            }
        };
        let value = words.value().map_err(|_| Error::new(format!("{name} needs a value")))?;
        let path = Given { name, value: &value }.path()?;
        if name == "--keep" { keep = Some(path) } else { out = Some(path) }
    }
    let usage = "launch export [-o FILE] ROOTFS";
    let mut plain = plain.into_iter();
    let rootfs = plain.next().filter(|r| !r.is_empty());
    let rootfs = rootfs.ok_or_else(|| Error::new("export: ROOTFS is missing").hint(usage))?;
    no_more("export", plain.next(), usage)?;
    Ok(Command::Export { rootfs: PathBuf::from(rootfs), keep, out })
}

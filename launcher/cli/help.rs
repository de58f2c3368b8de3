//! The texts of `--help` and `launch help`, made from the option table.

use crate::cli::flags::{self, Arg, Flag, Group};
use crate::cli::suggest;
use crate::cli::topics::TOPICS;
use crate::cli::verbs;
use crate::error::{Error, Result};
use crate::quote::quote;
use std::fmt::Write;

const INTRO: &str = "\
launch runs a program in a container made from a directory or an image.

Usage: launch [OPTIONS] ROOTFS [--] COMMAND [ARG...]
       launch inject ROOTFS         put launch's init into ROOTFS, to stay there
       launch stage DIR PROGRAM...  make a ROOTFS of programs of this machine
       launch import|images|rmi|prune|export|commit   see launch help images
       launch help [COMMAND|OPTION|TOPIC]
";

pub const ABOUT: &str = "\
ROOTFS is the directory that becomes / inside; or a tar archive, what docker
save writes, an OCI layout, a squashfs or erofs image, an image's name, - for an
archive on standard input, scratch for nothing. COMMAND is looked up in it.
";

pub const SHOWN: &str =
    "  launch --mem 200M ./rootfs /app             a program with at most 200 MiB
  launch --ephemeral / sh                     a shell on this machine's files;
                                              what it writes vanishes at the end
  launch -v ./src:/src:ro ./rootfs ls /src    with a directory of the host's
  launch --explain --mem 200M ./rootfs /app   only say what would be done
";

const CODES: &str = "
Exit status: COMMAND's own, 128+N if signal N killed it; 125 launch failed and
COMMAND did not run, 126 COMMAND cannot be executed, 127 it is not in ROOTFS.
";

pub const HEADINGS: [(Group, &str); 5] = [
    (Group::Limits, "Limits"),
    (Group::Files, "Files"),
    (Group::Process, "Process"),
    (Group::Isolation, "Isolation"),
    (Group::Look, "Information"),
];

/// Where the help of an option begins on its line.
const COLUMN: usize = 26;

/// `launch --help`.
pub fn overview() -> String {
    let topics = TOPICS.iter().map(|(name, _)| *name);
    let mut text = INTRO.to_owned();
    fill(&mut text, "Topics:", topics);
    fill(&mut text, "Containers that are there:", verbs::VERBS.iter().map(|v| v.name));
    let _ = write!(text, "\n{ABOUT}\nExamples:\n{SHOWN}");
    for (group, heading) in HEADINGS {
        let _ = writeln!(text, "\n{heading}:");
        for flag in flags::all().filter(|f| f.group == group) {
            text.push_str(&row(flag));
        }
    }
    let images = flags::all().filter(|f| f.group == Group::Images);
    let names: Vec<&str> = images.map(|f| f.names).collect();
    let _ = writeln!(text, "\nArchives (launch help images): {}", names.join(" "));
    let long = |f: &'static Flag| f.names.split(' ').find(|n| n.len() > 2).unwrap_or_default();
    let further = flags::all().filter(|f| f.group == Group::Further).map(long);
    fill(&mut text, "Further, see launch help OPTION:", further);
    let accepted = flags::all().filter(|f| f.group == Group::Accepted);
    let names: Vec<&str> =
        accepted.map(|f| f.names.split(' ').next().unwrap_or_default()).collect();
    let _ = writeln!(text, "Accepted, being so anyway: {}", names.join(" "));
    text + CODES
}

/// A heading and words behind it, on as many lines of 80 as they need.
fn fill<'a>(text: &mut String, heading: &str, words: impl Iterator<Item = &'a str>) {
    let mut line = heading.to_owned();
    for word in words {
        if line.len() + 1 + word.len() > 80 {
            let _ = writeln!(text, "{line}");
            line = "   ".to_owned();
        }
        line += &format!(" {word}");
    }
    let _ = writeln!(text, "{line}");
}

pub fn row(flag: &Flag) -> String {
    let mut head = String::from("  ");
    // The first short and the first long name; other spellings are in the longer help.
    let mut names = flag.names.split(' ');
    match names.next() {
        Some(long) if long.starts_with("--") => head += &format!("    {long}"),
        Some(short) => head += &format!("{short}, {}", names.next().unwrap_or_default()),
        None => {}
    }
    if let Arg::Value(metavar, _) = flag.arg {
        head += &format!(" {metavar}");
    }
    if head.len() >= COLUMN {
        return format!("{head}\n{:COLUMN$}{}\n", "", flag.help);
    }
    format!("{head:COLUMN$}{}\n", flag.help)
}

/// `launch help WORD`: an option with or without its dashes, or a topic.
pub fn about(word: &str) -> Result<String> {
    if let Some(verb) = verbs::find(word.as_ref()) {
        return Ok(verb.text());
    }
    if let Some((_, text)) = TOPICS.iter().find(|(name, _)| *name == word) {
        return Ok((*text).to_owned());
    }
    let spellings = [word.to_owned(), format!("--{word}"), format!("-{word}")];
    if let Some(flag) = spellings.iter().find_map(|s| flags::find(s)) {
        return Ok(one(flag));
    }
    let known = TOPICS.iter().map(|(name, _)| *name).chain(verbs::VERBS.iter().map(|v| v.name));
    let names = flags::spellings().map(|s| s.trim_start_matches('-')).filter(|s| s.len() > 1);
    let error = Error::new(format!("no command, option or topic is called {}", quote(word)));
    Err(match suggest::nearest(word.trim_start_matches('-'), known.chain(names)) {
        Some(near) => error.hint(format!("did you mean: launch help {near}")),
        None => error.hint("launch --help lists them"),
    })
}

fn one(flag: &Flag) -> String {
    let metavar = match flag.arg {
        Arg::Value(metavar, _) => format!(" {metavar}"),
        _ => String::new(),
    };
    format!("{}{metavar}\n    {}\n\n{}\n", flag.names.replace(' ', ", "), flag.help, flag.doc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    #[test]
    fn one_screen() {
        let text = overview();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(text.lines().count() <= 84, "{}", text.lines().count());
        for flag in flags::all() {
            let unsaid = ["--memory", "--network", "--interactive", "--quiet", "-l"];
            let shown = flag.names.split(' ').all(|n| text.contains(n) || unsaid.contains(&n));
            let hidden = matches!(flag.group, Group::Hidden | Group::More);
            assert_eq!(shown, !hidden, "{}", flag.names);
            let topics: String = TOPICS.iter().map(|(_, text)| *text).collect();
            let all = flag.names.split(' ').all(|n| topics.contains(n));
            assert!(all || flag.group != Group::More, "{} is nowhere", flag.names);
        }
    }

    #[test]
    fn every_row_is_documented_once() {
        let mut seen = Vec::new();
        for flag in flags::all() {
            assert!(!flag.help.is_empty() && !flag.doc.is_empty());
            for name in flag.names.split(' ') {
                assert!(!seen.contains(&name), "{name} twice");
                seen.push(name);
                let bare = name.trim_start_matches('-');
                assert!(about(name).is_ok_and(|t| t.contains(flag.doc)), "{name}");
                assert!(about(bare).is_ok(), "{bare}");
            }
        }
        for (name, text) in TOPICS {
            assert_eq!(about(name).expect(name), *text);
            assert!(text.lines().all(|l| l.chars().count() <= 80), "{name}");
        }
    }

    /// What the help shows as a command line is one.
    #[test]
    fn examples_are_taken() {
        let mut taken = 0;
        for line in SHOWN.lines().filter_map(|l| l.strip_prefix("  launch ")) {
            let command = line.split("  ").next().unwrap_or_default();
            let words = command.split(' ').map(OsString::from);
            assert!(crate::cli::parse(words).is_ok(), "{command}");
            taken += 1;
        }
        assert_eq!(taken, 4);
    }

    #[test]
    fn verbs_are_documented_and_take_their_own_options() {
        for verb in verbs::VERBS {
            assert!(verb.help.len() <= 65 && !verb.doc.is_empty(), "{}", verb.name);
            assert!(about(verb.name).is_ok_and(|t| t.contains(verb.doc)), "{}", verb.name);
            assert!(verb.text().lines().all(|l| l.chars().count() <= 80), "{}", verb.name);
            for option in verb.options {
                assert!(!option.help.is_empty());
                assert!(option.names.split(' ').all(|n| n.starts_with('-')), "{}", option.names);
            }
        }
    }

    #[test]
    fn unknown_word() {
        let said = about("volums").expect_err("topic").to_string();
        assert!(said.contains("launch help volume"), "{said}");
        assert!(about("").is_err());
    }
}

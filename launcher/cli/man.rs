//! launch(1), from the same tables as the parser.

use crate::cli::flags::{self, Arg, Group};
use crate::cli::topics::TOPICS;
use crate::cli::{help, verbs};
use std::fmt::Write;

/// The page in man(7), for `launch man | man -l -`.
pub fn page() -> String {
    let mut text = format!(
        ".\\\" Made by: launch man\n.TH LAUNCH 1 \"\" \"launch {}\" \"User Commands\"\n\
         .SH NAME\nlaunch \\- run a program in a container made from a directory or an image\n\
         .SH SYNOPSIS\n.nf\n{}\n",
        env!("CARGO_PKG_VERSION"),
        roff("launch [OPTIONS] ROOTFS [--] COMMAND [ARG...]"),
    );
    for usage in verbs::VERBS.iter().map(|v| v.usage()) {
        let _ = writeln!(text, "{}", roff(&usage));
    }
    for (name, _) in super::SIMPLE {
        let _ = writeln!(text, "{}", roff(&format!("launch {name} ...")));
    }
    let _ = write!(text, ".fi\n.SH DESCRIPTION\n{}", paragraphs(help::ABOUT));
    text += ".SH OPTIONS\n";
    for (group, heading) in help::HEADINGS.iter().chain(&[
        (Group::More, "Networks"),
        (Group::Images, "Archives"),
        (Group::Further, "Further"),
        (Group::Accepted, "Accepted, being so anyway"),
    ]) {
        let _ = writeln!(text, ".SS {heading}");
        for flag in flags::all().filter(|f| f.group == *group) {
            let value = match flag.arg {
                Arg::Value(value, _) => format!(" {value}"),
                _ => String::new(),
            };
            option(
                &mut text,
                flag.names,
                &value,
                &format!("{}.\n{}", capital(flag.help), flag.doc),
            );
        }
    }
    commands(&mut text);
    for (name, topic) in TOPICS {
        let _ = write!(text, ".SH {}\n.nf\n{}.fi\n", name.to_ascii_uppercase(), roff(topic));
    }
    let _ = write!(text, ".SH EXAMPLES\n.nf\n{}.fi\n", roff(help::SHOWN));
    text + ".SH FILES\n.TP\n.I /run/launch\nThe records of root's containers, and the logs of detached ones; of others:\n\
        .I $XDG_RUNTIME_DIR/launch\nor\n.IR /tmp/launch\\-UID .\n.SH SEE ALSO\n.BR launch\\-init (8),\n.BR namespaces (7),\n.BR cgroups (7)\n"
}

fn commands(text: &mut String) {
    text.push_str(".SH COMMANDS\n");
    for verb in verbs::VERBS {
        let _ = write!(
            text,
            ".SS {}\n{}.\n{}",
            roff(&verb.usage()),
            capital(verb.help),
            paragraphs(verb.doc)
        );
        if !verb.flags.is_empty() {
            let _ = writeln!(
                text,
                ".PP\nAs for a start: {}",
                roff(
                    &verb
                        .flags
                        .iter()
                        .filter(|f| **f != "--fault")
                        .copied()
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            );
        }
        for o in verb.options {
            let value = if o.value.is_empty() { String::new() } else { format!(" {}", o.value) };
            option(text, o.names, &value, o.help);
        }
    }
}

fn option(text: &mut String, names: &str, value: &str, body: &str) {
    let names: Vec<String> =
        names.split(' ').map(|n| format!("\\fB{}\\fR{}", roff(n), roff(value))).collect();
    let _ = write!(text, ".TP\n{}\n{}", names.join(", "), paragraphs(body));
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| {
        std::iter::once(c.to_ascii_uppercase()).chain(chars).collect()
    })
}

/// Lines that a table or an example is made of stay as they are.
fn paragraphs(text: &str) -> String {
    let mut out = String::new();
    let mut verbatim = false;
    for line in text.lines() {
        let table = line.starts_with("  ");
        if table != verbatim {
            out += if table { ".nf\n" } else { ".fi\n" };
            verbatim = table;
        }
        let line = roff(line);
        out += if line.is_empty() { ".PP" } else { &line };
        out.push('\n');
    }
    if verbatim { out + ".fi\n" } else { out }
}

/// Backslashes, dashes, and the beginning of a request are none in the page.
fn roff(text: &str) -> String {
    let safe = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    };
    let lines: Vec<String> = text.split('\n').map(safe).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_it() {
        let page = page();
        for flag in flags::all().filter(|f| f.group != Group::Hidden) {
            for name in flag.names.split(' ') {
                assert!(page.contains(&format!("\\fB{}\\fR", roff(name))), "{name}");
            }
        }
        for verb in verbs::VERBS {
            assert!(page.contains(&format!(".SS {}", roff(&verb.usage()))), "{}", verb.name);
        }
        assert!(!page.contains("\\-fault") && page.lines().all(|l| !l.starts_with("'")));
        assert_eq!(roff(".a -b \\"), "\\&.a \\-b \\e");
    }
}

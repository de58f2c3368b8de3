//! Completions for bash, zsh and fish, from the same tables as the parser.

use crate::cli::flags::{self, Arg, Flag, Group};
use crate::cli::topics::TOPICS;
use crate::cli::verbs::{self, Verb};
use crate::command::Command;
use crate::error::{Error, Result};
use crate::quote::quote;
use std::fmt::Write;

const USAGE: &str = "launch completions bash|zsh|fish";

pub fn parse(mut words: super::Words) -> Result<Command> {
    let shell = words.next().ok_or_else(|| Error::new("which shell?").hint(USAGE))?;
    if let Some(extra) = words.next() {
        return Err(Error::new(format!("one word too many: {}", quote(&extra))).hint(USAGE));
    }
    Ok(Command::Print(match shell.to_str() {
        Some("bash") => bash(),
        Some("zsh") => zsh(),
        Some("fish") => fish(),
        _ => return Err(Error::new(format!("no completions for {}", quote(&shell))).hint(USAGE)),
    }))
}

/// One option, wherever it is from.
struct Row {
    names: &'static str,
    /// Empty for a switch.
    value: &'static str,
    help: &'static str,
}

/// What options take that have only few values.
const VALUES: [(&str, &str); 6] = [
    ("--net", "none host bridge pasta slirp4netns"),
    ("--restart", "no on-failure always unless-stopped"),
    ("--userns", "auto host"),
    ("--log-driver", "file journald none"),
    ("--pull", "never missing"),
    ("--signal", "HUP INT QUIT KILL TERM USR1 USR2 CONT STOP WINCH"),
];

impl Row {
    fn words(&self) -> Option<&'static str> {
        let names = || self.names.split(' ');
        VALUES.iter().find(|(name, _)| names().any(|n| n == *name)).map(|(_, words)| *words)
    }
}

fn row(flag: &'static Flag) -> Row {
    let value = match flag.arg {
        Arg::Value(value, _) => value,
        _ => "",
    };
    Row { names: flag.names, value, help: flag.help }
}

fn of_start() -> Vec<Row> {
    flags::all().filter(|f| f.group != Group::Hidden).map(row).collect()
}

fn of_verb(verb: &'static Verb) -> Vec<Row> {
    let shared = flags::all().filter(|f| f.group != Group::Hidden && verb.has(f)).map(row);
    let own = verb.options.iter();
    shared.chain(own.map(|o| Row { names: o.names, value: o.value, help: o.help })).collect()
}

fn spellings(rows: &[Row]) -> String {
    rows.iter().map(|r| r.names).collect::<Vec<_>>().join(" ")
}

/// Options whose value is the next word.
fn with_value(rows: &[Row]) -> String {
    let valued = rows.iter().filter(|r| !r.value.is_empty());
    valued.flat_map(|r| r.names.split(' ')).collect::<Vec<_>>().join("|")
}

/// The first words of a command line that are not options, each with its one line.
fn commands() -> impl Iterator<Item = (&'static str, &'static str)> {
    let simple = super::SIMPLE.iter().copied();
    simple.chain(verbs::VERBS.iter().map(|v| (v.name, v.help)))
}

/// Words that follow a verb: always the same ones, and what a command lists.
fn following(verb: &Verb) -> Option<(String, String)> {
    match verb.words.split_once(' ') {
        Some((words, _)) if words.contains('|') => {
            Some((words.replace('|', " "), format!("launch {} ls -q 2>/dev/null", verb.name)))
        }
        _ if verb.words.contains("NAME") => {
            Some((String::new(), "launch ps -aq 2>/dev/null".into()))
        }
        _ => None,
    }
}

/// For bash, by verb.
fn named() -> String {
    let mut text = String::new();
    for verb in verbs::VERBS {
        if let Some((words, list)) = following(verb) {
            let reply = "COMPREPLY=($(compgen -W";
            let name = verb.name;
            let _ =
                writeln!(text, "        {name}) {reply} \"{words} $({list})\" -- \"$cur\")) ;;");
        }
    }
    text
}

fn help_words() -> String {
    let topics = TOPICS.iter().map(|(name, _)| *name);
    commands().map(|(name, _)| name).chain(topics).collect::<Vec<_>>().join(" ")
}

/// For bash: options with words of their own, whose verb ever they are.
fn chosen() -> String {
    let mut rows = of_start();
    rows.extend(verbs::VERBS.iter().flat_map(|v| of_verb(v)));
    let mut text = String::new();
    for (name, words) in VALUES {
        let row = rows.iter().find(|r| r.names.split(' ').any(|n| n == name));
        // -s of stop and kill; of a start it is nothing.
        let names = row.map_or(name.to_owned(), |r| r.names.replace(' ', "|"));
        let reply = "COMPREPLY=($(compgen -W";
        let _ = writeln!(text, "        {names}) {reply} '{words}' -- \"$cur\")); return ;;");
    }
    text
}

fn bash() -> String {
    let all = of_start();
    let names: Vec<&str> = commands().map(|(name, _)| name).collect();
    let mut text = format!(
        "# bash completion for launch, made by: launch completions bash\n\
         _launch() {{\n\
         \x20   local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n\
         \x20   local verb=${{COMP_WORDS[1]}} options='{}' files=1\n\
         \x20   COMPREPLY=()\n",
        spellings(&all)
    );
    text += "    case $verb in\n";
    for verb in verbs::VERBS {
        let options = spellings(&of_verb(verb));
        let _ = writeln!(text, "        {}) options='{options}' files= ;;", verb.name);
    }
    let _ = write!(
        text,
        "        help) COMPREPLY=($(compgen -W '{help}' -- \"$cur\")); return ;;\n\
         \x20       completions) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")); return ;;\n\
         \x20   esac\n\
         \x20   case $cur in -*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")); return ;; esac\n\
         \x20   case $prev in\n\
         {chosen}\
         \x20       {valued}) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n\
         \x20   esac\n\
         \x20   case $verb in\n\
         {named}\
         \x20   esac\n\
         \x20   if [ \"$COMP_CWORD\" = 1 ]; then\n\
         \x20       COMPREPLY=($(compgen -W '{names}' -- \"$cur\") $(compgen -d -- \"$cur\"))\n\
         \x20   elif [ -n \"$files\" ]; then\n\
         \x20       COMPREPLY=($(compgen -f -- \"$cur\"))\n\
         \x20   fi\n\
         }}\n\
         complete -o filenames -F _launch launch\n",
        help = help_words(),
        chosen = chosen(),
        valued = with_value(&all),
        named = named(),
        names = names.join(" "),
    );
    text
}

/// For zsh's _arguments: what it would take for its own syntax is escaped.
fn zsh_escaped(text: &str) -> String {
    text.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}

fn zsh_options(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let value = match row.value {
            "" => String::new(),
            value => {
                let from = row.words().map_or("_files".into(), |words| format!("({words})"));
                format!(":{}:{from}", zsh_escaped(value))
            }
        };
        for name in row.names.split(' ') {
            let _ = writeln!(text, "        '*{name}[{}]{value}' \\", zsh_escaped(row.help));
        }
    }
    text
}

fn zsh() -> String {
    let mut text = String::from(
        "#compdef launch\n\
         # zsh completion for launch, made by: launch completions zsh\n\
         _launch_names() { local -a names; names=(${(f)\"$(launch ps -aq 2>/dev/null)\"}); compadd -a names }\n\
         _launch_words() { compadd -- \"$@\" }\n\
         _launch() {\n\
         \x20   if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n\
         \x20       local -a commands; commands=(\n",
    );
    for (name, help) in commands() {
        let _ = writeln!(text, "            '{name}:{}'", zsh_escaped(help));
    }
    text += "        )\n        _describe command commands; _files -/; return\n    fi\n";
    text += "    case $words[2] in\n";
    for verb in verbs::VERBS {
        let names = match following(verb) {
            Some((words, _)) if words.is_empty() => "'*:name:_launch_names'".to_owned(),
            Some((words, list)) => format!("\"*:word:_launch_words {words} $({list})\""),
            None => String::new(),
        };
        let options = zsh_options(&of_verb(verb));
        let _ = writeln!(
            text,
            "    {}) shift words; (( CURRENT-- )); _arguments \\\n{options}        {names} ;;",
            verb.name
        );
    }
    let _ = write!(
        text,
        "    help) _launch_words {} ;;\n    completions) _launch_words bash zsh fish ;;\n    \
         *) _arguments \\\n{}        '*:file:_files' ;;\n    esac\n}}\n_launch \"$@\"\n",
        help_words(),
        zsh_options(&of_start())
    );
    text
}

fn fish_escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

fn fish_options(text: &mut String, condition: &str, rows: &[Row]) {
    for row in rows {
        let names: String = row
            .names
            .split(' ')
            .map(|name| match name.strip_prefix("--") {
                Some(long) => format!(" -l {long}"),
                None => format!(" -s {}", name.trim_start_matches('-')),
            })
            .collect();
        let value = match row.words() {
            _ if row.value.is_empty() => String::new(),
            Some(words) => format!(" -x -a '{words}'"),
            None => " -r".into(),
        };
        let help = fish_escaped(row.help);
        let _ = writeln!(text, "complete -c launch -n '{condition}'{names}{value} -d '{help}'");
    }
}

fn fish() -> String {
    // The verb is the first word; further on the same word belongs to a command inside.
    let mut text = String::from(
        "# fish completion for launch, made by: launch completions fish\n\
         function __launch_verb; set -l words (commandline -opc); contains -- \"$words[2]\" $argv; end\n",
    );
    for (name, help) in commands() {
        let help = fish_escaped(help);
        let _ = writeln!(text, "complete -c launch -n __fish_is_first_arg -a {name} -d '{help}'");
    }
    let mut all = Vec::new();
    for verb in verbs::VERBS {
        all.push(verb.name);
        let condition = format!("__launch_verb {}", verb.name);
        fish_options(&mut text, &condition, &of_verb(verb));
        if let Some((words, list)) = following(verb) {
            let _ = writeln!(text, "complete -c launch -n '{condition}' -f -a '{words} ({list})'");
        }
    }
    let _ = writeln!(
        text,
        "complete -c launch -n '__launch_verb help' -f -a '{}'\n\
         complete -c launch -n '__launch_verb completions' -f -a 'bash zsh fish'",
        help_words()
    );
    let start = format!("not __launch_verb {}", all.join(" "));
    fish_options(&mut text, &start, &of_start());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_and_command_is_in_each() {
        for text in [bash(), zsh(), fish()] {
            for row in of_start()
                .iter()
                .chain(verbs::VERBS.iter().flat_map(|v| of_verb(v)).collect::<Vec<_>>().iter())
            {
                for name in row.names.split(' ') {
                    let bare = name.trim_start_matches('-');
                    assert!(text.contains(name) || text.contains(&format!(" {bare} ")), "{name}");
                }
            }
            assert!(commands().all(|(name, _)| text.contains(name)));
            assert!(!text.contains("--fault"));
        }
    }
}

//! Completions, asked for in the shells themselves.

use super::images::tools;
use super::living::{started, verb};
use crate::common::*;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A directory with `launch` and what it prints for this shell, as `FILE`.
fn place(s: &Sandbox, shell: &str, file: &str) -> PathBuf {
    let dir = s.dir.join("shell");
    std::fs::create_dir_all(&dir).unwrap();
    let _ = std::os::unix::fs::symlink(launch(), dir.join("launch"));
    let text = Run::of(quiet(&[launch().to_str().unwrap(), "completions", shell])).ok();
    std::fs::write(dir.join(file), text + "\n").unwrap();
    dir
}

fn quiet(words: &[&str]) -> Command {
    let mut c = Command::new(words[0]);
    c.args(&words[1..]).stdin(Stdio::null());
    c
}

/// Such a line, and words that are to be among those that follow, and not among them.
const LINES: [(&str, &[&str], &[&str]); 13] = [
    ("launch --memory", &["--memory", "--memory-swap"], &["--mem"]),
    ("launch exe", &["exec"], &["export"]),
    ("launch exec twel", &["twelve"], &["other"]),
    ("launch exec --work", &["--workdir"], &["--mem"]),
    ("launch stop --ti", &["--time", "--timeout"], &["--tail"]),
    ("launch logs --si", &["--since"], &["--sig"]),
    ("launch help limi", &["limits"], &["lim"]),
    ("launch --net pas", &["pasta"], &["host"]),
    ("launch --restart on", &["on-failure"], &["always"]),
    ("launch stop --signal US", &["USR1", "USR2"], &["TERM"]),
    ("launch completions f", &["fish"], &["zsh"]),
    ("launch volume cr", &["create"], &["inspect", "twelve"]),
    ("launch --mem 5M ./rootf", &["./rootfs/"], &["exec"]),
];

fn two_containers(s: &Sandbox) -> [std::process::Child; 2] {
    ["twelve", "other"].map(|name| started(s, name, &[], &["sleep", "60"]))
}

fn end(children: [std::process::Child; 2]) {
    verb(&["rm", "-f", "twelve", "other"]).expect(0);
    for mut child in children {
        child.wait().unwrap();
    }
}

/// `script` gets the line as its first argument, and prints a word on each line.
fn ask(s: &Sandbox, shell: &[&str], script: &str, dir: &std::path::Path) {
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    for (line, there, absent) in LINES {
        let mut c = quiet(&[shell, &[script, "sh", line]].concat());
        c.env("PATH", &path).env("HOME", dir).current_dir(&s.dir);
        let run = Run::of(c);
        let words: Vec<&str> =
            run.out.lines().map(|l| l.split('\t').next().unwrap_or(l).trim()).collect();
        for word in there {
            // bash leaves the slash to readline.
            let found = words.iter().any(|w| w == word || *word == format!("{w}/"));
            assert!(found, "{line}: no {word} in {run:#?}");
        }
        assert!(absent.iter().all(|word| !words.contains(word)), "{line}: {run:#?}");
    }
}

/// In this shell, started so: with the script that it has of launch.
fn in_shell(words: &[&str], file: &str, script: &str) {
    let Some(()) = tools(&words[..1]) else { return };
    let Some(s) = Sandbox::new() else { return };
    let dir = place(&s, words[0], file);
    let children = two_containers(&s);
    ask(&s, words, script, &dir);
    end(children);
}

#[test]
fn in_bash() {
    let script = r#"source "$HOME/launch.bash"; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _launch; printf '%s\n' "${COMPREPLY[@]}"; complete -p launch >/dev/null"#;
    in_shell(&["bash", "--norc", "-c"], "launch.bash", script);
}

#[test]
fn in_fish() {
    let script = r#"source $HOME/launch.fish; complete -C $argv[2]"#;
    in_shell(&["fish", "--no-config", "-c"], "launch.fish", script);
}

/// On a pseudo-terminal of its own, where it completes what there is one word for.
#[test]
fn in_zsh() {
    let Some(()) = tools(&["zsh"]) else { return };
    let Some(s) = Sandbox::new() else { return };
    let dir = place(&s, "zsh", "_launch");
    assert_eq!(
        Run::of(quiet(&["zsh", "-f", "-n", dir.join("_launch").to_str().unwrap()])).ok(),
        ""
    );
    let children = two_containers(&s);
    // Control-X shows the line as it has become.
    let script = r#"zmodload zsh/zpty; zpty z zsh -f -i
        zpty -w z 'PROMPT=; fpath=($HOME $fpath); autoload -U compinit; compinit -u -D'
        zpty -w z 'show() { print -r -- "<$BUFFER>"; BUFFER= }; zle -N show; bindkey "^X" show'
        zpty -w z 'print REA""DY'; zpty -r z seen '*READY*'
        ask() { zpty -w -n z "$1"$'\t\C-x'; zpty -r z seen '*<*>*'; seen=${seen##*<}; print -r -- ${seen%%>*} }
        for line in "$@"; do ask $line; done; zpty -d z"#;
    let asked = [
        ("launch --memory-s", "launch --memory-swap"),
        ("launch exe", "launch exec"),
        ("launch exec twel", "launch exec twelve"),
        ("launch exec --work", "launch exec --workdir"),
        ("launch stop --timeo", "launch stop --timeout"),
        ("launch logs --si", "launch logs --since"),
        ("launch help limi", "launch help limits"),
        ("launch --net pas", "launch --net pasta"),
        ("launch completions f", "launch completions fish"),
        ("launch volume cr", "launch volume create"),
        ("launch --mem 5M ./rootf", "launch --mem 5M ./rootfs/"),
    ];
    let mut c = quiet(&["zsh", "-f", "-c", script, "zsh"]);
    c.args(asked.map(|(line, _)| line));
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    c.env("PATH", path).env("HOME", &dir).env("TERM", "dumb").current_dir(&s.dir);
    let run = Run::within(std::time::Duration::from_secs(20), c).expect(0);
    let seen: Vec<&str> = run.out.lines().map(str::trim_end).collect();
    assert_eq!(seen, asked.map(|(_, completed)| completed));
    end(children);
}

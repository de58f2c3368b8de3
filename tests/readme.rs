//! What README.md shows is so: its ```sh blocks are run, its ```console blocks are run
//! and compared with what they show, in one directory, from the first to the last, by
//! root and by an ordinary user. `...` stands for any text, alone on a line for any lines.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Sandbox, as_user, busybox, is_root, launch, need, set_mode};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const README: &str = include_str!("../README.md");
/// Printed after each command, with its status.
const MARK: &str = "@@readme";
/// An ordinary user, whose subordinate ids are unknown.
const SOMEBODY: u32 = 54_321;

/// One fenced block.
struct Block {
    /// Line of README.md.
    line: usize,
    commands: Vec<Shown>,
}

/// A command, and what README shows as printed by it.
struct Shown {
    command: String,
    output: Vec<String>,
}

fn blocks() -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = README.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let console = line == "```console";
        if !console && line != "```sh" {
            continue;
        }
        let mut commands: Vec<Shown> = Vec::new();
        for (_, line) in lines.by_ref().take_while(|(_, l)| *l != "```") {
            let command = if console { line.strip_prefix("$ ") } else { Some(line) };
            match (command, commands.last_mut()) {
                (Some(command), _) => {
                    commands.push(Shown { command: command.into(), output: Vec::new() });
                }
                (None, Some(last)) => last.output.push(line.into()),
                (None, None) => panic!("README.md:{}: output before a command", at + 2),
            }
        }
        found.push(Block { line: at + 1, commands });
    }
    found
}

/// In `dir`, where `launch` and ROOTFS are.
fn shell(dir: &Path, script: &str, user: Option<u32>) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).current_dir(dir).stdin(Stdio::null());
    command.env("PATH", format!("{}:{path}", dir.join("host").display()));
    command.env("LAUNCH_STORE", dir.join("store"));
    command.env("LC_ALL", "C").env_remove("RUST_BACKTRACE").env_remove("LOGNAME");
    if let Some(id) = user {
        as_user(&mut command, id, id);
    }
    let output = command.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Runs the whole block in one shell, and compares.
fn check(block: &Block, dir: &Path, user: Option<u32>) {
    let mut script = String::from("exec 2>&1\nset +e\n");
    for shown in &block.commands {
        script += &format!("{}\nstatus=$?; echo {MARK} $status; (exit $status)\n", shown.command);
    }
    let printed = shell(dir, &script, user);
    let mut rest = printed.lines();
    for (n, shown) in block.commands.iter().enumerate() {
        let mut lines = Vec::new();
        let status = loop {
            match rest.next().map(|l| (l, l.split_once(MARK))) {
                Some((_, Some((before, status)))) => {
                    lines.extend(Some(before).filter(|b| !b.is_empty()));
                    break status.trim();
                }
                Some((line, None)) => lines.push(line),
                None => panic!("README.md:{}: {} did not end", block.line, shown.command),
            }
        };
        let about = format!("README.md:{}, user {user:?}: {}", block.line, shown.command);
        let expected: Vec<&str> = shown.output.iter().map(String::as_str).collect();
        let (wanted, found) = (expected.join("\n"), lines.join("\n"));
        assert!(same(&expected, &lines), "{about}\nshown:\n{wanted}\nprinted:\n{found}");
        // A failure is one that README goes on to talk about.
        let next = block.commands.get(n + 1).map_or("", |s| s.command.as_str());
        assert!(status == "0" || next == "echo $?", "{about}\nstatus {status}\n{found}");
    }
}

/// Lines against lines, of which a shown `...` is any number.
fn same(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((&"...", rest)) => (0..=printed.len()).any(|n| same(rest, &printed[n..])),
        Some((line, rest)) => {
            printed.first().is_some_and(|p| line_is(line, p)) && same(rest, &printed[1..])
        }
    }
}

/// A shown `...` is any text.
fn line_is(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split("...");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    let mut open = false;
    for part in parts {
        open = part.is_empty();
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    open || rest.is_empty()
}

/// Why a block cannot be run here, if so: what it needs is tried first.
fn obstacle(block: &Block, dir: &Path, user: Option<u32>) -> Option<String> {
    let text: String = block.commands.iter().map(|s| s.command.as_str()).collect();
    for option in ["--mem 20M", "--mem 200M", "--cpus 0.5", "--pids-limit 16", "-u 1000:1000"] {
        if text.contains(option) {
            let script = format!("launch {option} ./rootfs true 2>&1");
            let said = shell(dir, &script, user);
            if !said.is_empty() {
                return said.lines().next().map(str::to_owned);
            }
        }
    }
    let compiles = "echo 'int main(void) { return 0; }' | cc -static -xc -o try - && rm try";
    if text.contains("cc -static") && !shell(dir, compiles, user).is_empty() {
        return Some("needs a C compiler and a static C library (gcc, libc6-dev)".into());
    }
    let dynamic = std::fs::read("/bin/true").is_ok_and(|elf| {
        let loader = b"/lib64/ld-linux-x86-64.so.2\0";
        elf.windows(loader.len()).any(|w| w == loader)
    });
    if text.contains("/bin/true") && !dynamic {
        return Some("needs a dynamic /bin/true for x86-64 and glibc".into());
    }
    None
}

fn prepare() -> Option<Sandbox> {
    need((busybox()? == Path::new("/bin/busybox")).then_some(()), "needs /bin/busybox, static")?;
    let sandbox = Sandbox::empty();
    std::fs::remove_dir(sandbox.rootfs()).unwrap();
    std::fs::create_dir(sandbox.dir.join("host")).unwrap();
    let program = sandbox.dir.join("host/launch");
    std::fs::copy(launch(), &program).unwrap();
    set_mode(&program, 0o755);
    Some(sandbox)
}

#[test]
fn examples() {
    let Some(sandbox) = prepare() else { return };
    for block in blocks() {
        match obstacle(&block, &sandbox.dir, None) {
            Some(reason) => common::skip(&format!("README.md:{}: {reason}", block.line)),
            None => check(&block, &sandbox.dir, None),
        }
    }
}

/// Without limits and other users, which an ordinary user need not have.
#[test]
fn examples_as_an_ordinary_user() {
    if need(is_root().then_some(()), "needs root to become somebody else").is_none() {
        return;
    }
    let Some(sandbox) = prepare() else { return };
    sandbox.give_to(SOMEBODY, SOMEBODY);
    if !shell(&sandbox.dir, "unshare --user true 2>&1", Some(SOMEBODY)).is_empty() {
        return common::skip("needs user namespaces for ordinary users");
    }
    let mut run = 0;
    for block in blocks() {
        if obstacle(&block, &sandbox.dir, Some(SOMEBODY)).is_none() {
            check(&block, &sandbox.dir, Some(SOMEBODY));
            run += 1;
        }
    }
    assert!(run >= 7, "only {run} blocks ran");
}

/// Those of `launch --help`, which are those of the manual page.
#[test]
fn examples_of_help() {
    let Some(sandbox) = prepare() else { return };
    let dir = &sandbox.dir;
    let made = "mkdir -p rootfs/bin src && cp /bin/busybox rootfs/bin && rootfs/bin/busybox \
                --install rootfs/bin && echo 1 >src/file && \
                printf '#!/bin/sh\\n' >rootfs/app && chmod +x rootfs/app";
    assert_eq!(shell(dir, &format!("{made}; echo $?"), None), "0\n");
    let help = shell(dir, "launch --help", None);
    let shown = help.split("\nExamples:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let man = shell(dir, "launch man", None).replace("\\-", "-");
    assert!(man.contains(&format!(".SH EXAMPLES\n.nf\n{shown}")));
    let lines = shown.lines().filter(|l| l.starts_with("  launch "));
    let commands: Vec<&str> = lines.filter_map(|l| l[2..].split("  ").next()).collect();
    assert_eq!(commands.len(), 4);
    for command in commands {
        let shown = vec![Shown { command: command.into(), output: Vec::new() }];
        let block = Block { line: 0, commands: shown };
        match obstacle(&block, dir, None) {
            Some(reason) => common::skip(&format!("{command}: {reason}")),
            None => {
                let printed = shell(dir, &format!("{command}; echo $?"), None);
                assert!(printed.ends_with("0\n"), "{command}: {printed}");
            }
        }
    }
}

#[test]
fn there_are_eleven() {
    let examples = README.lines().filter(|l| {
        l.strip_prefix("**").is_some_and(|l| l.starts_with(|c: char| c.is_ascii_digit()))
    });
    assert_eq!(examples.count(), 11);
    assert!(blocks().len() > 11, "ten examples and the rootfs they need");
}

/// The options README names exist.
#[test]
fn options_exist() {
    // Sandboxes take the status of any child.
    let _sandbox = Sandbox::empty();
    let help = Command::new(launch()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for word in README.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
        let ours = ["`{}`", "launch {} "].map(|form| form.replace("{}", word));
        if word.starts_with("--") && ours.iter().any(|text| README.contains(text)) {
            assert!(help.contains(word), "{word} is not in launch --help");
        }
    }
}

/// The code map of ARCHITECTURE.md is complete, and nothing else is in it.
#[test]
fn every_source_file_is_in_the_code_map() {
    let text = include_str!("../ARCHITECTURE.md");
    assert!(text.lines().count() <= 150);
    let map = text.split("## ").find(|s| s.starts_with("Code map")).unwrap();
    let named: BTreeSet<&str> = map
        .split(|c: char| c.is_whitespace() || ",:;()".contains(c))
        .filter_map(|word| word.trim_end_matches('.').rsplit('/').next())
        .filter(|word| word.ends_with(".rs"))
        .collect();
    let mut sources = Vec::new();
    let mut folders = ["launcher", "init", "tests", "benches"].map(PathBuf::from).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => sources.push(path),
            }
        }
    }
    let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
    let code = |p: &&PathBuf| p.extension().is_some_and(|e| e == "rs");
    let programs = |p: &&PathBuf| p.starts_with("launcher") || p.starts_with("init/src");
    let missing: Vec<_> = sources
        .iter()
        .filter(code)
        .filter(programs)
        .filter(|p| !named.contains(&*name(p)))
        .collect();
    assert!(missing.is_empty(), "not in ARCHITECTURE.md: {missing:?}");
    let gone: Vec<_> = named.iter().filter(|n| !sources.iter().any(|p| name(p) == **n)).collect();
    assert!(gone.is_empty(), "only in ARCHITECTURE.md: {gone:?}");
}

#[test]
fn dots_stand_for_any_text() {
    assert!(line_is("a...c", "abc") && line_is("a...", "abc") && line_is("...c", "abc"));
    assert!(!line_is("a...c", "abcd") && !line_is("a", "ab") && !line_is("b...", "ab"));
    assert!(same(&["...", "b", "..."], &["a", "b"]) && same(&["..."], &[]));
    assert!(!same(&["a"], &["a", "b"]) && !same(&["a", "b"], &["a"]));
}

/// A class of failure that SECURITY.md calls closed has a test of the name it gives.
#[test]
fn every_test_that_security_names_exists() {
    let text = include_str!("../SECURITY.md");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let exists = |file: &str, function: &str| {
        ["tests/containers", "tests/init", "tests", "launcher/cli/tests", "launcher"].iter().any(
            |dir| {
                let source =
                    std::fs::read_to_string(root.join(dir).join(file).with_extension("rs"));
                source.is_ok_and(|s| s.contains(&format!("#[test]\nfn {function}()")))
            },
        )
    };
    let rows: Vec<&str> = text.lines().filter(|l| l.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 45, "{} classes", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, class, here, test] = cells[..] else { panic!("not four cells: {row}") };
        let none = ["no such thing", "open:"].iter().any(|s| here.starts_with(s));
        assert!((test == "none") == none, "{class}: {here}, but {test}");
        for name in test.split(", ").filter(|t| *t != "none" && *t != "tests/sweep") {
            let name = name.trim_matches('`');
            let (file, function) = name.split_once("::").expect(name);
            assert!(exists(file, function), "{class}: no test {name}");
        }
    }
    assert!(!exists("streams", "no_such_test"), "the search itself is broken");
}

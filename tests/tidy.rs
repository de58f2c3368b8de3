//! What the sources and the binaries must be, whatever they do: formatted, clean under
//! clippy, small, with unsafe code, output and file access where they belong.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;

use common::{has_interpreter, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The most lines a file may have; the table of options may be longer.
const FILE_MOST: usize = 400;
const LONG_FILES: [&str; 1] = ["launcher/cli/flags.rs"];
/// The most lines a function may have; flat sequences that read as a list are by name.
const FUNCTION_MOST: usize = 60;
const LONG_FUNCTIONS: [&str; 4] = ["child_words", "child_shell", "step", "ppoll_or_signal"];
const INIT_MOST: usize = 16 << 10;
const LAUNCH_MOST: u64 = 2 << 20;

/// Path below the root of the repository, and text.
struct Source {
    name: String,
    text: String,
}

impl Source {
    /// Lines without comments, numbered; unit tests at the end are left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(n, l)| (n + 1, l));
        let lines = lines.take_while(|(_, l)| l.trim() != "#[cfg(test)]");
        lines.map(|(n, l)| (n, l.split("//").next().unwrap_or_default()))
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("tests.rs")
            || self.name.contains("/tests/")
            || ["launcher/scratch.rs", "launcher/fuzz.rs"].contains(&self.name.as_str())
    }
}

fn sources(dirs: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for dir in dirs {
        add_sources(&Path::new(ROOT).join(dir), &mut found);
    }
    assert!(!found.is_empty(), "no sources in {dirs:?}");
    found
}

fn add_sources(path: &Path, found: &mut Vec<Source>) {
    if path.is_dir() {
        let mut entries: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|p| add_sources(p, found));
    } else if path.extension().is_some_and(|e| e == "rs") {
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        found.push(Source { name, text: std::fs::read_to_string(path).unwrap() });
    }
}

/// `word` as a word of its own.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(part_of_word) && !line[at + word.len()..].starts_with(part_of_word)
    })
}

/// A plain word as one of its own, anything else wherever it is.
fn stands(line: &str, what: &str) -> bool {
    if what.chars().all(char::is_alphanumeric) { has_word(line, what) } else { line.contains(what) }
}

/// Fails with all places where one of the words stands.
#[track_caller]
fn forbid<'a>(sources: impl Iterator<Item = &'a Source>, words: &[&str], why: &str) {
    let mut places = Vec::new();
    for source in sources {
        for (number, line) in source.code() {
            for word in words.iter().filter(|w| stands(line, w)) {
                places.push(format!("{}:{number}: {word}", source.name));
            }
        }
    }
    assert!(places.is_empty(), "{why}: {places:#?}");
}

#[test]
fn formatted() {
    let output =
        Command::new(env!("CARGO")).args(["fmt", "--all", "--check"]).current_dir(ROOT).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.contains("is not installed") || text.contains("no such command") {
        return skip("needs rustfmt");
    }
    let diff = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "run cargo fmt\n{text}{diff}");
}

#[test]
fn clippy_has_nothing_to_say() {
    // A target directory of its own: the one in use is locked by the cargo that runs us.
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clippy");
    let output = Command::new(env!("CARGO"))
        .args(["clippy", "-p", "launch", "--all-targets", "--quiet", "--", "-D", "warnings"])
        .env("CARGO_TARGET_DIR", target_dir)
        .current_dir(ROOT)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.contains("is not installed") || text.contains("no such command") {
        return skip("needs clippy");
    }
    assert!(output.status.success(), "{text}");
}

#[test]
fn unsafe_code_is_where_system_calls_are() {
    let allowed = |name: &str| {
        name == "launcher/sys.rs"
            || name.starts_with("launcher/sys/")
            || name.starts_with("init/src/sys")
            || name == "init/src/mem.rs"
            || name == "benches/harness/sys.rs"
            // Filters set between fork and exec.
            || name == "tests/common/filter.rs"
            || name == "tests/sweep/sys.rs"
            // Masks, dispositions and terminals as init finds them.
            || name.starts_with("tests/init/")
    };
    let mut found = 0;
    for source in sources(&["launcher", "init", "tests", "benches", "build.rs"]) {
        if source.name == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in source.code().filter(|(_, l)| has_word(l, "unsafe")) {
            assert!(allowed(&source.name), "{}:{number}: {line}", source.name);
            found += 1;
        }
    }
    assert!(found > 0, "the search itself is broken");
}

#[test]
fn files_are_short() {
    for source in sources(&["launcher", "init", "tests", "benches", "build.rs"]) {
        let lines = source.text.lines().count();
        let long = LONG_FILES.contains(&source.name.as_str());
        assert!(lines <= FILE_MOST || long, "{}: {lines} lines", source.name);
    }
}

/// Name, first line and number of lines of every function; the sources are formatted, so
/// it ends at the brace below its beginning.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = &line[..line.len() - trimmed.len()];
        let words: Vec<&str> = trimmed.split([' ', '(', '<']).collect();
        let qualifier = |w: &&str| {
            w.starts_with("pub")
                || ["const", "unsafe", "extern", "\"C\"", "super)", "crate)", "in"].contains(w)
        };
        let Some(position) = words.iter().position(|w| *w == "fn") else { continue };
        if !words[..position].iter().all(qualifier) || trimmed.ends_with(['}', ';']) {
            continue;
        }
        let end = format!("{indent}}}");
        if let Some(length) = lines[at..].iter().position(|l| *l == end) {
            found.push((words[position + 1].to_owned(), at + 1, length + 1));
        }
    }
    found
}

#[test]
fn functions_are_short() {
    let mut count = 0;
    for source in sources(&["launcher", "init", "tests"]) {
        for (name, line, length) in functions(&source) {
            count += 1;
            let flat = LONG_FUNCTIONS.contains(&name.as_str());
            assert!(
                length <= FUNCTION_MOST || flat,
                "{}:{line}: {name} has {length} lines",
                source.name
            );
        }
    }
    assert!(count > 300, "the search itself is broken: {count}");
}

#[test]
fn only_main_prints_and_exits() {
    let all = sources(&["launcher"]);
    let others = || all.iter().filter(|s| s.name != "launcher/main.rs" && !s.is_test());
    let words = [
        "println!",
        "print!",
        "dbg!",
        "process::exit",
        "process::abort",
        "std::io::stdout",
        "std::io::stderr",
    ];
    forbid(others(), &words, "only main.rs prints and exits");
    let main = all.iter().find(|s| s.name == "launcher/main.rs").unwrap();
    assert!(main.text.contains("std::process::exit") && main.text.contains("std::io::stderr"));
}

#[test]
fn the_command_line_is_parsed_without_a_look_at_the_host() {
    let all = sources(&["launcher"]);
    let pure = |s: &&Source| {
        let name = s.name.as_str();
        let file = [
            "launcher/cli.rs",
            "launcher/spec.rs",
            "launcher/command.rs",
            "launcher/size.rs",
            "launcher/quote.rs",
        ];
        (name.starts_with("launcher/cli/") || file.contains(&name)) && !s.is_test()
    };
    assert!(all.iter().filter(pure).count() > 10);
    let words = [
        "std::fs",
        "std::env",
        "std::io",
        "std::net",
        "std::process",
        "rustix",
        "libc::",
        "File::",
        "crate::sys",
        "crate::host",
    ];
    forbid(all.iter().filter(pure), &words, "parsers do no I/O");
}

#[test]
fn the_child_does_not_allocate() {
    let all = sources(&["launcher"]);
    let child =
        all.iter().filter(|s| s.name.starts_with("launcher/child") || s.name == "launcher/caps.rs");
    let words = [
        "format!",
        "vec!",
        "Vec::",
        "String",
        "to_owned",
        "to_string",
        "to_vec",
        "Box::new",
        ".clone()",
        "collect",
        "CString::new",
        "PathBuf",
        "std::fs",
        "std::env",
        "println!",
        "panic!",
        "unwrap",
    ];
    forbid(child, &words, "between clone and exec nothing is allocated, formatted or parsed");
}

#[test]
fn nobody_unwraps() {
    let all = sources(&["launcher", "init"]);
    let words = [".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!", "unreachable!"];
    forbid(all.iter().filter(|s| !s.is_test()), &words, "every error is told");
}

#[test]
fn init_is_static_and_within_its_budget() {
    // The one that looks after a log as well is nobody's to copy.
    for (path, most) in [(env!("INIT_ELF"), INIT_MOST), (env!("INIT_LOG_ELF"), INIT_MOST + 1024)] {
        let init = std::fs::read(path).unwrap();
        assert!(!has_interpreter(&init), "{path} needs a loader");
        assert!(init.len() <= most, "{path} has {} bytes, at most {most}", init.len());
    }
}

#[test]
fn launch_is_static() {
    assert!(!has_interpreter(&std::fs::read(common::launch()).unwrap()), "launch needs a loader");
}

/// Type, flags and size of each segment of a 64-bit file.
fn segments(elf: &[u8]) -> Vec<(u64, u64, u64)> {
    let word =
        |at: usize, n: usize| elf[at..at + n].iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
    let (table, size, count) = (word(32, 8), word(54, 2), word(56, 2));
    let heads = (0..count).map(|i| (table + i * size) as usize);
    heads.map(|at| (word(at, 4), word(at + 4, 4), word(at + 40, 8))).collect()
}

/// What checksec(1) looks at. init has one segment, which nobody can write; where it lies is
/// known, but its stack is not, and it has no heap.
#[test]
fn nothing_that_is_built_can_be_written_and_executed() {
    const LOAD: u64 = 1;
    const INTERPRETER: u64 = 3;
    const STACK: u64 = 0x6474_e551;
    const RELRO: u64 = 0x6474_e552;
    let launch = common::launch();
    let release = launch.ancestors().nth(2).unwrap().join("release/launch");
    let inits = [env!("INIT_ELF"), env!("INIT_LOG_ELF")].map(PathBuf::from);
    for path in inits.iter().chain([&launch, &release]) {
        let Ok(elf) = std::fs::read(path) else { continue };
        let (all, shown) = (segments(&elf), path.display());
        assert!(all.iter().any(|(kind, ..)| *kind == LOAD), "{shown}");
        for (kind, flags, _) in &all {
            assert!(*kind != INTERPRETER, "{shown} needs a loader");
            assert!(*kind != LOAD || flags & 3 != 3, "{shown}: written and executed: {all:x?}");
        }
        let stack = all.iter().find(|(kind, ..)| *kind == STACK);
        assert!(stack.is_some_and(|(_, flags, _)| flags & 1 == 0), "{shown}: its stack: {all:x?}");
        let writable = all.iter().filter(|(kind, flags, _)| *kind == LOAD && flags & 2 != 0);
        if inits.contains(path) {
            assert_eq!(writable.count(), 0, "{shown}: {all:x?}");
        } else {
            // ET_DYN: it lies elsewhere each time.
            assert_eq!(elf[16], 3, "{shown} is no position-independent program");
            let fixed = all.iter().any(|(kind, _, size)| *kind == RELRO && *size > 0);
            assert!(fixed, "{shown}: {all:x?}");
        }
    }
}

/// The release build, where there is one.
#[test]
fn launch_is_within_its_budget() {
    let debug: PathBuf = common::launch();
    let release = debug.ancestors().nth(2).unwrap().join("release/launch");
    let Ok(meta) = std::fs::metadata(&release) else { return };
    assert!(meta.len() <= LAUNCH_MOST, "launch has {} bytes, at most {LAUNCH_MOST}", meta.len());
    assert!(!has_interpreter(&std::fs::read(&release).unwrap()), "launch needs a loader");
}

/// Every module of the container tests is run.
#[test]
fn every_test_module_is_named() {
    let main = std::fs::read_to_string(Path::new(ROOT).join("tests/containers.rs")).unwrap();
    for source in sources(&["tests/containers"]) {
        let name = Path::new(&source.name).file_stem().unwrap().to_str().unwrap();
        assert!(main.contains(&format!("\nmod {name};\n")), "{}", source.name);
    }
}

#[test]
fn the_projects_papers() {
    let read = |name: &str| std::fs::read_to_string(Path::new(ROOT).join(name));
    let names = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE"];
    for name in names {
        match read(name) {
            Ok(text) => assert!(!text.trim().is_empty(), "{name} is empty"),
            Err(_) => return skip(&format!("{name} is not written yet")),
        }
    }
    let lines = read("ARCHITECTURE.md").unwrap().lines().count();
    assert!(lines <= 150, "ARCHITECTURE.md has {lines} lines, at most 150");
}

//! Files that a program cannot run without and that no ELF file names. Few, on purpose: what
//! is not here is said with `--include`.

use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq)]
pub enum Companion {
    /// A directory or file with all below it.
    All(PathBuf),
    /// A file that describes a terminal.
    Terminal(PathBuf),
    /// A directory, empty.
    Empty(PathBuf),
    /// A user of the host's etc/passwd, with the group.
    User(&'static str),
}

/// Names in an included directory that are left out: tests and what only a compiler needs.
pub const LEFT_OUT: [&str; 3] = ["test", "tests", "config-3"];

use Companion::{All, Empty, Terminal, User};

/// For the file that a program really is: `/usr/bin/python3.11`.
pub fn of_program(real: &Path) -> Vec<Companion> {
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let prefix = real.parent().and_then(Path::parent).unwrap_or(Path::new("/usr"));
    if let Some(version) = name.strip_prefix("python").filter(|v| v.contains('.')) {
        return vec![All(prefix.join(format!("lib/python{version}")))];
    }
    match name.as_ref() {
        "nginx" => vec![
            All("/etc/nginx".into()),
            All("/usr/share/nginx".into()),
            All("/usr/lib/nginx".into()),
            All("/var/www".into()),
            Empty("/var/log/nginx".into()),
            Empty("/var/lib/nginx".into()),
            User("www-data"),
        ],
        "perl" => vec![
            All("/usr/share/perl".into()),
            All(prefix.join("lib/perl")),
            All(prefix.join("share/perl5")),
        ]
        .into_iter()
        .chain(perl_directories())
        .collect(),
        _ => Vec::new(),
    }
}

/// Debian keeps perl's own modules below the machine's name.
fn perl_directories() -> Vec<Companion> {
    let entries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let dirs = entries.flat_map(|e| ["perl-base", "perl"].map(|d| e.path().join(d)));
    dirs.filter(|d| d.is_dir()).map(All).collect()
}

/// For a library that was brought.
pub fn of_library(name: &[u8]) -> Vec<Companion> {
    const TERMINALS: [&str; 12] = [
        "x/xterm",
        "x/xterm-256color",
        "l/linux",
        "v/vt100",
        "v/vt220",
        "a/ansi",
        "d/dumb",
        "s/screen",
        "s/screen-256color",
        "t/tmux",
        "t/tmux-256color",
        "r/rxvt",
    ];
    if !name.starts_with(b"libtinfo.so") && !name.starts_with(b"libncurses") {
        return Vec::new();
    }
    let places = ["/lib/terminfo", "/usr/share/terminfo", "/etc/terminfo"];
    let of =
        |terminal: &&str| places.iter().map(|p| Path::new(p).join(terminal)).find(|p| p.exists());
    TERMINALS.iter().filter_map(of).map(Terminal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_by_its_version() {
        let of = |p: &str| of_program(Path::new(p));
        assert_eq!(of("/usr/bin/python3.11"), [All("/usr/lib/python3.11".into())]);
        assert_eq!(of("/opt/py/bin/python3.13"), [All("/opt/py/lib/python3.13".into())]);
        assert_eq!(of("/usr/bin/python3-config"), []);
        assert_eq!(of("/usr/bin/bash"), []);
    }
}

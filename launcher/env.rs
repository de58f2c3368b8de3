//! The container's environment, and whether it and the command fit into an execve(2).

use crate::error::{Code, Error, Result};
use crate::quote::quote;
use crate::size;
use crate::spec::EnvItem;
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// More cannot be passed to a program anyway.
const FILE_MOST: u64 = 6 << 20;
/// The kernel's MAX_ARG_STRLEN, which counts the final NUL.
const STRING_MOST: usize = 128 << 10;

/// In the order in which names first came.
#[derive(Default)]
struct Vars {
    list: Vec<(OsString, OsString)>,
    /// Where in the list a name is: a file may hold tens of thousands.
    places: BTreeMap<OsString, usize>,
}

impl Vars {
    fn set(&mut self, name: &OsStr, value: &OsStr) {
        match self.places.get(name).and_then(|at| self.list.get_mut(*at)) {
            Some((_, old)) => *old = value.to_owned(),
            None => {
                self.places.insert(name.to_owned(), self.list.len());
                self.list.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

/// `base` first, then `items` in order: a later one replaces the value of an earlier one
/// in its place. `caller` knows the caller's own variables.
pub fn build(
    items: &[EnvItem],
    caller: impl Fn(&OsStr) -> Option<OsString>,
    base: &[(&OsStr, &OsStr)],
) -> Result<Vec<CString>> {
    let mut vars = Vars::default();
    for (name, value) in base {
        vars.set(name, value);
    }
    for item in items {
        match item {
            EnvItem::Set(name, value) => vars.set(name, value),
            EnvItem::FromCaller(name) => {
                caller(name).into_iter().for_each(|value| vars.set(name, &value));
            }
            EnvItem::File(path) => add_lines(&mut vars, path, &read(path)?, &caller)?,
        }
    }
    vars.list.into_iter().map(|(name, value)| c_string(name, &value)).collect()
}

fn c_string(name: OsString, value: &OsStr) -> Result<CString> {
    let bytes = [name.as_bytes(), b"=", value.as_bytes()].concat();
    CString::new(bytes).map_err(|_| {
        Error::new(format!("environment variable {} contains a NUL byte", quote(&name)))
    })
}

/// May be a pipe, as in `--env-file <(command)`.
fn read(path: &Path) -> Result<Vec<u8>> {
    let fail = |e| Error::os(format!("--env-file {}", path.display()), e);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(FILE_MOST + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > FILE_MOST {
        let most = size::human(FILE_MOST);
        return Err(Error::new(format!("--env-file {}: larger than {most}", path.display())));
    }
    Ok(bytes)
}

/// Docker's rules: NAME=VALUE with everything after the first `=` taken as it is, NAME
/// alone for the caller's value, `#` comments, white space before a name ignored.
fn add_lines(
    vars: &mut Vars,
    path: &Path,
    bytes: &[u8],
    caller: &impl Fn(&OsStr) -> Option<OsString>,
) -> Result<()> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (number, line) in (1..).zip(bytes.split(|b| *b == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let bad = |why: &str| Error::new(format!("{}:{number}: {why}", path.display()));
        if line.contains(&0) {
            return Err(bad("a NUL byte"));
        }
        let equals = line.iter().position(|b| *b == b'=');
        let name = OsStr::from_bytes(&line[..equals.unwrap_or(line.len())]);
        if name.is_empty() {
            return Err(bad("the name before = is empty"));
        }
        if name.as_bytes().iter().any(u8::is_ascii_whitespace) {
            return Err(bad(&format!("white space in the name {}", quote(name))));
        }
        match equals {
            Some(at) => vars.set(name, OsStr::from_bytes(&line[at + 1..])),
            None => caller(name).into_iter().for_each(|value| vars.set(name, &value)),
        }
    }
    Ok(())
}

/// What execve(2) would refuse with a bare "Argument list too long".
pub fn check_sizes(argv: &[CString], env: &[CString]) -> Result<()> {
    check(argv, env, total_most())
}

/// A quarter of the stack limit, at most 6 MiB, at least 128 KiB (fs/exec.c).
fn total_most() -> usize {
    let stack = getrlimit(Resource::Stack).current.unwrap_or(u64::MAX);
    (stack / 4).clamp(128 << 10, 6 << 20) as usize
}

fn check(argv: &[CString], env: &[CString], most: usize) -> Result<()> {
    let refuse = |message: String| Err(Error::new(message).code(Code::CannotExecute));
    let size = |s: &CString| s.as_bytes_with_nul().len();
    for (number, arg) in argv.iter().enumerate() {
        if size(arg) > STRING_MOST {
            let (bytes, most) = (size(arg) - 1, STRING_MOST - 1);
            return refuse(format!(
                "argument {number} is {bytes} bytes, the kernel's limit is {most}"
            ));
        }
    }
    for var in env {
        if size(var) > STRING_MOST {
            let name = var.as_bytes().split(|b| *b == b'=').next().unwrap_or_default();
            let (name, bytes) = (quote(OsStr::from_bytes(name)), size(var) - 1);
            let most = STRING_MOST - 1;
            return refuse(format!(
                "environment variable {name} is {bytes} bytes, the kernel's limit is {most}"
            ));
        }
    }
    // A pointer goes with each string. 4 KiB stay for the file's name and the init's own.
    let all = |list: &[CString]| list.iter().map(|s| size(s) + size_of::<usize>()).sum::<usize>();
    let (args, vars) = (all(argv), all(env));
    if args + vars > most - 4096 {
        return refuse(format!(
            "arguments ({args} bytes) and environment ({vars} bytes) are too long, \
             the kernel's limit is {most} bytes together"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::ffi::OsStringExt;

    fn caller(name: &OsStr) -> Option<OsString> {
        match name.as_bytes() {
            b"HERE" => Some("mine".into()),
            b"EMPTY" => Some("".into()),
            b"RAW" => Some(OsString::from_vec(b"\xff".to_vec())),
            _ => None,
        }
    }

    fn set(name: &str, value: &str) -> EnvItem {
        EnvItem::Set(name.into(), value.into())
    }

    fn built(items: &[EnvItem]) -> Vec<CString> {
        let base =
            [("PATH", "/bin"), ("HOME", "/root")].map(|(k, v)| (OsStr::new(k), OsStr::new(v)));
        build(items, caller, &base).expect("environment")
    }

    #[test]
    fn order_and_replacement() {
        let from = |name: &str| EnvItem::FromCaller(name.into());
        let items = [
            set("A", "1"),
            set("HOME", "/h"),
            from("HERE"),
            from("NOT"),
            from("EMPTY"),
            from("RAW"),
            set("A", "2=3"),
        ];
        let want = [c"PATH=/bin", c"HOME=/h", c"A=2=3", c"HERE=mine", c"EMPTY=", c"RAW=\xff"];
        assert_eq!(built(&items), want.map(CString::from));
    }

    #[test]
    fn from_a_file() {
        let dir = Scratch::new("env");
        let text = b"\xef\xbb\xbf# comment\n\n  \t\nA=1\r\n  B= two words # kept\n#C=3\nHERE\nNOT\nD='q \"r'\nPATH=\nE==\nF=\xff\nA=last";
        dir.file("vars", text);
        let got =
            built(&[set("A", "0"), EnvItem::File(dir.path().join("vars")), set("B", "after")]);
        let want = [
            c"PATH=",
            c"HOME=/root",
            c"A=last",
            c"B=after",
            c"HERE=mine",
            c"D='q \"r'",
            c"E==",
            c"F=\xff",
        ];
        assert_eq!(got, want.map(CString::from));
    }

    #[test]
    fn bad_files() {
        let dir = Scratch::new("env");
        let file = dir.path().join("vars");
        for (text, why) in [
            (&b"A=1\n=2\n"[..], ":2: the name before = is empty"),
            (b"\n\nA B=1", ":3: white space in the name 'A B'"),
            (b"export A=1", ":1: white space in the name 'export A'"),
            (b"A =1", ":1: white space in the name 'A '"),
            (b"A=\0", ":1: a NUL byte"),
        ] {
            dir.file("vars", text);
            let error = build(&[EnvItem::File(file.clone())], caller, &[]).expect_err(why);
            assert_eq!(error.to_string(), format!("{}{why}", file.display()));
        }
        for (name, why) in
            [("none", "No such file or directory (ENOENT)"), ("", "Is a directory (EISDIR)")]
        {
            let error = build(&[EnvItem::File(dir.path().join(name))], caller, &[]).expect_err(why);
            assert!(
                error.to_string().starts_with("--env-file /") && error.to_string().ends_with(why),
                "{error}"
            );
        }
        let endless = build(&[EnvItem::File("/dev/zero".into())], caller, &[]).expect_err("zero");
        assert_eq!(endless.to_string(), "--env-file /dev/zero: larger than 6M");
    }

    #[test]
    fn too_long() {
        let long = |n: usize| CString::new("x".repeat(n)).expect("no NUL");
        let words = |n: usize, each: usize| vec![long(each); n];
        assert!(check(&words(3, 10), &words(3, 10), 2 << 20).is_ok());
        assert!(check(&[long(1), long(131_071)], &[], 2 << 20).is_ok());
        for (argv, env, why) in [
            (
                vec![long(1), long(200_000)],
                vec![],
                "argument 1 is 200000 bytes, the kernel's limit is 131071",
            ),
            (vec![long(131_072)], vec![], "argument 0 is 131072 bytes"),
            (
                vec![],
                vec![CString::new(format!("BIG={}", "x".repeat(131_072))).expect("var")],
                "environment variable 'BIG' is 131076 bytes",
            ),
            (
                words(30_000, 100),
                vec![],
                "arguments (3270000 bytes) and environment (0 bytes) are too long, the kernel's limit is 2097152 bytes together",
            ),
            (vec![], words(30_000, 100), "environment (3270000 bytes)"),
            (words(2_000_000, 0), vec![], "arguments (18000000 bytes)"),
        ] {
            let error = check(&argv, &env, 2 << 20).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.code, Code::CannotExecute);
        }
    }

    /// The figures are the kernel's: what passes is executed, what does not is E2BIG.
    #[test]
    fn the_kernel_agrees() {
        use std::process::Command;
        let most = total_most();
        let run = |count: usize, length: usize| {
            let argv = vec!["x".repeat(length); count];
            let cs: Vec<CString> =
                argv.iter().map(|a| CString::new(a.as_str()).expect("arg")).collect();
            let ours = check(&cs, &[], most).is_ok();
            (
                ours,
                Command::new("/proc/self/exe")
                    .arg("--list")
                    .args(&argv)
                    .env_clear()
                    .output()
                    .is_ok(),
            )
        };
        assert!(run(1, 131_071).1);
        assert_eq!(run(1, 131_072), (false, false));
        let count = (most - 4096) / 1009 - 4;
        assert_eq!(run(count, 1000), (true, true));
        assert_eq!(run(most / 1009 + 4, 1000), (false, false));
    }

    #[test]
    fn any_file() {
        let text = b"\xef\xbb\xbfA=b\r\n# c\n\tHOME\nX=1=2\n\n=\nB C=d\n";
        crate::fuzz::fuzz(&[text], |bytes| {
            let mut vars = Vars::default();
            let caller = |_: &OsStr| Some(OsString::from("v"));
            let _ = add_lines(&mut vars, Path::new("f"), bytes, &caller);
        });
    }
}

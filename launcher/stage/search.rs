//! Where the loader of a program finds its libraries: ld.so(8), and musl's own rules.

use crate::stage::cache::Cache;
use crate::stage::elf::{self, Object};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The subdirectories for better processors, of one machine each; glibc 2.33 and newer.
const HWCAPS: [&str; 3] = ["x86-64-v4", "x86-64-v3", "x86-64-v2"];

/// The host's libraries, as its loaders see them.
pub struct Host {
    cache: Cache,
    /// Of ld.so.conf, whether or not ldconfig has put them into the cache.
    configured: Vec<PathBuf>,
}

/// Something loaded that asks for libraries: where it is, and what it says.
pub struct Loaded {
    pub path: PathBuf,
    pub object: Object,
    /// Who asked for it, up to the program (indices into the list of loaded objects).
    pub parent: Option<usize>,
}

/// Where a library is: all that may be loaded under its name, the plain one first.
#[derive(Debug, PartialEq)]
pub struct Found {
    pub paths: Vec<PathBuf>,
    /// Only the host's ld.so.cache knows the place.
    pub by_cache: bool,
}

impl Host {
    pub fn read() -> Host {
        let cache = std::fs::read("/etc/ld.so.cache").unwrap_or_default();
        let mut configured = Vec::new();
        configuration(Path::new("/etc/ld.so.conf"), 0, &mut configured);
        Host { cache: Cache::parse(&cache), configured }
    }

    /// The library `name` that `loaded[asker]` asks for, with what `interpreter` does.
    pub fn find(
        &self,
        name: &[u8],
        loaded: &[Loaded],
        asker: usize,
        interpreter: &[u8],
    ) -> Option<Found> {
        let own = &loaded[asker];
        let (object, musl) = (&own.object, is_musl(interpreter));
        if name.contains(&b'/') {
            let path = expand(name, own, musl);
            // A relative one would depend on where the program is started.
            let fits = path.is_absolute() && fits(&path, object);
            return fits.then(|| Found { paths: vec![path], by_cache: false });
        }
        let listed = search_path(loaded, asker, musl);
        if let Some(paths) = listed.iter().find_map(|dir| in_directory(dir, name, object)) {
            return Some(Found { paths, by_cache: false });
        }
        if musl {
            let paths = musl_path(interpreter).into_iter();
            let paths = paths.filter_map(|dir| in_directory(&dir, name, object)).next()?;
            return Some(Found { paths, by_cache: false });
        }
        let standard = standard(object);
        let mut cached: Vec<PathBuf> =
            self.cache.find(name).filter(|path| fits(path, object)).cloned().collect();
        if !cached.is_empty() {
            // Best first in the cache; the plain one first here.
            cached.sort_by_key(|path| is_for_better(path));
            let by_cache =
                !cached.iter().any(|p| p.parent().is_some_and(|d| standard.iter().any(|s| s == d)));
            return Some(Found { paths: cached, by_cache });
        }
        let dirs = standard.iter().chain(&self.configured);
        let paths = dirs.filter_map(|dir| in_directory(dir, name, object)).next()?;
        Some(Found { paths, by_cache: false })
    }
}

/// DT_RPATH of the asker and of who asked for it, unless the asker has DT_RUNPATH, which
/// is its own alone. To musl both are one.
fn search_path(loaded: &[Loaded], asker: usize, musl: bool) -> Vec<PathBuf> {
    let list = |of: &Loaded, paths: &Option<Vec<u8>>| -> Vec<PathBuf> {
        let paths = paths.iter().flat_map(|p| p.split(|b| *b == b':'));
        paths.filter(|p| !p.is_empty()).map(|p| expand(p, of, musl)).collect()
    };
    let own = &loaded[asker];
    let mut dirs = Vec::new();
    if own.object.runpath.is_none() || musl {
        let mut next = Some(asker);
        while let Some(n) = next {
            let of = &loaded[n];
            if of.object.runpath.is_none() {
                dirs.extend(list(of, &of.object.rpath));
            } else if musl {
                dirs.extend(list(of, &of.object.runpath));
            }
            next = of.parent;
        }
        return dirs;
    }
    list(own, &own.object.runpath)
}

/// $ORIGIN, $LIB and $PLATFORM, with or without braces.
fn expand(path: &[u8], of: &Loaded, musl: bool) -> PathBuf {
    let origin = of.path.parent().unwrap_or(Path::new("/")).as_os_str().as_bytes();
    let lib = match of.object.class {
        2 if Path::new("/usr/lib64/libc.so.6").exists() => b"lib64".to_vec(),
        _ => match triplet(&of.object) {
            Some(t) if !musl && Path::new("/usr/lib").join(t).exists() => {
                format!("lib/{t}").into_bytes()
            }
            _ => b"lib".to_vec(),
        },
    };
    let platform: &[u8] = match of.object.machine {
        62 => b"x86_64",
        183 => b"aarch64",
        3 => b"i686",
        _ => b"",
    };
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        let name = |n: &str| {
            let braces = format!("{{{n}}}");
            let tail_of = |p: &str| tail.strip_prefix(p.as_bytes());
            tail_of(&braces).or_else(|| tail_of(n))
        };
        let token = [("ORIGIN", origin), ("LIB", &lib), ("PLATFORM", platform)];
        match token.iter().find_map(|(n, value)| name(n).map(|after| (after, value))) {
            Some((after, value)) if byte == b'$' => {
                out.extend_from_slice(value);
                rest = after;
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&out))
}

/// The plain one and those for better processors; None where none of them fits.
fn in_directory(dir: &Path, name: &[u8], asker: &Object) -> Option<Vec<PathBuf>> {
    let name = OsStr::from_bytes(name);
    let better = HWCAPS.iter().map(|cpu| dir.join("glibc-hwcaps").join(cpu).join(name));
    let places = std::iter::once(dir.join(name)).chain(better);
    let found: Vec<PathBuf> = places.filter(|path| fits(path, asker)).collect();
    (!found.is_empty()).then_some(found)
}

fn is_for_better(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "glibc-hwcaps")
}

/// The loader passes over files for another machine.
fn fits(path: &Path, asker: &Object) -> bool {
    let Ok(file) = std::fs::File::open(path) else { return false };
    elf::read(&file).is_ok_and(|o| o.is_some_and(|o| o.same_machine(asker)))
}

/// Where glibc looks without being told: Debian's places, then the others'.
fn standard(object: &Object) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    if let Some(triplet) = triplet(object) {
        dirs.extend(["/lib", "/usr/lib"].map(|dir| Path::new(dir).join(triplet)));
    }
    if object.class == 2 {
        dirs.extend(["/lib64", "/usr/lib64"].map(PathBuf::from));
    }
    dirs.extend(["/lib", "/usr/lib"].map(PathBuf::from));
    dirs
}

fn triplet(object: &Object) -> Option<&'static str> {
    Some(match (object.machine, object.class) {
        (62, 2) => "x86_64-linux-gnu",
        (62, 1) => "x86_64-linux-gnux32",
        (3, _) => "i386-linux-gnu",
        (183, _) => "aarch64-linux-gnu",
        (40, _) => "arm-linux-gnueabihf",
        (243, 2) => "riscv64-linux-gnu",
        (21, 2) => "powerpc64le-linux-gnu",
        (22, 2) => "s390x-linux-gnu",
        _ => return None,
    })
}

pub fn is_musl(interpreter: &[u8]) -> bool {
    interpreter.rsplit(|b| *b == b'/').next().is_some_and(|name| name.starts_with(b"ld-musl-"))
}

/// The file beside the loader that lists musl's directories: `/etc/ld-musl-x86_64.path`.
pub fn musl_path_file(interpreter: &[u8]) -> PathBuf {
    let name = interpreter.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let stem = name.split(|b| *b == b'.').next().unwrap_or_default();
    Path::new("/etc").join(OsStr::from_bytes(stem)).with_extension("path")
}

fn musl_path(interpreter: &[u8]) -> Vec<PathBuf> {
    let text = std::fs::read(musl_path_file(interpreter));
    let text = text.unwrap_or_else(|_| b"/lib:/usr/local/lib:/usr/lib".to_vec());
    let dirs = text.split(|b| matches!(b, b':' | b'\n')).filter(|d| !d.is_empty());
    dirs.map(|d| PathBuf::from(OsStr::from_bytes(d))).collect()
}

/// Directories of ld.so.conf and the files it includes.
fn configuration(file: &Path, depth: u32, dirs: &mut Vec<PathBuf>) {
    let Ok(text) = std::fs::read_to_string(file) else { return };
    for line in text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()) {
        match line.strip_prefix("include").map(str::trim) {
            Some(pattern) if depth < 8 => {
                let pattern = Path::new("/etc").join(pattern);
                matching(&pattern).iter().for_each(|f| configuration(f, depth + 1, dirs));
            }
            None if line.starts_with('/') => dirs.push(PathBuf::from(line)),
            _ => {}
        }
    }
}

/// The files that a pattern with one `*` in its last name means.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    let name = name.to_string_lossy();
    let Some((head, tail)) = name.split_once('*') else { return vec![pattern.to_owned()] };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|e| {
            let n = e.file_name();
            let n = n.to_string_lossy();
            n.len() >= head.len() + tail.len() && n.starts_with(head) && n.ends_with(tail)
        })
        .map(|e| e.path())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(path: &str, parent: Option<usize>, rpath: &str, runpath: &str) -> Loaded {
        let list = |s: &str| (!s.is_empty()).then(|| s.as_bytes().to_vec());
        let object = Object {
            class: 2,
            machine: 62,
            rpath: list(rpath),
            runpath: list(runpath),
            ..Object::default()
        };
        Loaded { path: path.into(), object, parent }
    }

    fn paths(loaded: &[Loaded], asker: usize, musl: bool) -> Vec<String> {
        search_path(loaded, asker, musl).iter().map(|p| p.display().to_string()).collect()
    }

    #[test]
    fn rpath_is_inherited_and_runpath_is_not() {
        let list = [
            loaded("/opt/app/bin/app", None, "$ORIGIN/../lib:/r", ""),
            loaded("/opt/app/lib/liba.so", Some(0), "/a", ""),
            loaded("/opt/app/lib/libb.so", Some(1), "", "${ORIGIN}/plug:"),
            loaded("/opt/app/lib/libc.so", Some(2), "/c", ""),
        ];
        assert_eq!(paths(&list, 1, false), ["/a", "/opt/app/bin/../lib", "/r"]);
        assert_eq!(paths(&list, 2, false), ["/opt/app/lib/plug"]);
        assert_eq!(paths(&list, 3, false), ["/c", "/a", "/opt/app/bin/../lib", "/r"]);
        assert_eq!(paths(&list, 2, true)[..2], ["/opt/app/lib/plug", "/a"]);
    }

    #[test]
    fn tokens() {
        let of = loaded("/x/bin/app", None, "", "");
        let text = |s: &str| expand(s.as_bytes(), &of, false).display().to_string();
        assert_eq!(text("$ORIGIN"), "/x/bin");
        assert_eq!(text("/a/${PLATFORM}/$"), "/a/x86_64/$");
        assert_eq!(text("$OTHER/ORIGIN"), "$OTHER/ORIGIN");
    }

    #[test]
    fn musls_own_file() {
        assert!(is_musl(b"/lib/ld-musl-x86_64.so.1") && !is_musl(b"/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(
            musl_path_file(b"/lib/ld-musl-x86_64.so.1"),
            Path::new("/etc/ld-musl-x86_64.path")
        );
    }
}

//! `launch stage DIR PROGRAM...`: a root file system of nothing but some of the host's
//! programs and what they need.

mod cache;
mod companions;
mod elf;
mod etc;
mod mirror;
mod search;
pub mod tar;

pub use etc::NewUser;

use crate::error::{Error, Result};
use crate::quote::quote;
use crate::size;
use crate::stage::companions::Companion;
use crate::stage::mirror::Mirror;
use crate::stage::search::Loaded;
use rustix::fs::{FileType, Mode, OFlags};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What `launch stage` was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Order {
    pub dir: PathBuf,
    /// Names to be looked up, or paths.
    pub programs: Vec<OsString>,
    /// Files and directories beside them.
    pub include: Vec<PathBuf>,
    pub user: Option<NewUser>,
    /// Nothing but the programs and their libraries.
    pub bare: bool,
}

/// For the user: what was done, and what may be missing.
pub struct Staged {
    pub lines: Vec<String>,
    pub warnings: Vec<String>,
}

/// Where a container looks for programs, and so whoever makes one.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A script's interpreter may be a script; the kernel goes no deeper, either.
const SCRIPTS_MOST: u32 = 5;

#[derive(Default)]
struct Brought {
    files: usize,
    bytes: u64,
}

struct Stage {
    mirror: Mirror,
    host: search::Host,
    /// Of the last program that had one: what libraries alone are looked up for.
    interpreter: Vec<u8>,
    /// ELF files whose libraries are there.
    done: HashSet<PathBuf>,
    by_cache: bool,
    companions: Vec<Companion>,
    lines: Vec<String>,
    warnings: Vec<String>,
}

/// Makes or extends the directory; `init` becomes its /sbin/init.
pub fn stage(order: &Order, init: &[u8]) -> Result<Staged> {
    let new = std::fs::symlink_metadata(&order.dir).is_err();
    let staged = fill(order, init);
    if staged.is_err() && new {
        // What is half there is of no use; why is what is to be told.
        let _ = crate::tree::remove(rustix::fs::CWD, order.dir.as_os_str().as_bytes());
    }
    staged
}

fn fill(order: &Order, init: &[u8]) -> Result<Staged> {
    let shown = order.dir.display();
    // All that can be refused is refused before the first file is written.
    let programs: Vec<PathBuf> =
        order.programs.iter().map(|p| look_up(p)).collect::<Result<_>>()?;
    std::fs::create_dir_all(&order.dir).map_err(|e| Error::os(format!("make {shown}"), e))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&order.dir, flags, Mode::empty());
    let root = root.map_err(|e| Error::os(format!("open {shown}"), e))?;
    refuse_hosts_root(&order.dir)?;
    let mut stage = Stage {
        mirror: Mirror::new(root),
        host: search::Host::read(),
        interpreter: Vec::new(),
        done: HashSet::new(),
        by_cache: false,
        companions: Vec::new(),
        lines: Vec::new(),
        warnings: Vec::new(),
    };
    for program in &programs {
        stage.program(program, 0)?;
    }
    stage.merged_usr()?;
    let listed = stage.mirror.copied.len();
    for path in &order.include {
        let path = absolute(path)?;
        let brought = stage.include(&path, &[])?;
        stage.say(&path.display().to_string(), &brought);
    }
    etc::basics(&mut stage.mirror.tree)?;
    if !order.bare {
        stage.bring_companions()?;
    }
    if stage.by_cache {
        // The loader finds these by its index only.
        stage.mirror.bring(Path::new("/etc/ld.so.cache"))?;
    }
    if let Some(user) = &order.user {
        etc::add_user(&mut stage.mirror.tree, user)?;
    }
    crate::inject::inject(&order.dir, init)?;
    Ok(stage.report(order, listed, init.len() as u64))
}

impl Stage {
    fn program(&mut self, path: &Path, depth: u32) -> Result<()> {
        let real = self.mirror.bring(path)?;
        let shown = path.display();
        let failed = |e| Error::os(format!("read {shown}"), e);
        let mut file = File::open(&real).map_err(failed)?;
        if let Some(object) = elf::read(&file).map_err(|e| Error::new(format!("{shown}: {e}")))? {
            self.libraries(&real, object, true)?;
        } else {
            let mut head = [0; 256];
            let n = file.rewind().and_then(|()| file.read(&mut head)).map_err(failed)?;
            self.script(path, &head[..n], depth)?;
        }
        self.companions.extend(companions::of_program(&real));
        let hidden =
            ["/tmp", "/run", "/dev", "/proc", "/sys"].iter().find(|dir| real.starts_with(dir));
        if let Some(dir) = hidden {
            self.warnings.push(format!(
                "{}: a container has a fresh {dir}, which hides it; copy it elsewhere first",
                real.display()
            ));
        }
        Ok(())
    }

    /// `#! INTERPRETER [ARG]`; for env(1) the argument is a program, too.
    fn script(&mut self, path: &Path, head: &[u8], depth: u32) -> Result<()> {
        let Some(line) = head.strip_prefix(b"#!") else {
            let said = format!("{}: neither an ELF program nor a script", path.display());
            self.warnings.push(said);
            return Ok(());
        };
        let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
        let mut words = line.split(|b| b" \t\r".contains(b)).filter(|w| !w.is_empty());
        let Some(interpreter) = words.next() else {
            return Err(Error::new(format!("{}: no interpreter after #!", path.display())));
        };
        if depth >= SCRIPTS_MOST {
            return Err(Error::new(format!("{}: too many interpreters", path.display())));
        }
        let needs = |e: Error| Error::new(format!("{}: its interpreter: {e}", path.display()));
        let interpreter = look_up(OsStr::from_bytes(interpreter)).map_err(needs)?;
        self.program(&interpreter, depth + 1)?;
        if interpreter.file_name() == Some(OsStr::new("env")) {
            let program = words.find(|w| !w.starts_with(b"-") && !w.contains(&b'='));
            if let Some(program) = program {
                let program = look_up(OsStr::from_bytes(program)).map_err(needs)?;
                self.program(&program, depth + 1)?;
            }
        }
        Ok(())
    }

    /// The loader of an ELF file and all libraries it would load, breadth first as it does.
    fn libraries(&mut self, real: &Path, object: elf::Object, strict: bool) -> Result<()> {
        if !self.done.insert(real.to_owned()) {
            return Ok(());
        }
        if let Some(interpreter) = &object.interpreter {
            let path = Path::new(OsStr::from_bytes(interpreter));
            self.mirror.bring(path).map_err(|_| {
                let shown = path.display();
                Error::new(format!("{}: needs {shown}, which is not on this host", real.display()))
            })?;
            self.interpreter.clone_from(interpreter);
            if search::is_musl(interpreter) {
                let file = search::musl_path_file(interpreter);
                if file.exists() {
                    self.mirror.bring(&file)?;
                }
            }
        }
        let interpreter = self.interpreter.clone();
        let loader = interpreter.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let mut known: HashSet<Vec<u8>> = HashSet::from([loader.to_vec()]);
        let mut loaded = vec![Loaded { path: real.to_owned(), object, parent: None }];
        let mut next = 0;
        while next < loaded.len() {
            for name in loaded[next].object.needed.clone() {
                if !known.insert(name.clone()) {
                    continue;
                }
                if let Some(library) = self.library(&name, &loaded, next, &interpreter, strict)? {
                    known.extend(library.object.soname.clone());
                    loaded.push(library);
                }
            }
            next += 1;
        }
        Ok(())
    }

    fn library(
        &mut self,
        name: &[u8],
        loaded: &[Loaded],
        asker: usize,
        interpreter: &[u8],
        strict: bool,
    ) -> Result<Option<Loaded>> {
        let Some(found) = self.host.find(name, loaded, asker, interpreter) else {
            if search::is_musl(interpreter) && name.starts_with(b"libc.") {
                return Ok(None); // the loader itself
            }
            let said = format!(
                "{}: needs {}, which is not where its loader looks",
                loaded[asker].path.display(),
                quote(OsStr::from_bytes(name))
            );
            if strict {
                return Err(Error::new(said).hint("ldd shows what it needs"));
            }
            self.warnings.push(said);
            return Ok(None);
        };
        for path in &found.paths {
            self.mirror.bring(path)?;
        }
        self.by_cache |= found.by_cache;
        self.companions.extend(companions::of_library(name));
        let path = found.paths[0].clone();
        let failed = |e: String| Error::new(format!("{}: {e}", path.display()));
        let file = File::open(&path).map_err(|e| failed(e.to_string()))?;
        let Some(object) = elf::read(&file).map_err(failed)? else { return Ok(None) };
        Ok(Some(Loaded { path, object, parent: Some(asker) }))
    }

    /// A file or directory with all below it, and the libraries of what is ELF in it.
    fn include(&mut self, path: &Path, skip: &[&str]) -> Result<Brought> {
        let before = self.mirror.copied.len();
        self.mirror.bring_all(path, skip)?;
        let new: Vec<PathBuf> =
            self.mirror.copied[before..].iter().map(|c| c.source.clone()).collect();
        for source in &new {
            let Ok(file) = File::open(source) else { continue };
            if let Ok(Some(object)) = elf::read(&file) {
                self.libraries(source, object, false)?;
            }
        }
        let bytes: u64 = self.mirror.copied[before..].iter().map(|c| c.bytes).sum();
        Ok(Brought { files: self.mirror.copied.len() - before, bytes })
    }

    fn say(&mut self, what: &str, brought: &Brought) {
        let Brought { files, bytes } = *brought;
        if files > 0 {
            self.lines.push(format!("{:>8}  {what} ({files} files)", size::human(bytes)));
        }
    }

    fn bring_companions(&mut self) -> Result<()> {
        let mut terminals = Brought::default();
        // What is brought may bring more.
        while let Some(companion) = self.companions.pop() {
            match companion {
                Companion::All(path) if path.exists() => {
                    let brought = self.include(&path, &companions::LEFT_OUT)?;
                    self.say(&path.display().to_string(), &brought);
                }
                Companion::Terminal(path) => {
                    let brought = self.include(&path, &[])?;
                    terminals.files += brought.files;
                    terminals.bytes += brought.bytes;
                }
                Companion::Empty(path) if path.is_dir() => drop(self.mirror.bring(&path)?),
                Companion::User(name) => {
                    if let Some(user) = etc::hosts_user(name) {
                        etc::add_user(&mut self.mirror.tree, &user)?;
                    }
                }
                _ => {}
            }
        }
        self.say("terminal descriptions", &terminals);
        Ok(())
    }

    /// /bin and its like are links on most hosts; programs and scripts use either name.
    fn merged_usr(&mut self) -> Result<()> {
        for name in ["/bin", "/sbin", "/lib"] {
            if std::fs::read_link(name).is_ok_and(|target| target.is_relative()) {
                self.mirror.bring(Path::new(name))?;
            }
        }
        Ok(())
    }

    fn report(mut self, order: &Order, listed: usize, init: u64) -> Staged {
        let copied = &self.mirror.copied;
        let line =
            |c: &mirror::Copied| format!("{:>8}  {}", size::human(c.bytes), c.path.display());
        let mut lines: Vec<String> = copied[..listed].iter().map(line).collect();
        lines.append(&mut self.lines);
        lines.push(format!("{:>8}  /sbin/init", size::human(init)));
        let bytes = copied.iter().map(|c| c.bytes).sum::<u64>() + init;
        lines.push(format!(
            "{:>8}  in {} files below {}",
            size::human(bytes),
            copied.len() + 1,
            order.dir.display()
        ));
        self.warnings.dedup();
        Staged { lines, warnings: self.warnings }
    }
}

/// A program of the host by the name a container will call it by, else by the caller's PATH.
fn look_up(name: &OsStr) -> Result<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        let path = absolute(Path::new(name))?;
        return match rustix::fs::stat(&path) {
            Ok(stat) if crate::tree::kind(&stat) == FileType::RegularFile => Ok(path),
            Ok(_) => {
                let said = format!("{}: not a program", path.display());
                Err(Error::new(said).hint("--include takes a directory"))
            }
            Err(e) => Err(Error::os(path.display().to_string(), e)),
        };
    }
    let own = std::env::var_os("PATH").unwrap_or_default();
    let dirs = PATH.split(':').map(PathBuf::from).chain(std::env::split_paths(&own));
    let executable =
        |p: &PathBuf| p.is_file() && rustix::fs::access(p, rustix::fs::Access::EXEC_OK).is_ok();
    let found = dirs.filter(|d| d.is_absolute()).map(|d| d.join(name)).find(executable);
    found.ok_or_else(|| {
        Error::new(format!("{}: no such program on this host", quote(name)))
            .hint("a path, with a /, is taken as it is")
    })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::os("find the current directory", e))
}

fn refuse_hosts_root(dir: &Path) -> Result<()> {
    match (rustix::fs::stat(dir), rustix::fs::stat("/")) {
        (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) => {
            Err(Error::new(format!("stage {}: that is this machine's own root", dir.display())))
        }
        _ => Ok(()),
    }
}

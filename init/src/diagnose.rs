//! Why a program could not be started, in words: execve says "No such file" also when
//! it is the loader or the interpreter that is missing.

use crate::binfmt::{self, Format};
use crate::msg::{fail, hint, say};
use crate::pack::t;
use crate::spawn::{Program, candidate};
use crate::state::{Init, Step};
use crate::sys::{self, Stat, Str, Text, z};
use crate::{exit, text};

impl Init {
    /// Says what went wrong and returns the exit code for it.
    pub fn explain(&self, program: &Program) -> i32 {
        let (what, object) = match self.failed {
            Step::Clone => (z(c"clone"), None),
            Step::User => (z(c"become user "), self.user),
            Step::Workdir => (z(c"chdir "), self.workdir),
            Step::Terminal => (z(c"open "), program.console),
            Step::Exec => return self.explain_exec(program),
        };
        fail(what, object.unwrap_or(Str::EMPTY), self.error);
        exit::OURS
    }

    /// The file that execve was about, the one named or the first of PATH with its
    /// name, if it is there.
    fn locate(&self, program: &Program, path: &mut Text) -> Option<Stat> {
        if let Some(directory) = self.workdir {
            sys::chdir(directory);
        }
        let mut directories = self.path.unwrap_or(Str::EMPTY);
        if program.name.contains(b'/') {
            path.push(program.name);
            return sys::stat(program.name);
        }
        while candidate(path, &mut directories, program.name) {
            if let Some(stat) = sys::stat(path.as_str()) {
                return Some(stat);
            }
        }
        None
    }

    fn explain_exec(&self, program: &Program) -> i32 {
        let (name, error, mut path) = (program.name, self.error, Text::new());
        let missing = error == -libc::ENOENT as isize;
        match self.locate(program, &mut path) {
            Some(stat) => explain_file(path.as_str(), stat, error),
            None if missing && !name.contains(b'/') => {
                say(t!("exec '%': not found in PATH %"), name, self.path.unwrap_or(name), name)
            }
            None => {
                fail(z(c"exec "), name, error);
                if sys::is_symlink(name) {
                    hint(t!("it is a symbolic link that leads nowhere"));
                }
            }
        }
        if missing || error == -libc::ENOTDIR as isize {
            exit::NOT_FOUND
        } else {
            exit::CANNOT_EXECUTE
        }
    }
}

/// About a file that is there and still cannot be run.
fn explain_file(path: Str, stat: Stat, error: isize) {
    let because = |text: Str| say(t!("exec %: %"), path, text, text);
    if stat.mode & libc::S_IFMT == libc::S_IFDIR {
        return because(z(c"is a directory"));
    }
    let mut detail = Text::new();
    if stat.mode & 0o111 == 0 {
        detail.push(z(c"not executable (mode 0")).number(stat.mode & 0o7777, 8).byte(b')');
        return because(detail.as_str());
    }
    let missing = error == -libc::ENOENT as isize;
    let mut head = [0; 1024];
    let known = missing || error == -libc::ENOEXEC as isize;
    let got = if known { sys::read_head(path, &mut head, 0) } else { -1 };
    if got < 0 {
        return fail(z(c"exec "), path, error);
    }
    match binfmt::identify(head.get(..got as usize).unwrap_or_default(), stat.size) {
        Format::Empty => return because(z(c"empty file")),
        Format::TruncatedElf => return because(z(c"truncated ELF file")),
        Format::Elf { machine, .. } if !binfmt::runs_here(machine) => {
            detail.until(text::numbered(z(binfmt::MACHINES), machine.into()), b'\n');
            let mut here = Text::new();
            here.until(text::numbered(z(binfmt::MACHINES), binfmt::NATIVE.into()), b'\n');
            return say(
                t!("exec %: built for %, this machine is %"),
                path,
                detail.as_str(),
                here.as_str(),
            );
        }
        Format::Elf { interp: Some((offset, _)), .. } if missing => {
            sys::read_head(path, &mut head, offset);
            detail.push(Str::from_buffer(&head));
        }
        Format::Script { interpreter, crlf } if missing => {
            interpreter.iter().for_each(|byte| _ = detail.byte(*byte));
            if crlf {
                say(
                    t!("exec %: its interpreter is '%\\r': the file has CRLF line ends"),
                    path,
                    detail.as_str(),
                    path,
                );
                return hint(t!("save it with LF line ends: sed -i 's/\\r$//' FILE"));
            }
        }
        _ => return fail(z(c"exec "), path, error),
    }
    say(t!("exec %: exists, but needs %, which is not in the rootfs"), path, detail.as_str(), path);
    hint(t!("copy that file there, too; a statically linked program needs no loader"));
}

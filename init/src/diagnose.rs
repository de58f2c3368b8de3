//! Why a program could not be started, in words: execve says "No such file" also when
//! it is the loader or the interpreter that is missing.

use crate::binfmt::{self, Format};
use crate::pack::t;
use crate::spawn::{Program, candidate};
use crate::state::{Init, Step};
use crate::sys::{self, Stat, Str, Text, z};
use crate::{exit, text};

#[cfg(target_arch = "x86_64")]
macro_rules! here {
    () => {
        "x86_64"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! here {
    () => {
        "aarch64"
    };
}

impl Init {
    /// Says what went wrong and returns the exit code for it.
    pub fn explain(&self, program: &Program) -> i32 {
        let (what, object) = match self.failed {
            Step::Clone => (t!("clone: ^"), program.name),
            Step::User => (t!("become user %: ^"), self.user),
            Step::Workdir => (t!("chdir %: ^"), self.workdir),
            Step::Terminal => (t!("open %: ^"), program.console),
            Step::Exec => return self.explain_exec(program),
        };
        self.say(what, object, object, self.error as usize);
        exit::OURS
    }

    #[inline(never)]
    fn explain_exec(&self, program: &Program) -> i32 {
        let (name, error, mut path) = (program.name, self.error, Text::new());
        if !self.workdir.is_empty() {
            sys::chdir(self.workdir);
        }
        // The file that execve was about: the one named or the first of PATH with its name.
        let (mut directories, plain) = (self.path, !name.contains(b'/'));
        let mut stat = Stat { mode: 0, ..Stat::default() };
        if plain {
            while stat.mode == 0 && candidate(&mut path, &mut directories, name) {
                stat = sys::stat(path.as_str());
            }
        } else {
            path.push(name);
            stat = sys::stat(name);
        }
        let missing = error == -libc::ENOENT as isize;
        if stat.mode != 0 {
            self.explain_file(path.as_str(), stat);
        } else if missing && plain {
            self.say(t!("exec '%': not found in PATH %"), name, self.path, 0);
        } else if sys::is_symlink(name) {
            self.say(
                t!("exec %: ^\nhint: a symbolic link that leads nowhere"),
                name,
                name,
                error as usize,
            );
        } else {
            self.say(t!("exec %: ^"), name, name, error as usize);
        }
        if missing || error == -libc::ENOTDIR as isize {
            exit::NOT_FOUND
        } else {
            exit::CANNOT_EXECUTE
        }
    }

    /// About a file that is there and still cannot be run.
    #[inline(never)]
    fn explain_file(&self, path: Str, stat: Stat) {
        let (mut number, mut head) = (self.error as usize, [0; binfmt::HEAD]);
        let missing = self.error == -libc::ENOENT as isize;
        let unknown = missing || self.error == -libc::ENOEXEC as isize;
        let mut detail = path;
        let format = if stat.mode & libc::S_IFMT == libc::S_IFDIR {
            t!("exec %: is a directory")
        } else if stat.mode & 0o111 == 0 {
            number = stat.mode as usize & 0o7777;
            t!("exec %: not executable (mode 0&)")
        } else if !unknown || sys::read_head(path, &mut head, 0) < 0 {
            t!("exec %: ^")
        } else {
            match binfmt::identify(&head, stat.size) {
                Format::Empty => t!("exec %: empty file"),
                Format::TruncatedElf => t!("exec %: truncated ELF file"),
                Format::Elf { machine } if !binfmt::runs_here(machine) => {
                    detail = text::numbered(z(binfmt::MACHINES), machine.into());
                    if detail.is_empty() {
                        detail = z(c"another machine");
                    }
                    t!(concat!("exec %: built for %, this machine is ", here!()))
                }
                Format::Needs { at, len, crlf } if missing => {
                    sys::read_head(path, &mut head, at);
                    // What is longer than this is not shown.
                    if let Some(end) = head.get_mut(len as usize) {
                        *end = 0;
                    }
                    detail = Str::from_buffer(&head);
                    if crlf {
                        t!(
                            "exec %: its interpreter is '%\\r': the file has CRLF line ends\nhint: sed -i 's/\\r$//' FILE"
                        )
                    } else {
                        t!(
                            "exec %: exists, but needs %, which is not in the rootfs\nhint: copy it there, or link statically"
                        )
                    }
                }
                _ => t!("exec %: ^"),
            }
        };
        self.say(format, path, detail, number);
    }
}

//! Why a program could not be started, in words: execve says "No such file" also when
//! it is the loader or the interpreter that is missing.

use crate::binfmt::{self, Format};
use crate::exit;
use crate::msg::{fail, hint, say};
use crate::spawn::{Program, Step, candidate};
use crate::sys;
use crate::text::{Digits, Path};
use core::ffi::CStr;

/// Says what went wrong and returns the exit code for it.
pub fn report(program: &Program) -> i32 {
    let (step, error) = program.failed;
    let name = program.name.to_bytes();
    match step {
        Step::Clone => fail(b"clone", b"", error),
        Step::User => {
            fail(b"switch to user", b"for -u", error);
            hint(b"only root can become another user");
        }
        Step::Workdir => fail(b"chdir", program.workdir.unwrap_or_default().to_bytes(), error),
        Step::Terminal => fail(b"open", program.console.unwrap_or_default().to_bytes(), error),
        Step::Exec => {
            if let Some(directory) = program.workdir {
                sys::chdir(directory);
            }
            return exec(program, name, error);
        }
    }
    exit::OURS
}

/// The file that execve was about: the one named, or the first of PATH with its name.
fn locate(program: &Program) -> Option<Path<1024>> {
    let name = program.name.to_bytes();
    if name.contains(&b'/') {
        return Path::new(&[name]);
    }
    program
        .path
        .split(|b| *b == b':')
        .filter_map(|d| candidate(d, name))
        .find(|path| exists(path.as_cstr()))
}

fn exists(path: &CStr) -> bool {
    sys::stat(libc::AT_FDCWD, path).is_some()
}

fn exec(program: &Program, name: &[u8], error: isize) -> i32 {
    let missing = error == -libc::ENOENT as isize;
    let code = if missing || error == -libc::ENOTDIR as isize {
        exit::NOT_FOUND
    } else {
        exit::CANNOT_EXECUTE
    };
    let found = locate(program);
    match found
        .as_ref()
        .and_then(|path| Some((path.as_cstr(), sys::stat(libc::AT_FDCWD, path.as_cstr())?)))
    {
        None if missing && !name.contains(&b'/') => {
            say(&[b"exec '", name, b"': not found in PATH ", program.path]);
        }
        None => {
            fail(b"exec", name, error);
            if missing && found.is_some_and(|path| sys::is_symlink(path.as_cstr())) {
                hint(b"it is a symbolic link to something that is not there");
            }
        }
        Some((path, stat)) => file(path, stat, error),
    }
    code
}

/// About a file that is there and still cannot be run.
fn file(path: &CStr, stat: sys::Stat, error: isize) {
    let name = path.to_bytes();
    match stat.mode & libc::S_IFMT {
        libc::S_IFDIR => return say(&[b"exec ", name, b": is a directory"]),
        libc::S_IFREG => {}
        _ => return say(&[b"exec ", name, b": not a regular file"]),
    }
    match -error as i32 {
        libc::EACCES if stat.mode & 0o111 == 0 => {
            say(&[
                b"exec ",
                name,
                b": not executable (mode ",
                Digits::new(stat.mode & 0o7777, 8).bytes(),
                b")",
            ]);
            return hint(b"chmod +x it");
        }
        libc::ENOENT | libc::ENOEXEC | libc::EACCES => {}
        libc::E2BIG => {
            fail(b"exec", name, error);
            return hint(b"one argument or variable may have 131071 bytes, all together a quarter of the stack limit");
        }
        _ => return fail(b"exec", name, error),
    }
    content(path, stat.size, error);
}

fn content(path: &CStr, size: u64, error: isize) {
    let name = path.to_bytes();
    let (mut head, mut interp) = ([0; binfmt::HEAD], [0; 256]);
    let fd = sys::open(path, libc::O_RDONLY | libc::O_NONBLOCK) as i32;
    let got = sys::pread(fd, &mut head, 0);
    let head = head.get(..got as usize).unwrap_or_default();
    let lacks = |what: &[u8]| {
        say(&[b"exec ", name, b": exists, but needs ", what, b", which is not in the rootfs"])
    };
    match binfmt::identify(head, size) {
        _ if got < 0 => fail(b"exec", name, error),
        Format::Empty => say(&[b"exec ", name, b": empty file"]),
        Format::TruncatedElf => say(&[b"exec ", name, b": truncated ELF file"]),
        Format::Elf { machine, .. } if !binfmt::runs_here(machine) => {
            let (built, here) =
                (binfmt::machine_name(machine), binfmt::machine_name(binfmt::NATIVE));
            say(&[
                b"exec ",
                name,
                b": built for ",
                built.as_bytes(),
                b", this machine is ",
                here.as_bytes(),
            ]);
        }
        Format::Elf { interp: Some((offset, _)), .. } if error == -libc::ENOENT as isize => {
            sys::pread(fd, &mut interp, offset);
            lacks(CStr::from_bytes_until_nul(&interp).unwrap_or_default().to_bytes());
            hint(b"link it statically, or copy that loader and its libraries into the rootfs");
        }
        Format::Script { interpreter, crlf: true } => {
            say(&[
                b"exec ",
                name,
                b": its interpreter is '",
                interpreter,
                b"\\r': the file has CRLF line ends",
            ]);
            hint(b"save it with LF line ends: sed -i 's/\\r$//' FILE");
        }
        Format::Script { interpreter, .. } if error == -libc::ENOENT as isize => lacks(interpreter),
        _ => fail(b"exec", name, error),
    }
    sys::close(fd);
}

/// Whether the file is text without `#!`, which execvp gives to the shell.
pub fn is_shell_text(path: &CStr) -> bool {
    let Some(stat) = sys::stat(libc::AT_FDCWD, path) else { return false };
    let mut head = [0; 256];
    let fd = sys::open(path, libc::O_RDONLY | libc::O_NONBLOCK) as i32;
    let got = sys::pread(fd, &mut head, 0).max(0) as usize;
    sys::close(fd);
    let head = head.get(..got).unwrap_or_default();
    binfmt::identify(head, stat.size) == Format::Unknown && !head.contains(&0)
}

/// The file execve found unfit (ENOEXEC), if a shell can run it.
pub fn shell_script(program: &Program) -> Option<Path<1024>> {
    locate(program).filter(|path| is_shell_text(path.as_cstr()))
}

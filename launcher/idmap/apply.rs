//! Writing the maps, and mounts that show files with mapped owners: the parent's side, and
//! the child's, where nothing allocates.

use super::{IdMap, Range, Writer, subid, text};
use crate::error::{Error, Result};
use crate::step::Tree;
use crate::{failure, mount, supervise, sys};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Gid, Pid, Uid};
use std::ffi::{CStr, CString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

/// Parent: the child's user namespace gets its ids.
pub fn map_ids(map: &IdMap, child: Pid) -> Result<()> {
    if map.writer == Writer::Helpers {
        return with_helpers(map, child);
    }
    let deny = (map.writer == Writer::Own).then(|| ("setgroups", "deny".to_owned()));
    let maps = [("uid_map", text(&map.uids)), ("gid_map", text(&map.gids))];
    for (file, text) in deny.into_iter().chain(maps) {
        let path = format!("/proc/{child}/{file}");
        std::fs::write(&path, text)
            .map_err(|e| hint_of_write(Error::os(format!("write {path}"), e), map.writer))?;
    }
    Ok(())
}

fn hint_of_write(error: Error, writer: Writer) -> Error {
    match (writer, std::path::Path::new("/proc/self/uid_map").exists()) {
        (_, false) => error.hint("user namespaces need /proc mounted on the host"),
        (Writer::Root, true) => error.hint(
            "this needs CAP_SETUID and CAP_SETGID, and ids that our own user namespace has (/proc/self/uid_map)",
        ),
        (_, true) => match failure::user_namespace(true) {
            Some(hint) => error.hint(hint),
            None => error,
        },
    }
}

/// Both at a time: most of a start goes by while they run.
fn with_helpers(map: &IdMap, child: Pid) -> Result<()> {
    let users = start("newuidmap", child, &map.uids)?;
    let groups = start("newgidmap", child, &map.gids);
    let users = finish("newuidmap", users, "/etc/subuid");
    let groups = groups.and_then(|g| finish("newgidmap", g, "/etc/subgid"));
    users.and(groups)
}

/// One that runs, and what it says.
struct Helper {
    pid: Pid,
    said: OwnedFd,
}

fn start(program: &str, child: Pid, ranges: &[Range]) -> Result<Helper> {
    let path = subid::helper(program).unwrap_or_else(|| program.into());
    let failed = |e| Error::os(format!("run {}", path.display()), e);
    let numbers = ranges.iter().flat_map(|r| [r.inside, r.outside, r.count]);
    let words = [program.to_owned(), child.to_string()];
    let words = words.into_iter().chain(numbers.map(|n| n.to_string()));
    let c_string = |word: Vec<u8>| CString::new(word).map_err(|_| failed(Errno::INVAL));
    let words = words.map(|w| c_string(w.into())).collect::<Result<Vec<_>>>()?;
    let file = c_string(path.as_os_str().as_bytes().to_vec())?;
    let (said, say) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    let pid = sys::spawn(&file, &words, say.as_fd()).map_err(failed)?;
    Ok(Helper { pid, said })
}

fn finish(program: &str, helper: Helper, file: &str) -> Result<()> {
    let mut said = Vec::new();
    let heard = std::fs::File::from(helper.said).read_to_end(&mut said);
    let code = supervise::reap(helper.pid);
    if code == 0 {
        return Ok(());
    }
    heard.map_err(|e| Error::os(format!("hear from {program}"), e))?;
    let said = String::from_utf8_lossy(&said);
    let said = said.trim().trim_start_matches(program).trim_start_matches(": ");
    let said = if said.is_empty() { format!("exit status {code}") } else { said.to_owned() };
    Err(Error::new(format!("{program}: {said}")).hint(if said.contains("different user") {
        format!("{program} wants your group to be that of your line in /etc/passwd (newgrp, sg)")
    } else {
        format!(
            "check your line in {file}, and that {program} has its set-user-ID bit or capability"
        )
    }))
}

/// Parent: the tree as a mount of its own, its owners mapped as the child's ids are.
pub fn mapped_tree(tree: &Tree, rootfs: BorrowedFd<'_>, child: Pid) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, tree.recursive);
    let fd = match &tree.source {
        Some(path) => rustix::mount::open_tree(CWD, *path, flags),
        None => rustix::mount::open_tree(rootfs, c"", flags | OpenTreeFlags::AT_EMPTY_PATH),
    };
    let shown = tree.shown.display();
    let fd = fd.map_err(|e| {
        let error = Error::os(format!("take hold of {shown}"), e);
        match e {
            Errno::NOSYS => error.hint(NEEDS),
            Errno::PERM => {
                error.hint("this needs CAP_SYS_ADMIN; run as an ordinary user to do without")
            }
            _ => error,
        }
    })?;
    if tree.mapped {
        let path = format!("/proc/{child}/ns/user");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let userns = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(|e| Error::os(format!("open {path}"), e))?;
        sys::mount_idmap(fd.as_fd(), tree.recursive, userns.as_fd()).map_err(|e| {
            let error = Error::os(format!("map the owners of {shown}"), e);
            match e {
                Errno::NOSYS => error.hint(NEEDS),
                Errno::INVAL => {
                    let otherwise = if tree.source.is_some() { VOLUME } else { ROOT };
                    error.hint(format!("{}; {otherwise}", why_not(fd.as_fd())))
                }
                Errno::PERM => error
                    .hint("its owners are mapped already, or it belongs to another user namespace"),
                _ => error,
            }
        })?;
    }
    Ok(fd)
}

const NEEDS: &str = "a user namespace for root needs idmapped mounts (Linux 5.12)";
const ROOT: &str =
    "a tree that belongs to the ids outside already (chown, --uidmap) is taken as it is";
const VOLUME: &str = "SRC:DST:noidmap leaves the owners as they are outside";

/// Which file system it is, by statfs(2).
fn why_not(fd: BorrowedFd<'_>) -> String {
    let kind = rustix::fs::fstatfs(fd).map_or(0, |s| s.f_type as u64);
    let name = match kind {
        0x794c_7630 => "overlay has no idmapped mounts of its own",
        0x0102_1994 => "tmpfs has idmapped mounts since Linux 6.3",
        0x6969 => "NFS has no idmapped mounts",
        0x6573_5546 => "FUSE has idmapped mounts since Linux 6.12, where its server allows it",
        0x0102_1997 => "9p has no idmapped mounts",
        _ => "its file system, or one mounted below, has no idmapped mounts",
    };
    name.to_owned()
}

/// Child: ids that the user namespace has; the caller's groups are let go where that is
/// allowed at all.
pub fn become_mapped(uid: Uid, gid: Gid, groups: bool) -> rustix::io::Result<()> {
    if groups {
        rustix::thread::set_thread_groups(&[])?;
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// Child: stands in the tree, which a mount point needs: any directory, seen by nobody else.
pub fn attach_root(tree: BorrowedFd<'_>, at: &CStr) -> rustix::io::Result<()> {
    mount::attach_tree(tree, at)?;
    rustix::process::fchdir(tree)
}

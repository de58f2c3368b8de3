//! Users and groups by the rootfs's own etc/passwd and etc/group, never the host's.

use crate::beneath::read_in_root;
use crate::cli::suggest;
use crate::error::{Error, Result};
use crate::image::look;
use crate::quote::quote;
use crate::spec::{Id, UserSpec};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Of etc/passwd and etc/group each: a hostile image must not cost memory.
const FILE_MOST: u64 = 1 << 20;
/// setgroups(2) takes no more.
const GROUPS_MOST: usize = 65536;

#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub uid: u32,
    pub gid: u32,
    /// Without `gid`, ascending.
    pub groups: Vec<u32>,
    /// Absolute; `/` where unknown.
    pub home: OsString,
    pub name: Option<OsString>,
}

/// Where the two files are.
#[derive(Clone, Copy)]
pub enum Names<'a> {
    Below(BorrowedFd<'a>),
    /// In an archive that has been looked into.
    Read(&'a look::Names),
}

/// Docker's rules. Without a group: the user's primary group and all groups that list the
/// user, or group 0 for a number that etc/passwd lacks. With a group: that one alone.
pub fn resolve(root: Names<'_>, user: &UserSpec) -> Result<Resolved> {
    let text = file(root, "etc/passwd")?;
    let entries = || text.as_deref().unwrap_or_default().split(|b| *b == b'\n').filter_map(passwd);
    let found = match &user.user {
        Id::Number(uid) => entries().find(|e| e.uid == *uid),
        Id::Name(name) => match entries().find(|e| e.name == name.as_bytes()) {
            Some(entry) => Some(entry),
            None => return Err(unknown("user", "etc/passwd", name, text.as_deref())),
        },
    };
    let uid = match (&user.user, &found) {
        (Id::Number(uid), _) => *uid,
        (_, Some(entry)) => entry.uid,
        (Id::Name(_), None) => return Err(Error::new("no such user")),
    };
    let (gid, groups) = match &user.group {
        Some(Id::Number(gid)) => (*gid, Vec::new()),
        Some(Id::Name(name)) => (group_of_name(root, name)?, Vec::new()),
        None => match &found {
            Some(entry) => (entry.gid, groups_with(root, entry)?),
            None => (0, Vec::new()),
        },
    };
    let home = found.as_ref().map(|e| e.home).filter(|h| h.starts_with(b"/"));
    let own = |b: &[u8]| OsStr::from_bytes(b).to_owned();
    let name = found.as_ref().map(|e| own(e.name));
    Ok(Resolved { uid, gid, groups, home: own(home.unwrap_or(b"/")), name })
}

/// `--group-add`: by the rootfs's etc/group.
pub fn add_groups(root: Names<'_>, who: &mut Resolved, groups: &[Id]) -> Result<()> {
    for group in groups {
        let gid = match group {
            Id::Number(gid) => *gid,
            Id::Name(name) => group_of_name(root, name)?,
        };
        if gid != who.gid && !who.groups.contains(&gid) {
            who.groups.push(gid);
        }
    }
    Ok(())
}

fn group_of_name(root: Names<'_>, name: &str) -> Result<u32> {
    let text = file(root, "etc/group")?;
    let mut lines = text.as_deref().unwrap_or_default().split(|b| *b == b'\n').filter_map(group);
    match lines.find(|g| g.name == name.as_bytes()) {
        Some(group) => Ok(group.gid),
        None => Err(unknown("group", "etc/group", name, text.as_deref())),
    }
}

fn groups_with(root: Names<'_>, user: &Passwd<'_>) -> Result<Vec<u32>> {
    let text = file(root, "etc/group")?.unwrap_or_default();
    let lines = text.split(|b| *b == b'\n').filter_map(group);
    let lists = |g: &Group<'_>| g.members.split(|b| *b == b',').any(|m| m == user.name);
    let mut gids: Vec<u32> =
        lines.filter(lists).map(|g| g.gid).filter(|g| *g != user.gid).collect();
    gids.sort_unstable();
    gids.dedup();
    gids.truncate(GROUPS_MOST);
    Ok(gids)
}

struct Passwd<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

/// `name:password:uid:gid:comment:home:shell`; None for a line that is not one.
fn passwd(line: &[u8]) -> Option<Passwd<'_>> {
    let mut fields = fields(line)?;
    let name = fields.next().filter(|n| !n.is_empty())?;
    let (uid, gid) = (number(fields.nth(1)?)?, number(fields.next()?)?);
    Some(Passwd { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
}

/// `name:password:gid:member,member`
fn group(line: &[u8]) -> Option<Group<'_>> {
    let mut fields = fields(line)?;
    let name = fields.next().filter(|n| !n.is_empty())?;
    let gid = number(fields.nth(1)?)?;
    Some(Group { name, gid, members: fields.next().unwrap_or_default() })
}

fn fields(line: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (!line.contains(&0) && !line.starts_with(b"#")).then(|| line.split(|b| *b == b':'))
}

/// Not 4294967295, which to the kernel means "leave as it is".
fn number(field: &[u8]) -> Option<u32> {
    let digits = !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    let n = std::str::from_utf8(field).ok()?.parse().ok()?;
    (digits && n != u32::MAX).then_some(n)
}

fn file(root: Names<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    let root = match root {
        Names::Below(root) => root,
        Names::Read(names) => return Ok(names.get(path)),
    };
    read_in_root(root, Path::new(path), FILE_MOST).map_err(|e| match e {
        Errno::FBIG => Error::new(format!("/{path} of the rootfs is larger than 1M")),
        Errno::NODEV => Error::new(format!("/{path} of the rootfs is not a regular file")),
        e => Error::os(format!("open /{path} of the rootfs"), e),
    })
}

/// With five of the names there are, the likeliest first.
fn unknown(what: &str, path: &str, name: &str, text: Option<&[u8]>) -> Error {
    let error = |why: &str| Error::new(format!("{what} {}: {why}", quote(name)));
    let Some(text) = text else {
        return error(&format!("the rootfs has no /{path}"))
            .hint("numbers need no such file, for example: --user 1000:1000");
    };
    let lines = text.split(|b| *b == b'\n');
    let name_of = |line| match what {
        "user" => passwd(line).map(|e| e.name),
        _ => group(line).map(|e| e.name),
    };
    let plain = |n: &&[u8]| n.iter().all(u8::is_ascii_graphic) && n.len() <= 32;
    let known = lines.filter_map(name_of).filter(plain);
    let known: Vec<&str> = known.filter_map(|n| std::str::from_utf8(n).ok()).collect();
    let mut names: Vec<&str> = suggest::nearest(name, known.iter().copied()).into_iter().collect();
    for name in known {
        if !names.contains(&name) && names.len() < 5 {
            names.push(name);
        }
    }
    let names = names.join(", ");
    let error = error(&format!("not in /{path} of the rootfs"));
    if names.is_empty() { error } else { error.hint(format!("it has {names}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use rustix::fd::AsFd;
    use std::os::unix::fs::symlink;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n# comment:x:1:1::/:\njunk\n:x:5:5::/:\n\
        bad:x:-1:5::/:\nmax:x:4294967295:5::/:\nnul\0:x:9:9::/:\n\
        web:x:33:34:Web,,,:/srv/web:/bin/sh\r\nbare:x:40:41\nrel:x:50:50::home:\n\xff:x:60:60::/x:\n\
        web:x:99:99:second:/no:\n1000:x:77:77::/odd:";
    const GROUP: &[u8] = b"root:x:0:root\nadm:x:4:web,root\nwww:x:34:web\ntape:x:26:webber\n\
        audio:x:29:bob,web\naudio2:x:29:web\njunk\nbad:x:x:web\nmax:x:4294967295:web\nlast:x:70";

    fn image() -> Scratch {
        let image = Scratch::new("user");
        image.dir("etc");
        image.file("etc/passwd", PASSWD);
        image.file("etc/group", GROUP);
        image
    }

    fn id(text: &str) -> Id {
        text.parse().map_or_else(|_| Id::Name(text.into()), Id::Number)
    }

    fn ask(image: &Scratch, text: &str) -> Result<Resolved> {
        let (user, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(id(g))));
        resolve(Names::Below(image.open(".").as_fd()), &UserSpec { user: id(user), group })
    }

    #[test]
    fn found() {
        let image = image();
        for (text, uid, gid, groups, home, name) in [
            ("root", 0, 0, &[4][..], "/root", Some("root")),
            ("0", 0, 0, &[4], "/root", Some("root")),
            ("web", 33, 34, &[4, 29], "/srv/web", Some("web")),
            ("33", 33, 34, &[4, 29], "/srv/web", Some("web")),
            ("web:adm", 33, 4, &[], "/srv/web", Some("web")),
            ("web:7", 33, 7, &[], "/srv/web", Some("web")),
            ("33:last", 33, 70, &[], "/srv/web", Some("web")),
            ("1000", 1000, 0, &[], "/", None),
            ("1000:1000", 1000, 1000, &[], "/", None),
            ("bare", 40, 41, &[], "/", Some("bare")),
            ("rel", 50, 50, &[], "/", Some("rel")),
        ] {
            let got = ask(&image, text).expect(text);
            assert_eq!((got.uid, got.gid, &got.groups[..]), (uid, gid, groups), "{text}");
            assert_eq!(
                (got.home.to_str(), got.name.as_deref().and_then(OsStr::to_str)),
                (Some(home), name),
                "{text}"
            );
        }
    }

    #[test]
    fn without_files() {
        let image = Scratch::new("user");
        let got = ask(&image, "7:8").expect("numbers");
        assert_eq!((got.uid, got.gid, got.home.to_str()), (7, 8, Some("/")));
        let said = ask(&image, "bob").expect_err("name").to_string();
        assert_eq!(
            said,
            "user 'bob': the rootfs has no /etc/passwd\nhint: numbers need no such file, for example: --user 1000:1000"
        );
        let said = ask(&image, "7:adm").expect_err("group").to_string();
        assert!(said.starts_with("group 'adm': the rootfs has no /etc/group"), "{said}");
    }

    #[test]
    fn unknown_names() {
        let image = image();
        for (text, want) in [
            ("webb", "user 'webb': not in /etc/passwd of the rootfs\nhint: it has web, root, "),
            (
                "bob",
                "user 'bob': not in /etc/passwd of the rootfs\nhint: it has root, web, bare, rel, 1000",
            ),
            ("max", "user 'max': not in /etc/passwd"),
            ("bad", "user 'bad': not in /etc/passwd"),
            (
                "web:nope",
                "group 'nope': not in /etc/group of the rootfs\nhint: it has root, adm, www, tape, audio",
            ),
        ] {
            let error = ask(&image, text).expect_err(text);
            assert!(error.to_string().starts_with(want), "{error}");
            assert_eq!(error.code as i32, 125);
        }
    }

    #[test]
    fn hostile_files() {
        let image = image();
        let passwd = image.path().join("etc/passwd");
        let again = |make: &dyn Fn()| {
            std::fs::remove_file(&passwd).expect("remove");
            make();
            ask(&image, "root").map_err(|e| e.to_string())
        };
        let fifo = || {
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &passwd, kind, 0o600.into(), 0).expect("fifo");
        };
        assert_eq!(again(&fifo), Err("/etc/passwd of the rootfs is not a regular file".into()));
        let huge = || image.file("etc/passwd", &vec![b'x'; (1 << 20) + 1]);
        assert_eq!(again(&huge), Err("/etc/passwd of the rootfs is larger than 1M".into()));
        let itself = || symlink("passwd", &passwd).expect("link");
        assert!(again(&itself).is_err_and(|e| e.contains("(ELOOP)")));
        // The host's own file, by a link that would lead out: looked up inside instead.
        let host = || symlink("/../../../../../../etc/shadow", &passwd).expect("link");
        assert!(again(&host).is_err_and(|e| e.contains("the rootfs has no /etc/passwd")));
        image.file("etc/shadow", b"root:x:5:6::/inside:");
        assert!(ask(&image, "root").is_ok_and(|r| r.uid == 5 && r.home == "/inside"));
    }

    #[test]
    fn any_passwd_and_group() {
        let image = image();
        let both = [PASSWD, b"\x01", GROUP].concat();
        crate::fuzz::fuzz(&[&both], |bytes| {
            let mut files = bytes.splitn(2, |b| *b == 1);
            image.file("etc/passwd", files.next().unwrap_or_default());
            image.file("etc/group", files.next().unwrap_or_default());
            for text in ["root", "web", "33:adm", "nobody:nobody", "1000"] {
                if let Ok(found) = ask(&image, text) {
                    assert!(found.uid != u32::MAX && found.gid != u32::MAX);
                    assert!(found.groups.len() <= GROUPS_MOST);
                }
            }
        });
    }
}

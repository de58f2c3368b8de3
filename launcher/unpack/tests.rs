//! Archives that mean harm: whatever they say, nothing outside the tree changes.

use super::*;
use crate::archive::header;
use crate::archive::write::Writer;
use crate::scratch::Scratch;
use rustix::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

mod replaced_tests;

/// An archive in the making, entry by entry.
struct Made(Writer<Vec<u8>>);

fn entry(kind: Kind, path: &str, link: &str) -> Entry {
    Entry {
        kind,
        path: path.into(),
        link: link.into(),
        mode: if kind == Kind::Directory { 0o755 } else { 0o644 },
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        size: 0,
        mtime: (1_000_000_000, 0),
        device: (1, 3),
        xattrs: Vec::new(),
    }
}

impl Made {
    fn new() -> Made {
        Made(Writer::new(Vec::new()))
    }

    fn put(mut self, kind: Kind, path: &str, link: &str) -> Made {
        self.0.entry(&entry(kind, path, link)).expect("entry");
        self
    }

    fn dir(self, path: &str) -> Made {
        self.put(Kind::Directory, path, "")
    }

    fn symlink(self, path: &str, target: &str) -> Made {
        self.put(Kind::Symlink, path, target)
    }

    fn file(self, path: &str, text: &str) -> Made {
        self.with(text, |e| e.path = path.into())
    }

    fn with(mut self, text: &str, change: impl Fn(&mut Entry)) -> Made {
        let mut entry = Entry { size: text.len() as u64, ..entry(Kind::File, "f", "") };
        change(&mut entry);
        self.0.entry(&entry).expect("entry");
        if entry.kind == Kind::File {
            self.0.data(text.as_bytes()).expect("data");
        }
        self
    }

    fn end(self) -> Vec<u8> {
        self.0.finish().expect("end")
    }
}

fn power() -> Power {
    if rustix::process::geteuid().is_root() { Power::Root } else { Power::Single }
}

fn limits() -> Limits {
    Limits { bytes: 1 << 20, entries: 1000, depth: 30 }
}

/// `root/` to unpack into, `below/` as a lower layer, `outside/` with a secret.
fn place() -> Scratch {
    let s = Scratch::new("unpack");
    for dir in ["root", "below/dir/sub", "outside"] {
        s.dir(dir);
    }
    s.file("outside/secret", b"secret");
    s.file("below/dir/sub/file", b"below");
    s.file("below/plain", b"below");
    symlink("dir", s.path().join("below/link")).expect("link");
    s
}

fn unpack_to(s: &Scratch, mut archive: &[u8], layer: bool) -> std::result::Result<Skipped, String> {
    let fd = |name: &str| {
        rustix::fs::open(s.path().join(name), tree::DIRECTORY, rustix::fs::Mode::empty())
            .expect(name)
    };
    let below = Stack::new(vec![fd("below")]);
    let options = Options { power: power(), layer, limits: limits() };
    let mut reader = Reader::new(&mut archive as &mut dyn Input);
    let below = layer.then_some(&below);
    let result = unpack(&mut reader, fd("root"), below, &options, &mut |_| {});
    result.map_err(|f| format!("offset {}: {}", f.offset, f.why))
}

/// The secret and nothing else, as it was; the lower layer, too.
fn check_outside(s: &Scratch, name: &str) {
    let names = |dir: &str| {
        let entries = std::fs::read_dir(s.path().join(dir)).expect(dir);
        let mut names: Vec<_> = entries.map(|e| e.expect("entry").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(""), ["below", "outside", "root"], "{name}");
    assert_eq!(names("outside"), ["secret"], "{name}");
    let secret = s.path().join("outside/secret");
    assert_eq!(std::fs::read(&secret).expect("secret"), b"secret", "{name}");
    let stat = std::fs::metadata(&secret).expect("secret");
    assert_eq!((stat.nlink(), stat.permissions().mode() & 0o7777), (1, 0o644), "{name}");
    assert_eq!(names("below"), ["dir", "link", "plain"], "{name}");
    assert_eq!(std::fs::read(s.path().join("below/dir/sub/file")).expect("below"), b"below");
}

/// Ways out by names and links.
#[test]
fn ways_out() {
    let up = "../outside";
    let deep = "../".repeat(40) + "tmp";
    let secret = "../outside/secret";
    let archives: Vec<(&str, Vec<u8>)> = vec![
        ("dotdot", Made::new().file("../outside/x", "x").end()),
        ("dotdot deep", Made::new().file("a/../../outside/x", "x").end()),
        ("dotdot alone", Made::new().dir("..").end()),
        ("dotdot at the end", Made::new().dir("a/../..").end()),
        ("absolute", Made::new().file("/outside/x", "x").end()),
        ("many slashes", Made::new().file("////..//outside/x", "x").end()),
        ("link then file", Made::new().symlink("l", up).file("l/x", "x").end()),
        ("absolute link then file", Made::new().symlink("l", "/outside").file("l/x", "x").end()),
        ("link far up", Made::new().symlink("l", &deep).file("l/launch-test-x", "x").end()),
        ("chain", Made::new().symlink("a", "b").symlink("b", up).file("a/x", "x").end()),
        (
            "chain by parts",
            Made::new().symlink("a", "..").symlink("b", "a/outside").file("b/x", "x").end(),
        ),
        ("link then directory", Made::new().symlink("l", up).dir("l").file("l/x", "x").end()),
        ("link then link", Made::new().symlink("l", up).symlink("l/y", "z").end()),
        ("link then device", Made::new().symlink("l", up).put(Kind::Fifo, "l/y", "").end()),
        ("file over link", Made::new().symlink("l", secret).file("l", "x").end()),
        (
            "mode through link",
            Made::new()
                .symlink("l", secret)
                .with("", |e| {
                    e.path = b"l".to_vec();
                    e.mode = 0o777;
                })
                .end(),
        ),
    ];
    none_leads_out(archives);
}

/// Ways out by hard links, by roots, and by directories that become links.
#[test]
fn other_ways_out() {
    let up = "../outside";
    let secret = "../outside/secret";
    let archives: Vec<(&str, Vec<u8>)> = vec![
        ("hard link out", Made::new().put(Kind::HardLink, "h", secret).file("h", "x").end()),
        ("hard link absolute", Made::new().put(Kind::HardLink, "h", "/outside/secret").end()),
        (
            "hard link by link",
            Made::new().symlink("l", up).put(Kind::HardLink, "h", "l/secret").file("h", "x").end(),
        ),
        (
            "hard link to link",
            Made::new().symlink("l", secret).put(Kind::HardLink, "h", "l").file("h", "x").end(),
        ),
        ("hard link to root", Made::new().put(Kind::HardLink, "h", ".").end()),
        ("root a link", Made::new().symlink(".", up).file("x", "x").end()),
        ("root a link with slash", Made::new().symlink("/.", up).file("x", "x").end()),
        ("root a file", Made::new().file("./", "x").end()),
        (
            "swapped directory",
            Made::new().dir("d").file("d/a", "a").symlink("d", up).file("d/b", "b").end(),
        ),
        (
            "swapped deeper",
            Made::new()
                .dir("d")
                .dir("d/e")
                .file("d/e/a", "a")
                .symlink("d/e", "../../outside")
                .file("d/e/b", "b")
                .end(),
        ),
        ("swapped and back", Made::new().dir("d").symlink("d", up).dir("d").file("d/x", "x").end()),
    ];
    none_leads_out(archives);
}

fn none_leads_out(archives: Vec<(&str, Vec<u8>)>) {
    for (name, archive) in archives {
        for layer in [false, true] {
            let s = place();
            // Taken or refused: both may be, as long as it stays inside.
            let _ = unpack_to(&s, &archive, layer);
            check_outside(&s, name);
        }
    }
}

#[test]
fn refused_with_its_offset() {
    let long = "n".repeat(300);
    let deep = "d/".repeat(40);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            Made::new().file("ok", "x").file("../x", "x").end(),
            "offset 1024: its name leads out of the archive",
        ),
        (Made::new().file(&long, "x").end(), "a name of 300 bytes, at most 255 are possible"),
        (Made::new().dir(&deep).end(), "40 directories deep, at most 30"),
        (Made::new().symlink("a", "b").symlink("b", "a").file("a/x", "x").end(), "ELOOP"),
        (Made::new().file("f", "x").file("f/x", "x").end(), "ENOTDIR"),
        (
            Made::new().put(Kind::HardLink, "h", "none").end(),
            "a hard link to 'none', which is not in the archive",
        ),
        (Made::new().dir("d").put(Kind::HardLink, "h", "d").end(), "a hard link to a directory"),
        (Made::new().with(&"x".repeat(2 << 20), |_| {}).end(), "unpacks to more than 1M"),
        (
            (0..1100).fold(Made::new(), |m, n| m.file(&format!("f{n}"), "")).end(),
            "more than 1000 entries",
        ),
    ];
    for (archive, want) in cases {
        let s = place();
        let said = unpack_to(&s, &archive, false).expect_err(want);
        assert!(said.contains(want), "{said}");
        check_outside(&s, want);
    }
}

/// What privilege an archive may carry.
#[test]
fn attributes_of_the_host_stay_away() {
    let s = place();
    let names: [&[u8]; 6] = [
        b"trusted.overlay.opaque",
        b"user.overlay.opaque",
        b"trusted.x",
        b"security.ima",
        b"security.selinux",
        b"user.kept",
    ];
    let with =
        |e: &mut Entry| e.xattrs = names.iter().map(|n| (n.to_vec(), b"y".to_vec())).collect();
    let archive = Made::new()
        .with("", |e| {
            with(e);
            e.kind = Kind::Directory;
            e.path = b"d".to_vec();
        })
        .with("x", |e| {
            with(e);
            e.path = b"d/f".to_vec();
            e.mode = 0o4755;
        })
        .end();
    unpack_to(&s, &archive, true).expect("unpacked");
    for name in ["root/d", "root/d/f"] {
        let mut list = vec![0u8; 1000];
        let n = rustix::fs::lgetxattr(s.path().join(name), c"user.kept", &mut list);
        if n.is_err() {
            continue; // not on this file system
        }
        let n = rustix::fs::llistxattr(s.path().join(name), &mut list).expect("list");
        let found: Vec<_> = list[..n]
            .split(|b| *b == 0)
            .filter(|n| !n.is_empty() && !n.starts_with(b"security."))
            .collect();
        assert_eq!(found, [b"user.kept"]);
    }
    assert_eq!(std::fs::metadata(s.path().join("root/d/f")).expect("f").mode() & 0o7777, 0o4755);
}

/// Marks of what is gone, and of what cannot be meant.
#[test]
fn whiteouts() {
    for bad in [".wh.", ".wh..", ".wh...", "dir/.wh..."] {
        let s = place();
        let said = unpack_to(&s, &Made::new().file(bad, "").end(), true).expect_err(bad);
        assert!(said.contains("a whiteout of nothing"), "{said}");
        check_outside(&s, bad);
    }
    let s = place();
    let archive = Made::new()
        .file(".wh.plain", "")
        .file(".wh.none", "")
        .file(".wh..wh.aufs", "")
        .file("dir/.wh..wh..opq", "")
        .symlink("out", "../outside")
        .file("out/.wh.secret", "")
        .end();
    unpack_to(&s, &archive, true).expect("unpacked");
    check_outside(&s, "whiteouts");
    let root = s.path().join("root");
    let stat = |name: &str| std::fs::symlink_metadata(root.join(name)).ok();
    assert!(stat("plain").is_some_and(|m| m.rdev() == 0 && m.mode() & 0o170_000 == 0o020_000));
    assert!(stat("none").is_none() && stat(".wh.none").is_none() && stat(".wh..wh.aufs").is_none());
    let dir = rustix::fs::open(root.join("dir"), tree::DIRECTORY, rustix::fs::Mode::empty());
    assert!(crate::archive::pack::is_opaque(dir.expect("dir").as_fd()));
    // In an archive of a root they are files like any other.
    let s = place();
    unpack_to(&s, &Made::new().file(".wh.plain", "x").end(), false).expect("unpacked");
    assert_eq!(std::fs::read(s.path().join("root/.wh.plain")).expect("file"), b"x");
}

/// What a layer leaves unsaid comes from below.
#[test]
fn layers_below() {
    let s = place();
    std::fs::set_permissions(s.path().join("below/dir"), PermissionsExt::from_mode(0o711))
        .expect("chmod");
    let archive = Made::new()
        .file("link/new", "new")
        .put(Kind::HardLink, "hard", "link/sub/file")
        .file(".wh.plain", "")
        .dir("plain")
        .end();
    unpack_to(&s, &archive, true).expect("unpacked");
    let root = s.path().join("root");
    // Through the lower layer's link, with the directory's mode.
    assert_eq!(std::fs::read(root.join("dir/new")).expect("new"), b"new");
    assert_eq!(std::fs::metadata(root.join("dir")).expect("dir").mode() & 0o777, 0o711);
    assert!(!root.join("link").exists());
    let (a, b) = (root.join("hard"), root.join("dir/sub/file"));
    let inode = |p: &PathBuf| std::fs::metadata(p).expect("stat").ino();
    assert_eq!((inode(&a), std::fs::read(&a).expect("hard")), (inode(&b), b"below".to_vec()));
    // A directory in place of what was deleted shows nothing of below.
    let dir = rustix::fs::open(root.join("plain"), tree::DIRECTORY, rustix::fs::Mode::empty());
    assert!(crate::archive::pack::is_opaque(dir.expect("dir").as_fd()));
}

/// Later entries replace earlier ones, whatever they were.
#[test]
fn the_last_one_counts() {
    let s = place();
    let archive = Made::new()
        .dir("a")
        .file("a/x", "x")
        .file("a", "now a file")
        .file("b", "1")
        .dir("b")
        .file("b/y", "y")
        .symlink("c", "b")
        .file("c", "no link")
        .with("", |e| {
            e.kind = Kind::Directory;
            e.path = b"closed".to_vec();
            e.mode = 0;
        })
        .file("closed/in", "in")
        .end();
    unpack_to(&s, &archive, false).expect("unpacked");
    let root = s.path().join("root");
    assert_eq!(std::fs::read(root.join("a")).expect("a"), b"now a file");
    assert_eq!(std::fs::read(root.join("b/y")).expect("b/y"), b"y");
    assert_eq!(std::fs::read(root.join("c")).expect("c"), b"no link");
    let closed = std::fs::metadata(root.join("closed")).expect("closed");
    assert_eq!((closed.mode() & 0o777, closed.mtime()), (0, 1_000_000_000));
    std::fs::set_permissions(root.join("closed"), PermissionsExt::from_mode(0o700)).expect("chmod");
    assert_eq!(std::fs::read(root.join("closed/in")).expect("in"), b"in");
}

/// Noise in place of archives: refused or empty, never a crash.
#[test]
fn noise() {
    let good = Made::new().dir("d").file("d/f", &"text ".repeat(300)).symlink("d/l", "f").end();
    let mut seed = 7u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    for cut in (0..good.len()).step_by(100) {
        let s = place();
        let _ = unpack_to(&s, &good[..cut], false);
    }
    for _ in 0..100 {
        let mut bad = good.clone();
        for _ in 0..1 + random() % 4 {
            let at = random() % bad.len();
            bad[at] = random() as u8;
        }
        // With a first checksum that is right again, to get further.
        let block: &mut [u8; 512] = (&mut bad[..512]).try_into().expect("block");
        let sum = format!("{:06o}\0 ", header::checksum(block));
        block[148..156].copy_from_slice(sum.as_bytes());
        let s = place();
        let _ = unpack_to(&s, &bad, true);
        check_outside(&s, "flipped");
    }
}

//! Directories that are held open while others of the archive take their places.

use super::*;

#[test]
fn what_has_taken_a_directorys_place_counts() {
    let s = place();
    let archive = Made::new()
        .file("a/b/c/d/one", "1")
        // Held is a/b/c/d; a/b is no more.
        .file("a/b", "a file")
        .file("a/b2/two", "2")
        .file("l/m/n/three", "3")
        .symlink("l/m", "../else/where")
        .file("l/m/n/four", "4")
        .file("x/y/z/five", "5")
        .symlink("x", "a")
        .file("x/y/z/six", "6")
        .file("e/f/g/seven", "7")
        .file("e/f", "for a moment")
        .dir("e/f/")
        .file("e/f/g/eight", "8")
        .symlink("out", "../../outside")
        .file("out/secret", "inside")
        .end();
    unpack_to(&s, &archive, false).expect("unpacked");
    check_outside(&s, "replaced");
    let root = s.path().join("root");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect(name);
    for (name, text) in [
        ("a/b", "a file"),
        ("a/b2/two", "2"),
        ("else/where/n/four", "4"),
        ("a/y/z/six", "6"),
        ("e/f/g/eight", "8"),
        ("outside/secret", "inside"),
    ] {
        assert_eq!(read(name), text, "{name}");
    }
    for gone in ["a/b/c", "else/where/n/three", "a/y/z/five", "e/f/g/seven"] {
        assert!(std::fs::symlink_metadata(root.join(gone)).is_err(), "{gone}");
    }
}

/// A layer that makes a directory a link, with marks for what was in it: umoci's do that.
#[test]
fn marks_make_no_directories() {
    let s = place();
    let archive = Made::new()
        .symlink("dir", "nowhere")
        .file("dir/.wh.file", "")
        .file("dir/deep/.wh.x", "")
        .file("none/.wh..wh..opq", "")
        .file("link/sub/.wh.file", "")
        .end();
    unpack_to(&s, &archive, true).expect("unpacked");
    let names = std::fs::read_dir(s.path().join("root")).expect("root");
    let mut names: Vec<_> = names.map(|e| e.expect("entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["dir"]);
    let bad = Made::new().put(Kind::HardLink, "h", "none/f").end();
    let said = unpack_to(&s, &bad, true).expect_err("no target");
    assert!(said.contains("a hard link to 'none/f', which is not in the archive"), "{said}");
}

/// The other name of a link or a fifo of a layer below: a copy with all that it is.
#[test]
fn what_is_no_file_comes_from_below_with_owner_and_times() {
    use rustix::fs::{AtFlags, FileType, Mode, Timespec, Timestamps, mknodat, utimensat};
    use std::os::unix::fs::{MetadataExt, lchown};
    let s = place();
    let below = std::fs::File::open(s.path().join("below")).expect("below");
    mknodat(&below, "fifo", FileType::Fifo, Mode::from_raw_mode(0o640), 0).expect("fifo");
    let time = Timespec { tv_sec: -7, tv_nsec: 500_000_000 };
    let times = Timestamps { last_access: time, last_modification: time };
    for name in ["link", "fifo"] {
        utimensat(&below, name, &times, AtFlags::SYMLINK_NOFOLLOW).expect("time");
        if power() == Power::Root {
            lchown(s.path().join("below").join(name), Some(5), Some(6)).expect("owner");
        }
    }
    let archive =
        Made::new().put(Kind::HardLink, "l2", "link").put(Kind::HardLink, "f2", "fifo").end();
    unpack_to(&s, &archive, true).expect("unpacked");
    let look = |path: &str| std::fs::symlink_metadata(s.path().join(path)).expect(path);
    for (name, other) in [("link", "l2"), ("fifo", "f2")] {
        let (was, is) = (look(&format!("below/{name}")), look(&format!("root/{name}")));
        let all = |m: &std::fs::Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
        assert_eq!(all(&is), all(&was), "{name}");
        assert_eq!(is.ino(), look(&format!("root/{other}")).ino());
        assert_ne!(is.ino(), was.ino());
    }
}

/// A device that only root can make is left out with its other names.
#[test]
fn devices_that_are_left_out_have_names() {
    let s = place();
    let archive = Made::new()
        .put(Kind::Character, "null", "")
        .put(Kind::HardLink, "null2", "null")
        .put(Kind::HardLink, "null3", "null2")
        .end();
    let fd = |name: &str| {
        let flags = tree::DIRECTORY;
        rustix::fs::open(s.path().join(name), flags, rustix::fs::Mode::empty()).expect(name)
    };
    let options = Options { power: Power::Single, layer: false, limits: limits() };
    let mut archive = archive.as_slice();
    let mut reader = Reader::new(&mut archive as &mut dyn Input);
    let skipped = unpack(&mut reader, fd("root"), None, &options, &mut |_| {});
    assert_eq!(skipped.map_err(|f| f.why).map(|s| s.devices), Ok(1));
    assert_eq!(std::fs::read_dir(s.path().join("root")).expect("root").count(), 0);
}

/// A link that begins with a slash is meant from the archive's own root on.
#[test]
fn through_an_absolute_link_of_a_directory() {
    let s = place();
    let archive = Made::new()
        .dir("usr/")
        .dir("usr/lib/")
        .symlink("usr/lib64", "/usr/lib")
        .file("usr/lib64/f", "text")
        .end();
    unpack_to(&s, &archive, false).expect("unpacked");
    let text = std::fs::read(s.path().join("root/usr/lib/f"));
    assert_eq!(text.expect("there"), b"text");
}

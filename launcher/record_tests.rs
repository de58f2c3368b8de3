use super::*;
use std::ffi::OsStr;
use std::fs;
use std::process::{Child, Command, Stdio};

/// A directory of this test's own below the temporary one, gone at the end.
pub(super) struct Place(pub(super) PathBuf);

impl Place {
    pub(super) fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("launch-test-{name}-{}", name::invent()));
        assert!(fs::create_dir(&path).is_ok());
        rustix::fs::chmod(&path, Mode::RWXU).expect("chmod");
        Place(path)
    }

    fn create(&self, id: &str, items: &[RecordItem]) -> Result<Record> {
        create_in(place::open(&self.0, true)?, &self.0, id, items, &Facts::default())
    }

    pub(super) fn sweep(&self) -> Vec<String> {
        sweep::sweep_place(&self.0, usize::MAX, None)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("listed").flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn items() -> Vec<RecordItem> {
    vec![
        RecordItem::Cgroup("/sys/fs/cgroup/memory/launch-none with space".into()),
        RecordItem::Subtree {
            file: "/sys/fs/cgroup/no where/cgroup.subtree_control".into(),
            value: "-memory".into(),
        },
        RecordItem::Port(crate::net::state::decode_port("udp:53:5353@127.0.0.1").unwrap()),
    ]
}

#[test]
fn what_is_written_is_read() {
    let facts = Facts {
        started: 1_700_000_000_123,
        detached: true,
        keep: true,
        log_size: 77,
        image_id: "sha256:00".into(),
        argv: ["--mem", "", "a\nb\\n", "\\"].map(OsString::from).to_vec(),
        command: 2,
        stop_signal: Some(37),
        image: vec!["".into(), "app:7".into(), "run\n".into()],
        cwd: "/x y".into(),
        env: vec!["A=1 2".into(), "B=\n".into()],
    };
    let (process, ended) = (
        Process { pid: 77, start: 88, namespace: 99 },
        Ended { code: 137, at: 5, out_of_memory: true, known: false },
    );
    let mut text = lines::facts(&facts);
    text.extend(lines::encode(&items(), |_| 77).expect("encodes"));
    text.extend(lines::process(&process).bytes());
    text.extend(lines::ended(&ended).bytes());
    let parent = |i: &RecordItem| if matches!(i, RecordItem::Port(_)) { 0 } else { 77 };
    let read: Vec<_> = items().into_iter().map(|i| (i.clone(), parent(&i))).collect();
    let entry = lines::decode(&text);
    assert_eq!((&entry.items, &entry.facts, entry.understood), (&read, &facts, true));
    assert_eq!((entry.process, entry.ended), (Some(process), Some(ended)));
    let none = Facts {
        keep: false,
        log_size: 0,
        image_id: String::new(),
        argv: vec![],
        env: vec![],
        ..facts
    };
    let again = lines::decode(&lines::facts(&none));
    assert_eq!((again.facts, again.understood), (none, true));
    let nothing = lines::decode(b"");
    assert_eq!(nothing, Entry { understood: true, ..Entry::default() });
    assert!(lines::encode(&[RecordItem::Cgroup("/a\nb".into())], |_| 1).is_none());
    for cut in 0..text.len() {
        let some = lines::decode(&text[..cut]);
        assert!(read.starts_with(&some.items), "cut at {cut}");
        assert!(some.understood && some.ended.is_none());
    }
}

#[test]
fn only_our_own_kind_of_path_is_believed() {
    for bad in [
        "cgroup 1 relative/launch-x",
        "cgroup 1 /sys/fs/cgroup/memory/../launch-x",
        "cgroup 1 /sys/fs/cgroup/memory",
        "cgroup /sys/fs/cgroup/memory/launch-x",
        "cgroup -1 /sys/fs/cgroup/memory/launch-x",
        "cgroup 1 /",
        "cgroup 1 ",
        "cgroup ",
        "subtree 1 -memory /etc/passwd",
        "subtree 1 +memory /sys/fs/cgroup/cgroup.subtree_control",
        "subtree 1 -memory",
        "veth 1 lch0",
        "process 0 1 1",
        "process -1 1 1",
        "process 99999999999 1 1",
        "process 1 1",
        "process 1 1 1 1",
        "ended 256 1 -",
        "ended 1 1",
        "started",
        "started x",
        "argv a\\",
        "argv a\\x",
        "",
    ] {
        let entry = lines::decode(format!("{bad}\n").as_bytes());
        assert_eq!((entry.items.len(), entry.understood), (0, false), "{bad}");
    }
}

#[test]
fn what_lies_in_another_namespace_is_kept() {
    let place = Place::new("hidden");
    let inode = parent_inode(Path::new("/sys/launch-x"));
    assert_eq!(inode, parent_inode(Path::new("/sys/y")));
    fs::write(place.0.join("x"), format!("cgroup {} /sys/launch-x\n", inode + 1)).expect("written");
    assert_eq!(place.sweep(), Vec::<String>::new());
    assert_eq!(place.names(), ["x"]);
}

#[test]
fn the_living_are_left_alone_and_the_dead_are_cleared() {
    let place = Place::new("life");
    let alive = place.create("a", &[]).expect("made");
    let dead = place.create("b", &[]).expect("made");
    drop(dead);
    assert_eq!(place.sweep(), Vec::<String>::new());
    assert_eq!(place.names(), ["a"]);
    assert!(place.create("a", &[]).is_err_and(|e| e.to_string().contains("'a' is in use")));
    alive.remove().expect("removed");
    assert!(place.names().is_empty());
}

#[test]
fn entries_of_a_later_version_are_kept() {
    let place = Place::new("later");
    fs::write(place.0.join("x"), "netns 1 /run/launch/ns/x\n").expect("written");
    fs::create_dir(place.0.join("state")).expect("made");
    assert_eq!(place.sweep(), Vec::<String>::new());
    assert_eq!(place.names().len(), 2);
}

#[test]
fn directories_that_others_could_write_are_refused() {
    let place = Place::new("mode");
    rustix::fs::chmod(&place.0, Mode::from_raw_mode(0o777)).expect("chmod");
    assert!(place.create("a", &[]).is_err_and(|e| e.to_string().contains("mode 0777")));
    assert!(place.sweep().is_empty());
    let link = place.0.join("link");
    std::os::unix::fs::symlink("/tmp", &link).expect("linked");
    assert!(place::open(&link, true).is_err());
    let file = place.0.join("file");
    fs::write(&file, "").expect("written");
    assert!(place::open(&file, true).is_err_and(|e| e.to_string().contains("(ENOTDIR)")));
    assert!(place::open(&place.0.join("no/such"), true).is_err());
}

#[test]
fn places_of_users() {
    let of = |env: Option<&str>| place::places_of(7, env.map(OsStr::new));
    assert_eq!(of(None), [PathBuf::from("/tmp/launch-7")]);
    assert_eq!(of(Some("relative")), of(None));
    assert_eq!(of(Some("/run/user/7"))[0], Path::new("/run/user/7/launch"));
}

/// This test program again, running one ignored test in `place`.
fn again(test: &str, place: &Path) -> Child {
    let program = std::env::current_exe().expect("known");
    Command::new(program)
        .args(["--exact", &format!("record::{test}"), "--ignored", "--nocapture"])
        .env("LAUNCH_TEST_PLACE", place)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started")
}

pub(super) fn given_place() -> Option<Place> {
    std::env::var_os("LAUNCH_TEST_PLACE").map(|p| Place(p.into()))
}

#[test]
#[ignore = "the other process of `the_record_of_a_killed_owner_is_cleared`"]
fn owner() {
    let Some(place) = given_place() else { return };
    let record = place.create("owner", &items()[1..]).expect("made");
    fs::write(place.0.join("state.ready"), "").expect("written");
    std::thread::sleep(std::time::Duration::from_secs(60));
    drop((record, std::mem::ManuallyDrop::new(place)));
}

#[test]
fn the_record_of_a_killed_owner_is_cleared() {
    let place = Place::new("killed");
    let mut child = again("tests::owner", &place.0);
    let ready = place.0.join("state.ready");
    while !ready.exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    fs::remove_file(ready).expect("removed");
    place.sweep();
    assert_eq!(place.names(), ["owner"], "still alive");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    place.sweep();
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
#[ignore = "the other process of `twenty_creators_and_sweepers`"]
fn creator() {
    let Some(place) = given_place() else { return };
    let place = std::mem::ManuallyDrop::new(place);
    for n in 0..200 {
        let id = name::invent();
        let record = place.create(&id, &items()[1..]).expect("made");
        assert!(place.sweep().is_empty());
        assert!(place.names().contains(&id), "a live record was swept");
        match n % 3 {
            0 => drop(record),
            _ => record.remove().expect("removed"),
        }
    }
}

/// So many at once, each to its end; then a sweep leaves nothing of theirs.
pub(super) fn twenty(test: &str, place: &Place) {
    let children: Vec<Child> = (0..20).map(|_| again(test, &place.0)).collect();
    for child in children {
        let out = child.wait_with_output().expect("ended");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    }
    place.sweep();
    assert!(place.names().is_empty());
}

#[test]
fn twenty_creators_and_sweepers() {
    twenty("tests::creator", &Place::new("race"));
}

#[test]
fn any_record() {
    let text = "started 5\ndetached keep\nargv sh\ncwd /\\n\nenv A=b\ncgroup 12 /sys/fs/cgroup/launch-x\n\
        subtree 3 -memory /sys/fs/cgroup/cgroup.subtree_control\nids 0 u 5 7\nport 0 tcp:8080:80\n\
        process 7 99 4026531836\nended 137 1700000000000 oom\n";
    crate::fuzz::fuzz_text(&[text, "cgroup 0 /launch-\n"], |text| {
        let entry = lines::decode(text.as_bytes());
        for (item, _) in &entry.items {
            if let RecordItem::Cgroup(path) | RecordItem::Subtree { file: path, .. } = item {
                let plain = |c| {
                    matches!(c, std::path::Component::RootDir | std::path::Component::Normal(_))
                };
                assert!(path.is_absolute() && path.components().all(plain), "{path:?}");
            }
        }
        // What is understood is written as it was read.
        let items: Vec<RecordItem> = entry.items.iter().map(|(i, _)| i.clone()).collect();
        if let Some(again) = lines::encode(&items, |_| 0) {
            let again = lines::decode(&again);
            let again: Vec<RecordItem> = again.items.into_iter().map(|(i, _)| i).collect();
            assert_eq!(again, items);
        }
    });
}

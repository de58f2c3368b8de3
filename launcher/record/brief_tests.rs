use super::*;
use crate::record::tests::{Place, given_place, items, twenty};
use crate::record::{create_in, place};
use std::path::Path;

/// Nothing that is there.
fn noted() -> Vec<RecordItem> {
    items()[1..2].to_vec()
}

fn claim(place: &Place, items: &[RecordItem]) -> Option<Brief> {
    claim_in(place::open(&place.0, false).ok()?, place.0.clone(), &text_of(items)?)
}

/// A process that another test starts has our descriptors, and their locks, until its exec.
fn soon(so: impl Fn() -> bool) -> bool {
    let pause = || std::thread::sleep(std::time::Duration::from_millis(1));
    (0..3000).any(|_| so() || (pause(), false).1)
}

/// By whoever leaves last.
fn gone(place: &Place) -> bool {
    let come_and_go = || claim(place, &noted()).into_iter().for_each(Brief::free);
    soon(|| place.names().is_empty() || (come_and_go(), false).1)
}

#[test]
fn the_file_is_there_while_somebody_is_in_it() {
    let place = Place::new("brief");
    let (one, two) = (claim(&place, &noted()).unwrap(), claim(&place, &noted()).unwrap());
    assert_ne!(one.number, two.number);
    one.free();
    assert_eq!(place.sweep(), Vec::<String>::new());
    assert_eq!(place.names(), [NAME], "the other one is alive");
    two.free();
    assert!(gone(&place));
    // Begun, and not written.
    let (_, dir) = (std::fs::write(place.0.join(NAME), ""), place::open(&place.0, false).unwrap());
    let three = claim_in(dir, place.0.clone(), &text_of(&noted()).unwrap()).unwrap();
    three.free();
    assert!(gone(&place));
}

#[test]
fn what_the_dead_have_noted_is_cleared_by_whoever_comes() {
    let place = Place::new("brief-dead");
    drop(claim(&place, &noted()));
    let own = claim(&place, &noted()).unwrap();
    assert_eq!(in_use(&own.file).unwrap().iter().filter(|used| **used != 0).count(), 2);
    // By one that has a place itself, which it keeps.
    let left = || (0..PLACES).filter(|n| in_use(&own.file).unwrap()[*n] != 0).collect::<Vec<_>>();
    assert!(soon(|| clear_up(own.dir.as_fd(), Some(&own)).is_ok() && left() == [own.number]));
    drop(own);
    assert!(soon(|| place.sweep().is_empty() && place.names().is_empty()), "by one that has none");
}

#[test]
fn what_is_not_for_it() {
    let place = Place::new("brief-not");
    assert!(claim(&place, &items()).is_none(), "a port");
    let long = RecordItem::Cgroup(Path::new("/").join("x/".repeat(SIZE)).join("launch-x"));
    assert!(claim(&place, &[long]).is_none());
    assert!(place.names().is_empty());
    let all: Vec<_> = (0..PLACES).map(|_| claim(&place, &noted()).unwrap()).collect();
    assert!(claim(&place, &noted()).is_none());
    all.into_iter().for_each(Brief::free);
    assert!(gone(&place));
    std::os::unix::fs::symlink("/dev/null", place.0.join(NAME)).unwrap();
    assert!(claim(&place, &noted()).is_none());
    assert_eq!(place.sweep(), Vec::<String>::new());
}

#[test]
fn of_a_later_version_or_elsewhere_it_is_kept() {
    let place = Place::new("brief-later");
    let inode = parent_inode(Path::new("/sys/launch-x"));
    for text in ["netns 1 x\n".into(), format!("cgroup {} /sys/launch-x\n", inode + 1)] {
        let one = claim(&place, &noted()).unwrap();
        assert!(put(&one.file, text.as_bytes(), at(one.number)).is_ok());
        assert!(put(&one.file, &[0], at(one.number) + text.len()).is_ok());
        drop(one);
        assert_eq!(place.sweep(), Vec::<String>::new());
        assert_eq!(place.names(), [NAME], "{text}");
    }
    // And in nobody's way.
    let file = open(place::open(&place.0, false).unwrap().as_fd(), OFlags::empty()).unwrap();
    assert_eq!(in_use(&file).unwrap().iter().filter(|used| **used != 0).count(), 2);
    assert!(claim(&place, &noted()).is_some());
    assert!(
        create_in(place::open(&place.0, true).unwrap(), &place.0, "a", &[], &Default::default())
            .is_ok()
    );
}

#[test]
#[ignore = "the other process of `twenty_come_and_go`"]
fn guest() {
    let Some(place) = given_place() else { return };
    let place = std::mem::ManuallyDrop::new(place);
    let mut claimed = 0;
    for n in 0..300 {
        let Some(own) = claim(&place, &noted()) else {
            // Somebody has all of it, to leave, and does not get on.
            continue;
        };
        claimed += 1;
        assert!(clear_up(own.dir.as_fd(), Some(&own)).is_ok());
        assert_eq!(in_use(&own.file).unwrap()[own.number], 1, "a living one was swept");
        match n % 3 {
            0 => drop(own),
            _ => own.free(),
        }
        assert!(place.sweep().is_empty());
    }
    assert!(claimed > 0);
}

#[test]
fn twenty_come_and_go() {
    twenty("brief::tests::guest", &Place::new("brief-race"));
}

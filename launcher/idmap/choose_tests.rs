use super::*;

fn ids(first: u32, count: u32) -> Ids {
    Ids { first, count }
}

fn range(inside: u32, outside: u32, count: u32) -> Range {
    Range { inside, outside, count }
}

fn own(sub: &[Ids]) -> Own {
    Own { uid: 1000, gid: 1000, subuids: sub.to_vec(), subgids: sub.to_vec() }
}

fn line(inside: u32, outside: u32, count: u32) -> MapLine {
    MapLine { inside, outside, absolute: false, count }
}

#[test]
fn an_ordinary_users_ids() {
    let alone = own(&[]).usual();
    assert_eq!((alone.uids, alone.writer), (vec![range(0, 1000, 1)], Writer::Own));
    let two = own(&[ids(100_000, 5), ids(300_000, 7)]).usual();
    assert_eq!(two.uids, [range(0, 1000, 1), range(1, 100_000, 5), range(6, 300_000, 7)]);
    assert_eq!((two.gids, two.writer), (two.uids, Writer::Helpers));
}

#[test]
fn keeping_ones_own() {
    let sub = [ids(100_000, 5), ids(300_000, 7)];
    for (place, want) in [
        (0, vec![range(0, 1000, 1), range(1, 100_000, 5), range(6, 300_000, 7)]),
        (
            2,
            vec![
                range(0, 100_000, 2),
                range(2, 1000, 1),
                range(3, 100_002, 3),
                range(6, 300_000, 7),
            ],
        ),
        (5, vec![range(0, 100_000, 5), range(5, 1000, 1), range(6, 300_000, 7)]),
        (12, vec![range(0, 100_000, 5), range(5, 300_000, 7), range(12, 1000, 1)]),
        (1000, vec![range(0, 100_000, 5), range(5, 300_000, 7), range(1000, 1000, 1)]),
    ] {
        assert_eq!(kept(1000, place, &sub), want, "{place}");
    }
    let map = own(&[]).kept(None, Some(7));
    assert_eq!((map.uids, map.gids), (vec![range(1000, 1000, 1)], vec![range(7, 1000, 1)]));
    assert_eq!((map.user, map.writer), ((1000, 7), Writer::Own));
}

#[test]
fn podmans_count() {
    let own = own(&[ids(100_000, 5), ids(300_000, 7)]);
    let spec = |lines: &[MapLine]| Spec { uid_map: lines.to_vec(), ..Spec::new() };
    let map = own.of_lines(&spec(&[line(0, 4, 4)])).expect("map");
    assert_eq!(map.uids, [range(0, 100_003, 2), range(2, 300_000, 2)]);
    assert_eq!((map.gids, map.become_first), (map.uids, Some((0, 0))));
    let map = own.of_lines(&spec(&[line(0, 0, 3), line(5, 12, 1)])).expect("map");
    assert_eq!(map.uids, [range(0, 1000, 1), range(1, 100_000, 2), range(5, 300_006, 1)]);
    assert_eq!(map.become_first, None);
    let absolute = MapLine { absolute: true, ..line(0, 300_000, 7) };
    assert_eq!(own.of_lines(&spec(&[absolute])).expect("map").uids, [range(0, 300_000, 7)]);
    for (lines, want) in [
        (&[line(0, 4, 10)][..], "--uidmap 0:4:10: you have 12 subordinate ids in /etc/subuid"),
        (&[line(7, 1, 5)], "--uidmap: 0 is not mapped"),
        (&[line(0, 8, 1), absolute_after(8)], "--uidmap: 300000 is mapped twice"),
    ] {
        let said = own.of_lines(&spec(lines)).expect_err(want).to_string();
        assert!(said.starts_with(want), "{said}");
    }
}

fn absolute_after(inside: u32) -> MapLine {
    MapLine { inside, outside: 300_000, absolute: true, count: 5 }
}

#[test]
fn fewer_ids() {
    let own = own(&[ids(100_000, 5), ids(300_000, 7)]);
    let uids = |size| own.limited(size).map(|m| m.uids).map_err(|e| e.to_string());
    assert_eq!(uids(1), Ok(vec![range(0, 1000, 1)]));
    assert_eq!(own.limited(1).expect("one").writer, Writer::Own);
    assert_eq!(uids(3), Ok(vec![range(0, 1000, 1), range(1, 100_000, 2)]));
    assert!(
        uids(14).is_err_and(|e| e.starts_with("--userns auto:size=14: you have 13 ids\nhint: "))
    );
}

#[test]
fn the_hosts_root_is_never_mapped() {
    let spec =
        |uid_map: Vec<MapLine>, gid_map: Vec<MapLine>| Spec { uid_map, gid_map, ..Spec::new() };
    let bad = spec(vec![line(0, 100_000, 10)], vec![line(5, 0, 1), line(0, 1, 5)]);
    let said = of_lines_as_root(&bad).expect_err("0").to_string();
    assert!(said.starts_with("--gidmap 5:0:1: the host's id 0 is never an id inside\nhint: "));
    let map = of_lines_as_root(&spec(vec![], vec![line(0, 5, 5)])).expect("map");
    assert_eq!((map.uids, map.become_first), (vec![range(0, 5, 5)], Some((0, 0))));
    let said = of_lines_as_root(&spec(vec![line(1, 5, 5)], vec![])).expect_err("no 0").to_string();
    assert!(said.starts_with("--uidmap: 0 is not mapped"), "{said}");
}

#[test]
fn ids_that_nobody_has() {
    let pool = [(ids(1000, 25), ids(5000, 100))];
    assert_eq!(pick(10, &pool, &[], &[]), Some((ids(1000, 10), ids(5000, 10))));
    assert_eq!(pick(10, &pool, &[ids(1009, 1)], &[]), Some((ids(1010, 10), ids(5010, 10))));
    assert_eq!(pick(10, &pool, &[ids(1009, 1)], &[ids(5010, 1)]), None);
    assert_eq!(pick(26, &pool, &[], &[]), None);
    let (u, g) =
        pick_unused(SIZE, &[ids(0x7000_0000, 1)], &[ids(0x7001_0000, 70_000)]).expect("room");
    assert_eq!((u, g), (ids(0x7003_0000, SIZE), ids(0x7003_0000, SIZE)));
}

#[test]
fn what_our_own_namespace_has() {
    let ours = "         0          0 4294967295\n";
    assert!(within(ours, &UNUSED) && within("", &UNUSED));
    let nested = "0 100000 65536\n70000 1 5\n";
    assert!(within(nested, &ids(1, 65_535)) && within(nested, &ids(70_001, 4)));
    assert!(!within(nested, &ids(1, 65_536)) && !within(nested, &UNUSED));
}

//! User namespaces: root's own, with idmapped mounts, and the maps of ordinary users.

use crate::common::*;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

const NONE: &[&str] = &[];

/// Where root can have idmapped mounts on the file system of the tests.
fn root_with_idmap() -> Option<Sandbox> {
    need_root()?;
    let s = Sandbox::new()?;
    let run = s.run(&["--userns", "auto"], &["true"]);
    let able = run.code != 125 || !run.err.contains("map the owners of");
    need(able.then_some(s), "needs idmapped mounts")
}

fn owner(path: impl AsRef<Path>) -> (u32, u32) {
    let m = std::fs::symlink_metadata(path).unwrap();
    (m.uid(), m.gid())
}

/// First id outside and count, of each line of the container's uid_map.
fn outside(map: &str) -> Vec<(u32, u32)> {
    let numbers = |l: &str| l.split_whitespace().map(|n| n.parse().unwrap()).collect::<Vec<u32>>();
    map.lines().map(numbers).map(|n| (n[1], n[2])).collect()
}

#[test]
fn roots_root_is_nobody_outside_and_owners_are_those_on_disk() {
    let Some(s) = root_with_idmap() else { return };
    s.file("/etc/passwd", "root:x:0:0::/:\nweb:x:33:34::/:\n", 0o644);
    let his = s.file("/srv/his", "x", 0o600);
    std::os::unix::fs::chown(&his, Some(33), Some(34)).unwrap();
    let before = snapshot(&s.rootfs().join("bin"));
    for options in [NONE, &["--no-init"], &["--net", "host"], &["--mem", "50M"], &["-t"]] {
        let all: Vec<&str> = ["--userns=auto"].iter().chain(options).copied().collect();
        let script = "cat /proc/self/uid_map; stat -c %u:%g /bin/busybox /srv/his; cat /srv/his; echo; echo x >/new; chown 33:34 /new; id -u";
        let run = s.sh(&all, script).expect(0);
        let lines: Vec<&str> = run.out.lines().map(str::trim).collect();
        let map = outside(lines[0]);
        assert!(map.len() == 1 && map[0].0 >= 65536 && map[0].1 == 65536, "{run:#?}");
        assert_eq!(lines[1..], ["0:0", "33:34", "x", "0"], "{options:?}");
        assert_eq!(owner(s.rootfs().join("new")), (33, 34));
        std::fs::remove_file(s.rootfs().join("new")).unwrap();
    }
    assert_eq!(s.sh(&["--userns=auto", "-u", "web"], "id -u; cat /srv/his").ok(), "33\nx");
    // A process of it is nobody of the host's.
    let out = s.sh(
        &["--userns=auto", "-v", "/proc:/host"],
        "cat /host/self/status; cat /host/1/environ || echo refused",
    );
    assert!(out.err.contains("Permission denied") && out.out.ends_with("refused\n"), "{out:#?}");
    assert!(before == snapshot(&s.rootfs().join("bin")), "the rootfs is as it was");
}

#[test]
fn volumes_and_layers_with_mapped_owners() {
    let Some(s) = root_with_idmap() else { return };
    let dir = s.dir.join("vol");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "host").unwrap();
    set_mode(&dir.join("file"), 0o600);
    std::os::unix::fs::chown(dir.join("file"), Some(7), Some(8)).unwrap();
    let (tree, file) =
        (format!("{}:/data", dir.display()), format!("{}/file:/etc/one:ro", dir.display()));
    let script = "stat -c %u:%g /data/file /etc/one; cat /etc/one; echo; echo x 2>/dev/null >/etc/one || echo refused; echo n >/data/new; chown 5 /data/new; echo gone >/bin/gone; ls -dn / | cut -c1-10";
    for options in [NONE, &["--ephemeral"]] {
        let all: Vec<&str> =
            ["--userns=auto", "-v", &tree, "-v", &file].iter().chain(options).copied().collect();
        assert_eq!(s.sh(&all, script).ok(), "7:8\n7:8\nhost\nrefused\ndrwxr-xr-x", "{options:?}");
        assert_eq!(owner(dir.join("new")), (5, 0));
        let written = std::fs::remove_file(s.rootfs().join("bin/gone")).is_ok();
        assert_eq!(written, options.is_empty());
    }
    let read_only = ["--userns=auto", "--read-only", "--tmpfs", "/cache:mode=700"];
    assert_eq!(
        s.sh(&read_only, "touch /x 2>/dev/null || echo no; touch /cache/x && stat -c %u /cache")
            .ok(),
        "no\n0"
    );
    let (mapped, hosts) = (format!("{tree}:idmap"), format!("{tree}:noidmap"));
    s.run(&["-v", &mapped], &["true"])
        .fails(125, &[": idmap maps owners into a user namespace of root's\nhint: "]);
    let script = "stat -c %u:%g /data/file";
    assert_eq!(s.sh(&["--userns=auto", "-v", &mapped], script).ok(), "7:8");
    assert_eq!(s.sh(&["--userns=auto", "-v", &hosts], script).ok(), "65534:65534");
    // What belongs to the ids outside already is taken as it is.
    chown_to(&dir, 200_000);
    let shifted = ["--uidmap", "0:200000:65536", "-v", &tree];
    assert_eq!(s.sh(&shifted, "stat -c %u:%g /data /data/file /bin/busybox").ok(), "0:0\n0:0\n0:0");
}

fn chown_to(dir: &Path, id: u32) {
    for path in [dir.to_owned(), dir.join("file")] {
        std::os::unix::fs::chown(path, Some(id), Some(id)).unwrap();
    }
}

#[test]
fn the_hosts_root_under_other_ids() {
    let Some(s) = root_with_idmap() else { return };
    let script = "id -u; echo x >/etc/launch-test-userns && cat /etc/launch-test-userns; stat -c %u /usr/bin";
    let mut c = Command::new(launch());
    c.args(["--userns=auto", "--ephemeral", "/", "sh", "-c", script]);
    assert_eq!(Run::of(c).ok(), "0\nx\n0");
    assert!(!Path::new("/etc/launch-test-userns").exists());
    drop(s);
}

/// What is only root's on the host stays closed, whatever is bound where.
#[test]
fn the_hosts_files_of_root_are_closed() {
    let Some(s) = root_with_idmap() else { return };
    // 200000 is nobody inside, nor is root.
    let dir = s.dir.join("vol");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "secret").unwrap();
    set_mode(&dir.join("file"), 0o600);
    std::os::unix::fs::chown(&dir, Some(300_000), Some(300_000)).unwrap();
    let tree = format!("{}:/data", dir.display());
    let run = s.sh(
        &["--uidmap", "0:300000:10", "-v", &tree],
        "stat -c %u /data /data/file; cat /data/file",
    );
    assert!(
        run.code == 1 && run.out == "0\n65534\n" && run.err.contains("Permission denied"),
        "{run:#?}"
    );
    let run = s.sh(
        &["--userns=auto"],
        "echo 1 >/proc/sys/kernel/sysrq; echo h >/proc/sysrq-trigger; mknod /x b 8 0",
    );
    assert!(run.code != 0 && run.err.lines().count() == 3, "{run:#?}");
}

#[test]
fn two_at_a_time_have_different_ids() {
    let Some(s) = root_with_idmap() else { return };
    let script = "cat /proc/self/uid_map /proc/self/gid_map; cat";
    let start = || {
        let mut c = s.command(&["--userns=auto:size=1000"], &["sh", "-c", script]);
        c.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        c.stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    let mut seen = std::collections::BTreeSet::new();
    // Each ends when its standard input does; all live until then.
    std::thread::sleep(std::time::Duration::from_millis(300));
    for child in children {
        let run = Run::from(finish(std::time::Duration::from_secs(20), child)).expect(0);
        let maps = outside(&run.out);
        assert!(maps.len() == 2 && maps[0] == maps[1] && maps[0].1 == 1000, "{run:#?}");
        seen.insert(maps[0].0);
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    let again = outside(&s.run(&["--userns=auto:size=1000"], &["cat", "/proc/self/uid_map"]).ok());
    assert!(seen.contains(&again[0].0), "free again: {again:?} of {seen:?}");
}

/// In a mount namespace with these lines for subuid and subgid; the user `USER` is `lt`.
fn with_lines(s: &Sandbox, lines: &str, user: bool, line: &str) -> Option<Run> {
    need_root()?;
    need_util_linux()?;
    std::fs::write(s.dir.join("subid"), lines).unwrap();
    std::fs::write(
        s.dir.join("passwd"),
        format!("root:x:0:0::/:/bin/sh\nlt:x:{USER}:{USER}::/:/bin/sh\n"),
    )
    .unwrap();
    let program = s.as_user(NONE, &[]).get_program().to_owned();
    let become_user = if user {
        format!("setpriv --reuid {USER} --regid {USER} --clear-groups")
    } else {
        String::new()
    };
    let dir = s.dir.display();
    let script = format!(
        "for f in subuid subgid passwd; do [ -e /etc/$f ] || exit 77; done; mount --bind {dir}/subid /etc/subuid && mount --bind {dir}/subid /etc/subgid && mount --bind {dir}/passwd /etc/passwd && cd / && exec {become_user} {} {line}",
        program.display(),
    );
    let mut c = Command::new("unshare");
    c.args(["-m", "/bin/sh", "-c", &script]);
    c.env_remove("XDG_RUNTIME_DIR");
    let run = Run::of(c);
    need((run.code != 77).then_some(run), "needs /etc/subuid and /etc/subgid")
}

fn helpers() -> Option<()> {
    need(Path::new("/usr/bin/newuidmap").exists().then_some(()), "needs newuidmap (package uidmap)")
}

#[test]
fn all_subordinate_ranges_of_a_user() {
    let Some(()) = helpers() else { return };
    let Some(s) = Sandbox::new() else { return };
    let root = s.rootfs().display().to_string();
    let lines = format!("lt:100000:1000\nother:200000:70000\n{USER}:300000:500\nlt:100500:9\n");
    let call = |options: &str, script: &str| {
        with_lines(&s, &lines, true, &format!("{options} {root} sh -c '{script}'"))
    };
    let maps = "cat /proc/self/uid_map /proc/self/setgroups";
    let Some(run) = call("", maps) else { return };
    let words: Vec<&str> = run.out.split_whitespace().collect();
    let user = USER.to_string();
    assert_eq!(words, ["0", &user, "1", "1", "100000", "1000", "1001", "300000", "500", "allow"]);
    let script = "touch /f; chown 1400:3 /f; stat -c %u:%g /f; id -u";
    assert_eq!(call("", script).unwrap().ok(), "1400:3\n0");
    assert_eq!(owner(s.rootfs().join("f")), (300_399, 100_002));
    assert_eq!(call("-u 1500:7", "id -u").unwrap().ok(), "1500");
    s.file("/etc/passwd", "web:x:33:34::/:\n", 0o644);
    s.file("/etc/group", "adm:x:4:web\nfar:x:9999:web\n", 0o644);
    assert_eq!(call("-u web", "echo $(id -u) $(id -g) [$(id -G)]").unwrap().ok(), "33 34 [34 4]");
    assert_eq!(call("--ephemeral", "id -u").unwrap().ok(), "0");
    call("-u 1501", "true")
        .unwrap()
        .fails(125, &["launch: user 1501:0: not in this user namespace, whose last are 1500:1500"]);
    let kept =
        call("--userns=keep-id:uid=20,gid=30", "id -u; id -g; stat -c %u /f; touch /mine").unwrap();
    assert_eq!(kept.ok(), "20\n30\n1400");
    assert_eq!(owner(s.rootfs().join("mine")), (USER, USER));
    let out = call("--userns=auto:size=10", "cat /proc/self/uid_map").unwrap().ok();
    assert_eq!(outside(&out), [(USER, 1), (100_000, 9)]);
    // Podman's count: 1 is the first subordinate id; the caller himself is not inside.
    set_mode(&s.rootfs(), 0o777);
    let own = call(
        "--uidmap 0:1:10 --uidmap 10:1001:5",
        "cat /proc/self/uid_map; touch /theirs; stat -c %u /f /mine",
    )
    .unwrap()
    .ok();
    assert!(own.ends_with("65534\n65534"), "{own}");
    assert_eq!(owner(s.rootfs().join("theirs")), (100_000, 100_000));
    call("--uidmap 0:1:2000", "true")
        .unwrap()
        .fails(125, &["--uidmap 0:1:2000: you have 1500 subordinate ids in /etc/subuid"]);
    call("--uidmap @0:5:1", "true")
        .unwrap()
        .fails(125, &["launch: --uidmap '@0:5:1': inside '@0': not a number"]);
    call("--uidmap 0:@0:1", "true")
        .unwrap()
        .fails(125, &["launch: newuidmap: ", "hint: check your line in /etc/subuid"]);
    call("--userns=host", "true")
        .unwrap()
        .fails(125, &["launch: --userns host: an ordinary user needs a user namespace"]);
}

/// Unpacked by an ordinary user, inside: the archive's owners, by his subordinate ids.
#[test]
fn a_root_file_system_unpacked_by_an_ordinary_user() {
    let Some(()) = helpers() else { return };
    let Some(s) = Sandbox::new() else { return };
    let tree = s.copy("tree");
    let (web, none) = (Some(33), Some(65534));
    for (name, uid) in [("web", web), ("nobody", none)] {
        std::fs::write(tree.join(name), name).unwrap();
        std::os::unix::fs::chown(tree.join(name), uid, uid).unwrap();
    }
    let dir = s.dir.display();
    let tar = Command::new("tar")
        .args(["-C", &format!("{dir}/tree"), "-cf", &format!("{dir}/t.tar"), "."])
        .status();
    assert!(tar.unwrap().success());
    let lines = "lt:100000:65536\n";
    std::fs::create_dir(s.dir.join("his")).unwrap();
    let unpack = format!("-v {dir}:/mnt {dir}/rootfs tar -C /mnt/his -xpf /mnt/t.tar");
    let Some(run) = with_lines(&s, lines, true, &unpack) else { return };
    assert_eq!(run.ok(), "");
    assert_eq!(owner(s.dir.join("his/web")), (100_032, 100_032));
    let look = format!("{dir}/his stat -c %u /web /nobody /bin/busybox");
    assert_eq!(with_lines(&s, lines, true, &look).unwrap().ok(), "33\n65534\n0");
    let seen = format!("-u 33 {dir}/his cat /web");
    assert_eq!(with_lines(&s, lines, true, &seen).unwrap().ok(), "web");
}

#[test]
fn an_ordinary_user_without_ranges() {
    let Some(s) = Sandbox::new() else { return };
    let root = s.rootfs().display().to_string();
    for (lines, hint) in [
        ("other:100000:65536\n", "give yourself subordinate ids: a line NAME:100000:65536 for you"),
        ("lt:x:5\nlt:0:5\nlt:5\n", "give yourself subordinate ids"),
    ] {
        let call = |options: &str, script: &str| {
            with_lines(&s, lines, true, &format!("{options} {root} sh -c '{script}'"))
        };
        let Some(run) = call("", "cat /proc/self/uid_map /proc/self/setgroups | tr -s \" \"")
        else {
            return;
        };
        assert_eq!(run.ok(), format!(" 0 {USER} 1\ndeny"));
        let out =
            call("--userns=keep-id", "id -u; cat /proc/self/uid_map | tr -s \" \"").unwrap().ok();
        assert_eq!(out, format!("{USER}\n {USER} {USER} 1"));
        if helpers().is_some() {
            call("-u 5", "true")
                .unwrap()
                .fails(125, &["only user 0 exists in this user namespace\nhint: ", hint]);
        }
        call("--userns auto:size=2", "true")
            .unwrap()
            .fails(125, &["launch: --userns auto:size=2: you have 1 ids\nhint: "]);
    }
}

#[test]
fn roots_automatic_ids_come_from_the_containers_lines() {
    let Some(s) = root_with_idmap() else { return };
    let root = s.rootfs().display().to_string();
    let call = |lines: &str, options: &str| {
        with_lines(&s, lines, false, &format!("{options} {root} cat /proc/self/uid_map"))
    };
    let lines = "lt:100000:65536\nroot:500000:1000\ncontainers:200000:1500\n";
    let Some(run) = call(lines, "--userns=auto:size=1000") else { return };
    assert_eq!(outside(&run.ok()), [(200_000, 1000)]);
    assert_eq!(
        outside(&call("root:500000:1000\n", "--userns=auto:size=1000").unwrap().ok()),
        [(500_000, 1000)]
    );
    let big = outside(&call(lines, "--userns=auto").unwrap().ok());
    assert_eq!(big, [(0x7000_0000, 65536)]);
    let taken = outside(&call("x:1879048192:1\n", "--userns=auto").unwrap().ok());
    assert_eq!(taken, [(0x7001_0000, 65536)]);
    call(lines, "--userns=auto:size=4294967294")
        .unwrap()
        .fails(125, &["launch: --userns auto: no 4294967294 ids in a row are free\nhint: "]);
    call(lines, "--userns=keep-id")
        .unwrap()
        .fails(125, &["launch: --userns keep-id: root's own id is never an id inside\nhint: "]);
    call(lines, "--uidmap 0:0:10")
        .unwrap()
        .fails(125, &["launch: --uidmap 0:0:10: the host's id 0 is never an id inside"]);
}

/// A file system without idmapped mounts: overlay.
#[test]
fn a_file_system_that_cannot_is_named() {
    let Some(()) = need_util_linux() else { return };
    let Some(s) = root_with_idmap() else { return };
    let dir = s.dir.display();
    let line = format!(
        "mkdir {dir}/u {dir}/w {dir}/o && mount -t overlay -o lowerdir={dir}/rootfs,upperdir={dir}/u,workdir={dir}/w o {dir}/o || exit 77; exec {} --userns=auto {dir}/o true",
        launch().display()
    );
    let mut c = Command::new("unshare");
    c.args(["-m", "/bin/sh", "-c", &line]);
    let run = Run::of(c);
    if need((run.code != 77).then_some(()), "needs overlay").is_some() {
        run.fails(125, &[&format!("launch: map the owners of {dir}/o: Invalid argument (EINVAL)\nhint: overlay has no idmapped mounts of its own; a tree that")]);
    }
}

//! The store of an ordinary user, with subordinate ids and with none: all its verbs, and whose
//! the files are.

use super::images::{Images, tools};
use crate::common::*;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// A root file system with owners, and a directory that forbids to look in.
pub fn archive() -> Option<Images> {
    let (Some(()), Some(())) = (need_root(), tools(&["tar", "setpriv"])) else { return None };
    need_util_linux()?;
    let i = Images::new()?;
    i.shell(
        "mkdir -p rootfs/srv rootfs/closed; echo 1 >rootfs/srv/own; echo 2 >rootfs/closed/in
        chown -R 2000:2000 rootfs/srv; chown 5:6 rootfs/etc/group; chmod 0 rootfs/closed
        tar cf root.tar -C rootfs .",
    );
    std::fs::copy(launch(), i.0.dir.join("launch")).unwrap();
    std::fs::create_dir(i.0.dir.join("home")).unwrap();
    Some(i)
}

/// A script as the ordinary user `lt`, whose ids are in `subid`, on a machine whose root has
/// a store of images, too.
#[track_caller]
pub fn run(i: &Images, subid: &str, script: &str) -> Run {
    let dir = i.0.dir.display().to_string();
    std::fs::write(i.0.dir.join("subid"), subid).unwrap();
    let home = format!("{dir}/home");
    let passwd = format!("root:x:0:0::/:/bin/sh\nlt:x:{USER}:{USER}::{home}:/bin/sh\n");
    std::fs::write(i.0.dir.join("passwd"), passwd).unwrap();
    i.0.give_to(USER, USER);
    let line = format!(
        "cd {dir}; mount --bind subid /etc/subuid; mount --bind subid /etc/subgid
        mount --bind passwd /etc/passwd; mount -t tmpfs none /var/lib; mkdir -m 700 /var/lib/launch
        exec setpriv --reuid {USER} --regid {USER} --clear-groups env HOME={home} sh -ec '{script}'"
    );
    let mut c = Command::new("unshare");
    c.args(["-m", "/bin/sh", "-ec", &line]);
    for name in ["XDG_RUNTIME_DIR", "XDG_DATA_HOME", "LAUNCH_STORE"] {
        c.env_remove(name);
    }
    Run::of(c)
}

/// What both have in common.
const ALL: &str = r#"
    ./launch --explain ./root.tar true | grep -q "unpack ./root.tar into the store"; ls home
    ./launch import root.tar box 2>/dev/null | grep -o "^box:latest: 1 layer"
    ./launch box stat -c "%a %u:%g" /srv/own /etc/group /closed
    ./launch --keep kept box sh -c "echo 3 >/new; rm /etc/group; chmod 0 /srv; echo 4 >/closed/more"
    ./launch commit kept box:2 | grep -o "^box:2: 2 layers"
    ./launch box:2 sh -c "cat /new /closed/in /closed/more; stat -c %a /srv; ls /etc"
    ./launch export -o box.tar box; ./launch export -o two.tar box:2
    ./launch export -o kept.tar --keep kept box
    tar tvf two.tar --numeric-owner | grep -E "(closed|srv|etc)/" | sed -E "s/ +/ /g" | cut -d" " -f1,2,6-
    tar tf kept.tar | sort >a; tar tf two.tar | sort >b; cmp a b
    ./launch export box | ./launch import - again 2>/dev/null | grep -o "^again:latest: 1 layer"
    ./launch again cat /closed/in /srv/own
    ./launch images | sort | cut -d" " -f1
    ./launch rmi box >/dev/null; ./launch images | grep -c "^box:latest" || true
    ./launch box:2 cat /new
    ./launch rmi box:2 again >/dev/null; ./launch prune -a >/dev/null; ./launch images | wc -l
    find home -mindepth 5 -not -name lock | wc -l"#;

fn lines(owners: [&str; 2]) -> String {
    let [srv, group] = owners;
    format!(
        "box:latest: 1 layer
644 {srv}
644 {group}
0 0:0
box:2: 2 layers
3
2
4
0
passwd
d--------- 0/0 closed/
-rw-r--r-- 0/0 closed/in
-rw-r--r-- 0/0 closed/more
drwxr-xr-x 0/0 etc/
-rw-r--r-- 0/0 etc/passwd
d--------- {0} srv/
-rw-r--r-- {0} srv/own
again:latest: 1 layer
2
1
NAME
again:latest
box:2
box:latest
0
3
1
0",
        srv.replace(':', "/")
    )
}

#[test]
fn with_subordinate_ids() {
    if need(std::path::Path::new("/usr/bin/newuidmap").exists().then_some(()), "needs newuidmap")
        .is_none()
    {
        return;
    }
    let Some(i) = archive() else { return };
    let subid = "lt:100000:65536\n";
    assert_eq!(run(&i, subid, ALL).ok(), lines(["2000:2000", "5:6"]));
    // On the host they are his subordinate ids'.
    run(&i, subid, "./launch import root.tar box").ok();
    let store = i.0.dir.join("home/.local/share/launch");
    let layer = std::fs::read_dir(store.join("layers")).unwrap().next().unwrap().unwrap().path();
    let owner = |path: &str| std::fs::symlink_metadata(layer.join("fs").join(path)).unwrap().uid();
    assert_eq!((owner("srv/own"), owner("etc/group"), owner("etc")), (101_999, 100_004, USER));
    // More than he has: told, and root's.
    let said = run(
        &i,
        "lt:100000:1500\n",
        "rm -rf home/.local || ./launch prune -a; ./launch import root.tar few",
    );
    assert!(said.expect(0).err.contains("root.tar: 2 files are yours instead of their owners': your subordinate ids do not reach that far"));
}

#[test]
fn with_a_single_id() {
    let Some(i) = archive() else { return };
    assert_eq!(run(&i, "", ALL).ok(), lines(["0:0", "0:0"]));
    let import = run(&i, "", "./launch import root.tar box").expect(0);
    let told = "3 files are yours instead of their owners': there are no subordinate ids for you";
    assert!(import.err.contains(told), "{import:#?}");
    let find = format!("find {}/home -not -user {USER} | wc -l", i.0.dir.display());
    let mut c = Command::new("sh");
    c.args(["-c", &find]);
    assert_eq!(Run::of(c).ok(), "0");
}

/// A layer that adds to a directory and does not speak of it: its mode stays, whoever may look.
#[test]
fn a_closed_directory_of_the_layer_below() {
    let (Some(i), Some(())) = (archive(), tools(&["umoci"])) else { return };
    i.shell(
        "mkdir -p top/closed; echo 3 >top/closed/more; tar cf top.tar -C top closed/more
        umoci init --layout oci; umoci new --image oci:a
        umoci raw add-layer --image oci:a root.tar; umoci raw add-layer --image oci:a top.tar",
    );
    let line = "./launch import oci box; ./launch box sh -c \"stat -c %a /closed; cat /closed/*\"";
    assert_eq!(run(&i, "", line).expect(0).out.trim().split_once('\n').unwrap().1, "0\n2\n3");
}

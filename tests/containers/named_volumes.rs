//! Volumes by name: what they begin with, and that nothing but a whole copy is ever in one.

use super::images::{Images, tools};
use super::rootless_images;
use crate::common::*;
use std::process::Command;

/// A directory with all that a copy can lose, and a link that leads to it.
fn rootfs() -> Option<Images> {
    let (Some(()), Some(())) = (need_root(), tools(&["setfattr", "getfattr", "tar"])) else {
        return None;
    };
    let i = Images::new()?;
    i.shell(
        "cd rootfs; mkdir -p data/sub/deep empty; echo 1 >data/f; ln data/f data/sub/same
        ln -s /etc/passwd data/out; ln -s ../../../../../data way; ln -s .. data/up
        mkfifo data/fifo; mknod data/null c 1 3; echo 2 >data/sub/closed; echo file >plain
        chown -R 5:6 data; chown -h 7:8 data/out; chmod 2751 data; chmod 0 data/sub/closed
        chmod 4755 data/f; setfattr -n user.a -v b data/f; touch -d @1000000000 data/f data/sub
        chown 9:9 empty; chmod 1770 empty",
    );
    Some(i)
}

/// What `rootfs` has in it.
const LIST: &str = "cd /data; stat -c '%a %u:%g %h %n' . f sub sub/same sub/closed fifo null
    stat -c '%u:%g' out; readlink out; readlink up; stat -c %Y f sub; cat f";
const ALL: &str = "2751 5:6 3 .
4755 5:6 2 f
755 5:6 3 sub
4755 5:6 2 sub/same
0 5:6 1 sub/closed
644 5:6 1 fifo
644 5:6 1 null
7:8
/etc/passwd
..
1000000000
1000000000
1";

#[track_caller]
fn list(i: &Images, options: &[&str], root: &str) -> String {
    i.launch(&[options, &[root, "sh", "-c", LIST]].concat()).ok()
}

fn xattr(i: &Images, volume: &str) -> String {
    let mut c = Command::new("getfattr");
    c.args(["--absolute-names", "--only-values", "-n", "user.a"])
        .arg(i.store().join("volumes").join(volume).join("f"));
    Run::of(c).ok()
}

#[test]
fn a_new_volume_begins_with_what_is_there() {
    let Some(i) = rootfs() else { return };
    assert_eq!(list(&i, &["-v", "a:/data"], "./rootfs"), ALL);
    // By a link that would lead out of the root, and for root inside who is nobody outside.
    for options in [&["-v", "b:/way"][..], &["--userns", "auto", "-v", "c:/way"]] {
        let out = list(&i, options, "./rootfs");
        assert_eq!(out, ALL, "{options:?}");
    }
    assert_eq!([xattr(&i, "a"), xattr(&i, "b"), xattr(&i, "c")], ["b", "b", "b"]);
    // Once: what was removed stays so.
    i.launch(&["-v", "a:/data", "./rootfs", "sh", "-c", "cd /data; rm -r f fifo sub"]).ok();
    let names = i.launch(&["-v", "a:/data", "./rootfs", "ls", "/data"]).ok();
    assert_eq!(names, "null\nout\nup");
    // Into an empty one that was there before, too; a copy of nothing is one, with its owner.
    i.shell("mkdir store/volumes/d store/volumes/e");
    assert_eq!(list(&i, &["--mount", "src=d,dst=/data"], "./rootfs"), ALL);
    for _ in 0..2 {
        let run = i.launch(&["-v", "e:/empty", "./rootfs", "stat", "-c", "%a %u:%g", "/empty"]);
        assert_eq!(run.ok(), "1770 9:9");
    }
    assert!(i.names("new").is_empty());
}

#[test]
fn where_nothing_is_copied() {
    let Some(i) = rootfs() else { return };
    let look = ["./rootfs", "sh", "-c", "stat -c '%a %u' /data; ls /data"];
    for options in [
        &["-v", "a:/data:nocopy"][..],
        &["--mount", "type=volume,src=a,dst=/data,volume-nocopy"],
        &["--mount", "src=a,dst=/data,volume-nocopy=true"],
    ] {
        assert_eq!(i.launch(&[options, &look].concat()).ok(), "755 0", "{options:?}");
    }
    let look = ["--mount", "src=a,dst=/data,volume-nocopy=false", "./rootfs", "ls", "/data/sub"];
    assert_eq!(i.launch(&look).ok(), "closed\ndeep\nsame");
    // A host's directory stays as empty as it was; so does what the image does not have.
    i.shell("mkdir own");
    assert_eq!(i.launch(&["-v", "./own:/data", "./rootfs", "ls", "/data"]).ok(), "");
    let none = ["-v", "none:/no/such", "./rootfs", "ls", "/no/such"];
    assert_eq!(i.launch(&none).ok() + &i.launch(&none).ok(), "");
    i.launch(&["-v", "x:/plain", "./rootfs", "true"]).fails(125, &["volume ", "/plain"]);
    // The host's own root is nobody's to copy.
    let host = ["--ephemeral", "-v", "host:/etc", "/", "/bin/sh", "-c", "echo /etc/pass*"];
    assert_eq!(i.launch(&host).ok(), "/etc/pass*");
    // Nothing is done by looking.
    let step = i.launch(&["--explain", "-v", "new:/data", "./rootfs", "true"]).ok();
    assert!(step.contains("volumes/new, which is empty, with what the rootfs has at /data"));
    assert!(step.contains("cp -a ./rootfs/data/. "), "{step}");
    assert!(!i.store().join("volumes/new").exists());
    let step = i.launch(&["--explain", "-v", "a:/data", "./rootfs", "true"]).ok();
    assert!(!step.contains("fill"), "{step}");
}

/// Of an image with two layers, and with one more directory above them.
#[test]
fn what_layers_have_together() {
    let Some(i) = rootfs() else { return };
    i.launch(&["export", "-o", "root.tar", "./rootfs"]).ok();
    i.launch(&["import", "root.tar", "box"]).ok();
    assert_eq!(list(&i, &["-v", "one:/data"], "box"), ALL);
    let change = "cd /data; rm -r sub up; mkdir sub; echo 3 >sub/new";
    i.launch(&["--keep", "kept", "box", "sh", "-c", change]).ok();
    let names = ["ls", "-A", "/data", "/data/sub"];
    let told = "/data:\nf\nfifo\nnull\nout\nsub\n\n/data/sub:\nnew";
    let of = |options: &[&str], root: &str| i.launch(&[options, &[root], &names].concat()).ok();
    assert_eq!(of(&["--keep", "kept", "-v", "kept:/data"], "box"), told);
    i.launch(&["commit", "kept", "box:2"]).ok();
    assert_eq!(of(&["-v", "two:/data"], "box:2"), told);
    assert_eq!(xattr(&i, "two"), "b");
    i.shell("mkdir -p top/data; echo 4 >top/data/more");
    let more = told.replace("fifo\n", "fifo\nmore\n");
    assert_eq!(of(&["--layer", "top", "-v", "three:/data"], "box:2"), more);
    assert_eq!(of(&["--userns", "auto", "-v", "four:/data"], "box:2"), told);
    if tools(&["mksquashfs"]).is_none() {
        return;
    }
    i.shell("mksquashfs rootfs a.img -quiet -no-progress");
    let run = i.launch(&["-v", "disk:/data", "./a.img", "sh", "-c", LIST]);
    let Some(()) = need((!run.err.contains("loop")).then_some(()), "needs loop devices") else {
        return;
    };
    assert_eq!(run.ok(), ALL);
}

#[test]
fn one_that_another_container_has() {
    let Some(i) = rootfs() else { return };
    let start = ["-d", "--name", "has-empty", "-v", "shared:/d:nocopy", "./rootfs", "sleep", "60"];
    i.launch(&start).ok();
    let look = ["-v", "shared:/data", "./rootfs", "ls", "/data"];
    let run = i.launch(&look).expect(0);
    assert_eq!(run.out, "");
    assert!(run.err.contains("volume shared: it is empty, and another container has it"));
    // The same directory as before.
    i.launch(&["-v", "shared:/x:nocopy", "./rootfs", "touch", "/x/y"]).ok();
    assert_eq!(i.launch(&["exec", "has-empty", "ls", "/d"]).ok(), "y");
    i.launch(&["exec", "has-empty", "rm", "/d/y"]).ok();
    i.launch(&["rm", "-f", "has-empty"]).ok();
    assert_eq!(i.launch(&look).ok(), "f\nfifo\nnull\nout\nsub\nup");
}

#[test]
fn a_copy_that_was_interrupted_is_none() {
    let Some(i) = rootfs() else { return };
    i.shell("cd rootfs/data; for n in $(seq 2000); do echo $n >n$n; done");
    for wait in 0..20 {
        let mut c = i.command(&["-v", "v:/data", "./rootfs", "true"]);
        let mut child = c.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait * 4));
        child.kill().unwrap();
        child.wait().unwrap();
        let there = i.names("volumes");
        // Of several processes the last one may still be at work.
        wait_until("nobody copies", || i.launch(&["prune"]).code == 0);
        if there == ["v"] {
            let count = i.store().join("volumes/v").read_dir().unwrap().count();
            assert_eq!(count, 2006, "after {wait}");
            i.shell("rm -r store/volumes/v");
        }
    }
    // No room for all of it: nothing is there, and said why.
    let line = format!(
        "mkdir small; mount -t tmpfs -o size=4m none small; dd if=/dev/zero of=rootfs/data/big bs=1M count=8 2>/dev/null
        export LAUNCH_STORE=$PWD/small/s; {0} -v v:/data ./rootfs true; echo $?; ls small/s/volumes small/s/new",
        launch().display()
    );
    let mut c = Command::new("unshare");
    c.args(["-m", "sh", "-c", &line]).current_dir(&i.0.dir);
    let run = Run::of(c).expect(0);
    assert_eq!(run.out, "125\nsmall/s/new:\n\nsmall/s/volumes:\n");
    assert!(run.err.contains("fill volume v: 'big': No space left on device"), "{run:#?}");
    assert!(run.err.contains("keeps nothing of it"), "{run:#?}");
}

#[test]
fn many_at_once_fill_it_once() {
    let Some(i) = rootfs() else { return };
    i.shell("mkdir many; for n in $(seq 500); do echo $n >many/$n; done");
    for volume in ["new", "there"] {
        i.shell("mkdir -p store/volumes/there && chmod 700 store");
        let mount = format!("{volume}:/many");
        let start = || i.launch(&["--layer", "top", "-v", &mount, "./rootfs", "ls", "/many"]);
        i.shell("mkdir -p top; cp -a many top/");
        let seen: Vec<String> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..6).map(|_| scope.spawn(|| start().ok())).collect();
            starts.into_iter().map(|s| s.join().unwrap()).collect()
        });
        assert!(seen.iter().all(|names| names.lines().count() == 500), "{volume}: {seen:?}");
    }
}

/// Whoever writes to the root file system meanwhile: nothing from outside of it is copied.
#[test]
fn what_is_exchanged_while_it_is_copied() {
    let Some(i) = rootfs() else { return };
    i.shell(
        "mkdir outside; echo secret >outside/f; cd rootfs/data; rm f null fifo
        for n in $(seq 20); do mkdir d$n; echo own >d$n/f; ln -s ../../outside l$n
            ln -s ../../outside/f s$n; echo own >o$n; done; ln -s ../../outside data.link",
    );
    let root = i.0.rootfs().join("data");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for (a, b) in (1..=20).flat_map(|n| {
                    [(format!("d{n}"), format!("l{n}")), (format!("o{n}"), format!("s{n}"))]
                }) {
                    let (cwd, exchange) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                    let _ =
                        rustix::fs::renameat_with(cwd, root.join(a), cwd, root.join(b), exchange);
                }
            }
        });
        let (mut whole, mut leaked) = (0, false);
        for n in 0..60 {
            let run = i.launch(&["-v", &format!("v{n}:/data"), "./rootfs", "true"]);
            whole += i32::from(run.code == 0);
            let mut c = Command::new("grep");
            c.args(["-rqs", "secret"]).arg(i.store().join("volumes"));
            leaked |= Run::of(c).code == 0 || !matches!(run.code, 0 | 125);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(whole > 0 && !leaked, "{whole} whole");
    });
}

/// An ordinary user's: owners inside are the image's where there are ids for them.
#[test]
fn of_an_ordinary_user() {
    let Some(i) = rootless_images::archive() else { return };
    let script = r#"./launch import root.tar box 2>/dev/null >import
        show() { ./launch -v "$1" "$2" stat -c "%a %u:%g" /srv /srv/own; }
        show v:/srv box; show v:/srv box; ./launch -v v:/srv box sh -c "rm /srv/own; touch /srv/x"
        ./launch -v v:/srv box ls /srv; ./launch -v c:/closed box cat /closed/in
        ./launch --keep kept box sh -c "echo 3 >/srv/new"; ./launch commit kept box:2 >import
        ./launch -v two:/srv box:2 ls /srv; ./launch -v n:/srv:nocopy box ls /srv
        ./launch volume rm c v; ./launch volume prune -a; ./launch volume ls -q"#;
    let told = |owner: &str| {
        format!("755 {owner}\n644 {owner}\n755 {owner}\n644 {owner}\nx\n2\nnew\nown\nc\nv\nn\ntwo")
    };
    assert_eq!(rootless_images::run(&i, "", script).ok(), told("0:0"));
    drop(i);
    let helper = std::path::Path::new("/usr/bin/newuidmap").exists();
    let Some(()) = need(helper.then_some(()), "needs newuidmap") else { return };
    let Some(i) = rootless_images::archive() else { return };
    assert_eq!(rootless_images::run(&i, "lt:100000:65536\n", script).ok(), told("2000:2000"));
}

#[test]
fn listed_made_and_removed() {
    let Some(i) = rootfs() else { return };
    assert_eq!(i.launch(&["volume", "ls", "-q"]).ok(), "");
    assert_eq!(i.launch(&["volume", "create", "b", "a"]).ok(), "b\na");
    assert_eq!(i.launch(&["volume", "create", "a"]).ok(), "a");
    // What was made so is filled like any other.
    assert_eq!(list(&i, &["-v", "a:/data"], "./rootfs"), ALL);
    i.launch(&["-d", "--name", "has-b", "-v", "b:/x", "./rootfs", "sleep", "60"]).ok();
    let line = format!("{:<32} ", "b");
    let all = i.launch(&["volume", "ls"]).ok();
    assert_eq!(all.lines().last().unwrap(), line + "has-b");
    let shown = i.launch(&["volume", "ls", "--format", "{{.Name}} {{.Driver}}"]).ok();
    assert_eq!(shown, "a local\nb local");
    let path = i.store().join("volumes/b");
    let shown = ["volume", "inspect", "b", "--format", "{{.Mountpoint}}"];
    assert_eq!(i.launch(&shown).ok(), path.to_str().unwrap());
    assert!(i.launch(&["volume", "inspect", "b"]).ok().contains("\"has-b\""));
    for ended in [false, true] {
        if ended {
            i.launch(&["kill", "has-b"]).ok();
            i.launch(&["wait", "has-b"]).expect(137);
        }
        i.launch(&["volume", "rm", "b"]).fails(125, &["volume b: container has-b has it"]);
        assert_eq!(i.launch(&["volume", "prune", "-a"]).ok(), if ended { "" } else { "a" });
        assert_eq!(i.names("volumes"), ["b"]);
    }
    i.launch(&["rm", "has-b"]).ok();
    // A start that nobody knows of yet has it locked.
    if tools(&["flock"]).is_some() {
        let dir = i.store().join("volumes/b");
        let mut c = Command::new("flock");
        c.args(["-s", dir.to_str().unwrap()]).arg(launch()).args(["volume", "rm", "b"]);
        c.env("LAUNCH_STORE", i.store());
        Run::of(c).fails(125, &["volume b: a container has it"]);
    }
    i.launch(&["volume", "prune"]).ok();
    assert_eq!(i.launch(&["volume", "rm", "b", "b", "-f"]).ok(), "b\nb");
    i.launch(&["volume", "rm", "b"]).fails(125, &["no volume is called 'b'"]);
    i.launch(&["volume", "inspect", "b"]).fails(125, &["no volume is called 'b'"]);
    for (words, said) in [
        (&["volume"][..], "ls, create, rm, inspect or prune?"),
        (&["volume", "rm"], "which volume?"),
        (&["volume", "frob"], "no such command: 'frob'"),
        (&["volume", "rm", "../volumes"], "a volume's name has only"),
        (&["volume", "ls", "x"], "one word too many"),
    ] {
        i.launch(words).fails(125, &[said]);
    }
    assert!(i.names("volumes").is_empty() && i.names("new").is_empty());
}

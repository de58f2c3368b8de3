//! Archives and images: unpacked once, run with a layer of their own, listed and removed.

use crate::common::*;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A sandbox with a store of its own, whose directory is where commands are run.
pub struct Images(pub Sandbox);

impl Images {
    pub fn new() -> Option<Images> {
        let s = Sandbox::new()?;
        s.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:2000:2000::/srv:/bin/sh\n", 0o644);
        s.file("/etc/group", "root:x:0:\napp:x:2000:\n", 0o644);
        Some(Images(s))
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut c = Command::new(launch());
        c.args(words).current_dir(&self.0.dir).stdin(Stdio::null());
        c.env("LAUNCH_STORE", self.store());
        c
    }

    pub fn launch(&self, words: &[&str]) -> Run {
        Run::of(self.command(words))
    }

    pub fn store(&self) -> PathBuf {
        self.0.dir.join("store")
    }

    pub fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.store().join(directory)).into_iter().flatten();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[track_caller]
    pub fn tool(&self, words: &[&str]) {
        let mut c = Command::new(words[0]);
        c.args(&words[1..]).current_dir(&self.0.dir).stdin(Stdio::null());
        let run = Run::of(c);
        assert_eq!(run.code, 0, "{words:?}: {run:#?}");
    }

    pub fn shell(&self, script: &str) {
        self.tool(&["sh", "-ec", script]);
    }

    pub fn tar(&self, name: &str) {
        self.tool(&["tar", "cf", name, "-C", "rootfs", "."]);
    }
}

/// Debian's tools for images; a machine of busybox alone has none.
pub fn tools(names: &[&str]) -> Option<()> {
    let there = |n: &&&str| {
        ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].iter().any(|d| Path::new(d).join(n).exists())
    };
    let missing = names.iter().find(|n| !there(n));
    need(missing.is_none().then_some(()), &format!("needs {}", missing.unwrap_or(&"")))
}

#[test]
fn archives_by_their_contents() {
    let Some(()) = tools(&["tar", "gzip", "xz", "zstd"]) else { return };
    let Some(i) = Images::new() else { return };
    i.tar("root");
    i.shell("gzip -c root >a; xz -c root >b; zstd -qc root >c; cat root >d");
    for name in ["root", "a", "b", "c", "d"] {
        let script = "echo $PWD; ls -d /etc/passwd; echo x >/x; ls /x";
        assert_eq!(
            i.launch(&[&format!("./{name}"), "sh", "-c", script]).ok(),
            "/\n/etc/passwd\n/x"
        );
        // Each run has a layer of its own.
        i.launch(&[&format!("./{name}"), "ls", "/x"]).expect(1);
    }
    // The same content is there once.
    assert_eq!((i.names("layers").len(), i.names("images").len(), i.names("new").len()), (1, 1, 0));
    assert_eq!(i.launch(&["-u", "app", "./a", "sh", "-c", "id -u; echo $HOME"]).ok(), "2000\n/srv");
    i.launch(&["./a", "no-such"]).fails(127, &["no-such: not found in the rootfs"]);
    i.launch(&["./a"]).fails(125, &["COMMAND is missing"]);
    // A changed file is another image.
    i.shell("echo more >rootfs/more; tar cf d -C rootfs .");
    assert_eq!(i.launch(&["./d", "cat", "/more"]).ok(), "more");
    assert_eq!(i.names("images").len(), 2);
}

#[test]
fn from_standard_input_and_pipes() {
    let Some(()) = tools(&["tar", "gzip", "bash"]) else { return };
    let Some(i) = Images::new() else { return };
    i.tar("root.tar");
    let line = format!(
        "gzip -c root.tar | {0} - echo one; {0} <(cat root.tar) echo two
        mkfifo late; (sleep 0.3; cat root.tar >late) & {0} late echo three",
        launch().display()
    );
    let mut c = Command::new("bash");
    c.args(["-c", &line]).current_dir(&i.0.dir).env("LAUNCH_STORE", i.store());
    assert_eq!(Run::of(c).ok(), "one\ntwo\nthree");
    assert_eq!(i.names("layers").len(), 1);
    i.launch(&["-", "echo"]).fails(125, &["standard input: an empty file"]);
}

#[test]
fn scratch_is_empty() {
    let Some(i) = Images::new() else { return };
    let busybox = busybox().unwrap();
    let volume = format!("{}:/bin/busybox:ro", busybox.display());
    let script = ["-v", &volume, "scratch", "/bin/busybox", "sh", "-c", "echo >/x; echo /*"];
    assert_eq!(i.launch(&script).ok(), "/bin /dev /proc /run /sys /tmp /x");
    i.launch(&["scratch", "/app"]).fails(127, &["/app: not found"]);
}

#[test]
fn layers_by_hand_and_kept() {
    let Some(i) = Images::new() else { return };
    i.shell("mkdir -p one/etc two/etc; echo 1 >one/etc/x; echo 1 >one/etc/y; echo 2 >two/etc/x");
    let before = snapshot(&i.0.rootfs());
    let layers = ["--layer", "one", "--layer", "./two"];
    let all = |words: &[&str]| i.launch(&[&layers[..], words].concat()).ok();
    assert_eq!(
        all(&["./rootfs", "sh", "-c", "cat /etc/x /etc/y; rm /etc/x; ls /etc"]),
        "2\n1\ngroup\npasswd\ny"
    );
    assert_eq!(
        i.launch(&["--layer", "rootfs", "--layer", "two", "scratch", "cat", "/etc/x"]).ok(),
        "2"
    );
    // What is kept is there again, and ROOTFS is as it was.
    let keep = ["--keep", "kept", "./rootfs", "sh", "-c"];
    i.launch(&[&keep[..], &["echo kept >/etc/new; rm /etc/group"]].concat()).ok();
    assert_eq!(
        i.launch(&[&keep[..], &["cat /etc/new; ls /etc"]].concat()).ok(),
        "kept\nnew\npasswd"
    );
    assert!(before == snapshot(&i.0.rootfs()));
    i.launch(&["--keep", "kept", "./one", "true"])
        .fails(125, &["--keep 'kept': what it has is of "]);
    i.launch(&["--layer", "none", "./rootfs", "true"]).fails(125, &["layer none: No such file"]);
}

/// An image of two layers, with all that layers can do: `oci`, and as umoci unpacks it.
/// Made once, and kept below the target directory.
pub fn umoci_image(i: &Images) {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("umoci-1");
    if !kept.join("oci").exists() {
        make_umoci_image(i);
        let new = kept.with_extension(std::process::id().to_string());
        std::fs::create_dir_all(&new).unwrap();
        i.tool(&["cp", "-a", "oci", new.to_str().unwrap()]);
        let _ = std::fs::rename(&new, &kept);
        let _ = std::fs::remove_dir_all(&new);
        return;
    }
    i.tool(&["cp", "-a", kept.join("oci").to_str().unwrap(), "."]);
}

fn make_umoci_image(i: &Images) {
    let script = r#"umoci init --layout oci; umoci new --image oci:app
        umoci unpack --image oci:app b; cd b/rootfs
        cp -a ../../rootfs/. .; chmod 755 .
        mkdir -p dir/sub opq/deep usr/lib; echo 1 >dir/sub/f; echo 2 >dir/gone; echo 3 >opq/old
        echo l >usr/lib/libx; ln -s usr/lib lib; ln bin/busybox bin/second; mkfifo fifo
        chown 5:6 dir/sub; chmod 2751 dir/sub; chmod 4755 bin/second; mknod null c 1 3
        setcap cap_net_raw+ep bin/second; setfattr -n user.note -v hi dir/sub/f
        mkdir -p long; touch long/$(printf 'n%.0s' $(seq 200))
        truncate -s 1M sparse; echo end >>sparse; ln -s /abs/target absolute
        touch -d '1999-12-31 23:59:59.5' dir/sub/f
        cd ../..; umoci repack --image oci:app b; rm -rf b
        umoci unpack --image oci:app b; cd b/rootfs
        rm -r dir/gone opq fifo; mkdir opq; echo new >opq/new; echo more >usr/lib/liby
        ln usr/lib/libx usr/lib/libz; chmod 700 dir; rm -r long; echo file >long
        cd ../..; umoci repack --image oci:app b; rm -rf b
        umoci config --image oci:app --config.env FOO=bar --config.user app \
          --config.workingdir /dir/sub --config.stopsignal SIGQUIT --config.volume /vol \
          --config.entrypoint /bin/sh --config.entrypoint -c --config.cmd 'id -un; pwd; echo $FOO'"#;
    i.shell(script);
}

/// Every path with type, mode, owner, links, size, target, contents and attributes.
fn tree(i: &Images, dir: &Path) -> String {
    let script = r#"cd "$1"; find . | sort | while read -r f; do
        s=$(stat -c '%n %F %a %u:%g %t:%T' "$f")
        [ -d "$f" ] && [ ! -L "$f" ] && echo "$s" || echo "$s $(stat -c '%h %s %.Y' "$f")"
        [ -L "$f" ] && readlink "$f"; [ -f "$f" ] && [ ! -L "$f" ] && sha256sum <"$f"
        getfattr -h -d -m '^(user|security)' -e hex "$f" 2>/dev/null | grep -v overlay; done; true"#;
    let mut c = Command::new("sh");
    c.args(["-c", script, "tree"]).arg(dir).current_dir(&i.0.dir);
    Run::of(c).expect(0).out
}

pub const TOOLS: [&str; 7] = ["umoci", "skopeo", "setcap", "setfattr", "tar", "gzip", "python3"];

#[test]
fn an_image_is_unpacked_as_umoci_does_it() {
    let (Some(()), Some(())) = (need_root(), tools(&TOOLS)) else { return };
    let Some(i) = Images::new() else { return };
    umoci_image(&i);
    i.shell("umoci unpack --image oci:app umoci");
    i.launch(&["import", "./oci", "app"]).ok();
    let listed = i.launch(&["images", "--json"]).ok();
    assert!(listed.contains("\"layers\":2"), "{listed}");
    // By the kernel's overlay, as a container sees it.
    let mut layers = i.names("layers");
    assert_eq!(layers.len(), 2);
    let record = std::fs::read_to_string(
        i.store().join("images").join(&i.names("images")[0]).join("image.json"),
    )
    .unwrap();
    layers.sort_by_key(|l| std::cmp::Reverse(record.find(l.as_str())));
    let lower: Vec<String> =
        layers.iter().map(|l| format!("{}/layers/{l}/fs", i.store().display())).collect();
    let merged = i.0.dir.join("merged");
    std::fs::create_dir(&merged).unwrap();
    let line = format!(
        "mount -t overlay -o ro,lowerdir={} o merged && cp -a --sparse=never merged copy",
        lower.join(":")
    );
    i.tool(&["unshare", "-m", "sh", "-ec", &line]);
    let copy = i.0.dir.join("copy");
    let (ours, theirs) = (tree(&i, &copy), tree(&i, &i.0.dir.join("umoci/rootfs")));
    let differences: Vec<_> = ours.lines().filter(|l| !theirs.contains(l)).collect();
    assert!(ours == theirs, "only ours: {differences:#?}");
    // A hole is one.
    let find = format!("find {} -name sparse", i.store().display());
    let out = Command::new("sh").args(["-c", &find]).output().unwrap();
    let path = String::from_utf8(out.stdout).unwrap();
    assert!(std::fs::metadata(path.trim()).unwrap().size() > 1 << 20);
}

#[test]
fn what_docker_podman_and_skopeo_write() {
    let (Some(()), Some(())) = (need_root(), tools(&TOOLS)) else { return };
    let Some(i) = Images::new() else { return };
    umoci_image(&i);
    i.shell(
        "skopeo copy -q oci:oci:app docker-archive:d.tar:app:v1
        skopeo copy -q oci:oci:app oci-archive:o.tar:app; gzip -k d.tar; tar cf l.tar -C oci .
        skopeo copy -q --dest-compress-format zstd --dest-compress oci:oci:app oci:zst:app",
    );
    for file in ["./oci", "d.tar", "o.tar", "d.tar.gz", "l.tar", "./zst"] {
        assert_eq!(i.launch(&[file]).ok(), "app\n/dir/sub\nbar", "{file}");
    }
    // One configuration, or docker's of it: no layer twice.
    assert_eq!(i.names("layers").len(), 2, "{:?}", i.names("images"));
    // COMMAND replaces Cmd, options replace the rest.
    assert_eq!(i.launch(&["./oci", "echo $0 $FOO", "x"]).ok(), "x bar");
    let options = ["--entrypoint", "", "-u", "0", "-w", "/", "-e", "FOO=own", "./oci"];
    assert_eq!(
        i.launch(&[&options[..], &["sh", "-c", "id -u; pwd; echo $FOO"]].concat()).ok(),
        "0\n/\nown"
    );
    i.launch(&["./oci", "--", "no"]).expect(127);
    // docker save before version 25: layers in directories, the same ones as links.
    i.shell("mkdir old; cd old; tar xf ../d.tar; python3 - <<'E'
import json, os, hashlib
m = json.load(open('manifest.json'))
for n, l in enumerate(m[0]['Layers']):
    d = hashlib.sha256(str(n).encode()).hexdigest(); os.mkdir(d); os.rename(l, d + '/layer.tar')
    os.mkdir('f' * 63 + str(n)); os.symlink('../' + d + '/layer.tar', 'f' * 63 + str(n) + '/layer.tar')
    m[0]['Layers'][n] = 'f' * 63 + str(n) + '/layer.tar'
json.dump(m, open('manifest.json', 'w'))
E
tar cf ../old.tar *");
    assert_eq!(i.launch(&["old.tar"]).ok(), "app\n/dir/sub\nbar");
}

#[test]
fn names_lists_and_removal() {
    let (Some(()), Some(())) = (need_root(), tools(&TOOLS)) else { return };
    let Some(i) = Images::new() else { return };
    umoci_image(&i);
    i.shell("skopeo copy -q oci:oci:app docker-archive:d.tar:team/app:v1");
    let said = i.launch(&["import", "d.tar"]).ok();
    assert!(said.contains("team/app:v1: 2 layers, "), "{said}");
    i.launch(&["import", "d.tar", "other"]).ok();
    assert_eq!(i.launch(&["other"]).ok(), "app\n/dir/sub\nbar");
    assert_eq!(i.launch(&["other:latest", "echo hi"]).ok(), "hi");
    let list = i.launch(&["images"]).ok();
    assert!(list.contains("\nother:latest ") && list.contains("/app:v1 "), "{list}");
    // A container, what it kept, and an image of that.
    let keep = ["--entrypoint", "", "-u", "0", "--keep", "kept", "other", "sh", "-c"];
    i.launch(&[&keep[..], &["echo kept >/kept; rm /dir/sub/f; rm -r /opq; mkdir /opq"]].concat())
        .ok();
    i.launch(&["commit", "kept", "new:1"]).ok();
    let script =
        ["--entrypoint", "", "-u", "0", "new:1", "sh", "-c", "cat /kept; ls /dir/sub /opq"];
    assert_eq!(i.launch(&script).ok(), "kept\n/dir/sub:\n\n/opq:");
    i.launch(&["export", "-o", "flat.tar", "--keep", "kept", "other"]).ok();
    assert_eq!(i.launch(&["./flat.tar", "sh", "-c", "cat /kept; ls /opq"]).ok(), "kept");
    // Removal, never of what runs.
    let running =
        i.command(&["--entrypoint", "", "-u", "0", "new:1", "sleep", "30"]).spawn().unwrap();
    wait_until("it runs", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/task/{0}/children", running.id()));
        stat.is_ok_and(|s| !s.trim().is_empty()) && i.launch(&["rmi", "new:1"]).code == 125
    });
    i.launch(&["rmi", "new:1"]).fails(125, &["'new:1': a container runs on it"]);
    rustix::process::kill_process(pid_of(&running), rustix::process::Signal::KILL).unwrap();
    finish(std::time::Duration::from_secs(10), running);
    wait_until("it is gone", || i.launch(&["rmi", "new:1"]).code == 0);
    i.launch(&["rmi", "new:1"]).fails(125, &["no image is called 'new:1'"]);
    i.launch(&["rmi", "other"]).ok();
    i.launch(&["prune"]).ok();
    assert_eq!(i.launch(&["team/app:v1"]).ok(), "app\n/dir/sub\nbar");
    i.launch(&["prune", "--all"]).ok();
    assert!(
        i.names("layers").is_empty() && i.names("images").is_empty() && i.names("names").is_empty()
    );
    assert_eq!(i.launch(&["prune"]).ok(), "nothing to remove");
}

#[test]
fn file_system_images() {
    let (Some(()), Some(())) = (need_root(), tools(&["mksquashfs", "mkfs.erofs"])) else { return };
    let Some(i) = Images::new() else { return };
    i.shell("mksquashfs rootfs a.img -quiet -no-progress; mkfs.erofs --quiet b.img rootfs 2>/dev/null || mkfs.erofs b.img rootfs");
    for file in ["./a.img", "./b.img"] {
        assert_eq!(
            i.launch(&["-u", "app", file, "sh", "-c", "id -u; echo >/tmp/x; ls /tmp"]).ok(),
            "2000\nx"
        );
        assert_eq!(i.launch(&[file, "sh", "-c", "echo x >/x; cat /x"]).ok(), "x");
        i.launch(&[file, "none"]).fails(127, &["none: not found in the rootfs"]);
    }
    let out = Command::new("losetup").arg("-a").output().unwrap();
    assert!(!String::from_utf8_lossy(&out.stdout).contains(".img"));
    i.shell("head -c 5000 a.img >cut.img");
    i.launch(&["./cut.img", "true"]).fails(125, &["./cut.img: mount it as squashfs: "]);
}

#[test]
fn several_starts_unpack_once() {
    let Some(()) = tools(&["tar"]) else { return };
    let Some(i) = Images::new() else { return };
    i.tar("root.tar");
    let starts: Vec<_> =
        (0..8).map(|_| i.command(&["./root.tar", "true"]).spawn().unwrap()).collect();
    for start in starts {
        assert!(finish(std::time::Duration::from_secs(60), start).status.success());
    }
    assert_eq!((i.names("layers").len(), i.names("new").len()), (1, 0));
}

#[test]
fn an_interrupted_unpack_is_not_used() {
    let (Some(()), Some(())) = (need_root(), tools(&["tar"])) else { return };
    let Some(i) = Images::new() else { return };
    i.shell("for n in $(seq 300); do head -c 20000 /dev/urandom >rootfs/f$n; done");
    i.tar("root.tar");
    for _ in 0..rounds(10) {
        let mut start = i.command(&["import", "root.tar", "x"]).spawn().unwrap();
        let layer = i.store().join("new/layer/fs/f1");
        while !layer.exists() && start.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        start.kill().unwrap();
        start.wait().unwrap();
        let _ = std::fs::remove_dir_all(i.store().join("layers"))
            .and_then(|()| std::fs::create_dir(i.store().join("layers")));
        let _ = std::fs::remove_dir_all(i.store().join("images"))
            .and_then(|()| std::fs::create_dir(i.store().join("images")));
    }
    i.launch(&["./root.tar", "ls", "/f300"]).ok();
    assert_eq!((i.names("layers").len(), i.names("new").len()), (1, 0));
}

#[test]
fn as_an_ordinary_user() {
    let (Some(()), Some(())) = (need_root(), tools(&["tar"])) else { return };
    let Some(i) = Images::new() else { return };
    i.shell("chown 2000:2000 rootfs/etc/group; mkdir rootfs/closed; chmod 0 rootfs/closed; mknod rootfs/null c 1 3");
    i.tar("root.tar");
    std::fs::copy(launch(), i.0.dir.join("launch")).unwrap();
    i.0.give_to(USER, USER);
    let user = |words: &[&str]| {
        let mut c = Command::new("./launch");
        c.args(words).current_dir(&i.0.dir).stdin(Stdio::null());
        as_user(&mut c, USER, USER);
        c.env("LAUNCH_STORE", i.store());
        Run::of(c)
    };
    let first = user(&["./root.tar", "echo", "ran"]).expect(0);
    assert_eq!(first.out, "ran\n");
    assert!(first.err.contains("devices left out, which only root can make"), "{first:?}");
    assert_eq!(
        user(&["./root.tar", "sh", "-c", "echo x >/x; cat /x; ls -d /closed"]).ok(),
        "x\n/closed"
    );
    user(&["import", "./root.tar", "app"]).ok();
    assert_eq!(user(&["app", "echo", "named"]).ok(), "named");
    user(&["prune", "-a"]).ok();
    assert!(i.names("layers").is_empty());
}

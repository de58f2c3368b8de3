//! `--explain` of an archive, which is not unpacked for that; and podman's `dir:`.

use super::images::{Images, TOOLS, tools, umoci_image};
use crate::common::*;
use std::process::{Command, Stdio};

const EXPLAIN: [&str; 6] = ["--explain", "--json", "--name", "told", "--hostname", "h"];

/// Words and commands of all steps.
fn steps(run: Run) -> Vec<(String, String)> {
    let value: serde_json::Value = serde_json::from_str(&run.ok()).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let shell = |v: &serde_json::Value| v.as_array().unwrap().iter().map(text).collect::<Vec<_>>();
    let steps = value["steps"].as_array().unwrap().iter();
    steps.map(|s| (text(&s["words"]), shell(&s["shell"]).join("\n"))).collect()
}

/// One step more than when it is there, which says what is to be unpacked; and no store.
#[track_caller]
fn explained(i: &Images, file: &str, words: &[&str]) -> (String, String) {
    let all = [&EXPLAIN[..], &[file], words].concat();
    let mut before = steps(i.launch(&all));
    assert!(!i.store().exists(), "{file}");
    let first = before.remove(0);
    i.launch(&["import", file, "one"]).ok();
    let after = steps(i.launch(&all));
    assert_eq!(before, after, "{file}");
    std::fs::remove_dir_all(i.store()).unwrap();
    first
}

#[test]
fn an_archive_is_told_of_without_unpacking_it() {
    let Some(()) = tools(&["tar", "gzip", "xz", "zstd"]) else { return };
    let Some(i) = Images::new() else { return };
    i.tar("root.tar");
    i.shell("gzip -k root.tar; xz -k root.tar; zstd -qk root.tar");
    let mut ids = Vec::new();
    for file in ["./root.tar", "./root.tar.gz", "./root.tar.xz", "./root.tar.zst"] {
        let (words, shell) = explained(&i, file, &["sh"]);
        let id = words.strip_prefix(&format!("unpack {file} into the store: sha256:"));
        let (id, layers) = id.unwrap_or_else(|| panic!("{words}")).split_once(", ").unwrap();
        assert_eq!((id.len(), layers), (64, "one layer"));
        ids.push(id.to_owned());
        // By hand it becomes the same tree.
        let dir = i.0.dir.join("hand");
        let place = format!("{}/layers/{}/fs", i.store().display(), &id[..24]);
        assert!(shell.contains(&place), "{shell}");
        i.shell(&shell.replace(&place, dir.to_str().unwrap()));
        i.shell("diff -r --no-dereference hand rootfs");
        std::fs::remove_dir_all(dir).unwrap();
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    // Users by the archive's own list.
    let user =
        |name: &str| i.launch(&[&EXPLAIN[..], &["-u", name, "./root.tar.gz", "sh"]].concat());
    assert!(user("app").ok().contains("become user 2000:2000"));
    user("nobody").fails(125, &["user 'nobody': ", "/etc/passwd"]);
    i.launch(&[&EXPLAIN[..], &["./root.tar"]].concat()).fails(125, &["COMMAND is missing"]);
    i.shell("head -c 100000 root.tar.gz >cut.gz");
    i.launch(&[&EXPLAIN[..], &["./cut.gz", "sh"]].concat()).fails(125, &["./cut.gz: "]);
    assert!(!i.store().exists());
}

#[test]
fn a_pipe_is_told_of_without_a_store() {
    let Some(()) = tools(&["tar", "gzip"]) else { return };
    let Some(i) = Images::new() else { return };
    i.tar("root.tar");
    i.shell("gzip -k root.tar");
    for file in ["root.tar", "root.tar.gz"] {
        let mut c = i.command(&[&EXPLAIN[..], &["-", "sh"]].concat());
        c.stdin(Stdio::from(std::fs::File::open(i.0.dir.join(file)).unwrap()));
        let told = steps(Run::of(c));
        assert!(told[0].0.starts_with("unpack standard input into the store: sha256:"), "{told:?}");
        let mut c = Command::new("sh");
        let line = "cat $0 | $1 --explain - sh";
        c.args(["-c", line, file]).arg(launch()).current_dir(&i.0.dir);
        c.env("LAUNCH_STORE", i.store());
        assert!(Run::of(c).ok().contains("unpack standard input into the store: sha256:"));
    }
    assert!(!i.store().exists());
}

#[test]
fn an_images_configuration_is_read_without_unpacking_it() {
    let (Some(()), Some(())) = (need_root(), tools(&TOOLS)) else { return };
    let Some(i) = Images::new() else { return };
    umoci_image(&i);
    i.shell(
        "skopeo copy -q oci:oci:app docker-archive:d.tar:app:v1; gzip -k d.tar
        skopeo copy -q oci:oci:app oci-archive:o.tar:app; skopeo copy -q oci:oci:app dir:flat",
    );
    for file in ["./oci", "./d.tar", "./d.tar.gz", "./o.tar", "./flat"] {
        let (words, shell) = explained(&i, file, &[]);
        assert!(words.ends_with(", 2 layers"), "{words}");
        assert_eq!(shell.lines().count(), 2, "{shell}");
        // Its user, whom the lower layer knows, its directory and its command.
        let told = i.launch(&["--explain", file]).ok();
        for part in ["become user 2000:2000", "enter /dir/sub", "run init with /bin/sh -c 'id -un"]
        {
            assert!(told.contains(part), "{file}: {part}: {told}");
        }
        // By hand, what its layers have.
        i.shell("rm -rf hand; mkdir hand");
        let place = i.store().join("layers");
        // GNU tar stumbles over a mark in what has become a file.
        i.shell(&format!("({}) || true", shell.replace(place.to_str().unwrap(), "hand")));
        i.shell(
            "test \"$(cat hand/*/fs/usr/lib/liby hand/*/fs/dir/sub/f | tr '\\n' ' ')\" = 'more 1 '",
        );
    }
    // A layer that is there, of another image, need not be unpacked.
    i.launch(&["import", "./oci", "app"]).ok();
    let (layers, place) = (i.names("layers"), i.store().join("layers"));
    i.launch(&["--explain", "./oci"]).ok();
    assert_eq!(i.names("layers"), layers);
    i.shell("umoci config --image oci:app --config.env OTHER=1");
    let told = i.launch(&["--explain", "./oci"]).ok();
    assert!(told.contains(", 2 layers, 2 of them there already"), "{told}");
    assert!(!told.contains(&format!("mkdir -p {}", place.display())), "{told}");
    assert_eq!((i.names("layers").len(), i.names("images").len()), (2, 1));
}

#[test]
fn podmans_directories() {
    let (Some(()), Some(())) = (need_root(), tools(&TOOLS)) else { return };
    let Some(i) = Images::new() else { return };
    umoci_image(&i);
    i.shell(
        "skopeo copy -q oci:oci:app dir:flat; skopeo copy -q --format v2s2 oci:oci:app dir:docker
        skopeo copy -q --dest-compress-format zstd --dest-compress oci:oci:app dir:zst
        skopeo copy -q --dest-decompress oci:oci:app dir:plain",
    );
    for dir in ["./flat", "./docker", "./zst", "./plain"] {
        assert_eq!(i.launch(&[dir]).ok(), "app\n/dir/sub\nbar", "{dir}");
    }
    assert_eq!(i.names("layers").len(), 2);
    i.launch(&["import", "flat"]).fails(125, &["NAME is missing"]);
    assert!(i.launch(&["import", "flat", "app"]).ok().contains("app:latest: 2 layers"));
    i.launch(&["export", "-o", "root.tar", "flat"]).ok();
    assert_eq!(i.launch(&["./root.tar", "cat", "/opq/new"]).ok(), "new");
    // A list of images by platform, which skopeo keeps as it is.
    i.shell("python3 - <<'E'
import hashlib, json, os, shutil
os.mkdir('list')
shutil.copy('flat/version', 'list')
m = open('flat/manifest.json', 'rb').read(); d = hashlib.sha256(m).hexdigest()
for n in os.listdir('flat'):
    if len(n) == 64: shutil.copy('flat/' + n, 'list')
open('list/' + d + '.manifest.json', 'wb').write(m)
t = 'application/vnd.oci.image.'
o = {'mediaType': t + 'manifest.v1+json', 'digest': 'sha256:' + d, 'size': len(m), 'platform': {'os': 'linux', 'architecture': {'x86_64': 'amd64', 'aarch64': 'arm64'}[os.uname().machine]}}
p = dict(o, digest='sha256:' + '0' * 64, platform={'os': 'linux', 'architecture': 's390x'})
json.dump({'schemaVersion': 2, 'mediaType': t + 'index.v1+json', 'manifests': [p, o]}, open('list/manifest.json', 'w'))
E");
    i.shell("skopeo inspect --raw dir:list >/dev/null");
    assert_eq!(i.launch(&["./list"]).ok(), "app\n/dir/sub\nbar");
    // What is damaged is named.
    i.launch(&["prune", "--all"]).ok();
    i.shell("cd flat; for f in ????????????????????????????????????????????????????????????????; do printf x >>$f; done");
    i.launch(&["./flat"]).fails(125, &["./flat: ", " is damaged: it has "]);
    i.shell("echo '{' >docker/manifest.json");
    i.launch(&["./docker"]).fails(125, &["./docker: manifest.json: "]);
    // Another directory with files of these names is a root file system.
    i.shell("mkdir other; cp -a rootfs/bin other; echo 1 >other/version; echo '[]' >other/manifest.json");
    assert_eq!(i.launch(&["./other", "cat", "/version"]).ok(), "1");
    assert!(i.names("layers").is_empty());
}

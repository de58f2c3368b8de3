//! What an image says of volumes and of the signal that ends it, and that nothing takes the
//! image from below what runs.

use super::images::{Images, TOOLS, tools, umoci_image};
use crate::common::*;

/// The image of `umoci_image` with a volume that has files and an owner, one that is not there,
/// and one behind a link.
fn image() -> Option<Images> {
    let (Some(()), Some(())) = (need_root(), tools(&TOOLS)) else { return None };
    let i = Images::new()?;
    umoci_image(&i);
    i.shell(
        "umoci config --image oci:app --config.entrypoint= --config.user 0 --config.workingdir / \
           --config.volume /dir/sub --config.volume /new/deep --config.volume /lib/x",
    );
    i.launch(&["import", "./oci", "app"]).ok();
    Some(i)
}

#[test]
fn volumes_are_writable_in_a_read_only_root() {
    let Some(i) = image() else { return };
    let script = "stat -c '%a %u:%g' /dir/sub; cat /dir/sub/f; echo 2 >/dir/sub/f; cat /dir/sub/f
        touch /new/deep/a /vol/b /usr/lib/x/c && ls /new/deep /vol /usr/lib/x /dev | grep -v '^[a-z][a-z]'
        touch /new/x || touch /y";
    let all = "2751 5:6\n1\n2\n/dev:\n\n/new/deep:\na\n\n/usr/lib/x:\nc\n\n/vol:\nb\n";
    for userns in ["host", "auto"] {
        let run = i.launch(&["--read-only", "--userns", userns, "app", "sh", "-c", script]);
        assert_eq!((run.code, run.out.as_str()), (1, all), "{userns}: {run:#?}");
        assert!(run.err.contains("/new/x: Read-only") && run.err.contains("/y: Read-only"));
    }
    // What the user mounts counts more.
    i.shell("mkdir own");
    let own = ["--read-only", "-v", "./own:/dir:ro", "app", "touch", "/dir/sub/f"];
    assert!(i.launch(&own).expect(1).err.contains("/dir/sub/f: "));
    let step = i.launch(&["--read-only", "--explain", "app", "true"]).ok();
    let step = step.lines().find(|l| l.contains("the image's volume on /vol")).unwrap();
    let skip = format!("skip:{}", step.split_whitespace().next().unwrap());
    i.launch(&["--fault", &skip, "--read-only", "app", "true"])
        .fails(125, &["look back: all volumes in memory mounted: is not so"]);
}

#[test]
fn volumes_that_the_image_lacks_are_made() {
    let Some(i) = image() else { return };
    let script =
        "touch /new/deep/a /lib/x/b /vol/c && ls /new/deep /usr/lib/x /vol; cat /dir/sub/f";
    let all = "/new/deep:\na\n\n/usr/lib/x:\nb\n\n/vol:\nc\n1";
    for userns in ["host", "auto"] {
        assert_eq!(i.launch(&["--userns", userns, "app", "sh", "-c", script]).ok(), all);
    }
}

#[test]
fn volumes_are_no_part_of_what_is_kept() {
    let Some(i) = image() else { return };
    let write = "echo 2 >/dir/sub/f; echo 3 >/vol/x; echo 4 >/kept; cat /vol/x";
    assert_eq!(i.launch(&["--keep", "kept", "app", "sh", "-c", write]).ok(), "3");
    let read = "cat /dir/sub/f /kept; ls /vol";
    assert_eq!(i.launch(&["--keep", "kept", "app", "sh", "-c", read]).ok(), "1\n4");
    i.launch(&["commit", "kept", "new"]).ok();
    assert_eq!(i.launch(&["new", "sh", "-c", read]).ok(), "1\n4");
}

/// Which signal ends a container that reports every one it can.
#[track_caller]
fn told(i: &Images, options: &[&str], words: &[&str]) -> String {
    let script = "for s in TERM QUIT USR1; do trap \"echo $s; exit\" $s; done; echo up
        while :; do sleep 0.01; done";
    let start = [&["-d", "--name", "told"], options, &["app", "sh", "-c", script]].concat();
    i.launch(&start).ok();
    wait_until("it is up", || i.launch(&["logs", "told"]).out == "up\n");
    i.launch(&[&["stop"], words, &["told"]].concat()).ok();
    let said = i.launch(&["logs", "told"]).out;
    i.launch(&["rm", "told"]).ok();
    said.trim_start_matches("up\n").trim().to_owned()
}

#[test]
fn the_signal_that_stops_it() {
    let Some(i) = image() else { return };
    assert_eq!(told(&i, &[], &[]), "QUIT");
    assert_eq!(told(&i, &["--no-init"], &[]), "QUIT");
    assert_eq!(told(&i, &["--stop-signal", "SIGUSR1"], &[]), "USR1");
    assert_eq!(told(&i, &["--stop-signal", "TERM"], &[]), "TERM");
    assert_eq!(told(&i, &[], &["--signal", "USR1"]), "USR1");
}

#[test]
fn an_image_stays_below_what_runs() {
    let Some(i) = image() else { return };
    // In a user namespace of root's no mount tells the names of the layers.
    i.launch(&["-d", "--name", "above", "--userns", "auto", "app", "sleep", "60"]).ok();
    i.launch(&["rmi", "app"]).fails(125, &["'app': a container runs on it"]);
    assert_eq!(i.launch(&["prune", "--all"]).ok(), "nothing to remove");
    assert_eq!(i.launch(&["exec", "above", "cat", "/dir/sub/f"]).ok(), "1");
    let about = i.launch(&["inspect", "above"]).ok();
    for words in ["\"image\": \"sha256:", "\"/new/deep\"", "\"stop_signal\": 3"] {
        assert!(about.contains(words), "{words}: {about}");
    }
    i.launch(&["rm", "-f", "above"]).ok();
    i.launch(&["rmi", "app"]).ok();
    assert!(i.names("layers").is_empty());
}

/// Changes `index`, `manifest` or `config` of the layout ./oci; `put` makes a blob.
fn rewrite(i: &Images, change: &str) {
    let before = r#"
import hashlib, json
def blob(d): return 'oci/blobs/sha256/' + d.split(':')[1]
def put(value):
    text = json.dumps(value).encode()
    d = 'sha256:' + hashlib.sha256(text).hexdigest()
    open(blob(d), 'wb').write(text)
    return {'digest': d, 'size': len(text)}
index = json.load(open('oci/index.json')); one = index['manifests'][0]
manifest = json.load(open(blob(one['digest']))); config = json.load(open(blob(manifest['config']['digest'])))"#;
    let after = "json.dump(index, open('oci/index.json', 'w'))";
    i.tool(&["python3", "-c", &format!("{before}{change}\n{after}")]);
}

/// Variants of one machine's images: the highest that runs here, as docker chooses.
#[test]
fn of_several_variants_the_best() {
    let Some(i) = image() else { return };
    let script = r#"
many = []
for machine, variant in [('arm', 'v5'), ('arm', 'v7'), ('arm', 'v6'), ('amd64', 'v3'), ('amd64', ''), ('amd64', 'v2')]:
    # A configuration often leaves it out.
    config['architecture'] = machine; config['config']['Env'] = ['V=' + machine + variant]
    manifest['config'].update(put(config))
    many.append(dict(one, **put(manifest), platform={'os': 'linux', 'architecture': machine, 'variant': variant}))
index['manifests'] = many"#;
    rewrite(&i, script);
    for (platform, chosen) in [
        ("linux/arm", "armv7"),
        ("linux/arm/v6", "armv6"),
        ("linux/arm/v8", "armv7"),
        ("linux/amd64", "amd64"),
        ("linux/amd64/v2", "amd64v2"),
        ("linux/amd64/v4", "amd64v3"),
    ] {
        let run = i.launch(&["--platform", platform, "./oci", "sh", "-c", "echo $V"]);
        assert_eq!(run.ok(), chosen, "{platform}");
    }
    let none = i.launch(&["--platform", "linux/arm/v4", "./oci", "true"]);
    none.fails(125, &["./oci: no image for linux/arm/v4 in it", "linux/arm/v5, linux/arm/v7"]);
}

#[test]
fn a_health_check_is_told_of() {
    let Some(i) = image() else { return };
    let script = r#"
config['config']['Healthcheck'] = {'Test': ['CMD', 'curl', '-f', 'x']}
manifest['config'].update(put(config)); one.update(put(manifest))"#;
    rewrite(&i, script);
    let run = i.launch(&["import", "./oci", "well"]).expect(0);
    let told =
        "warning: well:latest: its health check is not run; launch exec NAME does it: curl -f x";
    assert_eq!(run.err.trim(), format!("launch: {told}"));
    assert!(i.launch(&["images", "--json"]).ok().contains(r#"{"Test":["CMD","curl","-f","x"]}"#));
    assert_eq!(i.launch(&["well", "true"]).ok(), "");
}

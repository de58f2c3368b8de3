//! Images whose documents say what is not so: each as a directory, as an archive of it, and on
//! standard input.

use super::images::{Images, TOOLS, tools, umoci_image};
use crate::common::*;

/// `edit.py FROM TO WHAT` makes one damaged copy of a layout.
const EDIT: &str = r#"
import hashlib, json, os, shutil, sys
was, d, what = sys.argv[1:]
shutil.copytree(was, d)
blob = lambda digest: d + '/blobs/sha256/' + digest[7:]
def put(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    digest = 'sha256:' + hashlib.sha256(text).hexdigest()
    open(blob(digest), 'wb').write(text)
    return {'digest': digest, 'size': len(text)}
index = json.load(open(d + '/index.json')); one = index['manifests'][0]
manifest = json.load(open(blob(one['digest']))); layers = manifest['layers']
config = json.load(open(blob(manifest['config']['digest']))); diffs = config['rootfs']['diff_ids']
def flip(digest):
    with open(blob(digest), 'r+b') as f:
        f.seek(70); b = f.read(1); f.seek(70); f.write(bytes([b[0] ^ 1]))
raw = {
    'no-index': lambda: os.unlink(d + '/index.json'),
    'cut-index': lambda: os.truncate(d + '/index.json', 30),
    'no-manifest': lambda: os.unlink(blob(one['digest'])),
    'no-config': lambda: os.unlink(blob(manifest['config']['digest'])),
    'no-layer': lambda: os.unlink(blob(layers[1]['digest'])),
    'cut-layer': lambda: os.truncate(blob(layers[1]['digest']), 100),
    'flip-manifest': lambda: flip(one['digest']),
    'flip-config': lambda: flip(manifest['config']['digest']),
    'flip-layer': lambda: flip(layers[1]['digest']),
}
if what in raw:
    raw[what](); sys.exit()
if what == 'layer-size': layers[1]['size'] += 1
if what == 'layer-text': layers[1]['size'] = '9'
if what == 'layer-cut': layers[1].update(put(open(blob(layers[1]['digest']), 'rb').read()[:100]))
if what == 'layer-junk': layers[1].update(put(b'\xee' * 3000))
if what == 'layer-other': diffs[1] = diffs[0]
if what == 'layer-few': diffs.pop()
if what == 'layer-sha512': layers[1]['digest'] = 'sha512:' + '0' * 128
if what == 'layer-path': layers[1]['digest'] = 'sha256:../../../etc/passwd'
if what == 'encrypted': layers[1]['mediaType'] += '+encrypted'
if what == 'layer-type': layers[1]['mediaType'] = 'application/x-what'
if what == 'config-type': manifest['config']['mediaType'] = 'application/x-what'
if what == 'type': one['mediaType'] = 'application/x-what'
manifest['config'].update(put(config))
if what == 'config-size': manifest['config']['size'] = 3
one.update(put(manifest))
if what == 'size': one['size'] = 3
json.dump(index, open(d + '/index.json', 'w'))
"#;

/// What is done to it, and what is said of it.
const LAYOUTS: [(&str, &[&str]); 23] = [
    ("no-index", &["index.json"]),
    ("cut-index", &["index.json: EOF while parsing", "line 1 column 30"]),
    ("no-manifest", &["blobs/sha256/"]),
    ("no-config", &["blobs/sha256/"]),
    ("no-layer", &["blobs/sha256/"]),
    ("cut-layer", &["blobs/sha256/", "is damaged: it has 100 bytes, its descriptor says "]),
    ("flip-manifest", &["blobs/sha256/", "is damaged: its digest is sha256:"]),
    ("flip-config", &["blobs/sha256/", "is damaged: its digest is sha256:"]),
    ("flip-layer", &["blobs/sha256/", "damaged: its digest is sha256:"]),
    ("layer-size", &["blobs/sha256/", "is damaged: it has ", " bytes, its descriptor says "]),
    ("layer-text", &["blobs/sha256/", "at .layers[1].size: expected a number of bytes"]),
    ("layer-cut", &["blobs/sha256/", "gzip data have no end after 100 bytes"]),
    ("layer-junk", &["blobs/sha256/", "offset 0: not a tar header"]),
    ("layer-other", &["blobs/sha256/", "damaged: its contents' digest is sha256:"]),
    ("layer-few", &["blobs/sha256/", "2 layers, but 1 digests of layers"]),
    ("layer-sha512", &["at .layers[1]: digest sha512:0", "only sha256 is understood"]),
    ("layer-path", &["at .layers[1]: not a digest"]),
    ("encrypted", &["at .layers[1].mediaType: an encrypted layer"]),
    ("layer-type", &["at .layers[1].mediaType: a layer of the unknown type application/x-what"]),
    ("config-type", &["not an image but an artifact of type application/x-what"]),
    ("type", &["what it has is of the unknown type application/x-what"]),
    ("config-size", &["is damaged: it has ", " bytes, its descriptor says 3"]),
    ("size", &["is damaged: it has ", " bytes, its descriptor says 3"]),
];

fn nothing_kept(i: &Images, what: &str) {
    for place in ["layers", "images", "new", "sources"] {
        assert!(i.names(place).is_empty(), "{what}: {place}");
    }
}

#[test]
fn layouts_that_are_not_what_they_say() {
    let (Some(()), Some(())) = (need_root(), tools(&TOOLS)) else { return };
    let Some(i) = Images::new() else { return };
    umoci_image(&i);
    std::fs::write(i.0.dir.join("edit.py"), EDIT).unwrap();
    for (what, words) in LAYOUTS {
        i.shell(&format!("python3 edit.py oci {what} {what}; tar cf {what}.tar -C {what} ."));
        let open = |name: &str| std::fs::File::open(i.0.dir.join(name)).unwrap();
        for name in [what.to_owned(), format!("{what}.tar"), "-".to_owned()] {
            let shown = if name == "-" { "standard input".into() } else { format!("./{name}") };
            let path = if name == "-" { name.clone() } else { shown.clone() };
            let mut c = i.command(&[&path]);
            if name == "-" {
                c.stdin(open(&format!("{what}.tar")));
            }
            Run::of(c).fails(125, &[&[&*format!("launch: {shown}: ")][..], words].concat());
            nothing_kept(&i, &name);
        }
    }
    // A layout that says no size is read, by its digests alone.
    i.shell("sed -i 's/\"size\":[0-9]*,//' oci/index.json; grep -q size oci/index.json && exit 1 || true");
    i.launch(&["./oci"]).ok();
}

/// What `docker save` writes has no digest of the configuration but its name.
#[test]
fn docker_archives_that_are_not_what_they_say() {
    let (Some(()), Some(())) = (need_root(), tools(&TOOLS)) else { return };
    let Some(i) = Images::new() else { return };
    umoci_image(&i);
    i.shell("skopeo copy -q oci:oci:app docker-archive:d.tar:app:v1; mkdir d; tar xf d.tar -C d; chmod u+w d/*");
    for (script, words) in [
        ("rm manifest.json", &["an image without manifest.json or index.json"][..]),
        ("truncate -s 30 manifest.json", &["manifest.json: EOF while parsing"]),
        ("echo '[]' >manifest.json", &["no image in it"]),
        ("rm $config", &[".json is not in it"]),
        ("sed -i s/FOO=bar/FOO=odd/ $config", &[".json is damaged: its digest is sha256:"]),
        ("truncate -s 50 $config", &[".json is damaged: its digest is sha256:"]),
        ("rm $layer", &[".tar is not in it"]),
        ("truncate -s 50000 $layer", &[".tar: offset 50000, entry ", "the archive is cut off"]),
        (
            "printf x | dd of=$layer bs=1 seek=200000 conv=notrunc 2>/dev/null",
            &[".tar: damaged: its contents' digest is sha256:"],
        ),
    ] {
        i.shell(&format!(
            "rm -rf x; cp -r d x; cd x; config=$(ls ????????????????????????????????????????????????????????????????.json)
            layer=$(ls -S *.tar | head -1); {script}; tar cf ../x.tar *; gzip -1c ../x.tar >../x.tar.gz"
        ));
        for name in ["./x.tar", "./x.tar.gz"] {
            i.launch(&[name]).fails(125, &[&[&*format!("launch: {name}: ")][..], words].concat());
            nothing_kept(&i, script);
        }
    }
}

/// The kernel mounts an erofs that has only its beginning.
#[test]
fn disks_that_are_cut_off() {
    let (Some(()), Some(())) = (need_root(), tools(&["mksquashfs", "mkfs.erofs"])) else { return };
    let Some(i) = Images::new() else { return };
    i.shell("mksquashfs rootfs s.img -quiet -no-progress; mkfs.erofs e.img rootfs >/dev/null 2>&1");
    for (name, words) in [("s.img", "mount it as squashfs: "), ("e.img", "cut off: it has ")] {
        let whole = std::fs::read(i.0.dir.join(name)).unwrap();
        for cut in [5000, whole.len() / 2, whole.len() - 5000] {
            std::fs::write(i.0.dir.join("cut"), &whole[..cut]).unwrap();
            i.launch(&["./cut", "true"]).fails(125, &["launch: ./cut: ", words]);
        }
    }
    nothing_kept(&i, "disks");
}

/// Damaged where it is mounted all the same: whoever runs it is told what it may be.
#[test]
fn a_file_system_image_that_is_damaged_inside() {
    let (Some(()), Some(())) = (need_root(), tools(&["mksquashfs"])) else { return };
    let Some(i) = Images::new() else { return };
    i.shell("mksquashfs rootfs s.img -quiet -no-progress -comp gzip");
    let whole = std::fs::read(i.0.dir.join("s.img")).unwrap();
    let damaged = |name: &str, from: usize, to: usize| {
        let mut bytes = whole.clone();
        bytes[from..to].fill(0x5a);
        std::fs::write(i.0.dir.join(name), bytes).unwrap();
    };
    // Most of what busybox is, but its beginning.
    damaged("program.img", whole.len() / 8, whole.len() * 7 / 8);
    let run = i.launch(&["./program.img", "true"]);
    let Some(()) = need((!run.err.contains("loop")).then_some(()), "needs loop devices") else {
        return;
    };
    let said =
        "./program.img: killed by SIGBUS: most likely a page of the rootfs could not be read";
    run.fails(135, &[said, "hint: the image is damaged"]);
    // The root directory (the superblock says where).
    let table = u64::from_le_bytes(whole[72..80].try_into().unwrap()) as usize;
    damaged("names.img", table + 8, table + 48);
    i.launch(&["./names.img", "true"]).fails(125, &["I/O error", "hint: the image is damaged"]);
    // Not of a directory, where the same status is the program's own affair.
    let own = i.launch(&["./rootfs", "sh", "-c", "kill -BUS $$"]).expect(135);
    assert_eq!(own.err, "");
}

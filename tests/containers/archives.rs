//! Archives that are damaged, for somebody else, or too large; volumes of the store.

use super::images::{Images, TOOLS, tools, umoci_image};
use super::living::verb;
use crate::common::*;

#[test]
fn what_is_damaged_is_named() {
    let (Some(()), Some(())) = (need_root(), tools(&TOOLS)) else { return };
    let Some(i) = Images::new() else { return };
    umoci_image(&i);
    i.tar("root.tar");
    i.shell("gzip -kc root.tar >root.gz; head -c 100000 root.tar >cut.tar; head -c 50000 root.gz >cut.gz
        head -c 300000 root.gz >bad.gz; head -c 100000 /dev/urandom >>bad.gz
        cp -r oci flip; b=$(ls -S flip/blobs/sha256/* | head -1); printf x | dd of=$b bs=1 seek=5000 conv=notrunc 2>/dev/null
        cp -r oci arm; cp -r oci enc; cp -r oci odd; cp -r oci old
        cat > edit.py <<'E'
import json, sys, hashlib, os
d, what = sys.argv[1:]
blob = lambda digest: d + '/blobs/sha256/' + digest[7:]
def put(value):
    text = json.dumps(value).encode(); digest = 'sha256:' + hashlib.sha256(text).hexdigest()
    open(blob(digest), 'wb').write(text); return digest
index = json.load(open(d + '/index.json')); one = index['manifests'][0]
manifest = json.load(open(blob(one['digest']))); config = json.load(open(blob(manifest['config']['digest'])))
if what == 'arm': config['architecture'] = 'arm64'; one['platform'] = {'os': 'linux', 'architecture': 'arm64'}
if what == 'enc': manifest['layers'][1]['mediaType'] = 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted'
if what == 'odd': manifest['layers'][1]['mediaType'] = 'application/x-what'
if what == 'old': one['mediaType'] = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
del manifest['config']['size'], one['size']; manifest['config']['digest'] = put(config); one['digest'] = put(manifest)
json.dump(index, open(d + '/index.json', 'w'))
E
        for d in arm enc odd old; do python3 edit.py $d $d; done; echo '#!/bin/sh' >script; bzip2 -k root.tar 2>/dev/null || printf BZh9 >root.tar.bz2");
    for (file, words) in [
        ("cut.tar", &["./cut.tar: offset ", "the archive is cut off"][..]),
        ("cut.gz", &["./cut.gz: offset "]),
        ("bad.gz", &["./bad.gz: offset "]),
        ("flip", &["./flip: blobs/sha256/", "damaged"]),
        ("arm", &["./arm: no image for linux/amd64 in it", "hint: it has linux/arm64; --platform"]),
        ("enc", &["./enc: blobs/sha256/", ".layers[1].mediaType: an encrypted layer"]),
        ("odd", &[".layers[1].mediaType: a layer of the unknown type application/x-what"]),
        ("old", &["docker's schema 1"]),
        ("script", &["./script: neither a directory nor an archive"]),
        ("root.tar.bz2", &["bzip2 is not read"]),
    ] {
        i.launch(&["--entrypoint", "", &format!("./{file}"), "true"]).fails(125, words);
        assert!(
            i.names("layers").is_empty() || file == "flip" || file == "enc",
            "{file}: {:?}",
            i.names("layers")
        );
        assert!(i.names("new").is_empty() || file != "x");
    }
    assert!(i.names("images").is_empty(), "{:?}", i.names("images"));
    // Limits of one's own.
    i.launch(&["--max-size", "100K", "root.tar", "true"])
        .fails(125, &["unpacks to more than 100K", "hint: --max-size raises it"]);
    i.launch(&["--max-entries", "5", "root.tar", "true"]).fails(125, &["more than 5 entries"]);
    i.launch(&["--max-depth", "1", "root.tar", "true"])
        .fails(125, &["2 directories deep, at most 1"]);
    assert!(i.names("images").is_empty());
}

/// The process that reads an archive is killed, or its launch is.
#[test]
fn a_reader_that_dies_is_named() {
    let (Some(()), Some(())) = (need_root(), tools(&["tar", "gzip"])) else { return };
    let Some(i) = Images::new() else { return };
    i.shell(
        "truncate -s 900M rootfs/zeros; tar cf - -C rootfs . | gzip -1 >big.tgz; rm rootfs/zeros",
    );
    for whole in [false, true] {
        let mut c = i.command(&["import", "big.tgz", "x"]);
        let mut start = c.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", start.id());
        // Only what unpacks into a file lasts, and not the look at what the archive is.
        let layer = i.store().join("new/layer/fs/zeros");
        let child = loop {
            let found = std::fs::read_to_string(&children).unwrap_or_default();
            match found.trim().parse::<i32>() {
                Ok(child) if layer.exists() => break child,
                _ if start.try_wait().unwrap().is_none() => {}
                _ => panic!("too early, {whole}: {:?}", start.wait_with_output()),
            }
        };
        if whole {
            start.kill().unwrap();
            start.wait().unwrap();
            // One that has ended is nobody's but process 1's.
            let ended = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
                Ok(text) => text.contains(") Z ") || text.contains(") X "),
                Err(_) => true,
            };
            let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
            while !ended() {
                assert!(std::time::Instant::now() < end, "the reader outlives its launch");
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            continue;
        }
        let killed = std::process::Command::new("kill").args(["-9", &child.to_string()]).status();
        assert!(killed.unwrap().success());
        let output = start.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{err}");
        assert!(err.starts_with("launch: big.tgz: offset "), "{err}");
        assert!(err.contains("the process that reads it ended early by signal 9"), "{err}");
        for place in ["layers", "images", "new", "sources"] {
            assert!(i.names(place).is_empty(), "{place}");
        }
    }
}

/// A store of 5 MB, which the commands of `script` alone see.
#[test]
fn a_full_disk_keeps_nothing_of_it() {
    let (Some(()), Some(())) = (need_root(), tools(&["tar", "gzip", "umoci"])) else { return };
    let Some(i) = Images::new() else { return };
    i.tar("small.tar");
    i.shell(
        "mkdir store many; (cd many; seq 3000 | xargs touch); tar cf many.tar many
        for n in 1 2 3 4 5; do head -c 4M /dev/urandom >rootfs/f$n; done
        tar cf big.tar --sort=name -C rootfs .; gzip -1k big.tar
        umoci init --layout oci; umoci new --image oci:a
        umoci raw add-layer --image oci:a small.tar; umoci raw add-layer --image oci:a big.tar",
    );
    let script = r#"mount -t tmpfs -o size=5m,nr_inodes=1000,mode=700 none store
        full() { find store ! -type d ! -name lock; find store/new -mindepth 1; }
        $LAUNCH ./big.tar true; echo "code $?"; full
        $LAUNCH ./big.tar.gz true; echo "code $?"; full
        $LAUNCH --entrypoint '' ./oci true; echo "code $?"; full
        cat big.tar | $LAUNCH - true; echo "code $?"; full
        $LAUNCH import big.tar name; echo "code $?"; full
        $LAUNCH ./many.tar true; echo "code $?"; full
        cat small.tar | $LAUNCH - echo small; find store/new -mindepth 1
        $LAUNCH ./small.tar echo small"#;
    let mut c = std::process::Command::new("unshare");
    c.args(["-m", "sh", "-c", &format!("exec 2>&1; {script}")]).current_dir(&i.0.dir);
    c.env("LAUNCH", launch()).env("LAUNCH_STORE", i.store());
    let out = Run::of(c).expect(0).out;
    let no = ": No space left on device (ENOSPC)";
    let hint = format!("hint: {} has no room for it, ", i.store().display());
    let begins = [
        "launch: ./big.tar: offset ",
        "launch: ./big.tar.gz: offset ",
        "launch: ./oci: blobs/sha256/",
        &format!("launch: standard input: write a copy of it to {}{no}", i.store().display()),
        "launch: big.tar: offset ",
        "launch: ./many.tar: offset ",
    ];
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3 * begins.len() + 2, "{out}");
    for (said, begin) in lines.chunks(3).zip(begins) {
        assert!(said[0].starts_with(begin) && said[0].ends_with(no), "{out}");
        assert!(
            begin.ends_with(no)
                || said[0].contains(", entry './f1':")
                || said[0].contains(", entry 'many/"),
            "{out}"
        );
        assert!(said[1].starts_with(&hint) && said[2] == "code 125", "{out}");
    }
    assert_eq!(lines[lines.len() - 2..], ["small", "small"]);
}

#[test]
fn volumes_by_name_and_in_dockers_form() {
    let Some(i) = Images::new() else { return };
    let write = ["-v", "data:/data", "./rootfs", "sh", "-c", "echo kept >/data/x"];
    i.launch(&write).ok();
    assert_eq!(
        i.launch(&[
            "-v",
            "data:/d:ro,nocopy,delegated",
            "./rootfs",
            "sh",
            "-c",
            "cat /d/x; echo >/d/y || echo refused"
        ])
        .expect(0)
        .out,
        "kept\nrefused\n"
    );
    assert_eq!(i.names("volumes"), ["data"]);
    let mounts = [
        "--mount",
        "source=data,target=/a,readonly",
        "--mount",
        "type=bind,src=./rootfs/etc,dst=/b,bind-recursive=enabled",
    ];
    let tmpfs = [
        "--mount",
        "type=tmpfs,destination=/c,tmpfs-size=1m,tmpfs-mode=700",
        "./rootfs",
        "sh",
        "-c",
    ];
    let script = "cat /a/x; ls /b; stat -c %a /c; echo 2>/dev/null >/a/y || echo refused";
    let out = i.launch(&[&mounts[..], &tmpfs, &[script]].concat()).ok();
    assert_eq!(out, "kept\ngroup\npasswd\n700\nrefused");
    i.launch(&["prune", "--all"]).ok();
    assert_eq!(i.names("volumes"), ["data"]);
    // Not another store than what was said.
    for words in [&["-v", "data:/d", "./rootfs", "true"][..], &["images"]] {
        let mut c = i.command(words);
        c.env("LAUNCH_STORE", "store");
        Run::of(c).fails(125, &["LAUNCH_STORE='store': must begin with /"]);
    }
}

#[test]
fn volumes_whose_changes_vanish() {
    let Some(i) = Images::new() else { return };
    i.shell("mkdir -p data/dir; echo 1 >data/dir/f; echo 2 >data/gone; chmod 755 data; echo >file");
    let before = snapshot(&i.0.dir.join("data"));
    let script = "rm /d/gone; echo more >>/d/dir/f; echo new >/d/new; cat /d/dir/f; ls /d; ls -A /dev | grep '^[.]'";
    for options in [
        &["-v", "./data:/d:O"][..],
        &["--mount", "type=overlay,src=./data,dst=/d"],
        &["--ephemeral", "--read-only", "-v", "./data:/d:O"],
        &["--ephemeral", "--userns", "auto", "-v", "./data:/d:O"],
    ] {
        let run = i.launch(&[options, &["./rootfs", "sh", "-c", script]].concat());
        if run.err.contains("idmapped mounts since Linux") {
            skip("needs idmapped mounts");
            continue;
        }
        let run = run.expect(1);
        assert_eq!(run.out, "1\nmore\ndir\nnew\n", "{options:?}: {run:#?}");
        assert!(before == snapshot(&i.0.dir.join("data")), "{options:?}");
    }
    i.launch(&["-v", "./file:/f:O", "./rootfs", "true"])
        .fails(125, &["volume ./file:O: Not a directory"]);
    for bad in ["./data:/d:O,ro", "./data:/d:rw,O", "./data:/d:O,O"] {
        i.launch(&["-v", bad, "./rootfs", "true"]).fails(125, &["exclude each other"]);
    }
}

/// By podman itself, with storage of its own that nobody else sees.
#[test]
fn what_podman_saves_and_exports() {
    let (Some(()), Some(())) = (need_root(), tools(&["podman", "unshare", "tar"])) else { return };
    let Some(i) = Images::new() else { return };
    i.tar("root.tar");
    let script = r#"mount -t tmpfs none /var/lib; mount -t tmpfs none /run
        # What crun 1.8 refuses.
        umount /sys/fs/cgroup/unified 2>/dev/null || true
        p() { podman --root /var/lib/s --runroot /run/p --storage-driver vfs \
            --cgroup-manager cgroupfs --log-level error "$@"; }
        p import --change 'ENV FOO=bar' --change 'WORKDIR /made/deep' --change 'USER app' \
            --change 'ENTRYPOINT ["/bin/sh","-c"]' --change 'CMD ["id -un; pwd; echo $FOO"]' \
            root.tar app:v1 2>/dev/null || exit 99
        for kind in docker-archive oci-archive oci-dir; do p save -q --format $kind -o $kind app:v1; done
        p create --name x app:v1; p export -o export x"#;
    let mut c = std::process::Command::new("unshare");
    c.args(["--mount", "sh", "-ec", script]).current_dir(&i.0.dir);
    let run = Run::of(c);
    let Some(()) = need((run.code != 99).then_some(()), &format!("podman does not work: {run:?}"))
    else {
        return;
    };
    run.expect(0);
    for kind in ["docker-archive", "oci-archive", "oci-dir"] {
        assert_eq!(i.launch(&[&format!("./{kind}")]).ok(), "app\n/made/deep\nbar", "{kind}");
    }
    assert_eq!(i.names("layers").len(), 1);
    let words =
        ["-w", "/x/y", "-u", "app", "./export", "sh", "-c", "id -u; pwd; ls -d /etc/passwd"];
    assert_eq!(i.launch(&words).ok(), "2000\n/x/y\n/etc/passwd");
    // A directory of the host's is not written to for it.
    i.launch(&["-w", "/x/y", "./rootfs", "true"]).fails(125, &["enter /x/y: No such file"]);
    assert!(!i.0.rootfs().join("x").exists());
}

/// Where the reader's process, or what it needs, cannot be had: by an older way, or not at all.
#[test]
fn a_reader_that_cannot_be_started_is_named() {
    let (Some(()), Some(())) = (need_root(), tools(&["tar", "gzip"])) else { return };
    let Some(i) = Images::new() else { return };
    i.shell("tar czf root.tgz -C rootfs .");
    let with = |call, errno, only| {
        let mut c = i.command(&["import", "root.tgz", "x"]);
        filter::refuse(&mut c, &[filter::Refuse { call, errno, only }]);
        Run::of(c)
    };
    // MAP_SHARED and MAP_ANONYMOUS: the memory between the two.
    let shared = filter::Only::Equal(3, 0x21);
    for (call, errno, only, why) in [
        (libc::SYS_clone, libc::EAGAIN, filter::Only::All, "(EAGAIN)"),
        (libc::SYS_mmap, libc::ENOMEM, shared, "(ENOMEM)"),
        (libc::SYS_socketpair, libc::EMFILE, filter::Only::All, "(EMFILE)"),
        (libc::SYS_seccomp, libc::EPERM, filter::Only::All, "(EPERM)"),
    ] {
        with(call, errno, only).fails(125, &["root.tgz: start a process that reads it: ", why]);
        for place in ["layers", "images", "new", "sources"] {
            assert!(i.names(place).is_empty(), "{why}: {place}");
        }
    }
    for errno in [libc::ENOSYS, libc::EPERM] {
        with(libc::SYS_close_range, errno, filter::Only::All).ok();
        i.launch(&["prune", "--all"]).ok();
    }
}

/// Cut at many places, in each format: that is what is said, and nothing is kept of it.
#[test]
fn what_is_cut_off_is_said_to_be() {
    let Some(()) = tools(&["tar", "gzip", "xz", "zstd"]) else { return };
    let Some(i) = Images::new() else { return };
    i.tar("root.tar");
    i.shell("gzip -k1 root.tar; xz -k1 root.tar; zstd -qk1 root.tar");
    for (end, kind) in [("", ""), (".gz", "gzip"), (".xz", "xz"), (".zst", "zstd")] {
        let whole = std::fs::read(i.0.dir.join(format!("root.tar{end}"))).unwrap();
        let middle = whole.len() / 2 + 7;
        for cut in [100, 700, middle, whole.len() - 9, whole.len() - 1] {
            std::fs::write(i.0.dir.join("cut"), &whole[..cut]).unwrap();
            let run = i.launch(&["./cut", "true"]);
            let words = match (kind, cut) {
                ("", 100) => "./cut: neither a directory".to_owned(),
                // Of the zeros at the end one is enough.
                ("", cut) if cut > middle => {
                    run.ok();
                    i.launch(&["prune", "-a"]).ok();
                    continue;
                }
                ("", _) => "the archive is cut off".to_owned(),
                _ => format!("cut off: its {kind} data have no end after {cut} bytes"),
            };
            run.fails(125, &["launch: ./cut: ", &words]);
            for place in ["layers", "images", "new", "sources"] {
                assert!(i.names(place).is_empty(), "{kind} {cut}: {place}");
            }
        }
    }
    // Whole, but not what it was: the checksum is among the last bytes.
    let mut changed = std::fs::read(i.0.dir.join("root.tar.gz")).unwrap();
    let at = changed.len() - 6;
    changed[at] ^= 1;
    std::fs::write(i.0.dir.join("cut"), changed).unwrap();
    i.launch(&["./cut", "true"]).fails(125, &["launch: ./cut: broken gzip data before byte "]);
    // As if between two entries.
    i.shell("tar cf - -C rootfs bin/busybox bin/true | head -c $((512 + ($(stat -c %s rootfs/bin/busybox) + 511) / 512 * 512)) >between");
    let run = i.launch(&["./between", "/bin/busybox", "true"]).expect(0);
    assert_eq!(run.err, "launch: warning: ./between: it has no end mark, as if it were cut off\n");
    // Zeros may follow, anything else not.
    i.shell("head -c 5000 /dev/zero >zeros; cat root.tar.gz zeros >a; cat root.tar.gz root.tar.gz zeros >b");
    for file in ["./a", "./b"] {
        assert_eq!(i.launch(&[file, "echo", "ran"]).ok(), "ran");
    }
    i.shell("(cat root.tar.gz; echo something else) >c");
    i.launch(&["./c", "true"]).fails(125, &["./c: ", "broken gzip data before byte "]);
}

/// Devices, fifos and links are written to: as root, a new file in their place would be theirs.
#[test]
fn what_is_no_file_is_not_replaced() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let at = |name: &str| s.dir.join(name).display().to_string();
    let device = rustix::fs::FileType::CharacterDevice;
    for (name, minor) in [("null", 3), ("full", 7)] {
        let number = rustix::fs::makedev(1, minor);
        rustix::fs::mknodat(rustix::fs::CWD, at(name), device, 0o666.into(), number).unwrap();
    }
    let opens = std::fs::OpenOptions::new().write(true).open(at("null")).ok();
    let Some(_) = need(opens, "needs a directory in which devices can be used") else { return };
    std::os::unix::fs::symlink("target", at("link")).unwrap();
    std::fs::write(at("target"), "longer than an archive's beginning").unwrap();
    let sh = s.rootfs().join("bin/busybox").display().to_string();
    let write = |to: &str, stage: bool| match stage {
        true => verb(&["stage", "--tar", &at(to), &sh]),
        false => verb(&["export", "-o", &at(to), s.rootfs().to_str().unwrap()]),
    };
    let kind = |name: &str| std::fs::symlink_metadata(at(name)).unwrap().file_type();
    for stage in [false, true] {
        write("null", stage).expect(0);
        write("full", stage).fails(125, &["No space left on device (ENOSPC)"]);
        write("link", stage).expect(0);
        assert!(std::fs::read(at("target")).unwrap().len() > 10_000);
        use std::os::unix::fs::FileTypeExt;
        assert!(kind("null").is_char_device() && kind("full").is_char_device());
        assert!(kind("link").is_symlink());
        write("bin", stage).expect(0);
        assert!(kind("bin").is_file());
        write("rootfs", stage).fails(125, &["Is a directory (EISDIR)"]);
    }
    for name in ["null.new", "full.new", "link.new", "rootfs.new"] {
        assert!(!s.dir.join(name).exists(), "{name}");
    }
}

//! Documents of anybody's images: none makes their readers panic, and an image is what they
//! agree on or an error.

use super::blobs::{self, Blobs, Contents};
use super::config::Config;
use super::digest::Digest;
use super::document::{Document, Platform};
use super::oci::Choice;
use super::{docker, oci};
use crate::archive::input::Part;
use crate::archive::write::Writer;
use crate::archive::{Entry, Kind};
use crate::error::Result;
use crate::fuzz::fuzz_json;
use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::Value;
use std::fs::File;
use std::io::Write;

const CONFIG: &[u8] = br#"{"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/bin/sh"],
  "Entrypoint": null, "Env": ["PATH=/bin", "A="], "User": "app:1", "WorkingDir": "/srv",
  "Volumes": {"/data": {}}, "StopSignal": "SIGQUIT"}, "rootfs": {"type": "layers", "diff_ids":
  ["sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]}}"#;
const DOCKER: &[u8] = br#"[{"Config": "CONFIG.json", "RepoTags": ["box:latest", "a/b:c"],
  "Layers": ["0123/layer.tar"]}]"#;

fn manifest(config: &[u8]) -> Vec<u8> {
    let text = r#"{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "CONFIG"},
      "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 9, "digest":
      "sha256:89abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234567"}]}"#;
    text.replace("CONFIG", &Digest::of(config).to_string()).into_bytes()
}

fn index(manifest: &[u8], media: &str) -> Vec<u8> {
    let text = r#"{"schemaVersion": 2, "manifests": [{"mediaType": "MEDIA", "digest": "MANIFEST",
      "platform": {"os": "linux", "architecture": "amd64", "variant": "v1"},
      "annotations": {"org.opencontainers.image.ref.name": "box"}},
      {"mediaType": "MEDIA", "platform": {"os": "linux", "architecture": "arm64"}, "digest":
      "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
      {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}]}"#;
    let digest = Digest::of(manifest).to_string();
    text.replace("MANIFEST", &digest).replace("MEDIA", media).into_bytes()
}

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// An archive with these files, as it is found and looked through.
fn archive(files: &[(String, &[u8])]) -> Blobs {
    let memory = memfd_create("image", MemfdFlags::CLOEXEC).expect("memfd");
    let mut writer = Writer::new(File::from(memory));
    for (name, text) in files {
        let entry = Entry {
            kind: Kind::File,
            path: name.clone().into_bytes(),
            link: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: text.len() as u64,
            mtime: (0, 0),
            device: (0, 0),
            xattrs: Vec::new(),
        };
        writer.entry(&entry).expect("entry");
        writer.data(text).expect("data");
    }
    let mut file = writer.finish().expect("end");
    file.flush().expect("flush");
    let part = Part::whole(file.try_clone().expect("dup")).expect("part");
    match blobs::look(part, "image").expect("look") {
        Contents::Image(index) => Blobs::Archive { file, index },
        Contents::Root => panic!("it has an index"),
    }
}

fn blob(text: &[u8]) -> (String, &[u8]) {
    (format!("blobs/sha256/{}", Digest::of(text).hex()), text)
}

/// What is read is whole, or an error that says where. `text`, which has been changed, says
/// what is asked for: one thing a time.
fn check(text: &[u8], read: impl Fn(&Choice) -> Result<Document>) {
    let references = [None, Some("box".to_owned()), Some(String::new())];
    let reference = references[text.len() % 3].clone();
    match read(&Choice { platform: Platform::parse("linux/amd64"), reference }) {
        Ok(document) => {
            assert!(!document.layers.is_empty());
            let config = document.config;
            assert_eq!(Config::parse(&config.to_json()), Ok(config));
        }
        Err(e) => assert!(e.to_string().contains("image: "), "{e}"),
    }
}

#[test]
fn configurations() {
    fuzz_json(&[CONFIG], |config| {
        if let Ok(value) = serde_json::from_slice::<Value>(config)
            && let Ok(config) = Config::parse(&value["config"])
        {
            assert_eq!(Config::parse(&config.to_json()), Ok(config));
        }
        let manifest = manifest(config);
        let index = index(&manifest, MANIFEST_TYPE);
        let whole = archive(&[("index.json".into(), &index), blob(&manifest), blob(config)]);
        check(config, |choice| oci::read(&whole, "image", choice));
    });
}

#[test]
fn manifests_and_indexes() {
    let good = manifest(CONFIG);
    fuzz_json(&[&good, &index(&good, MANIFEST_TYPE)], |text| {
        // As what the index leads to, as an index within it, or as the index itself.
        let index = match text.len() / 3 % 3 {
            0 => index(text, MANIFEST_TYPE),
            1 => index(text, INDEX_TYPE),
            _ => text.to_vec(),
        };
        let files = [("index.json".into(), &index[..]), blob(text), blob(CONFIG), blob(&good)];
        let whole = archive(&files);
        check(text, |choice| oci::read(&whole, "image", choice));
    });
}

#[test]
fn dockers_list() {
    let name = format!("{}.json", Digest::of(CONFIG).hex());
    let list = String::from_utf8_lossy(DOCKER).replace("CONFIG.json", &name);
    fuzz_json(&[list.as_bytes()], |text| {
        let whole = archive(&[("manifest.json".into(), text), (name.clone(), CONFIG)]);
        check(text, |choice| docker::read(&whole, "image", choice));
    });
}

/// The examples are images.
#[test]
fn unchanged() {
    let manifest = manifest(CONFIG);
    let index = index(&manifest, MANIFEST_TYPE);
    let whole = archive(&[("index.json".into(), &index), blob(&manifest), blob(CONFIG)]);
    let platform = Platform::parse("linux/amd64");
    let document = oci::read(&whole, "image", &Choice { platform, reference: None });
    let document = document.expect("an image");
    assert_eq!((document.layers.len(), document.names), (1, vec!["box".to_owned()]));
}

#[test]
fn one_image_of_several_names() {
    let manifest = manifest(CONFIG);
    let mut list: Value = serde_json::from_slice(&index(&manifest, MANIFEST_TYPE)).expect("index");
    let all = list["manifests"].as_array_mut().expect("a list");
    let mut second = all[0].clone();
    second["annotations"]["org.opencontainers.image.ref.name"] = "crate".into();
    all.insert(1, second);
    let index = list.to_string().into_bytes();
    let whole = archive(&[("index.json".into(), &index), blob(&manifest), blob(CONFIG)]);
    for (reference, names) in [(None, &["box", "crate"][..]), (Some("crate"), &["crate"])] {
        let choice = Choice {
            platform: Platform::parse("linux/x86_64"),
            reference: reference.map(str::to_owned),
        };
        assert_eq!(oci::read(&whole, "image", &choice).expect("an image").names, names);
    }
}

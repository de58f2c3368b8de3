//! An OCI image layout: index.json, manifests, blobs by digest (image-layout.md); and the flat
//! directory that `skopeo copy ... dir:` makes, whose first document is a manifest, or a list.

use crate::error::{Error, Result};
use crate::image::blobs::{Blob, Blobs};
use crate::image::digest::Digest;
use crate::image::document::{self, Document, LayerBlob, Platform};
use serde_json::Value;

/// Indexes may hold indexes; more deeply than this nobody writes them.
const DEPTH_MOST: u32 = 4;

/// What was asked for, of several images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    pub platform: Option<Platform>,
    /// The name the layout gives to one of its images.
    pub reference: Option<String>,
}

/// One image of an index.
struct Candidate {
    blob: Blob,
    media: String,
    platform: Option<Platform>,
    names: Vec<String>,
}

pub fn read(blobs: &Blobs, shown: &str, choice: &Choice) -> Result<Document> {
    let first = if blobs.flat() { "manifest.json" } else { "index.json" };
    let index = document::parse(&blobs.read(first, shown)?, first, shown)?;
    let (manifest, name, names) = if blobs.flat() && !index["manifests"].is_array() {
        if index["schemaVersion"] == 1 {
            return Err(schema_1(shown));
        }
        (index, first.to_owned(), Vec::new())
    } else {
        let found = candidates(&index, first, shown)?;
        let one = choose(found, blobs, shown, choice, 0)?;
        let name = blobs.manifest_name(&one.blob.digest);
        let text = blobs.document(&name, &one.blob, shown)?;
        (document::parse(&text, &name, shown)?, name, one.names)
    };
    let config = descriptor(&manifest["config"], &name, ".config", shown)?;
    let media = manifest["config"]["mediaType"].as_str().unwrap_or_default();
    if !media.is_empty()
        && !media.ends_with(".image.config.v1+json")
        && !media.contains("container.image.v1")
    {
        return Err(Error::new(format!("{shown}: not an image but an artifact of type {media}")));
    }
    let layers = manifest["layers"].as_array();
    let layers = layers.ok_or_else(|| wrong(shown, &name, ".layers", "expected a list"))?;
    let layers = layers.iter().enumerate().map(|(n, layer)| {
        let at = format!(".layers[{n}]");
        let blob = descriptor(layer, &name, &at, shown)?;
        let media = layer["mediaType"].as_str().unwrap_or_default();
        check_layer(media).map_err(|why| wrong(shown, &name, &format!("{at}.mediaType"), &why))?;
        let (name, digest) = (blobs.name(&blob.digest), Some(blob.digest));
        Ok(LayerBlob { name, digest, size: blob.size })
    });
    let layers = layers.collect::<Result<Vec<_>>>()?;
    let name = blobs.name(&config.digest);
    let text = blobs.document(&name, &config, shown)?;
    document::describe(text, &name, layers, names, shown, choice)
}

fn schema_1(shown: &str) -> Error {
    Error::new(format!("{shown}: a manifest of docker's schema 1, which is no longer read"))
}

fn wrong(shown: &str, name: &str, at: &str, why: &str) -> Error {
    Error::new(format!("{shown}: {name}: at {at}: {why}"))
}

fn descriptor(value: &Value, name: &str, at: &str, shown: &str) -> Result<Blob> {
    let digest = value["digest"]
        .as_str()
        .ok_or_else(|| wrong(shown, name, &format!("{at}.digest"), "expected a string"))?;
    if digest.contains(':') && !digest.starts_with("sha256:") {
        let said = format!("digest {digest}: only sha256 is understood");
        return Err(wrong(shown, name, at, &said));
    }
    let digest = Digest::parse(digest).ok_or_else(|| wrong(shown, name, at, "not a digest"))?;
    let size = &value["size"];
    if !size.is_null() && !size.is_u64() {
        return Err(wrong(shown, name, &format!("{at}.size"), "expected a number of bytes"));
    }
    Ok(Blob { digest, size: size.as_u64() })
}

fn check_layer(media: &str) -> std::result::Result<(), String> {
    if media.contains("encrypted") {
        return Err(format!("an encrypted layer ({media}), which cannot be read without its key"));
    }
    let known = media.contains(".image.layer.")
        || media.contains(".image.rootfs.diff.tar")
        || media.contains(".image.rootfs.foreign.diff.tar");
    if known || media.is_empty() {
        Ok(())
    } else {
        Err(format!("a layer of the unknown type {media}"))
    }
}

fn candidates(index: &Value, name: &str, shown: &str) -> Result<Vec<Candidate>> {
    let list = index["manifests"].as_array();
    let list = list.ok_or_else(|| wrong(shown, name, ".manifests", "expected a list"))?;
    let mut found = Vec::new();
    for (n, value) in list.iter().enumerate() {
        let notes = &value["annotations"];
        // Signatures and the like stand beside the image they are about.
        if notes["vnd.docker.reference.type"].is_string() {
            continue;
        }
        let blob = descriptor(value, name, &format!(".manifests[{n}]"), shown)?;
        let reference = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        let reference = reference.iter().find_map(|key| notes[*key].as_str());
        found.push(Candidate {
            blob,
            media: value["mediaType"].as_str().unwrap_or_default().to_owned(),
            platform: Platform::of(&value["platform"]),
            names: reference.map(str::to_owned).into_iter().collect(),
        });
    }
    Ok(found)
}

/// By name first, then by platform; what is left must be one.
fn choose(
    found: Vec<Candidate>,
    blobs: &Blobs,
    shown: &str,
    choice: &Choice,
    depth: u32,
) -> Result<Candidate> {
    let found = if depth == 0 { named(found, shown, choice)? } else { found };
    let one = for_platform(found, shown, choice)?;
    if one.media.contains("docker.distribution.manifest.v1") {
        return Err(schema_1(shown));
    }
    let is = |names: &[&str]| names.iter().any(|name| one.media.contains(name));
    if one.media.is_empty() || is(&["image.manifest", "distribution.manifest.v2"]) {
        return Ok(one);
    }
    if !is(&["image.index", "manifest.list"]) {
        let said = format!("{shown}: what it has is of the unknown type {}", one.media);
        return Err(Error::new(said));
    }
    if depth >= DEPTH_MOST {
        return Err(Error::new(format!("{shown}: indexes in indexes without end")));
    }
    let name = blobs.manifest_name(&one.blob.digest);
    let text = blobs.document(&name, &one.blob, shown)?;
    let inner = candidates(&document::parse(&text, &name, shown)?, &name, shown)?;
    let mut chosen = choose(inner, blobs, shown, choice, depth + 1)?;
    if !one.names.is_empty() {
        chosen.names = one.names;
    }
    Ok(chosen)
}

fn named(mut found: Vec<Candidate>, shown: &str, choice: &Choice) -> Result<Vec<Candidate>> {
    let Some(wanted) = &choice.reference else { return Ok(found) };
    let names: Vec<String> = found.iter().flat_map(|c| c.names.clone()).collect();
    let is = |n: &String| document::called(n, wanted);
    found.retain(|c| c.names.iter().any(is));
    if found.is_empty() {
        return Err(Error::new(format!("{shown}: no image of it is called '{wanted}'"))
            .hint(format!("it has: {}", names.join(", "))));
    }
    Ok(found)
}

fn for_platform(mut found: Vec<Candidate>, shown: &str, choice: &Choice) -> Result<Candidate> {
    let wanted = choice.platform.clone().unwrap_or_else(Platform::host);
    let there: Vec<String> =
        found.iter().filter_map(|c| c.platform.as_ref().map(ToString::to_string)).collect();
    let distance = |c: &Candidate| match &c.platform {
        Some(own) => wanted.distance(own),
        None => Some(document::FAR),
    };
    let best = found.iter().filter_map(distance).min();
    found.retain(|c| best.is_some() && distance(c) == best);
    // One image may have several names.
    found.dedup_by(|a, b| {
        let same = a.blob.digest == b.blob.digest;
        if same {
            b.names.append(&mut a.names);
        }
        same
    });
    if found.len() > 1 {
        let names: Vec<String> = found
            .iter()
            .map(|c| c.names.first().cloned().unwrap_or_else(|| c.blob.digest.to_string()))
            .collect();
        return Err(Error::new(format!("{shown}: it has {} images", found.len()))
            .hint(format!("launch import --ref NAME takes one: {}", names.join(", "))));
    }
    found.pop().ok_or_else(|| {
        let error = Error::new(format!("{shown}: no image for {wanted} in it"));
        match there.as_slice() {
            [] => Error::new(format!("{shown}: no image in it")),
            _ => error.hint(format!("it has {}; --platform takes another one", there.join(", "))),
        }
    })
}

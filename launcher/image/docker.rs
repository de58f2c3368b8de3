//! What `docker save` writes: manifest.json, and layers under names of its own.

use crate::error::{Error, Result};
use crate::image::blobs::{self, Blobs};
use crate::image::digest::Digest;
use crate::image::document::{self, Document, LayerBlob};
use crate::image::oci::Choice;
use serde_json::Value;

pub fn read(blobs: &Blobs, shown: &str, choice: &Choice) -> Result<Document> {
    let text = blobs.read("manifest.json", shown)?;
    let list = document::parse(&text, "manifest.json", shown)?;
    let list = list.as_array().ok_or_else(|| wrong(shown, "", "expected a list"))?;
    let (n, one) = choose(list, shown, choice)?;
    let config = one["Config"].as_str();
    let config =
        config.ok_or_else(|| wrong(shown, &format!("[{n}].Config"), "expected a string"))?;
    let layers = one["Layers"].as_array();
    let layers = layers.ok_or_else(|| wrong(shown, &format!("[{n}].Layers"), "expected a list"))?;
    let layers = layers.iter().map(|layer| {
        let name = layer.as_str();
        let name =
            name.ok_or_else(|| wrong(shown, &format!("[{n}].Layers"), "expected strings"))?;
        Ok(LayerBlob { name: name.to_owned(), digest: None, size: None })
    });
    let layers = layers.collect::<Result<_>>()?;
    let text = blobs.read(config, shown)?;
    // Its name is all that says what it must be.
    let stem = config.rsplit('/').next().unwrap_or(config);
    if let Some(digest) = Digest::parse(stem.strip_suffix(".json").unwrap_or(stem)) {
        blobs::check(config, shown, &digest, &Digest::of(&text))?;
    }
    document::describe(text, config, layers, tags(one), shown, choice)
}

fn wrong(shown: &str, at: &str, why: &str) -> Error {
    Error::new(format!("{shown}: manifest.json: at {at}: {why}"))
}

fn tags(image: &Value) -> Vec<String> {
    let tags = image["RepoTags"].as_array();
    tags.into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect()
}

fn choose<'a>(list: &'a [Value], shown: &str, choice: &Choice) -> Result<(usize, &'a Value)> {
    let matches = |image: &Value| match &choice.reference {
        None => true,
        Some(wanted) => tags(image).iter().any(|t| document::called(t, wanted)),
    };
    let mut found = list.iter().enumerate().filter(|(_, image)| matches(image));
    let names = || list.iter().flat_map(tags).collect::<Vec<_>>().join(", ");
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Error::new(format!("{shown}: it has several images"))
            .hint(format!("choose one with --ref: {}", names()))),
        (None, _) if list.is_empty() => Err(Error::new(format!("{shown}: no image in it"))),
        (None, _) => {
            let wanted = choice.reference.clone().unwrap_or_default();
            Err(Error::new(format!("{shown}: no image of it is called '{wanted}'"))
                .hint(format!("it has: {}", names())))
        }
    }
}

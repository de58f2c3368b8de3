//! An image as the store has it.

use crate::image::config::Config;
use crate::image::digest::Digest;
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Of its configuration, as docker has it; of a plain archive's contents.
    pub id: Digest,
    /// The store's names of its layers, the lowest one first.
    pub layers: Vec<String>,
    pub config: Config,
    /// `linux/amd64`; empty where nobody says.
    pub platform: String,
    /// Of all layers, as unpacked.
    pub bytes: u64,
    /// When it was put into the store, in seconds since 1970.
    pub made: u64,
    /// The file it is of, as the user wrote it.
    pub source: String,
    pub diff_ids: Vec<Digest>,
    /// What it calls itself.
    pub names: Vec<String>,
}

impl Record {
    pub fn to_text(&self) -> String {
        json!({
            "id": self.id.to_string(),
            "layers": self.layers,
            "diffIds": self.diff_ids.iter().map(Digest::to_string).collect::<Vec<_>>(),
            "names": self.names,
            "config": self.config.to_json(),
            "platform": self.platform,
            "bytes": self.bytes,
            "made": self.made,
            "source": self.source,
        })
        .to_string()
    }

    pub fn parse(text: &[u8]) -> Option<Record> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let strings = |key: &str| -> Option<Vec<String>> {
            value.get(key)?.as_array()?.iter().map(|v| v.as_str().map(str::to_owned)).collect()
        };
        let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
        let plain = |name: &String| name.len() == 24 && name.bytes().all(|b| b.is_ascii_hexdigit());
        Some(Record {
            id: Digest::parse(&text("id")?)?,
            layers: strings("layers").filter(|l| l.iter().all(plain))?,
            diff_ids: strings("diffIds")?
                .iter()
                .map(|d| Digest::parse(d))
                .collect::<Option<_>>()?,
            names: strings("names")?,
            config: Config::parse(value.get("config")?).ok()?,
            platform: text("platform")?,
            bytes: value.get("bytes")?.as_u64()?,
            made: value.get("made")?.as_u64()?,
            source: text("source")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let record = Record {
            id: Digest::of(b"x"),
            layers: vec![Digest::of(b"y").short()],
            diff_ids: vec![Digest::of(b"z")],
            names: vec!["app:1".into()],
            config: Config { env: vec!["A=b".into()], ..Config::default() },
            platform: "linux/amd64".into(),
            bytes: 7,
            made: 8,
            source: "a.tar".into(),
        };
        assert_eq!(Record::parse(record.to_text().as_bytes()), Some(record));
        assert_eq!(Record::parse(b"{}"), None);
    }
}

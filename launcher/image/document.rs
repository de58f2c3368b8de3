//! An image's configuration, and which machine it is for.

use crate::error::{Error, Result};
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::oci::Choice;
use serde_json::Value;
use std::fmt;

/// An image as its documents describe it; nothing has been unpacked yet.
#[derive(Debug)]
pub struct Document {
    /// The digest of its configuration.
    pub id: Digest,
    pub config: Config,
    pub platform: String,
    /// The lowest one first, with the digests of their contents.
    pub layers: Vec<(LayerBlob, Digest)>,
    /// What it calls itself.
    pub names: Vec<String>,
}

#[derive(Debug)]
pub struct LayerBlob {
    /// Below the layout, or in the archive.
    pub name: String,
    /// Of the file as it is, compressed or not.
    pub digest: Option<Digest>,
    pub size: Option<u64>,
}

/// `app:v1`, `team/app:v1` or `v1` of `host/team/app:v1`.
pub fn called(name: &str, wanted: &str) -> bool {
    name.strip_suffix(wanted).is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', ':']))
}

/// JSON with its place in the message.
pub fn parse(text: &[u8], name: &str, shown: &str) -> Result<Value> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    serde_json::from_slice(text).map_err(|e| Error::new(format!("{shown}: {name}: {e}")))
}

pub fn describe(
    text: Vec<u8>,
    name: &str,
    blobs: Vec<LayerBlob>,
    names: Vec<String>,
    shown: &str,
    choice: &Choice,
) -> Result<Document> {
    let value = parse(&text, name, shown)?;
    let wrong = |why: String| Error::new(format!("{shown}: {name}: {why}"));
    let config = Config::parse(&value["config"]).map_err(wrong)?;
    let ids = value["rootfs"]["diff_ids"].as_array();
    let ids = ids.ok_or_else(|| wrong("at .rootfs.diff_ids: expected a list".into()))?;
    let ids: Option<Vec<Digest>> = ids.iter().map(|d| Digest::parse(d.as_str()?)).collect();
    let ids = ids.ok_or_else(|| wrong("at .rootfs.diff_ids: expected digests".into()))?;
    if ids.len() != blobs.len() {
        return Err(wrong(format!("{} layers, but {} digests of layers", blobs.len(), ids.len())));
    }
    if ids.is_empty() {
        return Err(wrong("an image without layers".into()));
    }
    let platform = Platform::of(&value);
    let wanted = choice.platform.clone().unwrap_or_else(Platform::host);
    // The index has said the variant, which many a configuration leaves out.
    let plain = |own: &&Platform| own.variant.is_empty() && own.machine == wanted.machine;
    let runs =
        |own: &&Platform| wanted.distance(own).is_some() || plain(own) && own.os == wanted.os;
    if let Some(own) = platform.as_ref().filter(|own| !runs(own)) {
        let error =
            Error::new(format!("{shown}: the image is for {own}, this machine is {wanted}"));
        return Err(match choice.platform {
            Some(_) => Error::new(format!("{shown}: the image is for {own}, not for {wanted}")),
            None if own.os != wanted.os => error,
            None => error.hint(format!("--platform {own} takes it all the same, for an emulator")),
        });
    }
    let platform = platform.map(|p| p.to_string()).unwrap_or_default();
    let layers = blobs.into_iter().zip(ids).collect();
    Ok(Document { id: Digest::of(&text), config, platform, layers, names })
}

/// Names of GOOS and GOARCH.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    pub os: String,
    pub machine: String,
    pub variant: String,
}

impl Platform {
    pub fn host() -> Platform {
        let machine = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        // armv7l: what there is of it cannot be told from the build.
        let name = rustix::system::uname();
        let level = name.machine().to_bytes().strip_prefix(b"armv").and_then(|rest| rest.first());
        let variant = level.filter(|_| machine == "arm").map(|n| format!("v{}", char::from(*n)));
        Platform {
            os: "linux".into(),
            machine: machine.into(),
            variant: variant.unwrap_or_default(),
        }
    }

    /// `linux/arm64` or `linux/arm/v7`
    pub fn parse(text: &str) -> Option<Platform> {
        let mut parts = text.split('/').map(str::to_owned);
        let (os, machine, variant) =
            (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
        // uname's words for GOARCH's.
        let machine = match machine.as_str() {
            "x86_64" => "amd64".into(),
            "aarch64" => "arm64".into(),
            _ => machine,
        };
        let whole = !os.is_empty() && !machine.is_empty() && parts.next().is_none();
        whole.then_some(Platform { os, machine, variant })
    }

    /// Members `os`, `architecture` and `variant`; None where nothing is said.
    pub fn of(value: &Value) -> Option<Platform> {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let (os, machine) = (text("os"), text("architecture"));
        (!os.is_empty() && !machine.is_empty()).then(|| Platform {
            os,
            machine,
            variant: text("variant"),
        })
    }

    /// How far from the best programs for `other` are here, as containerd has it: of the same
    /// machine the highest variant that it has, and on amd64 at last 386. None: they do not run.
    pub fn distance(&self, other: &Platform) -> Option<u32> {
        if self.os != other.os {
            return None;
        }
        if self.machine == "amd64" && other.machine == "386" {
            return Some(FAR);
        }
        match (self.level(), other.level()) {
            _ if self.machine != other.machine => None,
            (Some(own), Some(other)) => own.checked_sub(other),
            _ if self.variant.is_empty() || other.variant.is_empty() => Some(0),
            _ => (self.variant == other.variant).then_some(0),
        }
    }

    /// A variant by its number; what is meant where none is said.
    fn level(&self) -> Option<u32> {
        let unsaid = match self.machine.as_str() {
            "arm" => 7,
            "arm64" => 8,
            "amd64" => 1,
            _ => return None,
        };
        match self.variant.as_str() {
            "" => Some(unsaid),
            said => said.trim_start_matches('v').parse().ok(),
        }
    }
}

/// Of what says of no machine, and of what runs on a machine but is not meant for it.
pub const FAR: u32 = 1000;

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.machine)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for wanted in ["host/team/app:v1", "team/app:v1", "app:v1", "v1"] {
            assert!(called("host/team/app:v1", wanted), "{wanted}");
        }
        for wanted in ["pp:v1", "1", "app", "x/host/team/app:v1"] {
            assert!(!called("host/team/app:v1", wanted), "{wanted}");
        }
    }

    #[test]
    fn platforms() {
        let parse = |t: &str| Platform::parse(t).expect(t);
        for (here, image, distance) in [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/amd64/v1", Some(0)),
            ("linux/amd64", "linux/amd64/v3", None),
            ("linux/amd64/v3", "linux/amd64", Some(2)),
            ("linux/amd64", "linux/386", Some(FAR)),
            ("linux/386", "linux/amd64", None),
            ("linux/amd64", "windows/amd64", None),
            ("linux/arm64", "linux/arm64/v8", Some(0)),
            ("linux/arm64", "linux/arm64/v9", None),
            ("linux/arm64", "linux/arm/v7", None),
            ("linux/arm", "linux/arm/v7", Some(0)),
            ("linux/arm", "linux/arm/v5", Some(2)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/arm/v6", "linux/arm", None),
            ("linux/mips/a", "linux/mips/b", None),
            ("linux/mips", "linux/mips/b", Some(0)),
        ] {
            assert_eq!(parse(here).distance(&parse(image)), distance, "{here} {image}");
        }
        assert_eq!(parse("linux/arm/v7").to_string(), "linux/arm/v7");
        assert_eq!(parse("linux/aarch64"), parse("linux/arm64"));
        for bad in ["", "linux", "linux/", "a/b/c/d"] {
            assert_eq!(Platform::parse(bad), None);
        }
    }
}

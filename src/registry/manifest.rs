//! Manifests: indexes with their platforms, and images with their layers.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use serde::Deserialize;

use super::digest::Digest;
use super::platform::Platform;

/// Media types of manifests, as containerd asks for them.
pub(super) const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, \
                                 application/vnd.docker.distribution.manifest.list.v2+json, \
                                 application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

/// A manifest whose digest is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A manifest list or index: one manifest for each platform, and attestations.
    Index(Vec<Descriptor>),
    Image {
        config: Descriptor,
        layers: Vec<Descriptor>,
    },
}

/// What a manifest says of other content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size_bytes: u64,
    pub platform: Option<Platform>,
    /// Other places of the content. A layer that has some may not be in the registry.
    pub urls: Vec<String>,
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Returns whether it is a BuildKit attestation, which no platform runs.
    pub fn is_attestation(&self) -> bool {
        self.annotations.get("vnd.docker.reference.type").is_some_and(|kind| kind == "attestation-manifest")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<String>,
    manifests: Option<Vec<Raw>>,
    config: Option<Raw>,
    layers: Option<Vec<Raw>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
    urls: Option<Vec<String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl TryFrom<Raw> for Descriptor {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let Raw { media_type, digest, size, platform, urls, annotations } = raw;
        let digest = Digest::parse(&digest).ok_or("a `digest` has another form than sha256:HEX")?;
        let (urls, annotations) = (urls.unwrap_or_default(), annotations.unwrap_or_default());
        Ok(Self { media_type, digest, size_bytes: size, platform, urls, annotations })
    }
}

impl Manifest {
    /// Reads a manifest. `content_type` is the header of the response.
    ///
    /// # Errors
    ///
    /// Returns why it is not a manifest.
    pub(super) fn parse(digest: Digest, content_type: Option<&str>, bytes: Bytes) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(&bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => "its JSON is not a manifest's".to_owned(),
            _ => "it is not JSON".to_owned(),
        })?;
        let all = |raw: Vec<Raw>| raw.into_iter().map(Descriptor::try_from).collect::<Result<Vec<_>, _>>();
        let Document { media_type, manifests, config, layers } = document;
        let content = match (manifests, config, layers) {
            (Some(manifests), None, None) => Content::Index(all(manifests)?),
            (None, Some(config), Some(layers)) => Content::Image { config: config.try_into()?, layers: all(layers)? },
            (Some(_), ..) => return Err("it has `manifests` and also `config` or `layers`".to_owned()),
            (None, ..) => return Err("it has neither `manifests` nor `config` and `layers`".to_owned()),
        };
        let of_header = content_type.and_then(|value| value.split(';').next()).map(str::trim);
        let of_header = of_header.filter(|value| value.contains("manifest") || value.contains("index"));
        let media_type = of_header.map(str::to_owned).or(media_type).unwrap_or_default();
        Ok(Self { digest, media_type, bytes, content })
    }

    /// Reads a manifest that was received before.
    ///
    /// # Errors
    ///
    /// Returns why it is not the manifest of this digest.
    pub fn of(digest: Digest, bytes: Bytes) -> Result<Self, String> {
        if !digest.is_of(&bytes) {
            return Err(format!("its digest is not {digest}"));
        }
        Self::parse(digest, None, bytes)
    }

    /// Returns the platforms of an index, without those of attestations. An image's platform is in its config.
    pub fn platforms(&self) -> Vec<&Platform> {
        let Content::Index(manifests) = &self.content else { return Vec::new() };
        manifests.iter().filter(|child| !child.is_attestation()).filter_map(|child| child.platform.as_ref()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(Digest::of(text.as_bytes()), None, Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn what_is_no_manifest_is_named() {
        let huge = format!(r#"{{"manifests":[{{"digest":"{}","size":-1}}]}}"#, Digest::of(b""));
        for (text, part) in [
            ("<html>", "not JSON"),
            ("[]", "not a manifest's"),
            ("{}", "neither `manifests`"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, "neither `manifests`"),
            (r#"{"manifests":[{"digest":"md5:1","size":1}]}"#, "another form"),
            (&huge, "not a manifest's"),
            (r#"{"manifests":[],"layers":[]}"#, "and also"),
        ] {
            assert!(parse(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn platforms_are_listed_without_attestations() {
        let digest = Digest::of(b"");
        let index = serde_json::json!({"mediaType": "m", "manifests": [
            {"digest": digest.as_str(), "size": 1, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            {"digest": digest.as_str(), "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": digest.as_str(), "size": 1, "platform": {"os": "unknown", "architecture": "unknown"},
             "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
        ]});
        let manifest = parse(&index.to_string()).unwrap();
        let platforms: Vec<String> = manifest.platforms().iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["linux/arm64/v8", "linux/amd64"]);
        assert_eq!(manifest.media_type, "m");
    }
}

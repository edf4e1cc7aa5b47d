//! Outputs of the AWS CLI as an inventory of Amazon ECR: `aws ecr batch-get-image`, which has manifests and what is not found, `aws ecr
//! batch-check-layer-availability`, which has the configurations and layers that are available, and `aws ecr describe-images`, which
//! has the digests of tags. The latter does not prove that a tag is absent: its output may be that of a filter or of a page.
//!
//! The outputs name no repository, or not in every part. The user names it.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::holdings::{Holdings, Part};
use crate::registry::{Descriptor, Digest, Manifest, Platform};
use crate::words::few;

/// The lists of the outputs: of `batch-get-image`, `batch-check-layer-availability` and `describe-images`.
const LISTS: [&str; 3] = ["images", "layers", "imageDetails"];
const NOT_LISTED: &str = "not in the outputs of `aws ecr batch-get-image`";
const NOT_CHECKED: &str = "not in the outputs of `aws ecr batch-check-layer-availability`";

/// The outputs for the repositories of a registry.
#[derive(Debug, Default)]
pub struct Ecr {
    repositories: HashMap<String, Repository>,
}

#[derive(Debug, Default)]
struct Repository {
    /// By tag; `None` if ECR has not found it.
    tags: HashMap<String, Option<Digest>>,
    manifests: HashMap<String, Result<Manifest, String>>,
    /// Digests of manifests that ECR has not found.
    absent: Vec<String>,
    /// Whether a blob is available, by digest.
    blobs: HashMap<String, bool>,
    /// Other failures, by tag or digest.
    faults: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    #[serde(default)]
    images: Vec<Image>,
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    image_details: Vec<Detail>,
    #[serde(default)]
    failures: Vec<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    image_id: ImageId,
    image_manifest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageId {
    image_digest: Option<String>,
    image_tag: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    layer_digest: String,
    layer_availability: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    image_digest: String,
    #[serde(default)]
    image_tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    failure_code: String,
    #[serde(default)]
    failure_reason: String,
    image_id: Option<ImageId>,
    layer_digest: Option<String>,
}

impl Ecr {
    /// Adds outputs for a repository, one after the other.
    ///
    /// # Errors
    ///
    /// Returns why the text is not such outputs.
    pub fn add(&mut self, repository: &str, text: &str) -> Result<(), String> {
        let mut count = 0;
        let of_repository = self.repositories.entry(repository.to_owned()).or_default();
        for output in serde_json::Deserializer::from_str(text).into_iter() {
            let output: Value =
                output.map_err(|error| format!("{error}; write the outputs as JSON (`--output json`)"))?;
            let keys = output.as_object().ok_or("an output is not an object; write it without `--query`")?;
            if !LISTS.iter().any(|list| keys.contains_key(*list)) {
                let keys: Vec<&String> = keys.keys().collect();
                let found = if keys.is_empty() { "nothing".to_owned() } else { few(&keys) };
                return Err(format!("an output has none of `{}`, but {found}; remove it", LISTS.join("`, `")));
            }
            let output = serde_json::from_value(output).map_err(|error| format!("{error}; write it as it was"))?;
            of_repository.add(output)?;
            count += 1;
        }
        if count == 0 { Err("it is empty".to_owned()) } else { Ok(()) }
    }

    fn of<T>(&self, repository: &str, look: impl FnOnce(&Repository) -> Part<T>) -> Part<T> {
        match self.repositories.get(repository) {
            Some(of_repository) => look(of_repository),
            None => Part::Unknown(format!("there are no outputs for the repository {repository}")),
        }
    }
}

impl Repository {
    fn add(&mut self, output: Output) -> Result<(), String> {
        let Output { images, layers, image_details, failures } = output;
        for Image { image_id, image_manifest } in images {
            let digest = parse(image_id.image_digest.as_deref().unwrap_or_default())?;
            let manifest = Manifest::of(digest.clone(), image_manifest.into());
            self.manifests.insert(digest.to_string(), manifest);
            if let Some(tag) = image_id.image_tag {
                self.tags.insert(tag, Some(digest));
            }
        }
        for Detail { image_digest, image_tags } in image_details {
            let digest = parse(&image_digest)?;
            for tag in image_tags {
                self.tags.entry(tag).or_insert_with(|| Some(digest.clone()));
            }
        }
        for Layer { layer_digest, layer_availability } in layers {
            self.blobs.insert(layer_digest, layer_availability == "AVAILABLE");
        }
        for Failure { failure_code, failure_reason, image_id, layer_digest } in failures {
            let (digest, tag) = image_id.map_or((None, None), |id| (id.image_digest, id.image_tag));
            match (&*failure_code, digest, tag) {
                ("ImageNotFound", Some(digest), None) => self.absent.push(digest),
                ("ImageNotFound", None, Some(tag)) => drop(self.tags.entry(tag).or_insert(None)),
                (_, digest, tag) => {
                    let fault = format!("ECR answered {failure_code}: {failure_reason}");
                    let names = [digest, tag, layer_digest].into_iter().flatten();
                    self.faults.extend(names.map(|name| (name, fault.clone())));
                }
            }
        }
        Ok(())
    }

    /// Returns why nothing is known of a tag or a digest.
    fn unknown<T>(&self, name: &str, otherwise: &str) -> Part<T> {
        Part::Unknown(self.faults.get(name).map_or(otherwise, |fault| fault).to_owned())
    }
}

fn parse(digest: &str) -> Result<Digest, String> {
    Digest::parse(digest).ok_or_else(|| format!("`{digest}` is not a usable `imageDigest`; remove this image"))
}

impl Holdings for Ecr {
    fn title(&self) -> &str {
        "output of the AWS CLI"
    }

    fn tag(&self, repository: &str, tag: &str) -> Part<Digest> {
        self.of(repository, |of_repository| match of_repository.tags.get(tag) {
            Some(Some(digest)) => Part::Held { value: digest.clone(), until_secs: None },
            Some(None) => Part::Absent("ImageNotFound".to_owned()),
            None => of_repository.unknown(tag, NOT_LISTED),
        })
    }

    fn manifest(&self, repository: &str, digest: &Digest) -> Part<Manifest> {
        self.of(repository, |of_repository| match of_repository.manifests.get(digest.as_str()) {
            Some(Ok(manifest)) => Part::Held { value: manifest.clone(), until_secs: None },
            Some(Err(why)) => Part::Unknown(format!("{why}; set --accepted-media-types of `aws ecr batch-get-image`")),
            None if of_repository.absent.iter().any(|absent| absent == digest.as_str()) => {
                Part::Absent("ImageNotFound".to_owned())
            }
            None => of_repository.unknown(digest.as_str(), NOT_LISTED),
        })
    }

    fn blob(&self, repository: &str, blob: &Descriptor) -> Part<()> {
        self.of(repository, |of_repository| match of_repository.blobs.get(blob.digest.as_str()) {
            Some(true) => Part::Held { value: (), until_secs: None },
            Some(false) => Part::Absent("UNAVAILABLE".to_owned()),
            None => of_repository.unknown(blob.digest.as_str(), NOT_CHECKED),
        })
    }

    fn platform(&self, _repository: &str, _config: &Descriptor) -> Part<Platform> {
        Part::Unknown("the outputs of the AWS CLI do not have it".to_owned())
    }
}

//! Outputs of the AWS CLI as an inventory of Amazon ECR: `aws ecr batch-get-image`, which has manifests and what is not found, and
//! `aws ecr batch-check-layer-availability`, which has the configurations and layers that are available.
//!
//! The outputs name no repository, or not in every part. The user names it.

use std::collections::HashMap;

use serde::Deserialize;

use super::holdings::{Holdings, Part};
use crate::registry::{Descriptor, Digest, Manifest, Platform};

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
}

#[derive(Deserialize)]
struct Output {
    images: Option<Vec<Image>>,
    layers: Option<Vec<Layer>>,
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
struct Failure {
    failure_code: String,
    image_id: Option<ImageId>,
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
            let output: Output =
                output.map_err(|error| format!("{error}; write the outputs as JSON (`--output json`)"))?;
            if output.images.is_none() && output.layers.is_none() {
                return Err("an output has neither `images` nor `layers`".to_owned());
            }
            of_repository.add(output);
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
    fn add(&mut self, output: Output) {
        let Output { images, layers, failures } = output;
        for Image { image_id, image_manifest } in images.into_iter().flatten() {
            let Some(digest) = image_id.image_digest.as_deref().and_then(Digest::parse) else { continue };
            let manifest = Manifest::of(digest.clone(), image_manifest.into());
            self.manifests.insert(digest.to_string(), manifest);
            if let Some(tag) = image_id.image_tag {
                self.tags.insert(tag, Some(digest));
            }
        }
        for Layer { layer_digest, layer_availability } in layers.into_iter().flatten() {
            self.blobs.insert(layer_digest, layer_availability == "AVAILABLE");
        }
        for Failure { failure_code, image_id } in failures {
            let Some(id) = image_id.filter(|_| failure_code == "ImageNotFound") else { continue };
            match (id.image_digest, id.image_tag) {
                (Some(digest), None) => self.absent.push(digest),
                (None, Some(tag)) => drop(self.tags.entry(tag).or_insert(None)),
                _ => {}
            }
        }
    }
}

impl Holdings for Ecr {
    fn title(&self) -> &str {
        "output of the AWS CLI"
    }

    fn tag(&self, repository: &str, tag: &str) -> Part<Digest> {
        self.of(repository, |of_repository| match of_repository.tags.get(tag) {
            Some(Some(digest)) => Part::Held { value: digest.clone(), until_secs: None },
            Some(None) => Part::Absent("ImageNotFound".to_owned()),
            None => Part::Unknown(NOT_LISTED.to_owned()),
        })
    }

    fn manifest(&self, repository: &str, digest: &Digest) -> Part<Manifest> {
        self.of(repository, |of_repository| match of_repository.manifests.get(digest.as_str()) {
            Some(Ok(manifest)) => Part::Held { value: manifest.clone(), until_secs: None },
            Some(Err(why)) => Part::Unknown(format!("{why}; set --accepted-media-types of `aws ecr batch-get-image`")),
            None if of_repository.absent.iter().any(|absent| absent == digest.as_str()) => {
                Part::Absent("ImageNotFound".to_owned())
            }
            None => Part::Unknown(NOT_LISTED.to_owned()),
        })
    }

    fn blob(&self, repository: &str, blob: &Descriptor) -> Part<()> {
        self.of(repository, |of_repository| match of_repository.blobs.get(blob.digest.as_str()) {
            Some(true) => Part::Held { value: (), until_secs: None },
            Some(false) => Part::Absent("UNAVAILABLE".to_owned()),
            None => Part::Unknown(NOT_CHECKED.to_owned()),
        })
    }

    fn platform(&self, _repository: &str, _config: &Descriptor) -> Part<Platform> {
        Part::Unknown("the outputs of the AWS CLI do not have it".to_owned())
    }
}

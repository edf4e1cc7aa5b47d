//! Images whose parts are separate values.

use serde_json::{Map, Value};

use super::text;
use crate::engine::has_host;

/// Keys that show that a mapping with `repository` is an image.
const BESIDE_REPOSITORY: [&str; 8] =
    ["registry", "tag", "digest", "sha", "sha256", "pullPolicy", "imagePullPolicy", "pullSecrets"];

/// An image in two or three values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Split<'v> {
    /// Empty if absent.
    pub registry: &'v str,
    /// The key of the repository: `repository`, or `repo`, `image` or `name` in some charts.
    pub key: &'static str,
    pub repository: &'v str,
    /// The key and the text of what may be its last part.
    pub part: Option<(&'static str, &'v str)>,
}

impl<'v> Split<'v> {
    pub fn of(map: &'v Map<String, Value>) -> Option<Self> {
        let filled = |key: &'static str| text(map, key).filter(|text| !text.is_empty()).map(|text| (key, text));
        let image_or_name = || filled("image").or_else(|| filled("name")).filter(|(_, name)| !has_host(name));
        let registry = text(map, "registry").unwrap_or_default();
        match filled("repository").or_else(|| filled("repo")) {
            Some((key, repository)) => {
                let part = image_or_name().filter(|_| !repository.contains("://"));
                Some(Self { registry, key, repository, part })
            }
            None if registry.is_empty() => None,
            None => image_or_name().map(|(key, repository)| Self { registry, key, repository, part: None }),
        }
    }

    pub fn has(self, key: &str) -> bool {
        key == self.key
            || self.part.is_some_and(|(part, _)| part == key)
            || (key == "registry" && !self.registry.is_empty())
    }

    /// Returns whether the mapping's key, or another key in it, shows that it is an image.
    pub fn is_image(self, key: &str, map: &Map<String, Value>) -> bool {
        let key = key.to_ascii_lowercase();
        let mut beside = BESIDE_REPOSITORY.iter().filter(|beside| map.contains_key(**beside));
        match self.key {
            // In `imageCredentials`, `name` is not an image's.
            "name" => key.ends_with("image"),
            _ if key.contains("image") || self.part.is_some_and(|(part, _)| part == "image") => true,
            // A Git repository may have a tag too.
            "repo" => beside.any(|beside| *beside != "tag"),
            _ => beside.next().is_some(),
        }
    }

    pub fn whole(self) -> String {
        match self.registry {
            "" => self.repository.to_owned(),
            registry => [registry, "/", self.repository].concat(),
        }
    }

    pub fn joined(self) -> Option<String> {
        self.part.map(|(_, part)| [&self.whole(), "/", part].concat())
    }
}

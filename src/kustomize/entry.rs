//! An entry of `images`, as kustomize applies it.
//!
//! Facts about kustomize are from 5.8: `api/internal/image` and `api/filters/imagetag`.

use regex::Regex;

use crate::manifest::kustomization::Entry;

/// Renames the images that it finds.
#[derive(Debug, Clone)]
pub struct Renaming {
    /// `None` if the name is an invalid expression: kustomize finds nothing then.
    pattern: Option<Regex>,
    new_name: Option<String>,
    new_tag: String,
    digest: String,
}

impl Renaming {
    pub fn new(name: &str, new_name: Option<&str>, entry: &Entry) -> Self {
        // kustomize reads the name as an expression.
        let tag_and_digest = "(:[a-zA-Z0-9_.{}-]*)?(@[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?";
        Self {
            pattern: Regex::new(&format!("^{name}{tag_and_digest}$")).ok(),
            new_name: new_name.filter(|name| !name.is_empty()).map(str::to_owned),
            new_tag: entry.new_tag.clone(),
            digest: entry.digest.clone(),
        }
    }

    pub fn finds(&self, image: &str) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(image))
    }

    /// Returns the new image for one that it finds.
    pub fn renamed(&self, image: &str) -> String {
        let (name, tag, digest) = split(image);
        let (tag, digest) = match (self.new_tag.as_str(), self.digest.as_str()) {
            ("", "") => (tag, digest),
            // A new tag or digest replaces both.
            (tag, digest) => (tag, digest),
        };
        let mut renamed = self.new_name.as_deref().unwrap_or(name).to_owned();
        for (separator, text) in [(':', tag), ('@', digest)] {
            if !text.is_empty() {
                renamed.push(separator);
                renamed.push_str(text);
            }
        }
        renamed
    }
}

/// Splits name, tag and digest. A host's port belongs to the name.
fn split(image: &str) -> (&str, &str, &str) {
    let host = image.find('/').filter(|&slash| slash > 0).unwrap_or(0);
    let rest = &image[host..];
    let (colon, at) = (rest.find(':').map(|at| at + host), rest.find('@').map(|at| at + host));
    match (colon, at) {
        (None, None) => (image, "", ""),
        (Some(colon), Some(at)) if colon < at => (&image[..colon], &image[colon + 1..at], &image[at + 1..]),
        (_, Some(at)) => (&image[..at], "", &image[at + 1..]),
        (Some(colon), None) => (&image[..colon], &image[colon + 1..], ""),
    }
}

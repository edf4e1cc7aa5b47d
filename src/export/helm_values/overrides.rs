//! What overrides values, and what stays.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::engine::{Policy, Rule, Settings};
use crate::export::{Export, Omission};

/// What overrides a chart's values.
#[derive(Debug)]
pub struct Overrides<'p> {
    pub images: Vec<Override<'p>>,
    /// What the rules do beside images, and can't do here.
    pub omissions: Vec<Omission>,
    pub stays: Vec<Stays>,
    /// Whether a value is an image, also one that stays.
    pub found_image: bool,
}

/// The values of one image.
#[derive(Debug, Clone)]
pub struct Override<'p> {
    pub rule: &'p Rule,
    pub image: String,
    /// The values have all of it.
    pub is_whole: bool,
    /// Ways to write it, of which the first that works is right: the path and the text of each value.
    pub ways: Vec<Vec<(Vec<String>, String)>>,
}

/// An image of the values that is not overridden.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stays {
    /// Key by key.
    pub path: String,
    pub image: String,
    pub why: String,
}

impl<'p> Overrides<'p> {
    /// All of them, where nothing shows what the chart renders.
    pub fn unproven(self) -> Export<Vec<Override<'p>>> {
        let Self { images, mut omissions, stays, found_image: _ } = self;
        omissions.extend(stays.into_iter().map(Omission::from));
        Export { what: images, notes: Vec::new(), omissions }
    }
}

impl Override<'_> {
    pub(super) fn path(&self) -> String {
        self.ways.first().and_then(|way| way.last()).map(|(path, _)| path.join(".")).unwrap_or_default()
    }
}

impl From<Stays> for Omission {
    fn from(Stays { path, image, why }: Stays) -> Self {
        Self { what: format!("`{path}`"), why: format!("{image} stays: {why}") }
    }
}

/// As a values file has them: only what changes, in the shape of the chart's own.
pub fn values<'o>(images: impl IntoIterator<Item = &'o Override<'o>>) -> Value {
    let mut values = Value::Object(Map::new());
    for (path, text) in images.into_iter().filter_map(|image| image.ways.first()).flatten() {
        let mut value = &mut values;
        for key in path {
            value = &mut value[key.as_str()];
        }
        *value = Value::String(text.clone());
    }
    values
}

/// What the rules do beside these images.
pub fn beside_images(policy: &Policy, images: &[Override]) -> Vec<Omission> {
    let mut omissions = BTreeSet::new();
    // Templates that are not understood are errors, or omissions of their own.
    let Settings { allow_opt_out, record_originals, when_not_understood: _ } = policy.settings();
    for Override { rule, .. } in images {
        // What an image becomes is decided by the whole rule.
        let Rule { name, matcher: _, except: _, namespaces: _, image_pull_secrets, mode: _ } = rule;
        if !image_pull_secrets.is_empty() {
            let why = "its `imagePullSecrets` are not added: set the chart's own value for them";
            omissions.insert(Omission::rule(name, why));
        }
        if record_originals {
            omissions.insert(Omission::field("recordOriginals", "values write no annotation"));
        }
        if allow_opt_out {
            omissions.insert(Omission::field("allowOptOut", "values count for every Pod, whatever its labels"));
        }
    }
    omissions.into_iter().collect()
}

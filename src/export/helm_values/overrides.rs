//! Overrides of values, and images that are not overridden.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::engine::{Policy, Rule, Settings};
use crate::export::{Export, Omission};

/// The overrides of a chart's values.
#[derive(Debug)]
pub struct Overrides<'p> {
    pub images: Vec<Override<'p>>,
    /// Parts of the rules that values do not support.
    pub omissions: Vec<Omission>,
    pub stays: Vec<Stays>,
    /// Whether any value is an image, overridden or not.
    pub found_image: bool,
}

/// The values of one image.
#[derive(Debug, Clone)]
pub struct Override<'p> {
    pub rule: &'p Rule,
    pub image: String,
    /// Whether the values contain the whole image.
    pub is_whole: bool,
    /// Ways to write it, each with the path and the text of its values. The first that works is used.
    pub ways: Vec<Vec<(Vec<String>, String)>>,
}

/// An image of the values that is not overridden.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stays {
    /// The keys, separated by dots.
    pub path: String,
    pub image: String,
    pub why: String,
}

impl<'p> Overrides<'p> {
    /// Returns all overrides, for charts without Helm's output.
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
        Self { what: format!("`{path}`"), why: format!("{image} is not overridden, since {why}") }
    }
}

/// Returns a values file with the overrides only, in the structure of the chart's values.
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

/// Returns the omissions of the rules that decide on these images.
pub fn beside_images(policy: &Policy, images: &[Override]) -> Vec<Omission> {
    let mut omissions = BTreeSet::new();
    // Templates that are not understood are errors or other omissions. With the new name in its custom resource, an operator
    // compares equal names.
    let &Settings { allow_opt_out, record_originals, when_not_understood: _, caches: _, operators: _ } =
        policy.settings();
    for Override { rule, .. } in images {
        // The decision on an image used the other fields.
        let Rule {
            name,
            matcher: _,
            except: _,
            namespaces: _,
            image_pull_secrets,
            mode: _,
            when_cache_down: _,
            check_exists: _,
            rollout: _,
        } = rule;
        omissions.extend(Omission::of_facts(rule, false));
        if !image_pull_secrets.is_empty() {
            let why = "its `imagePullSecrets` are not added: set the chart's value for them";
            omissions.insert(Omission::rule(name, why));
        }
        if record_originals {
            omissions.insert(Omission::field("recordOriginals", "values write no annotations"));
        }
        if allow_opt_out {
            omissions.insert(Omission::field("allowOptOut", "values apply to every Pod, whatever its labels"));
        }
    }
    omissions.into_iter().collect()
}

//! Export to kustomize: a Component whose `images` rename the images that the rules rewrite in a tree of manifests.
//!
//! Sources: `api/filters/imagetag` and `api/internal/image` of kustomize 5.8.

mod kustomizations;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use regex::Regex;
use serde::Serialize;

use self::kustomizations::{Kustomizations, Setting};
use super::{Export, Omission};
use crate::engine::{Decision, ImageRef, Mode, Policy, Rule, Settings};
use crate::kustomize::everything;
use crate::manifest::{Field, Known, Manifest, Object, Unreadable, kustomization};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    api_version: &'static str,
    kind: &'static str,
    images: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    new_name: String,
}

/// The first line of the Component, which marks it among the manifests as written by this export.
pub const MARKER: &str = "# Made by `pullthrough export kustomize`: print it again when images come or go.";

/// The images of manifests, with the rules' decisions and kustomize's matches.
#[derive(Debug)]
pub struct Tree<'p> {
    policy: &'p Policy,
    /// The namespace of objects without one.
    namespace: &'p str,
    known: Known,
    /// As `known`, with the fields that only kustomize takes for images.
    everything: Known,
    /// The images of each file, and whether the place is declared.
    files: Vec<(String, Vec<(Field, bool)>)>,
    kustomizations: Kustomizations,
    /// The first place of each image and result that kustomize reaches.
    reached: BTreeMap<(String, String), Place>,
    omissions: BTreeSet<Omission>,
    /// The first place of an entry of `images` in a kustomization.
    own_entry: Option<String>,
    /// The number of Kubernetes objects.
    objects: usize,
}

#[derive(Debug)]
struct Place {
    /// `FILE:LINE`.
    name: String,
    /// The reason why the image is unchanged.
    why_unchanged: &'static str,
}

impl<'p> Tree<'p> {
    pub fn new(policy: &'p Policy, namespace: &'p str, known: Known) -> Self {
        let everything = everything(&known);
        Self {
            policy,
            namespace,
            known,
            everything,
            files: Vec::new(),
            kustomizations: Kustomizations::default(),
            reached: BTreeMap::new(),
            omissions: of_rules(policy),
            own_entry: None,
            objects: 0,
        }
    }

    /// Adds the images of a file.
    ///
    /// # Errors
    ///
    /// If the text is unreadable.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), Unreadable> {
        let manifest = Manifest::read(file, text, &self.known)?;
        self.objects += manifest.contents().objects;
        for unreadable in manifest.unreadable() {
            self.omit(format!("{file}:{}", unreadable.line), unreadable.message.clone());
        }
        if let Some(line) = manifest.template_line() {
            self.omit(format!("{file}:{line}"), "a template: the text for `{{` is unknown".to_owned());
        }
        match self.kustomizations.add(file, text, self.policy.settings().allow_opt_out) {
            Ok(omissions) => self.omissions.extend(omissions),
            Err(_) if manifest.template_line().is_some() => {}
            Err(omission) => drop(self.omissions.insert(omission)),
        }
        if text.starts_with(MARKER) {
            return Ok(());
        }
        for (line, pointer) in kustomization::faults(text) {
            let why = format!(
                "kustomize fails at {pointer} if any kustomization has `images`, with or without this component"
            );
            self.omit(format!("{file}:{line}"), why);
        }
        let everything = Manifest::read(file, text, &self.everything)?;
        let known: BTreeSet<_> =
            manifest.fields().iter().map(|field| (field.object.document, &field.pointer)).collect();
        let fields: Vec<(Field, bool)> = everything
            .fields()
            .iter()
            .map(|field| (field.clone(), known.contains(&(field.object.document, &field.pointer))))
            .collect();
        if let (None, Some((field, _))) = (&self.own_entry, fields.iter().find(|(field, _)| is_own_entry(field))) {
            self.own_entry = Some(format!("{file}:{}", field.line));
        }
        self.files.push((file.to_owned(), fields));
        Ok(())
    }

    /// Adds an omission: a place that is not read.
    pub fn omit(&mut self, what: String, why: String) {
        self.omissions.insert(Omission { what, why });
    }

    pub fn is_empty(&self) -> bool {
        self.files.iter().all(|(_, fields)| fields.is_empty())
    }

    /// Returns whether the manifests have a Kubernetes object.
    pub fn has_objects(&self) -> bool {
        self.objects > 0
    }

    fn add_field(&mut self, name: String, field: &Field, is_known: bool, namespaces: &[Option<&Setting>]) {
        let image = &field.image;
        let is_reached = is_own_entry(field) || is_reached(field);
        let mut outcomes = namespaces.iter().map(|setting| (*setting, self.outcome(field, is_known, *setting)));
        let Some((_, (result, mut why_unchanged))) = outcomes.next() else { return };
        let other = outcomes.find(|(_, (other, _))| *other != result);
        let (result, why) = match other {
            Some((Some(Setting { namespace, place, fix }), _)) => {
                why_unchanged = "its namespace is unknown";
                let why = format!("the rules depend on its namespace, which {place} may set to `{namespace}`: {fix}");
                (image.clone(), Some(why))
            }
            _ if result != *image && !is_reached => {
                (result, Some(format!("kustomize's `images` do not reach {}", field.place)))
            }
            _ if result != *image && has_other_digest(image) => {
                (result, Some("kustomize before 5.8.2 supports no digest but sha256".to_owned()))
            }
            _ => (result, None),
        };
        if let Some(why) = why {
            self.omit(name.clone(), format!("`{image}` is not renamed, since {why}"));
        }
        if is_reached {
            self.reached.entry((image.clone(), result)).or_insert(Place { name, why_unchanged });
        }
    }

    /// Returns the result for an image in its own namespace or another, and the reason if it is unchanged.
    fn outcome(&self, field: &Field, is_known: bool, setting: Option<&Setting>) -> (String, &'static str) {
        if !is_known {
            return (field.image.clone(), "the rules file does not declare it under `manifests`");
        }
        let decision = match setting {
            None => field.decide(self.policy, self.namespace, None),
            Some(Setting { namespace, .. }) => {
                let object = Object { namespace: Some(namespace.clone()), ..Object::clone(&field.object) };
                Field { object: Arc::new(object), ..field.clone() }.decide(self.policy, self.namespace, None)
            }
        };
        let why_unchanged = decision.reason().map_or("", |reason| reason.as_str());
        match decision {
            Decision::Rewrite { result, .. } => (result, why_unchanged),
            _ => (field.image.clone(), why_unchanged),
        }
    }

    pub fn component(mut self) -> Export<Component> {
        let kustomizations = mem::take(&mut self.kustomizations);
        self.omissions.extend(kustomizations.not_read());
        for (file, fields) in mem::take(&mut self.files) {
            let namespaces = kustomizations.namespaces(&file);
            for (field, is_known) in fields {
                self.add_field(format!("{file}:{}", field.line), &field, is_known, &namespaces);
            }
        }
        let Self { reached, mut omissions, own_entry, .. } = self;
        let mut entries = BTreeSet::new();
        for (image, result) in reached.keys().filter(|(image, result)| image != result && !has_other_digest(image)) {
            let suffix = ImageRef::parse(image).map_or("", |image| image.suffix());
            let without = |text: &str| text.strip_suffix(suffix).unwrap_or(text).to_owned();
            entries.insert((without(image), without(result)));
        }
        let mut images = Vec::new();
        for (name, new_name) in entries {
            let entry = Entry { name, new_name };
            match entry.objection(&reached) {
                None => images.push(entry),
                Some(why) => drop(omissions.insert(Omission { what: format!("`{}`", entry.name), why })),
            }
        }
        let component = Component { api_version: "kustomize.config.k8s.io/v1alpha1", kind: "Component", images };
        let above = own_entry.map(|place| {
            format!(
                "{place} is an entry of `images`, which kustomize applies after `components`: list the component in a \
                 kustomization above it"
            )
        });
        Export { what: component, notes: above.into_iter().collect(), omissions: omissions.into_iter().collect() }
    }
}

/// Returns the omissions that do not depend on images.
fn of_rules(policy: &Policy) -> BTreeSet<Omission> {
    let mut omissions = BTreeSet::new();
    // The decision on each image uses the opt-out label, and each file that is not understood is an omission. With the new name
    // in its custom resource, an operator compares equal names.
    let &Settings { allow_opt_out: _, record_originals, when_not_understood: _, caches: _, operators: _ } =
        policy.settings();
    if record_originals {
        omissions.insert(Omission::field("recordOriginals", "kustomize's `images` only rename"));
    }
    // The decision on each image uses the other fields.
    for rule in policy.rules() {
        omissions.extend(Omission::of_facts(rule, false));
        omissions.extend(Omission::of_rollout(rule));
        let Rule {
            name,
            matcher: _,
            except: _,
            namespaces: _,
            image_pull_secrets,
            mode,
            when_cache_down: _,
            check_exists: _,
            rollout: _,
        } = rule;
        let mut add = |why: &str| omissions.insert(Omission::rule(name, why));
        if !image_pull_secrets.is_empty() {
            add("its `imagePullSecrets` are not added: kustomize's `images` only rename");
        }
        if *mode == Mode::Observe {
            add("its images are not renamed and not reported, since its mode is `observe`");
        }
    }
    omissions
}

fn is_own_entry(field: &Field) -> bool {
    field.place.starts_with("images/")
}

fn is_reached(field: &Field) -> bool {
    crate::kustomize::is_reached(field) && !field.object.kind.is_empty()
}

/// Returns whether an image has another digest than sha256. Older versions of kustomize, such as kubectl's, do not match it.
fn has_other_digest(image: &str) -> bool {
    ImageRef::parse(image).is_ok_and(|image| image.digest().is_some_and(|digest| !digest.starts_with("sha256:")))
}

impl Entry {
    /// Returns the reason why the entry would rename images differently than the rules.
    fn objection(&self, reached: &BTreeMap<(String, String), Place>) -> Option<String> {
        // kustomize reads the name as a regular expression.
        let tag_and_digest = "(:[a-zA-Z0-9_.{}-]*)?(@[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?";
        let found = Regex::new(&format!("^{}{tag_and_digest}$", self.name)).ok();
        let is_found = |image: &str| found.as_ref().is_some_and(|found| found.is_match(image));
        for ((image, result), Place { name, why_unchanged }) in reached {
            let is_meant =
                image.strip_prefix(&self.name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']));
            match is_found(image) {
                false if is_meant && image != result => {
                    return Some(
                        "kustomize reads the name as a regular expression, which does not match it".to_owned(),
                    );
                }
                true if image == result => {
                    return Some(format!(
                        "kustomize would also rename it at {name}, where it is unchanged ({why_unchanged})"
                    ));
                }
                true if !is_meant || *result != [&self.new_name, &image[self.name.len()..]].concat() => {
                    return Some(format!("kustomize would also rename it at {name}, where {image} becomes {result}"));
                }
                _ if image != result && is_found(result) => {
                    return Some(format!("kustomize would also rename {result}, the result for {image} at {name}"));
                }
                _ => {}
            }
        }
        None
    }
}

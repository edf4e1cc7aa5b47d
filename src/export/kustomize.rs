//! kustomize: a Component whose `images` rename what the rules rewrite in a tree of manifests.
//!
//! Facts about kustomize are of 5.8: `api/filters/imagetag` and `api/internal/image`.

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

/// The first line of what is printed, by which it is known again among the manifests.
pub const MARKER: &str = "# Made by `pullthrough export kustomize`: print it again when images come or go.";

/// The images of some manifests, by what the rules make of them and by how kustomize finds them.
#[derive(Debug)]
pub struct Tree<'p> {
    policy: &'p Policy,
    /// Of objects that name none.
    namespace: &'p str,
    known: Known,
    /// With what kustomize takes for images, and the rules do not know.
    everything: Known,
    /// The images of each file, and whether the rules know the place.
    files: Vec<(String, Vec<(Field, bool)>)>,
    kustomizations: Kustomizations,
    /// For each image and result that kustomize reaches, the first place.
    reached: BTreeMap<(String, String), Place>,
    omissions: BTreeSet<Omission>,
    /// The first place with an own entry of `images`.
    own_entry: Option<String>,
    /// Kubernetes objects that were read.
    objects: usize,
}

#[derive(Debug)]
struct Place {
    /// `FILE:LINE`.
    name: String,
    why_kept: &'static str,
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
    /// Where the text can't be read.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), Unreadable> {
        let manifest = Manifest::read(file, text, &self.known)?;
        self.objects += manifest.contents().objects;
        for unreadable in manifest.unreadable() {
            self.leave_out(format!("{file}:{}", unreadable.line), unreadable.message.clone());
        }
        if let Some(line) = manifest.template_line() {
            self.leave_out(format!("{file}:{line}"), "a template: what is rendered for `{{` is not known".to_owned());
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
            let why =
                format!("kustomize fails at {pointer} as soon as there are `images`, with or without this component");
            self.leave_out(format!("{file}:{line}"), why);
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

    /// What can't be looked at.
    pub fn leave_out(&mut self, what: String, why: String) {
        self.omissions.insert(Omission { what, why });
    }

    pub fn is_empty(&self) -> bool {
        self.files.iter().all(|(_, fields)| fields.is_empty())
    }

    /// Whether there was a Kubernetes object at all.
    pub fn has_objects(&self) -> bool {
        self.objects > 0
    }

    fn add_field(&mut self, name: String, field: &Field, is_known: bool, namespaces: &[Option<&Setting>]) {
        let image = &field.image;
        let is_reached = is_own_entry(field) || is_reached(field);
        let mut outcomes = namespaces.iter().map(|setting| (*setting, self.outcome(field, is_known, *setting)));
        let Some((_, (result, mut why_kept))) = outcomes.next() else { return };
        let other = outcomes.find(|(_, (other, _))| *other != result);
        let (result, why) = match other {
            Some((Some(Setting { namespace, place, cure }), _)) => {
                why_kept = "its namespace is not known";
                let why = format!("the rules go by its namespace, which {place} may set to `{namespace}`: {cure}");
                (image.clone(), Some(why))
            }
            _ if result != *image && !is_reached => {
                (result, Some(format!("kustomize's `images` don't reach {}", field.place)))
            }
            _ if result != *image && has_other_digest(image) => {
                (result, Some("kustomize before 5.8.2 finds images by no digest but sha256".to_owned()))
            }
            _ => (result, None),
        };
        if let Some(why) = why {
            self.leave_out(name.clone(), format!("`{image}` stays: {why}"));
        }
        if is_reached {
            self.reached.entry((image.clone(), result)).or_insert(Place { name, why_kept });
        }
    }

    /// What an image becomes in its own namespace or another, and why, if it stays.
    fn outcome(&self, field: &Field, is_known: bool, setting: Option<&Setting>) -> (String, &'static str) {
        if !is_known {
            return (field.image.clone(), "nothing in the rules file declares it under `manifests`");
        }
        let decision = match setting {
            None => field.decide(self.policy, self.namespace),
            Some(Setting { namespace, .. }) => {
                let object = Object { namespace: Some(namespace.clone()), ..Object::clone(&field.object) };
                Field { object: Arc::new(object), ..field.clone() }.decide(self.policy, self.namespace)
            }
        };
        let why_kept = decision.reason().map_or("", |reason| reason.as_str());
        match decision {
            Decision::Rewrite { result, .. } => (result, why_kept),
            _ => (field.image.clone(), why_kept),
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
                "{place} is an entry of `images` itself, and such come after `components`: list the component in a \
                 kustomization above it"
            )
        });
        Export { what: component, notes: above.into_iter().collect(), omissions: omissions.into_iter().collect() }
    }
}

/// What of the rules a Component can't do, whatever the images.
fn of_rules(policy: &Policy) -> BTreeSet<Omission> {
    let mut omissions = BTreeSet::new();
    // Each image is decided with the label that opts out, and each file that is not understood is an omission.
    let Settings { allow_opt_out: _, record_originals, when_not_understood: _ } = policy.settings();
    if record_originals {
        omissions.insert(Omission::field("recordOriginals", "kustomize's `images` only rename"));
    }
    // What an image becomes is decided by the whole rule.
    for Rule { name, matcher: _, except: _, namespaces: _, image_pull_secrets, mode } in policy.rules() {
        let mut add = |why: &str| omissions.insert(Omission::rule(name, why));
        if !image_pull_secrets.is_empty() {
            add("its `imagePullSecrets` are not added: kustomize's `images` only rename");
        }
        if *mode == Mode::Observe {
            add("it only observes: its images are left alone, and nothing reports them");
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

/// Those of older versions of kustomize, which kubectl has, look for no other.
fn has_other_digest(image: &str) -> bool {
    ImageRef::parse(image).is_ok_and(|image| image.digest().is_some_and(|digest| !digest.starts_with("sha256:")))
}

impl Entry {
    /// Why it would do anything but what the rules want.
    fn objection(&self, reached: &BTreeMap<(String, String), Place>) -> Option<String> {
        // The name is an expression there.
        let tag_and_digest = "(:[a-zA-Z0-9_.{}-]*)?(@[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?";
        let found = Regex::new(&format!("^{}{tag_and_digest}$", self.name)).ok();
        let is_found = |image: &str| found.as_ref().is_some_and(|found| found.is_match(image));
        for ((image, result), Place { name, why_kept }) in reached {
            let is_meant =
                image.strip_prefix(&self.name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']));
            match is_found(image) {
                false if is_meant && image != result => {
                    return Some("kustomize reads the name as a regular expression, and does not find it".to_owned());
                }
                true if image == result => {
                    return Some(format!("kustomize would rename it at {name}, too, where it stays ({why_kept})"));
                }
                true if !is_meant || *result != [&self.new_name, &image[self.name.len()..]].concat() => {
                    return Some(format!("kustomize would rename it at {name}, too, where {image} becomes {result}"));
                }
                _ if image != result && is_found(result) => {
                    return Some(format!("kustomize would rename {result}, which {image} becomes at {name}"));
                }
                _ => {}
            }
        }
        None
    }
}

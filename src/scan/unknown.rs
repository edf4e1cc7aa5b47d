//! Fields that look like images in objects of unknown kinds, by kind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::config::{is_group, is_kind};
use crate::manifest::{Declarable, Holder, InText, Lookalike};
use crate::words::count;

/// The number of places to keep for each kind.
const FEW_PLACES: usize = 3;
/// The number of files without Kubernetes objects to list.
const FEW_FILES: usize = 10;
/// The number of paths of split images in a declaration. With more, the path is one at any depth.
const FEW_PATHS: usize = 3;

/// Fields that look like images, by the kind of their objects.
#[derive(Debug, Clone, Default)]
pub struct Unknowns(BTreeMap<Subject, Unknown>);

/// Objects of one kind, or documents of files with one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Kind {
        group: String,
        kind: String,
    },
    /// Documents that are no Kubernetes objects, by the name of their file.
    File(String),
    /// Texts in documents, which may be manifests.
    Texts(InText),
}

/// The fields of one kind.
#[derive(Debug, Clone, Default)]
pub struct Unknown {
    pub objects: usize,
    pub fields: usize,
    /// The first places, as `FILE:LINE`.
    pub places: Vec<String>,
    declarable: BTreeSet<Declarable>,
    /// The name of the first file.
    file: String,
}

impl Unknowns {
    /// Adds the lookalikes of a file, in the order of its text.
    pub fn add(&mut self, file: &str, lookalikes: &[Lookalike]) {
        let mut last = None;
        for lookalike in lookalikes {
            let subject = Subject::of(file, lookalike);
            let unknown = self.0.entry(subject).or_default();
            if last.replace(&lookalike.object).is_none_or(|last| !Arc::ptr_eq(last, &lookalike.object)) {
                unknown.objects += 1;
            }
            unknown.fields += 1;
            if unknown.places.len() < FEW_PLACES {
                unknown.places.push(format!("{file}:{}", lookalike.line));
            }
            if unknown.file.is_empty() {
                unknown.file = name(file).to_owned();
            }
            unknown.declarable.extend(lookalike.declaration.clone());
        }
    }

    /// Adds the fields of later files.
    pub fn extend(&mut self, others: &Self) {
        for (subject, other) in &others.0 {
            let Unknown { objects, fields, places, declarable, file } = other;
            let unknown = self.0.entry(subject.clone()).or_default();
            unknown.objects += objects;
            unknown.fields += fields;
            let room = FEW_PLACES.saturating_sub(unknown.places.len());
            unknown.places.extend(places.iter().take(room).cloned());
            unknown.declarable.extend(declarable.iter().cloned());
            if unknown.file.is_empty() {
                unknown.file.clone_from(file);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns every kind and text, and the first files without Kubernetes objects, with the number of other files.
    pub fn shown(&self) -> (Vec<(&Subject, &Unknown)>, usize) {
        let (kinds, mut files): (Vec<_>, Vec<_>) =
            self.0.iter().partition(|(subject, _)| !matches!(subject, Subject::File(_)));
        let more = files.len().saturating_sub(FEW_FILES);
        files.truncate(FEW_FILES);
        (kinds.into_iter().chain(files).collect(), more)
    }

    /// Returns `2 objects of 1 unknown kind have fields that look like images`, and the same for documents and texts.
    pub fn totals(&self) -> Vec<String> {
        let sum = |is_wanted: fn(&Subject) -> bool| {
            let of_it = self.0.iter().filter(|(subject, _)| is_wanted(subject));
            of_it.fold((0, 0), |(subjects, objects), (_, unknown)| (subjects + 1, objects + unknown.objects))
        };
        let mut totals = Vec::new();
        let (kinds, objects) = sum(|subject| matches!(subject, Subject::Kind { .. }));
        if kinds > 0 {
            let (objects, have) = match objects {
                1 => ("1 object".to_owned(), "has"),
                many => (format!("{many} objects"), "have"),
            };
            let kinds = match kinds {
                1 => "1 unknown kind".to_owned(),
                many => format!("{many} unknown kinds"),
            };
            totals.push(format!("{objects} of {kinds} {have} fields that look like images"));
        }
        match sum(|subject| matches!(subject, Subject::File(_))) {
            (0, _) => {}
            (_, 1) => {
                totals.push("1 document that is not a Kubernetes object has fields that look like images".to_owned())
            }
            (_, many) => totals
                .push(format!("{many} documents that are not Kubernetes objects have fields that look like images")),
        }
        match sum(|subject| matches!(subject, Subject::Texts(_))) {
            (0, _) => {}
            (_, 1) => totals.push("1 text within a document has fields that look like images".to_owned()),
            (_, many) => totals.push(format!("{many} texts within documents have fields that look like images")),
        }
        totals
    }
}

impl Subject {
    fn of(file: &str, lookalike: &Lookalike) -> Self {
        let (api_version, kind) = (&lookalike.object.api_version, &lookalike.object.kind);
        match (api_version.as_str(), kind.as_str()) {
            _ if let Some(in_text) = lookalike.in_text => Self::Texts(in_text),
            ("", _) | (_, "") => Self::File(name(file).to_owned()),
            (_, kind) => Self::Kind { group: lookalike.object.group().to_owned(), kind: kind.to_owned() },
        }
    }
}

/// Formats as `RayCluster of ray.io`, or `values.yaml, not a Kubernetes object`.
impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Kind { group, kind } if group.is_empty() => write!(f, "{kind} of the core group"),
            Self::Kind { group, kind } => write!(f, "{kind} of {group}"),
            Self::File(name) if name == "-" => f.write_str("standard input, not a Kubernetes object"),
            Self::File(name) => write!(f, "{name}, not a Kubernetes object"),
            Self::Texts(in_text) => f.write_str(match in_text.holder {
                Holder::ConfigMap => "data of ConfigMaps",
                Holder::Secret => "data of Secrets",
                Holder::Annotation => "annotations",
                Holder::Field => "texts in other fields of objects",
                Holder::Document => "texts in documents that are not Kubernetes objects",
            }),
        }
    }
}

impl Unknown {
    /// Returns `3 fields of 2 objects look like images`.
    pub fn size(&self, subject: &Subject) -> String {
        let what = match subject {
            Subject::Kind { .. } => "object",
            Subject::File(_) => "document",
            Subject::Texts(_) => "text",
        };
        let objects = count(self.objects, what);
        match self.fields {
            1 => format!("1 field of {objects} looks like an image"),
            fields => format!("{fields} fields of {objects} look like images"),
        }
    }

    /// Returns `deploy/a.yaml:3, deploy/b.yaml:4 and 5 more`.
    pub fn whereabouts(&self) -> String {
        match self.fields - self.places.len() {
            0 => self.places.join(", "),
            more => format!("{} and {more} more", self.places.join(", ")),
        }
    }

    /// Returns the entry of `manifests` that declares the kind. `None` if no declaration supports it.
    pub fn declaration(&self, subject: &Subject) -> Option<String> {
        declaration(subject, &self.file, self.declarable.iter())
    }
}

/// Returns the declaration of one lookalike.
pub fn declaration_of(file: &str, lookalike: &Lookalike) -> Option<String> {
    declaration(&Subject::of(file, lookalike), name(file), lookalike.declaration.iter())
}

fn declaration<'d>(
    subject: &Subject,
    file: &str,
    declarable: impl Iterator<Item = &'d Declarable> + Clone,
) -> Option<String> {
    let whole: Vec<&str> =
        declarable.clone().filter(|field| !field.is_split).map(|field| field.path.as_str()).collect();
    let split = declarable.filter(|field| field.is_split);
    let is_few = split.clone().count() <= FEW_PATHS;
    let split: BTreeSet<&str> =
        split.map(|field| if is_few { field.path.as_str() } else { field.anywhere.as_str() }).collect();
    if whole.is_empty() && split.is_empty() {
        return None;
    }
    let list = |key: &str, paths: Vec<&str>| {
        if paths.is_empty() {
            String::new()
        } else {
            format!(", {key}: [{}]", paths.into_iter().map(quoted).collect::<Vec<_>>().join(", "))
        }
    };
    let subject = match subject {
        Subject::Kind { group, kind } if is_group(group) && is_kind(kind) => {
            format!("group: {}, kind: {}", quoted(group), quoted(kind))
        }
        _ => format!("files: [{}]", quoted(&globset::escape(file))),
    };
    Some(format!("{{{subject}{}{}}}", list("images", whole), list("splitImages", split.into_iter().collect())))
}

/// Quotes text as YAML and JSON do.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns the last component of a path.
fn name(file: &str) -> &str {
    Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or(file)
}

//! The kustomizations among the manifests: what each lists, the namespaces that it is built in, and the parts that are not read.
//!
//! Sources: `api/types/kustomization.go` and `api/internal/target/kusttarget.go` of kustomize 5.8.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::Omission;
use crate::engine::REWRITE_LABEL;
use crate::kustomize::plain;
use crate::manifest::KUSTOMIZATION_FILES;

/// The kustomizations of a tree and their relations. Paths contain no `.`, and `..` only at their start.
#[derive(Debug, Default)]
pub struct Kustomizations {
    by_folder: BTreeMap<PathBuf, Kustomization>,
    /// The folders of the kustomizations that list a file or folder. A kustomization lists itself.
    listed_by: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    lists: Vec<List>,
    read: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Kustomization {
    namespace: Option<Setting>,
    components: Vec<PathBuf>,
}

/// A kustomization's `namespace`, which kustomize sets on all objects that it builds.
#[derive(Debug)]
pub struct Setting {
    pub namespace: String,
    /// `FILE:LINE`.
    pub place: String,
    pub fix: String,
}

/// The entries of a kustomization under a key.
#[derive(Debug)]
struct List {
    /// `FILE:LINE`.
    place: String,
    key: String,
    /// Each as written, and its path.
    entries: Vec<(String, PathBuf)>,
    fix: String,
}

/// The keys of a mapping, with their lines.
#[derive(Debug, Default)]
struct Entries(Vec<(Spanned<String>, Value)>);

/// Keys that may add images, change images or what decides on them, or make kustomize read other fields. They are not read.
const UNREAD: [&str; 10] = [
    "configurations",
    "generators",
    "helmChartInflationGenerator",
    "helmCharts",
    "imageTags",
    "patches",
    "patchesJson6902",
    "patchesStrategicMerge",
    "replacements",
    "transformers",
];
const LABELS: [&str; 2] = ["commonLabels", "labels"];

impl Kustomizations {
    /// Adds a file. Returns the parts that are not read, if it is a kustomization.
    ///
    /// # Errors
    ///
    /// If the file has the name of a kustomization, and is not one.
    pub fn add(&mut self, file: &str, text: &str, allow_opt_out: bool) -> Result<Vec<Omission>, Omission> {
        let path = plain(Path::new(file));
        self.read.insert(path.clone());
        let mut omissions = Vec::new();
        if !path.file_name().is_some_and(|name| KUSTOMIZATION_FILES.iter().any(|known| name == *known)) {
            return Ok(omissions);
        }
        let Entries(entries) = entries(file, text)?;
        let folder = path.parent().unwrap_or(&path).to_owned();
        let fix = fix(&folder);
        let mut kustomization = Kustomization::default();
        let mut listed = vec![path];
        for (Spanned { value: key, defined, .. }, value) in entries {
            if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
                continue;
            }
            let place = format!("{file}:{}", defined.line());
            let named: Vec<(String, PathBuf)> =
                named(&value).map(|name| (name.to_owned(), plain(&folder.join(name)))).collect();
            let paths = named.iter().map(|(_, path)| path.clone());
            let is_opt_out =
                allow_opt_out && LABELS.contains(&key.as_str()) && value.to_string().contains(REWRITE_LABEL);
            if UNREAD.contains(&key.as_str()) || is_opt_out {
                // A patch is built in the namespace of its target.
                listed.extend(paths);
                let why = format!("`{key}` is not read: {fix}");
                omissions.push(Omission { what: place, why });
                continue;
            }
            match (key.as_str(), value.as_str()) {
                ("namespace", Some(namespace)) if !namespace.is_empty() => {
                    kustomization.namespace =
                        Some(Setting { namespace: namespace.to_owned(), place, fix: fix.clone() });
                }
                ("resources" | "bases" | "components", _) => {
                    if key == "components" {
                        kustomization.components.extend(paths.clone());
                    }
                    listed.extend(paths);
                    self.lists.push(List { place, key, entries: named, fix: fix.clone() });
                }
                _ => {}
            }
        }
        for path in listed {
            self.listed_by.entry(path).or_default().insert(folder.clone());
        }
        self.by_folder.insert(folder, kustomization);
        Ok(omissions)
    }

    /// Returns the entries that are listed and were not added.
    pub fn not_read(&self) -> impl Iterator<Item = Omission> {
        self.lists.iter().filter_map(|List { place, key, entries, fix }| {
            let is_read = |path: &PathBuf| self.read.contains(path) || self.by_folder.contains_key(path);
            let names: Vec<String> =
                entries.iter().filter(|(_, path)| !is_read(path)).map(|(name, _)| format!("`{name}`")).collect();
            let why = format!("`{key}` lists files that are not read: {}: {fix}", names.join(", "));
            (!names.is_empty()).then(|| Omission { what: place.clone(), why })
        })
    }

    /// Returns the namespaces in which the objects of a file may be built; `None` is the one in the object.
    pub fn namespaces(&self, file: &str) -> Vec<Option<&Setting>> {
        let Some(listed_by) = self.listed_by.get(&plain(Path::new(file))) else { return vec![None] };
        let keeps_own = listed_by.iter().any(|folder| self.settings(folder).is_empty());
        let above = closure(listed_by, |folder| self.listed_by.get(folder).into_iter().flatten());
        let set = above.into_iter().flat_map(|folder| self.settings(folder)).map(Some);
        keeps_own.then_some(None).into_iter().chain(set).collect()
    }

    /// Returns the settings of a kustomization and its components. A component's `namespace` applies to all that is built with it.
    fn settings(&self, folder: &PathBuf) -> Vec<&Setting> {
        let components = |folder| self.by_folder.get(folder).map_or(&[][..], |found| &found.components);
        let folders = closure([folder], |folder| components(folder).iter());
        folders.into_iter().filter_map(|folder| self.by_folder.get(folder)?.namespace.as_ref()).collect()
    }
}

/// Returns the reachable paths.
fn closure<'a, I: Iterator<Item = &'a PathBuf>>(
    start: impl IntoIterator<Item = &'a PathBuf>,
    next: impl Fn(&'a PathBuf) -> I,
) -> BTreeSet<&'a PathBuf> {
    let mut seen = BTreeSet::new();
    let mut left: Vec<&PathBuf> = start.into_iter().collect();
    while let Some(path) = left.pop() {
        if seen.insert(path) {
            left.extend(next(path));
        }
    }
    seen
}

fn fix(folder: &Path) -> String {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    format!("pipe `kustomize build {}` into `-`", folder.display())
}

fn entries(file: &str, text: &str) -> Result<Entries, Omission> {
    // The parser limits emitted comments to 32 in a row.
    let options = serde_saphyr::options! { emit_comments: false };
    let entries = serde_saphyr::from_str_with_options::<Option<Entries>>(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let why = "not a kustomization: kustomize reads one mapping without duplicate keys".to_owned();
        Omission { what: format!("{file}:{line}"), why }
    });
    Ok(entries?.unwrap_or_default())
}

/// Returns the files and folders in a list: its strings, and the `path` of its patches.
fn named(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().or_else(|| item.get("path")?.as_str()))
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Mapping;

        impl<'de> Visitor<'de> for Mapping {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Mapping)
    }
}

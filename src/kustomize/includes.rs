//! The files that a kustomization includes, by path.

use std::path::{Component, Path, PathBuf};

use crate::manifest::kustomization::Kustomization;

/// Returns the files and folders that a kustomization names.
pub fn includes(kustomization: &Kustomization) -> impl Iterator<Item = &str> {
    let Kustomization { resources, components, patches, transformers, .. } = kustomization;
    let patches = patches.iter().map(|(path, _)| path);
    resources.iter().chain(components).chain(transformers).chain(patches).map(String::as_str)
}

/// Removes `.` and `..` as far as possible.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => drop(plain.pop()),
            component => plain.push(component),
        }
    }
    plain
}

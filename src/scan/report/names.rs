//! The list of images for programs that fetch them, such as `k0s airgap`, hauler, skopeo and crane.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::is_placeholder;
use crate::scan::{Entry, FoundImage, NotCovered, Report, Use, Verdict};
use crate::words::first;

/// The number of images in a line before `and 5 more`.
const FEW: usize = 3;

/// Whose names a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    AsWritten,
    /// As nodes pull them if the rules are in use.
    Rewritten,
}

/// The images to fetch, each once.
#[derive(Debug, Default)]
pub struct Names<'r> {
    /// Valid references, sorted by their bytes.
    pub images: BTreeSet<&'r str>,
    omitted: BTreeMap<Omitted, BTreeSet<&'r str>>,
}

/// Why the list does not have an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Omitted {
    Invalid,
    Placeholder,
    /// Only nodes have it.
    Held,
}

impl<'r> Names<'r> {
    pub fn of(report: &'r Report, naming: Naming) -> Self {
        let mut names = Self::default();
        for entry in &report.entries {
            match omitted(&entry.finding) {
                Some(why) => drop(names.omitted.entry(why).or_default().insert(&entry.finding.image)),
                None => drop(names.images.insert(name(entry, naming))),
            }
        }
        // Runtimes report an image in use under more names than Pods have.
        if let Some(held) = names.omitted.get_mut(&Omitted::Held) {
            held.retain(|image| !names.images.contains(image));
        }
        names
    }

    /// Returns a line for each reason of an omission, with what to do.
    pub fn omissions(&self) -> impl Iterator<Item = String> {
        self.omitted.iter().filter(|(_, images)| !images.is_empty()).map(|(why, images)| {
            let shown: Vec<String> = images.iter().take(FEW).map(|image| super::words::image(image)).collect();
            let shown = first(FEW, &shown, images.len());
            let (what, fix) = match why {
                Omitted::Invalid => ("not an image reference", "fix it where it is written"),
                Omitted::Placeholder => {
                    ("a placeholder", "another component sets the image; scan a cluster to find it")
                }
                Omitted::Held => ("only on nodes, and in no Pod or template", "add it by hand if a node needs it"),
            };
            format!("{shown}: {what}; {fix}")
        })
    }
}

fn omitted(finding: &FoundImage) -> Option<Omitted> {
    match finding {
        FoundImage { image, .. } if is_placeholder(image) => Some(Omitted::Placeholder),
        FoundImage { repository: None, .. } => Some(Omitted::Invalid),
        FoundImage { in_use: Use::Held, not_covered, .. } if *not_covered != Some(NotCovered::SandboxImage) => {
            Some(Omitted::Held)
        }
        FoundImage { .. } => None,
    }
}

fn name(entry: &Entry, naming: Naming) -> &str {
    let FoundImage { image, verdict, not_covered, .. } = &entry.finding;
    match (naming, verdict, not_covered) {
        (Naming::Rewritten, Some(Verdict::Rewrite { result, .. }), None) => result,
        _ => image,
    }
}

//! Predicts what kustomize builds from the files of a run, so that building first and rewriting later gives the same images as
//! rewriting first and building later.
//!
//! Where kustomizations rename an image, the image and the entries that name it change together. If that would build an image
//! that the rules do not want, both stay unchanged, and the run reports it.

mod build;

mod entry;
mod includes;
mod outside;
mod tree;

use std::collections::{HashMap, HashSet};

use self::build::Build;
pub use self::includes::plain;
pub use self::outside::Outside;
use self::tree::Tree;
pub use self::tree::{everything, is_reached};
use crate::engine::{Policy, Reason};
use crate::files::Source;
use crate::manifest::Known;

/// The changes of images and entries that kustomizations use.
#[derive(Debug, Default)]
pub struct Plan {
    /// By the name of the source, and by document and pointer.
    verdicts: HashMap<String, HashMap<(usize, String), Verdict>>,
    /// The names of sources that kustomizations only put into ConfigMaps and Secrets as text.
    data: HashSet<String>,
    /// Builds that are wrong alone, but right where another kustomization includes them.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Write {
        rule: String,
        result: String,
    },
    /// No change is needed, for this reason in the namespace of the build.
    Keep(Option<Reason>),
    /// The image has no host, and a kustomization outside the files may rename it.
    ShortName,
    /// A kustomization that must not change renames it.
    Named,
    /// The rules want a change that is not supported.
    Refused {
        after: String,
        why: String,
    },
    /// It stays unchanged, which is right where it is included.
    InStep,
    /// A kustomization puts its file into a ConfigMap or Secret as text.
    Data,
}

/// The options for trees of kustomizations.
#[derive(Debug, Clone, Copy)]
pub struct TreeOptions<'o> {
    pub policy: &'o Policy,
    pub known: &'o Known,
    /// The namespace of objects that name none.
    pub namespace: &'o str,
    /// Don't edit kustomizations.
    pub no_kustomize: bool,
    /// Also rewrite images without a host that a kustomization outside the files may rename.
    pub rewrite_short_names: bool,
}

impl Plan {
    /// Reads the kustomizations among the sources, and the files that they include.
    pub fn new(sources: &[Source], outside: &Outside, options: TreeOptions) -> Self {
        let tree = Tree::read(sources, outside, options);
        if tree.nodes.is_empty() {
            return Self::default();
        }
        let data = tree.data.iter().map(|&source| sources[source].name.clone()).collect();
        Self { data, ..Build::new(&tree, options).plan(sources) }
    }

    pub fn verdict(&self, source: &str, document: usize, pointer: &str) -> Option<&Verdict> {
        if self.data.contains(source) {
            return Some(&Verdict::Data);
        }
        self.verdicts.get(source)?.get(&(document, pointer.to_owned()))
    }
}

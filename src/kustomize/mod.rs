//! What kustomize would build of the files of a run, so that building first and rewriting then gives the same images as
//! rewriting first and building then.
//!
//! Where kustomizations rename an image, the image and the entries that name it are changed in step. Where that would not give
//! what the rules want of something that is built, both stay, and that is reported.

mod build;

mod entry;
mod outside;
mod tree;

use std::collections::{HashMap, HashSet};

use self::build::Build;
pub use self::outside::Outside;
use self::tree::Tree;
pub use self::tree::{everything, is_reached, plain};
use crate::engine::{Policy, Reason};
use crate::files::Source;
use crate::manifest::Known;

/// What is done with images and entries that kustomizations have to do with.
#[derive(Debug, Default)]
pub struct Plan {
    /// By the name of the source, then by document and pointer.
    verdicts: HashMap<String, HashMap<(usize, String), Verdict>>,
    /// The names of sources that kustomizations put into ConfigMaps and Secrets as they are, and include nowhere.
    data: HashSet<String>,
    /// What is not what the rules want where it is built alone, but is where it is used.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Write {
        rule: String,
        result: String,
    },
    /// Nothing has to change, for the reason that the rules give in the namespace of what is built.
    Keep(Option<Reason>),
    /// It has no host, and a kustomization that is not among the files may rename it.
    ShortName,
    /// A kustomization renames it that is not to be edited.
    Named,
    /// It would have to change, and can't.
    Refused {
        after: String,
        why: String,
    },
    /// It does not change, which is right where it is used.
    InStep,
    /// It is in a file that a kustomization puts into a ConfigMap or Secret as a text.
    Data,
}

/// How kustomizations are to be treated.
#[derive(Debug, Clone, Copy)]
pub struct Options<'o> {
    pub policy: &'o Policy,
    pub known: &'o Known,
    /// Of objects that name none.
    pub namespace: &'o str,
    /// Don't edit kustomizations.
    pub no_kustomize: bool,
    /// Also rewrite images without a host that a kustomization elsewhere may rename.
    pub rewrite_short_names: bool,
}

impl Plan {
    /// Reads the kustomizations among the sources, and what they include.
    pub fn new(sources: &[Source], outside: &Outside, options: Options) -> Self {
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

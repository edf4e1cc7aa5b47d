//! Resolves the paths of a rules file in a document.

use super::pointer::Step;
use super::tree::{Content, Document, Id};
use crate::engine::declared::{Path, Segment};

/// Returns the nodes of a path below a node, through aliases and merges.
pub(super) fn query(path: &Path, document: &Document, root: Id, pointer: &str) -> Vec<Hit> {
    let start = Hit { node: root, parent: None, pointer: pointer.to_owned(), path: String::from("$") };
    path.segments()
        .iter()
        .fold(vec![start], |hits, segment| hits.iter().flat_map(|hit| hit.select(document, segment)).collect())
}

/// A node of a path.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub node: Id,
    /// The node that contains it.
    pub parent: Option<Id>,
    pub pointer: String,
    /// The path to this node alone.
    pub path: String,
}

impl Hit {
    fn child(&self, node: Id, step: Step) -> Self {
        let (mut pointer, mut path) = (self.pointer.clone(), self.path.clone());
        step.add_to_pointer(&mut pointer);
        step.add_to_path(&mut path);
        Self { node, parent: Some(self.node), pointer, path }
    }

    fn select(&self, document: &Document, segment: &Segment) -> Vec<Self> {
        match segment {
            Segment::Name(name) => {
                document.get(self.node, name).map(|node| self.child(node, Step::Key(name))).into_iter().collect()
            }
            Segment::Index(index) => document
                .items(self.node)
                .and_then(|mut items| items.nth(*index))
                .map(|node| self.child(node, Step::Index(*index)))
                .into_iter()
                .collect(),
            Segment::All => self.children(document),
            Segment::Filter { name, value } => {
                let text = |hit: &Self| document.get(hit.node, name).and_then(|node| document.string(node));
                self.children(document).into_iter().filter(|hit| text(hit) == Some(value.as_str())).collect()
            }
            Segment::Descendant(name) => {
                let mut hits = Vec::new();
                let mut unread = vec![self.clone()];
                while let Some(hit) = unread.pop() {
                    hits.extend(document.get(hit.node, name).map(|node| hit.child(node, Step::Key(name))));
                    unread.extend(hit.children(document).into_iter().rev());
                }
                hits
            }
        }
    }

    fn children(&self, document: &Document) -> Vec<Self> {
        self.entries(document).into_iter().map(|(hit, _)| hit).collect()
    }

    /// Returns the children, with the key of each in a mapping.
    pub fn entries<'d>(&self, document: &'d Document) -> Vec<(Self, Option<&'d str>)> {
        let target = document.target(self.node);
        match document.node(target).content {
            Content::Sequence => document
                .children(target)
                .enumerate()
                .map(|(index, node)| (self.child(node, Step::Index(index)), None))
                .collect(),
            Content::Mapping => document
                .entries(target)
                .into_iter()
                .map(|entry| (self.child(entry.value, Step::Key(entry.name)), Some(entry.name)))
                .collect(),
            Content::Scalar { .. } | Content::Alias(_) => Vec::new(),
        }
    }
}

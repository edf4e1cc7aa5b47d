//! Finds all places in a document that read the same node through aliases.

use std::ops::Range;

use super::pointer::Step;
use super::tree::{Content, Document, Id};

/// A place that reads a node.
#[derive(Debug)]
pub(super) struct Use {
    pub pointer: String,
    /// The offset of the node's text.
    pub offset: usize,
    /// The nearest alias on the path.
    pub alias: Option<Range<usize>>,
}

/// A node to visit.
struct Unread<'d> {
    node: Id,
    /// Bytes of the pointer to its parent.
    parent: usize,
    step: Option<Step<'d>>,
    alias: Option<Id>,
}

/// Returns every use of the given nodes, except in fields that the API server does not know.
pub(super) fn of(document: &Document, counts: &dyn Fn(Id) -> bool) -> Vec<(Id, Use)> {
    let Some(root) = document.root() else { return Vec::new() };
    let mut uses = Vec::new();
    let mut pointer = String::new();
    let mut unread = vec![Unread { node: root, parent: 0, step: None, alias: None }];
    while let Some(Unread { node, parent, step, alias }) = unread.pop() {
        pointer.truncate(parent);
        if let Some(step) = step {
            step.add_to_pointer(&mut pointer);
        }
        let target = document.target(node);
        let alias = if target == node { alias } else { Some(node) };
        let span = |id: Id| document.node(id).span.clone();
        let mut add = |id: Id| {
            if counts(id) {
                let used = Use { pointer: pointer.clone(), offset: span(node).start, alias: alias.map(span) };
                uses.push((id, used));
            }
        };
        add(target);
        if target != node {
            add(node);
        }
        let parent = pointer.len();
        let first = unread.len();
        match document.node(target).content {
            Content::Sequence => unread.extend(document.children(target).enumerate().map(|(index, node)| Unread {
                node,
                parent,
                step: Some(Step::Index(index)),
                alias,
            })),
            Content::Mapping => {
                let entries = document.entries(target).into_iter();
                let known = entries.filter(|entry| target != root || !is_unknown(document, root, entry.name));
                unread.extend(known.map(|entry| Unread {
                    node: entry.value,
                    parent,
                    step: Some(Step::Key(entry.name)),
                    alias: entry.merge.or(alias),
                }));
            }
            Content::Scalar { .. } | Content::Alias(_) => {}
        }
        unread[first..].reverse();
    }
    uses
}

/// Returns whether a field exists only for its anchors. The API server drops it.
fn is_unknown(document: &Document, root: Id, key: &str) -> bool {
    const KNOWN: [&str; 7] = ["apiVersion", "kind", "metadata", "spec", "status", "template", "items"];
    let text = |key| document.get(root, key).and_then(|node| document.string(node)).unwrap_or_default();
    let is_built_in = || {
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        !api_version.is_empty() && super::pods::path(group, kind).is_some()
    };
    key.starts_with("x-") || (!KNOWN.contains(&key) && is_built_in())
}

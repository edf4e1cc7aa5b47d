//! A document as nodes with their place in the text, read as the API server reads it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::resolve::{self, Resolved};

/// A node by its position in [`Document::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u32);

/// One document. Its nodes stand in the order of the text, children behind their parent.
#[derive(Debug, Default)]
pub(super) struct Document<'t> {
    nodes: Vec<Node<'t>>,
    pub has_aliases: bool,
}

#[derive(Debug)]
pub(super) struct Node<'t> {
    pub content: Content<'t>,
    /// Bytes of the text: a scalar with its quotes, of a block scalar the lines alone, of an alias its token.
    pub span: Range<usize>,
    /// Inside of `[…]` or `{…}`, or one of these itself.
    pub in_flow: bool,
    /// The position behind the last of its children.
    end: u32,
}

#[derive(Debug)]
pub(super) enum Content<'t> {
    Scalar { value: Cow<'t, str>, style: Style, tag: Tag },
    Sequence,
    Mapping,
    Alias(Id),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// Literal or folded.
    Block,
}

/// What a tag makes of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// None: its style and its text tell.
    Absent,
    String,
    /// A number, a boolean, null, binary data.
    NoString,
}

/// A key of a mapping, as it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'d> {
    pub name: &'d str,
    pub value: Id,
    /// The alias through which it was merged.
    pub merge: Option<Id>,
}

impl<'t> Document<'t> {
    /// Nothing where the document is empty.
    pub fn root(&self) -> Option<Id> {
        (!self.nodes.is_empty()).then_some(Id(0))
    }

    /// Adds a node behind all others; a collection must be closed.
    pub fn push(&mut self, content: Content<'t>, span: Range<usize>, in_flow: bool) -> Id {
        let id = Id(position(self.nodes.len()));
        self.has_aliases |= matches!(content, Content::Alias(_));
        self.nodes.push(Node { content, span, in_flow, end: id.0 + 1 });
        id
    }

    /// What follows is no child of the collection.
    pub fn close(&mut self, id: Id) {
        let end = position(self.nodes.len());
        if let Some(node) = self.nodes.get_mut(id.index()) {
            node.end = end;
        }
    }

    /// Of a text that begins so many bytes into another one.
    pub fn shifted(mut self, bytes: usize) -> Self {
        for Node { span, .. } in &mut self.nodes {
            *span = span.start + bytes..span.end + bytes;
        }
        self
    }

    pub fn node(&self, id: Id) -> &Node<'t> {
        &self.nodes[id.index()]
    }

    /// The node itself, or what an alias stands for.
    pub fn target(&self, id: Id) -> Id {
        match self.node(id).content {
            Content::Alias(target) => target,
            _ => id,
        }
    }

    /// The items of a sequence, or keys and values of a mapping in turn.
    pub fn children(&self, id: Id) -> impl Iterator<Item = Id> {
        let end = self.node(id).end;
        let mut next = id.0 + 1;
        std::iter::from_fn(move || {
            let child = Id(next);
            (next < end).then(|| next = self.node(child).end)?;
            Some(child)
        })
    }

    /// Keys and values as they are written, merges among them.
    pub fn pairs(&self, id: Id) -> impl Iterator<Item = (Id, Id)> {
        let mut children = self.children(id);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    pub fn items(&self, id: Id) -> Option<impl Iterator<Item = Id>> {
        let id = self.target(id);
        matches!(self.node(id).content, Content::Sequence).then(|| self.children(id))
    }

    pub fn is_mapping(&self, id: Id) -> bool {
        matches!(self.node(self.target(id)).content, Content::Mapping)
    }

    /// The text of a scalar, whatever its type.
    pub fn scalar(&self, id: Id) -> Option<&str> {
        match &self.node(self.target(id)).content {
            Content::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The text of a scalar that is a string.
    pub fn string(&self, id: Id) -> Option<&str> {
        match &self.node(self.target(id)).content {
            Content::Scalar { value, style, tag } => {
                (resolve::resolve(value, *style, *tag) == Resolved::String).then_some(value)
            }
            _ => None,
        }
    }

    pub fn is_null(&self, id: Id) -> bool {
        match &self.node(self.target(id)).content {
            Content::Scalar { value, style, tag } => resolve::resolve(value, *style, *tag) == Resolved::Null,
            _ => false,
        }
    }

    pub fn is_merge_key(&self, key: Id) -> bool {
        matches!(
            &self.node(key).content,
            Content::Scalar { value, style: Style::Plain, tag: Tag::Absent } if value == "<<"
        )
    }

    /// The value of a key. The last counts, and what is merged counts where it stands (go-yaml v2, `decoder.mapping`).
    pub fn get(&self, mapping: Id, key: &str) -> Option<Id> {
        let mapping = self.target(mapping);
        if !matches!(self.node(mapping).content, Content::Mapping) {
            return None;
        }
        self.pairs(mapping).fold(None, |found, (name, value)| match self.is_merge_key(name) {
            true => self.merged(value).find_map(|merged| self.get(merged, key)).or(found),
            false if self.scalar(name) == Some(key) => Some(value),
            false => found,
        })
    }

    pub fn at(&self, mapping: Id, path: &[&str]) -> Option<Id> {
        path.iter().try_fold(mapping, |node, key| self.get(node, key))
    }

    /// The mappings that a merge key's value names, the first of which wins.
    fn merged(&self, value: Id) -> impl Iterator<Item = Id> {
        let list = matches!(self.node(value).content, Content::Sequence).then(|| self.children(value));
        let single = list.is_none().then_some(value);
        single.into_iter().chain(list.into_iter().flatten())
    }

    /// Each key that counts, once, with its value.
    pub fn entries(&self, mapping: Id) -> Vec<Entry<'_>> {
        let mut entries = Vec::new();
        self.add_entries(mapping, None, &mut entries);
        // Most mappings are small, and a table for each costs more than it saves.
        if entries.len() <= FEW_ENTRIES {
            return unique_of_few(entries);
        }
        // The last of each name, in the order of the first.
        let mut positions = HashMap::new();
        let mut unique: Vec<Entry> = Vec::with_capacity(entries.len());
        for entry in entries {
            let position = *positions.entry(entry.name).or_insert(unique.len());
            match unique.get_mut(position) {
                Some(earlier) => *earlier = entry,
                None => unique.push(entry),
            }
        }
        unique
    }

    fn add_entries<'d>(&'d self, mapping: Id, merge: Option<Id>, entries: &mut Vec<Entry<'d>>) {
        for (name, value) in self.pairs(self.target(mapping)) {
            if self.is_merge_key(name) {
                let merged: Vec<Id> = self.merged(value).collect();
                for mapping in merged.into_iter().rev() {
                    let merge = if self.target(mapping) == mapping { merge } else { Some(mapping) };
                    self.add_entries(mapping, merge, entries);
                }
            } else if let Some(name) = self.scalar(name) {
                entries.push(Entry { name, value, merge });
            }
        }
    }
}

/// Entries that are compared with each other.
const FEW_ENTRIES: usize = 16;

/// As [`Document::entries`] does it for more.
fn unique_of_few(entries: Vec<Entry>) -> Vec<Entry> {
    let mut unique: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        match unique.iter_mut().find(|earlier| earlier.name == entry.name) {
            Some(earlier) => *earlier = entry,
            None => unique.push(entry),
        }
    }
    unique
}

impl Id {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The reader refuses texts of 4 GiB and more.
fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

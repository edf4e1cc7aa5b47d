//! A document as nodes with their position in the text, read as the API server reads it.

use std::collections::HashMap;
use std::ops::Range;

use super::pointer::Step;
use super::resolve::{self, Resolved, Style, Tag};

/// A node, by its index in [`Document::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u32);

/// One document. Its nodes are in the order of the text, children after their parent.
#[derive(Debug)]
pub(super) struct Document<'t> {
    text: &'t str,
    /// The number of bytes before `text` in the whole.
    base: usize,
    nodes: Vec<Packed>,
    /// The values of scalars whose source differs from their value. They are in order, like the targets of aliases.
    values: Vec<(Id, Box<str>)>,
    aliases: Vec<(Id, Id)>,
}

/// A stored node. A document has about one for each 7 bytes.
#[derive(Debug, Clone, Copy)]
struct Packed {
    start: u32,
    /// The end of a scalar or an alias in the text. For a collection, the index after its last descendant.
    end: u32,
    kind: Kind,
    in_flow: bool,
}

const _: () = assert!(size_of::<Packed>() == 12);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Whether the value is in [`Document::values`].
    Scalar(Style, Tag, bool),
    Sequence,
    Mapping,
    Alias,
}

#[derive(Debug)]
pub(super) struct Node<'d> {
    pub content: Content<'d>,
    /// The bytes of the text: a scalar with its quotes, the lines of a block scalar, the token of an alias, the start of a
    /// collection.
    pub span: Range<usize>,
    /// The node is in `[…]` or `{…}`, or is one of these.
    pub in_flow: bool,
}

#[derive(Debug)]
pub(super) enum Content<'d> {
    Scalar { value: &'d str, style: Style, tag: Tag },
    Sequence,
    Mapping,
    Alias(Id),
}

/// A key of a mapping, with its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'d> {
    pub name: &'d str,
    pub value: Id,
    /// The alias through which it was merged.
    pub merge: Option<Id>,
}

impl<'t> Document<'t> {
    /// Returns an empty document of a text.
    pub fn new(text: &'t str) -> Self {
        Self { text, base: 0, nodes: Vec::new(), values: Vec::new(), aliases: Vec::new() }
    }

    /// Returns the root, or `None` for an empty document.
    pub fn root(&self) -> Option<Id> {
        (!self.nodes.is_empty()).then_some(Id(0))
    }

    pub fn has_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// Adds a node after all others. Collections must be closed.
    pub fn push(&mut self, content: Content, span: Range<usize>, in_flow: bool) -> Id {
        let id = Id(position(self.nodes.len()));
        let (start, end) = (position(span.start), position(span.end));
        let (kind, end) = match content {
            Content::Scalar { value, style, tag } => {
                let is_other = self.text.get(inner(&span, style)) != Some(value);
                if is_other {
                    self.values.push((id, value.into()));
                }
                (Kind::Scalar(style, tag, is_other), end)
            }
            Content::Sequence => (Kind::Sequence, id.0 + 1),
            Content::Mapping => (Kind::Mapping, id.0 + 1),
            Content::Alias(target) => {
                self.aliases.push((id, target));
                (Kind::Alias, end)
            }
        };
        self.nodes.push(Packed { start, end, kind, in_flow });
        id
    }

    /// Closes a collection: later nodes are not its children.
    pub fn close(&mut self, id: Id) {
        let end = position(self.nodes.len());
        if let Some(node) = self.nodes.get_mut(id.index()) {
            node.end = end;
        }
    }

    /// Sets the offset of the text in the whole.
    pub fn shifted(self, bytes: usize) -> Self {
        Self { base: self.base + bytes, ..self }
    }

    pub fn node(&self, id: Id) -> Node<'_> {
        let Packed { start, end, kind, in_flow } = self.nodes[id.index()];
        let (start, end) = (start as usize, end as usize);
        let (content, end) = match kind {
            Kind::Scalar(style, tag, is_other) => {
                let value = if is_other {
                    found(&self.values, id).map_or("", |value| value)
                } else {
                    self.text.get(inner(&(start..end), style)).unwrap_or_default()
                };
                (Content::Scalar { value, style, tag }, end)
            }
            Kind::Sequence => (Content::Sequence, start),
            Kind::Mapping => (Content::Mapping, start),
            Kind::Alias => (Content::Alias(self.target(id)), end),
        };
        Node { content, span: self.base + start..self.base + end, in_flow }
    }

    fn kind(&self, id: Id) -> Kind {
        self.nodes[id.index()].kind
    }

    /// Returns the node, or the target of an alias.
    pub fn target(&self, id: Id) -> Id {
        match self.kind(id) {
            Kind::Alias => found(&self.aliases, id).copied().unwrap_or(id),
            _ => id,
        }
    }

    /// Returns the items of a sequence, or the keys and values of a mapping in turn.
    pub fn children(&self, id: Id) -> impl Iterator<Item = Id> {
        let (mut next, end) = (id.0 + 1, self.after(id));
        std::iter::from_fn(move || {
            let child = Id(next);
            (next < end).then(|| next = self.after(child))?;
            Some(child)
        })
    }

    /// Passes on each value below a node, in the order of the text, with the steps to it. It omits merged values, and the
    /// nodes below keys.
    pub fn walk<'d>(&'d self, root: Id, mut each: impl FnMut(Id, &[Step<'d>])) {
        let (mut steps, mut open): (Vec<Step>, Vec<(Id, u32)>) = (Vec::new(), Vec::new());
        let mut at = root;
        loop {
            each(at, &steps);
            if matches!(self.kind(at), Kind::Sequence | Kind::Mapping) {
                open.push((at, at.0 + 1));
                steps.push(Step::Index(0));
            }
            let Some(next) = self.next_value(&mut steps, &mut open) else { return };
            at = next;
        }
    }

    /// Returns the next value of the open collections. Each has the index of its next node.
    fn next_value<'d>(&'d self, steps: &mut Vec<Step<'d>>, open: &mut Vec<(Id, u32)>) -> Option<Id> {
        while let Some((collection, next)) = open.last_mut() {
            let (first, end) = (collection.0 + 1, self.after(*collection));
            let is_mapping = self.kind(*collection) == Kind::Mapping;
            if *next >= end {
                open.pop();
                steps.pop();
                continue;
            }
            let step = steps.last_mut()?;
            let mut value = Id(*next);
            if is_mapping {
                let key = value;
                value = Id(self.after(key));
                *next = self.after(value);
                match self.scalar(key).filter(|_| !self.is_merge_key(key)) {
                    Some(name) => *step = Step::Key(name),
                    None => continue,
                }
            } else {
                *next = self.after(value);
                if let (Step::Index(index), true) = (&mut *step, value.0 > first) {
                    *index += 1;
                }
            }
            return Some(value);
        }
        None
    }

    /// Returns the index after a node and its descendants.
    fn after(&self, id: Id) -> u32 {
        match self.kind(id) {
            Kind::Sequence | Kind::Mapping => self.nodes[id.index()].end,
            Kind::Scalar(..) | Kind::Alias => id.0 + 1,
        }
    }

    /// Returns keys and values as written, with merge keys.
    pub fn pairs(&self, id: Id) -> impl Iterator<Item = (Id, Id)> {
        let mut children = self.children(id);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    pub fn items(&self, id: Id) -> Option<impl Iterator<Item = Id>> {
        let id = self.target(id);
        (self.kind(id) == Kind::Sequence).then(|| self.children(id))
    }

    pub fn is_mapping(&self, id: Id) -> bool {
        self.kind(self.target(id)) == Kind::Mapping
    }

    /// Returns the text of a scalar of any type.
    pub fn scalar(&self, id: Id) -> Option<&str> {
        match self.node(self.target(id)).content {
            Content::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Returns the text of a scalar that is a string.
    pub fn string(&self, id: Id) -> Option<&str> {
        match self.node(self.target(id)).content {
            Content::Scalar { value, style, tag } => {
                (resolve::resolve(value, style, tag) == Resolved::String).then_some(value)
            }
            _ => None,
        }
    }

    pub fn is_null(&self, id: Id) -> bool {
        match self.node(self.target(id)).content {
            Content::Scalar { value, style, tag } => resolve::resolve(value, style, tag) == Resolved::Null,
            _ => false,
        }
    }

    pub fn is_merge_key(&self, key: Id) -> bool {
        matches!(self.kind(key), Kind::Scalar(Style::Plain, Tag::Absent, _)) && self.scalar(key) == Some("<<")
    }

    /// Returns the value of a key. The last one counts. A merge counts at its position (go-yaml v2, `decoder.mapping`).
    pub fn get(&self, mapping: Id, key: &str) -> Option<Id> {
        let mapping = self.target(mapping);
        if self.kind(mapping) != Kind::Mapping {
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

    /// Returns the mappings of a merge key's value. The first one has precedence.
    fn merged(&self, value: Id) -> impl Iterator<Item = Id> {
        let list = (self.kind(value) == Kind::Sequence).then(|| self.children(value));
        let single = list.is_none().then_some(value);
        single.into_iter().chain(list.into_iter().flatten())
    }

    /// Returns each effective key once, with its value.
    pub fn entries(&self, mapping: Id) -> Vec<Entry<'_>> {
        let mut entries = Vec::new();
        self.add_entries(mapping, None, &mut entries);
        // Most mappings are small, and a table for each would cost more than it saves.
        if entries.len() <= FEW_ENTRIES {
            return unique_of_few(entries);
        }
        // The last entry of each name, in the order of the first.
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

/// The number of entries that are compared pairwise.
const FEW_ENTRIES: usize = 16;

/// Like [`Document::entries`], for larger mappings.
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

/// Returns the position of a scalar's value in the text, without quotes.
fn inner(span: &Range<usize>, style: Style) -> Range<usize> {
    match style {
        Style::Plain | Style::Block => span.clone(),
        Style::SingleQuoted | Style::DoubleQuoted => span.start + 1..span.end.saturating_sub(1),
    }
}

/// Looks up a node in a sorted table.
fn found<T>(table: &[(Id, T)], id: Id) -> Option<&T> {
    let position = table.binary_search_by_key(&id, |&(id, _)| id).ok()?;
    Some(&table[position].1)
}

/// Converts an index to 32 bits. The reader rejects longer texts.
pub(super) fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

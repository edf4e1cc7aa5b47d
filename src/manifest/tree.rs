//! A document as nodes with their place in the text, read as the API server reads it.

use std::collections::HashMap;
use std::ops::Range;

use super::pointer::Step;
use super::resolve::{self, Resolved};

/// A node by its position in [`Document::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u32);

/// One document. Its nodes stand in the order of the text, children behind their parent.
#[derive(Debug)]
pub(super) struct Document<'t> {
    text: &'t str,
    /// Bytes before `text`, where that is a part of a whole.
    base: usize,
    nodes: Vec<Packed>,
    /// The values of scalars that read as something else than what is written. In order, like the targets of aliases.
    values: Vec<(Id, Box<str>)>,
    aliases: Vec<(Id, Id)>,
}

/// A node as it is stored. A document has about one for each 7 bytes.
#[derive(Debug, Clone, Copy)]
struct Packed {
    start: u32,
    /// Where a scalar or an alias ends in the text; of a collection the position behind the last of its children.
    end: u32,
    kind: Kind,
    in_flow: bool,
}

const _: () = assert!(size_of::<Packed>() == 12);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With whether its value is in [`Document::values`].
    Scalar(Style, Tag, bool),
    Sequence,
    Mapping,
    Alias,
}

#[derive(Debug)]
pub(super) struct Node<'d> {
    pub content: Content<'d>,
    /// Bytes of the text: a scalar with its quotes, of a block scalar the lines alone, of an alias its token, of a collection
    /// where it starts.
    pub span: Range<usize>,
    /// Inside of `[…]` or `{…}`, or one of these itself.
    pub in_flow: bool,
}

#[derive(Debug)]
pub(super) enum Content<'d> {
    Scalar { value: &'d str, style: Style, tag: Tag },
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
    /// An empty document of a text.
    pub fn new(text: &'t str) -> Self {
        Self { text, base: 0, nodes: Vec::new(), values: Vec::new(), aliases: Vec::new() }
    }

    /// Nothing where the document is empty.
    pub fn root(&self) -> Option<Id> {
        (!self.nodes.is_empty()).then_some(Id(0))
    }

    pub fn has_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// Adds a node behind all others; a collection must be closed.
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

    /// What follows is no child of the collection.
    pub fn close(&mut self, id: Id) {
        let end = position(self.nodes.len());
        if let Some(node) = self.nodes.get_mut(id.index()) {
            node.end = end;
        }
    }

    /// Of a text that begins so many bytes into another one.
    pub fn shifted(self, bytes: usize) -> Self {
        Self { base: self.base + bytes, ..self }
    }

    pub fn node(&self, id: Id) -> Node<'_> {
        let Packed { start, end, kind, in_flow } = self.nodes[id.index()];
        let (start, end) = (start as usize, end as usize);
        let (content, end) = match kind {
            Kind::Scalar(style, tag, is_other) => {
                let value = match is_other {
                    true => found(&self.values, id).map_or("", |value| value),
                    false => self.text.get(inner(&(start..end), style)).unwrap_or_default(),
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

    /// The node itself, or what an alias stands for.
    pub fn target(&self, id: Id) -> Id {
        match self.kind(id) {
            Kind::Alias => found(&self.aliases, id).copied().unwrap_or(id),
            _ => id,
        }
    }

    /// The items of a sequence, or keys and values of a mapping in turn.
    pub fn children(&self, id: Id) -> impl Iterator<Item = Id> {
        let (mut next, end) = (id.0 + 1, self.after(id));
        std::iter::from_fn(move || {
            let child = Id(next);
            (next < end).then(|| next = self.after(child))?;
            Some(child)
        })
    }

    /// Gives each value below a node, in the order of the text, with the steps to it. What is merged, and what keys have below
    /// them, is left out.
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

    /// The next value of the collections that are open, each with the position of what follows in it.
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

    /// The position behind a node and all that is below it.
    fn after(&self, id: Id) -> u32 {
        match self.kind(id) {
            Kind::Sequence | Kind::Mapping => self.nodes[id.index()].end,
            Kind::Scalar(..) | Kind::Alias => id.0 + 1,
        }
    }

    /// Keys and values as they are written, merges among them.
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

    /// The text of a scalar, whatever its type.
    pub fn scalar(&self, id: Id) -> Option<&str> {
        match self.node(self.target(id)).content {
            Content::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The text of a scalar that is a string.
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

    /// The value of a key. The last counts, and what is merged counts where it stands (go-yaml v2, `decoder.mapping`).
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

    /// The mappings that a merge key's value names, the first of which wins.
    fn merged(&self, value: Id) -> impl Iterator<Item = Id> {
        let list = (self.kind(value) == Kind::Sequence).then(|| self.children(value));
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

/// Where the value of a scalar is written, if it is written as it reads.
fn inner(span: &Range<usize>, style: Style) -> Range<usize> {
    match style {
        Style::Plain | Style::Block => span.clone(),
        Style::SingleQuoted | Style::DoubleQuoted => span.start + 1..span.end.saturating_sub(1),
    }
}

/// What a sorted table has for a node.
fn found<T>(table: &[(Id, T)], id: Id) -> Option<&T> {
    let position = table.binary_search_by_key(&id, |&(id, _)| id).ok()?;
    Some(&table[position].1)
}

/// Of a byte or a node in 32 bits, since the reader refuses longer texts.
pub(super) fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

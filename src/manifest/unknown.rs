//! Objects of unknown kinds: their container lists, and other fields that look like images.

use std::sync::Arc;

use super::declared::split_image;
use super::extra::Extra;
use super::found::Found;
use super::lookalike::{Suspect, declarable, is_image, is_name, path};
use super::objects::Header;
use super::path::Hit;
use super::pointer::{Step, below};
use super::tree::{Content, Document, Entry, Id};
use super::{Object, pods};
use crate::engine::{Entries, List};

/// Keys of objects that have no images below them, but texts that may look like one.
const TEXTS: [&str; 5] = ["metadata", "labels", "annotations", "matchLabels", "openAPIV3Schema"];
/// Keys of the object itself, likewise.
const OF_ROOT: [&str; 3] = ["apiVersion", "kind", "status"];

/// A walk over an object of an unknown kind, or over a document that is no object.
pub(super) struct Walk<'d, 't> {
    pub document: &'d Document<'t>,
    pub header: &'d Header,
    pub number: usize,
    /// Container lists count as images. They do so only in objects.
    pub with_lists: bool,
    /// Other fields that look like images are collected.
    pub with_suspects: bool,
}

/// A node to visit.
struct Unread<'d> {
    node: Id,
    parent: Option<Id>,
    /// Steps to its parent.
    depth: usize,
    step: Option<Step<'d>>,
}

impl<'d> Walk<'d, '_> {
    /// Adds the images of container lists: for example `containers`, with `image` beside `name`. Returns the fields that look
    /// like images, including these.
    pub fn look(&self, extra: &Extra, found: &mut Vec<Found>) -> Vec<Suspect> {
        let object = Arc::new(self.header.object(self.document, self.number));
        let (document, root) = (self.document, self.header.root);
        let mut suspects = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        let mut unread = vec![Unread { node: root, parent: None, depth: 0, step: None }];
        while let Some(Unread { node, parent, depth, step }) = unread.pop() {
            steps.truncate(depth);
            steps.extend(step);
            let target = document.target(node);
            let depth = steps.len();
            let start = unread.len();
            match document.node(target).content {
                Content::Sequence => unread.extend(document.children(target).enumerate().map(|(index, node)| Unread {
                    node,
                    parent: None,
                    depth,
                    step: Some(Step::Index(index)),
                })),
                Content::Mapping => {
                    let mut entries = document.entries(target);
                    if self.with_lists && entries.iter().any(|entry| self.is_container_list(entry)) {
                        let state = parent.map(|pod| pods::state(document, pod)).unwrap_or_default();
                        let object = Arc::new(Object { state, ..Object::clone(&object) });
                        pods::of_spec(document, target, &below(&self.header.pointer, &steps), &object, extra, found);
                    }
                    if self.with_suspects {
                        self.suspects(&steps, target, &entries, &object, &mut suspects);
                    }
                    let is_text = |key: &str| TEXTS.contains(&key) || (target == root && OF_ROOT.contains(&key));
                    entries.retain(|entry| !is_text(entry.name));
                    unread.extend(entries.into_iter().map(|entry| Unread {
                        node: entry.value,
                        parent: Some(target),
                        depth,
                        step: Some(Step::Key(entry.name)),
                    }));
                }
                Content::Scalar { .. } | Content::Alias(_) => {}
            }
            unread[start..].reverse();
        }
        suspects
    }

    fn suspects(
        &self,
        steps: &[Step],
        mapping: Id,
        entries: &[Entry],
        object: &Arc<Object>,
        suspects: &mut Vec<Suspect>,
    ) {
        let has = |key: &str| entries.iter().any(|entry| entry.name == key);
        if has("repository") && (has("tag") || has("digest")) {
            suspects.extend(self.split(steps, mapping, object));
        }
        // An image of a Ceph block device.
        if has("monitors") {
            return;
        }
        for entry in entries.iter().filter(|entry| is_name(entry.name)) {
            let Some(image) = self.document.string(entry.value).filter(|text| is_image(text)) else { continue };
            let is_part = ["registry", "repository"].iter().any(|key| self.string(mapping, key).is_some());
            let steps = [steps, &[Step::Key(entry.name)]].concat();
            suspects.push(Suspect {
                object: Arc::clone(object),
                node: entry.value,
                pointer: below(&self.header.pointer, &steps),
                path: path(&steps),
                declaration: (!is_part).then(|| declarable(&steps, false)),
                image: image.to_owned(),
            });
        }
    }

    /// A mapping with `repository` beside `tag` or `digest`.
    fn split(&self, steps: &[Step], node: Id, object: &Arc<Object>) -> Option<Suspect> {
        let hit = Hit { node, parent: None, pointer: below(&self.header.pointer, steps), path: path(steps) };
        let found = split_image(self.document, hit, object).filter(|found| is_image(&found.image))?;
        let slot = found.slots.into_iter().next()?;
        Some(Suspect {
            object: found.object,
            node: slot.node,
            pointer: slot.pointer,
            path: found.place,
            declaration: Some(declarable(steps, true)),
            image: found.image,
        })
    }

    fn is_container_list(&self, entry: &Entry) -> bool {
        let mut lists = List::ALL.into_iter().filter(|list| list.entries() == Entries::Containers);
        let is_container = |item| ["name", "image"].iter().all(|key| self.string(item, key).is_some());
        lists.any(|list| list.as_str() == entry.name)
            && self.document.items(entry.value).is_some_and(|mut items| items.any(is_container))
    }

    fn string(&self, mapping: Id, key: &str) -> Option<&str> {
        self.document.get(mapping, key).and_then(|node| self.document.string(node))
    }
}

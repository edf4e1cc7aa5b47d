//! Declarations for the containers of an object.

use std::sync::Arc;

use super::found::{Found, Shape, Slot};
use super::objects::Header;
use super::pointer::{Step, below};
use super::tree::{Document, Id};
use super::{Known, Object};
use crate::engine::declared::{Declaration, Subject};

/// Returns the declarations for an object: those of the rules file, or else those of the catalogue.
pub(super) fn of_header<'k>(known: &'k Known, header: &Header) -> Vec<&'k Declaration> {
    let mut declarations: Vec<&Declaration> =
        known.declared.iter().filter(|declaration| declaration.is_of(header.group(), &header.kind)).collect();
    if declarations.is_empty() {
        declarations.extend(known.catalogue.of(header));
    }
    declarations
}

/// The fields of containers beside `image`.
#[derive(Debug)]
pub(super) struct Extra<'k>(pub Vec<&'k Declaration>);

impl<'k> Extra<'k> {
    pub fn of(known: &'k Known, header: &Header) -> Self {
        let of_any = known.declared.iter().chain(known.catalogue.others());
        let of_any = of_any.filter(|declaration| matches!(declaration.subject, Subject::AnyKind));
        Self(of_header(known, header).into_iter().chain(of_any).collect())
    }

    /// Adds the images in the arguments and variables of a container.
    pub fn images(
        &self,
        document: &Document,
        container: Id,
        place: &str,
        pointer: &str,
        object: &Arc<Object>,
        found: &mut Vec<Found>,
    ) {
        let mut add = |key: &str, name: &str, node: Id, steps: &[Step], shape: Shape| {
            let prefix = if let Shape::Flag { prefix } = &shape { prefix.as_str() } else { "" };
            let Some(image) = document.string(node).and_then(|text| text.strip_prefix(prefix)) else { return };
            found.push(Found {
                object: Arc::clone(object),
                place: format!("{place}/{key}/{name}"),
                image: image.to_owned(),
                pull_never: false,
                shape,
                slots: vec![Slot { node, pointer: below(pointer, steps) }],
            });
        };
        let list = |key| document.get(container, key).and_then(|list| document.items(list)).into_iter().flatten();
        let is_flag = |text: &&str| text.starts_with('-');
        let flags = || self.0.iter().flat_map(|declaration| &declaration.args);
        for key in ["command", "args"].into_iter().filter(|_| flags().next().is_some()) {
            let mut before = None;
            for (index, node) in list(key).enumerate() {
                let steps = [Step::Key(key), Step::Index(index)];
                let text = document.string(node);
                let flag = before.filter(is_flag).and_then(|before| flags().find(|flag| *flag == before));
                if let Some(flag) = flag {
                    add(key, flag, node, &steps, Shape::Whole);
                } else if let Some((name, _)) = text.filter(is_flag).and_then(|text| text.split_once('='))
                    && flags().any(|flag| flag == name)
                {
                    add(key, name, node, &steps, Shape::Flag { prefix: format!("{name}=") });
                }
                before = text;
            }
        }
        let globs = || self.0.iter().flat_map(|declaration| &declaration.env);
        for (index, variable) in list("env").enumerate().filter(|_| globs().next().is_some()) {
            let Some(name) = document.get(variable, "name").and_then(|node| document.string(node)) else { continue };
            let Some(value) = document.get(variable, "value") else { continue };
            if globs().any(|glob| glob.is_match(name)) {
                let steps = [Step::Key("env"), Step::Index(index), Step::Key("value")];
                add("env", name, value, &steps, Shape::Whole);
            }
        }
    }
}

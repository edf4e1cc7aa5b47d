//! Finds the images of a document by the kinds of its objects.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;

use super::class::Class;
use super::extra::Extra;
use super::lookalike::remove_found;
use super::objects::{self, Header, Origin, is_schema};
use super::path::Hit;
use super::seen::Seen;
use super::tree::Document;
use super::unknown::Walk;
use super::{Known, declared, kustomize, pods, texts};

/// Like [`look`], with all objects of a List together.
pub(super) fn look_at_all(document: &Document, origin: Origin, known: &Known) -> Seen {
    let mut seen = Seen::default();
    let rest = look(document, origin, known, &mut |item| seen.append(item));
    seen.append(rest);
    seen
}

/// Finds every image of a document, and fields that look like one. `item` receives the findings of each object of a List,
/// since those of a long List take several times the memory of its text. The rest is returned.
pub(super) fn look(document: &Document, origin: Origin, known: &Known, item: &mut dyn FnMut(Seen)) -> Seen {
    let mut seen = Seen::default();
    let Some(root) = document.root().filter(|&root| !document.is_null(root)) else { return seen };
    let is_declared = declared::is_file(known, origin.file);
    // Aliases lead from one object to another, and declarations of a document may match in any.
    let is_whole = document.has_aliases() || declared::is_document(document, root, origin, known);
    for header in objects::objects(document, root) {
        object(document, &header, origin, known, is_declared, 0, &mut seen);
        seen.texts.extend(texts::of(document, &header, origin.document));
        if header.root != root && !is_whole {
            item(mem::take(&mut seen));
        }
    }
    let mut whole = Seen::default();
    if document.is_mapping(root) && declared::of_document(document, root, origin, known, &mut whole) {
        seen.objects = seen.objects.max(1);
        seen.is_other = false;
    }
    remove_found(&mut seen.suspects, &whole.found);
    seen.append(Seen { objects: 0, is_other: false, ..whole });
    let found: HashSet<&str> = seen.found.iter().flat_map(|found| &found.slots).map(|slot| &*slot.pointer).collect();
    seen.texts.retain(|text| !found.contains(&*text.pointer));
    seen
}

/// The depth of objects in objects that are read.
const MAX_DEPTH: usize = 4;

fn object(
    document: &Document,
    header: &Header,
    origin: Origin,
    known: &Known,
    is_declared: bool,
    depth: usize,
    seen: &mut Seen,
) {
    let is_object = !header.api_version.is_empty() && !header.kind.is_empty();
    let class = if is_object { Class::of(header) } else { Class::Unknown };
    if class == Class::Own {
        return;
    }
    let (first_found, first_suspect) = (seen.found.len(), seen.suspects.len());
    let extra = Extra::of(known, header);
    if let Some(path) = pods::path(header.group(), &header.kind).filter(|_| is_object) {
        pods::images(document, header, path, origin.document, &extra, &mut seen.found);
    }
    let mut is_whole = true;
    for Hit { node, pointer, .. } in declared::of_kind(document, header, origin.document, known, seen) {
        // Deeper objects are reported as lookalikes.
        if depth == MAX_DEPTH {
            is_whole = false;
        } else {
            let inner = objects::header(document, node, pointer, "", "");
            object(document, &inner, origin, known, is_declared, depth + 1, seen);
        }
    }
    let is_kustomization = header.pointer.is_empty() && kustomize::is_kustomization(header, origin.file);
    if is_kustomization && !known.without_kustomize {
        let object = Arc::new(kustomize::object(document, header, origin.document));
        kustomize::images(document, header, &object, &mut seen.found);
    }
    match is_object || is_kustomization {
        _ if depth > 0 => {}
        true => seen.objects += 1,
        false => seen.is_other = true,
    }
    if class == Class::Unknown && !is_kustomization && !is_schema(document, header) {
        let is_declared = is_declared || (is_whole && declared::is_of_rules_file(known, header));
        let walk =
            Walk { document, header, number: origin.document, with_lists: is_object, with_suspects: !is_declared };
        let mut suspects = walk.look(&extra, &mut seen.found);
        remove_found(&mut suspects, &seen.found[first_found..]);
        let reported: HashSet<String> =
            seen.suspects[first_suspect..].iter().map(|suspect| suspect.pointer.clone()).collect();
        seen.suspects.extend(suspects.into_iter().filter(|suspect| !reported.contains(&suspect.pointer)));
    }
}

//! Images of Pods and of Pod templates.

use std::sync::Arc;

use super::Object;
use super::extra::Extra;
use super::found::{Found, Shape, Slot};
use super::objects::Header;
use super::pointer::{Step, below};
use super::tree::{Document, Id};
use crate::engine::{
    Entries, List, MIRROR_ANNOTATION, Place, PodKind, PodState, REWRITE_DISABLED, REWRITE_LABEL, Workload,
};

/// The paths of PodSpecs in the built-in kinds, in any version of their group.
pub(super) fn path(group: &str, kind: &str) -> Option<&'static [&'static str]> {
    PodKind::of(group, kind).map(|kind| kind.pod_spec)
}

/// Adds the images of the PodSpec at a path below an object.
pub(super) fn images(
    document: &Document,
    header: &Header,
    path: &[&str],
    number: usize,
    extra: &Extra,
    found: &mut Vec<Found>,
) {
    let Some(spec) = document.at(header.root, path) else { return };
    let Some((_, parents)) = path.split_last() else { return };
    let pod = document.at(header.root, parents);
    let state = pod.map_or_else(PodState::default, |pod| state(document, pod));
    let workload = pod.and_then(|pod| workload(document, header, pod));
    let object = Arc::new(Object { state, workload, ..header.object(document, number) });
    let steps: Vec<Step> = path.iter().map(|key| Step::Key(key)).collect();
    of_spec(document, spec, &below(&header.pointer, &steps), &object, extra, found);
}

/// Returns the reason that keeps all images of a Pod, or of a template's Pods, unchanged.
pub(super) fn state(document: &Document, pod: Id) -> PodState {
    let metadata = |path: &[&str]| {
        let node = document.at(document.get(pod, "metadata")?, path)?;
        document.scalar(node).filter(|_| !document.is_null(node))
    };
    PodState {
        deleting: metadata(&["deletionTimestamp"]).is_some(),
        mirror: metadata(&["annotations", MIRROR_ANNOTATION]).is_some(),
        opted_out: metadata(&["labels", REWRITE_LABEL]) == Some(REWRITE_DISABLED),
        // An operator creates its Pods in the cluster alone.
        operator_managed: false,
    }
}

/// Returns the workload of a Pod, or of the Pods with a template. `pod` is the Pod or the template.
fn workload(document: &Document, header: &Header, pod: Id) -> Option<Workload<'static>> {
    let text = |root: Id, path: &[&str]| document.at(root, path).and_then(|node| document.string(node));
    let not_empty = |path: &[&str]| text(header.root, path).filter(|text| !text.is_empty()).map(str::to_owned);
    let of = |kind: &str, name: String| {
        let label = |key: &str| text(pod, &["metadata", "labels", key]).map(|value| value.to_owned().into());
        Workload::of_controller(kind.to_owned().into(), name.into(), label)
    };
    if PodKind::of(header.group(), &header.kind)?.controls_pods() {
        return Some(of(&header.kind, not_empty(&["metadata", "name"])?));
    }
    if header.root != pod {
        return None;
    }
    let owners = document.at(pod, &["metadata", "ownerReferences"]).and_then(|owners| document.items(owners));
    let is_controller =
        |owner: &Id| document.get(*owner, "controller").and_then(|node| document.scalar(node)) == Some("true");
    match owners.into_iter().flatten().find(is_controller) {
        Some(owner) => Some(of(text(owner, &["kind"])?, text(owner, &["name"])?.to_owned())),
        None => {
            Some(Workload::new("Pod", not_empty(&["metadata", "generateName"]).or(not_empty(&["metadata", "name"]))?))
        }
    }
}

/// Adds the images of a PodSpec.
pub(super) fn of_spec(
    document: &Document,
    spec: Id,
    pointer: &str,
    object: &Arc<Object>,
    extra: &Extra,
    found: &mut Vec<Found>,
) {
    for list in List::ALL {
        let Some(items) = document.get(spec, list.as_str()).and_then(|items| document.items(items)) else { continue };
        for (index, item) in items.enumerate() {
            let string = |path: &[&str]| document.at(item, path).and_then(|node| document.string(node));
            let name = string(&["name"]).unwrap_or_default().into();
            let place = Place { list, index, name }.to_string();
            let pointer = below(pointer, &[Step::Key(list.as_str()), Step::Index(index)]);
            let path = list.entries().image();
            if let Some(node) = document.at(item, path)
                && let Some(image) = document.string(node)
            {
                let steps: Vec<Step> = path.iter().map(|key| Step::Key(key)).collect();
                found.push(Found {
                    object: Arc::clone(object),
                    place: place.clone(),
                    image: image.to_owned(),
                    pull_never: string(list.entries().pull_policy()) == Some("Never"),
                    shape: Shape::Whole,
                    slots: vec![Slot { node, pointer: below(&pointer, &steps) }],
                });
            }
            if list.entries() == Entries::Containers {
                extra.images(document, item, &place, &pointer, object, found);
            }
        }
    }
}

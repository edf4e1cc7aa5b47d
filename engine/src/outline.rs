//! Whether an update that can't be understood may change an image.

use super::json::{Raw, Read, object};

object! {
    struct Outline<'a> {
        spec: Option<Raw<'a>> = "spec",
    }
}

object! {
    struct Head<'a> {
        metadata: Option<Raw<'a>> = "metadata",
    }
}

object! {
    struct Deletion<'a> {
        timestamp: Option<Raw<'a>> = "deletionTimestamp",
    }
}

/// Returns whether an update may change an image. It does not if the specs are the same byte for byte, as when a finalizer
/// is removed, or if the object is being deleted. An unreadable spec may change.
pub(super) fn may_change_an_image(object: Option<&Raw>, old_object: Option<&Raw>) -> bool {
    let is_as_it_was = spec(object).is_some_and(|new| spec(old_object) == Some(new));
    // The API server rejects an update that adds or removes the timestamp.
    !is_as_it_was && !is_being_deleted(object) && !is_being_deleted(old_object)
}

fn spec<'a>(object: Option<&Raw<'a>>) -> Option<Option<&'a str>> {
    read::<Outline>(object).map(|outline| outline.spec.map(|spec| spec.text()))
}

fn is_being_deleted(object: Option<&Raw>) -> bool {
    let metadata = read::<Head>(object).and_then(|head| head.metadata);
    read::<Deletion>(metadata.as_ref()).is_some_and(|deletion| deletion.timestamp.is_some())
}

fn read<'a, T: Read<'a>>(value: Option<&Raw<'a>>) -> Option<T> {
    value?.parse().ok()
}

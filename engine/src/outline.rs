//! Whether an update that can't be understood may change an image.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::object;

object! {
    struct Outline<'a> {
        spec: Option<&'a RawValue> = "spec",
    }
}

object! {
    struct Head<'a> {
        metadata: Option<&'a RawValue> = "metadata",
    }
}

object! {
    struct Deletion<'a> {
        timestamp: Option<&'a RawValue> = "deletionTimestamp",
    }
}

/// Returns whether an update may change an image. It does not if the specs are the same byte for byte, as when a finalizer
/// is removed, or if the object is being deleted. An unreadable spec may change.
pub(super) fn may_change_an_image(object: Option<&RawValue>, old_object: Option<&RawValue>) -> bool {
    let spec = |object| read::<Outline>(object).map(|outline| outline.spec.map(RawValue::get));
    let is_being_deleted = |object| {
        let metadata = read::<Head>(object).and_then(|head| head.metadata);
        read::<Deletion>(metadata).is_some_and(|deletion| deletion.timestamp.is_some())
    };
    let is_as_it_was = spec(object).is_some_and(|new| spec(old_object) == Some(new));
    // The API server rejects an update that adds or removes the timestamp.
    !is_as_it_was && !is_being_deleted(object) && !is_being_deleted(old_object)
}

fn read<'a, T: Deserialize<'a>>(value: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(value?.get()).ok()
}

//! What a request may cost.

use memchr::memmem;

/// Bytes of an object that etcd takes at most (`--max-request-bytes`).
pub const STORED_BYTES: usize = 1536 << 10;

/// Images of one object at most. The API server stores no Pod with more: the smallest entry with an image, an image volume,
/// takes 22 bytes of [`STORED_BYTES`] on average. It has 23 with a name of three characters, and only 1,332 names are
/// shorter.
pub const MAX_IMAGES: usize = STORED_BYTES / 22;

/// Bytes of all images of one object and of their names, which are among [`STORED_BYTES`].
pub(super) const MAX_IMAGES_BYTES: usize = STORED_BYTES;

/// Bytes of a patch in JSON; a third more in base64. The API server could not store what a larger one gives. The shortest
/// image with a host has 5 bytes, so it takes 27 of [`STORED_BYTES`], and 76 of the patch. That makes 4.3 MiB; the annotation
/// with the originals has 256 KiB, half of which may be quotes that are escaped.
pub const MAX_PATCH_BYTES: usize = 5 << 20;

/// Bytes of a request's `uid`, which is echoed. The API server's is a UUID of 36.
pub const MAX_UID_BYTES: usize = 256;

/// Bytes of an image that is read as a reference. A host name has at most 253, a path 255, a tag 128, a digest 135: no runtime
/// pulls a longer one.
pub const MAX_REFERENCE_BYTES: usize = 4 << 10;

/// Bytes of a string, with its escapes, that is decoded. Nothing that is compared or shown as a whole is longer.
pub(super) const MAX_TEXT_BYTES: usize = 6 * MAX_REFERENCE_BYTES;

/// Levels of objects and lists in a body that is large enough for their number to matter. Go's decoder takes no more
/// (`encoding/json`), so neither does the API server.
pub(super) const MAX_DEPTH: usize = 10_000;
pub(super) const LARGE_BYTES: usize = 256 << 10;

/// The most memory that [`answer`](super::answer()) holds at any time beside this body, its result included.
///
/// - What carries no image takes none, but for a byte for each level that is open.
/// - The images and names of both objects, and the annotation with the originals, are decoded where they have escapes.
/// - An image is in an object of its own.
/// - An image that is rewritten has a key, `image`, of which a letter may be escaped. The new image is as long as the old
///   one and `to`, is in the patch once more, and the patch in JSON and in base64.
///
/// `tests/memory` measures it.
pub fn memory_bytes(body: &[u8]) -> usize {
    // In a string, as in an annotation that has JSON, the quote of the first key would be escaped.
    let objects =
        body.iter().zip(&body[1.min(body.len())..]).filter(|&(&byte, &next)| byte == b'{' && next != b'\\').count();
    let keys = memmem::find_iter(body, r#""image""#).count() + memmem::find_iter(body, r"\u006").count();
    memory_bytes_of(body.len(), objects, keys)
}

/// The most that [`memory_bytes`] can be for a body of this size: an image takes at least the 3 bytes of `{},`, and one that
/// is rewritten the 14 of `{"image":"a"},`.
pub const fn most_memory_bytes(body_bytes: usize) -> usize {
    memory_bytes_of(body_bytes, body_bytes / 3, body_bytes / 14)
}

const fn memory_bytes_of(body_bytes: usize, images: usize, rewritten: usize) -> usize {
    let images = least(images, MAX_IMAGES);
    let rewritten = least(rewritten, images);
    let patch_bytes = least(body_bytes + rewritten * REWRITTEN_BYTES, MAX_PATCH_BYTES);
    let depth_bytes = 3 * least(body_bytes, LARGE_BYTES);
    let text_bytes = least(body_bytes, 2 * MAX_IMAGES_BYTES) + 8 * least(body_bytes, ORIGINALS_BYTES);
    CONSTANT_BYTES
        + text_bytes
        + images * IMAGE_BYTES
        + rewritten * ALLOCATION_BYTES
        + patch_bytes * 10 / 3
        + depth_bytes
}

const fn least(one: usize, other: usize) -> usize {
    if one < other { one } else { other }
}

/// Of the new and of the old object together: a [`Site`](super::Site) in each, one of them in a list that doubles while it is
/// read. The decision is made when neither grows any more.
const IMAGE_BYTES: usize = 4 * size_of::<super::Site>();
/// The longest `to` of a result (255 bytes), `library/`, and the operation around it.
const REWRITTEN_BYTES: usize = 255 + 8 + 71;
/// What an allocator adds.
const ALLOCATION_BYTES: usize = 16;
/// The annotation with the originals, which is read into a map.
const ORIGINALS_BYTES: usize = 256 << 10;
/// The audit annotation, warnings, and the fields of the envelope.
const CONSTANT_BYTES: usize = 512 << 10;

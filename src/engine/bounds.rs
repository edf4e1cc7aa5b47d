//! What a request may cost.

/// Images of one object at most. The API server stores no Pod with more: etcd takes 1.5 MiB at a time
/// (`--max-request-bytes`), and the smallest entry with an image, an image volume, takes 22 bytes of it on average. It has 23
/// with a name of three characters, and only 1,332 names are shorter.
pub const MAX_IMAGES: usize = (1536 << 10) / 22;

/// Bytes of a patch in JSON, 12 MiB in base64. The API server could not store what a larger one gives: 1.5 MiB are all images
/// together, [`MAX_IMAGES`] operations have up to 71 bytes beside the image, and the annotation with the originals has
/// 256 KiB, each of which may be an escape of 6.
pub const MAX_PATCH_BYTES: usize = 9 << 20;

/// Bytes of a request's `uid`, which is echoed. The API server's is a UUID of 36.
pub const MAX_UID_BYTES: usize = 256;

/// Bytes of an image that is read as a reference. A host name has at most 253, a path 255, a tag 128, a digest 135: no runtime
/// pulls a longer one.
pub const MAX_REFERENCE_BYTES: usize = 4 << 10;

/// Levels of objects and lists in a body that is large enough for their number to matter. Go's decoder takes no more
/// (`encoding/json`), so neither does the API server.
pub(super) const MAX_DEPTH: usize = 10_000;
pub(super) const LARGE_BYTES: usize = 1 << 20;

/// The most memory that [`answer`](super::answer()) holds at any time beside a body of so many bytes, its result included.
///
/// - Strings with escapes are decoded, and no longer than in the body.
/// - Each image takes [`IMAGE_BYTES`]. In the body it takes at least the 3 bytes of `{},`, and both objects may have the most.
/// - The names of the cache's images are in the patch too. The patch is written once in JSON, and once in base64.
/// - What is skipped takes a byte for each level.
///
/// `tests/memory` measures it.
pub const fn memory_bytes(body_bytes: usize) -> usize {
    let images = if body_bytes / 3 < 2 * MAX_IMAGES { body_bytes / 3 } else { 2 * MAX_IMAGES };
    let patch_bytes =
        if images * MAX_IMAGE_PATCH_BYTES < MAX_PATCH_BYTES { images * MAX_IMAGE_PATCH_BYTES } else { MAX_PATCH_BYTES };
    let depth_bytes = if body_bytes < LARGE_BYTES { 3 * body_bytes } else { 3 * LARGE_BYTES };
    CONSTANT_BYTES + body_bytes + images * IMAGE_BYTES + 4 * patch_bytes + depth_bytes
}

/// The site in a list that doubles as it grows, and the decision.
const IMAGE_BYTES: usize = 3 * 72 + 136;
/// The name of the cache's image, the JSON around it, and what an allocation takes.
const MAX_IMAGE_PATCH_BYTES: usize = 1024;
/// Audit annotation, warnings, the annotation with the originals, and the reader's own.
const CONSTANT_BYTES: usize = 4 << 20;

//! Bounds on the memory of a request.

use memchr::memmem;

use super::bounds::{MAX_IMAGES, MAX_IMAGES_BYTES, MAX_PATCH_BYTES};
use super::pod::Site;

/// Returns the most memory that [`answer`](super::answer()) uses at any time beside this body, with its result, in bytes.
///
/// - Fields without an image take none.
/// - The images and names of both objects, and the annotation with the originals, are decoded if they have escapes.
/// - Each image is in an object of its own.
/// - A rewritten image has a key, `image`, of which a letter may be escaped. The new image is as long as the old one and
///   `to` together. The patch has it once more, in JSON and in base64 at the same time.
///
/// `tests/memory` measures it.
pub fn memory_bytes(body: &[u8]) -> usize {
    // In a string, such as an annotation with JSON, the quote of the first key would be escaped.
    let objects = count_pairs(body, |byte, next| byte == b'{' && next != b'\\');
    let keys = memmem::find_iter(body, r#""image""#).count() + memmem::find_iter(body, r"\u006").count();
    memory_bytes_of(body.len(), objects, keys)
}

/// Counts the pairs of neighbours that `matches`. Sums of one byte let the compiler compare 16 pairs at a time or more.
fn count_pairs(text: &[u8], matches: impl Fn(u8, u8) -> bool) -> usize {
    const PAIRS: usize = 240;
    let nexts = text.get(1..).unwrap_or_default();
    let count = |(bytes, nexts): (&[u8], &[u8])| {
        bytes.iter().zip(nexts).map(|(&byte, &next)| u8::from(matches(byte, next))).sum::<u8>()
    };
    text.chunks(PAIRS).zip(nexts.chunks(PAIRS)).map(count).map(usize::from).sum()
}

/// Returns the most that [`memory_bytes`] can be for a body of this size, in bytes. An image takes at least the 3 bytes of
/// `{},`, and a rewritten one the 14 of `{"image":"a"},`.
pub const fn most_memory_bytes(body_bytes: usize) -> usize {
    memory_bytes_of(body_bytes, body_bytes / 3, body_bytes / 14)
}

const fn memory_bytes_of(body_bytes: usize, images: usize, rewritten: usize) -> usize {
    let images = least(images, MAX_IMAGES);
    let rewritten = least(rewritten, images);
    let patch_bytes = least(body_bytes + rewritten * REWRITTEN_BYTES, MAX_PATCH_BYTES);
    let text_bytes = least(body_bytes, 2 * MAX_IMAGES_BYTES) + 8 * least(body_bytes, ORIGINALS_BYTES);
    CONSTANT_BYTES + text_bytes + images * IMAGE_BYTES + rewritten * ALLOCATION_BYTES + patch_bytes * 10 / 3
}

const fn least(one: usize, other: usize) -> usize {
    if one < other { one } else { other }
}

/// Bytes of an image in both objects: a [`Site`] in each, one of them in a list that doubles while it is read. The
/// decision is made when neither grows any more.
const IMAGE_BYTES: usize = 4 * size_of::<Site>();
/// Bytes of the longest `to` of a result (255), `library/`, and the operation around it.
const REWRITTEN_BYTES: usize = 255 + 8 + 71;
/// Bytes that an allocator adds.
const ALLOCATION_BYTES: usize = 16;
/// Bytes of the annotation with the originals, which is read into a map.
const ORIGINALS_BYTES: usize = 256 << 10;
/// Bytes of the audit annotation, warnings, names that images would have, and the fields of the envelope.
const CONSTANT_BYTES: usize = 512 << 10;

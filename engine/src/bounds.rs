//! Limits on the cost of a request.

/// Bytes of an object that etcd stores at most (`--max-request-bytes`).
pub const STORED_BYTES: usize = 1536 << 10;

/// Images of one object at most. The API server stores no Pod with more: the smallest entry with an image is an image
/// volume, which takes 22 bytes of [`STORED_BYTES`] on average. One with a name of three characters takes 23 bytes, and
/// only 1,332 names are shorter.
pub const MAX_IMAGES: usize = STORED_BYTES / 22;

/// Bytes of all images of one object and of their names, which are among [`STORED_BYTES`].
pub(super) const MAX_IMAGES_BYTES: usize = STORED_BYTES;

/// Bytes of a patch in JSON; base64 adds a third. The API server could not store the result of a larger patch. The
/// shortest image with a host has 5 bytes, so it takes 27 of [`STORED_BYTES`], and 76 of the patch: 4.3 MiB in all. The
/// annotation with the originals has 256 KiB, half of which may be escaped quotes.
pub const MAX_PATCH_BYTES: usize = 5 << 20;

/// Bytes of all names that the images of one object would have under rules that observe. Beyond them decisions carry none:
/// audit annotations and log lines hold less.
pub(super) const MAX_WOULD_BE_BYTES: usize = 64 << 10;

/// Bytes of a request's `uid`, which the answer repeats. The API server sends a UUID of 36 bytes.
pub const MAX_UID_BYTES: usize = 256;

/// Bytes of an image that is parsed as a reference. A host name has at most 253, a path 255, a tag 128, a digest 135: no
/// runtime pulls a longer one.
pub const MAX_REFERENCE_BYTES: usize = 4 << 10;

/// Bytes of a string, with its escapes, that is decoded. No string that is compared or shown as a whole is longer.
pub(super) const MAX_TEXT_BYTES: usize = 6 * MAX_REFERENCE_BYTES;

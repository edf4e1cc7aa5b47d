//! Image references, parsed as `github.com/distribution/reference` 0.6.0 parses them (`ParseNormalizedNamed`). The host is
//! folded first, so that one image has one canonical name.

use std::borrow::Cow;

use thiserror::Error;

use super::host::{DOCKER_HUB, fold_host, is_host, split_host};
use super::split::{split_first, split_last};

/// The path on Docker Hub of images that are written with one component.
const OFFICIAL_IMAGES: &str = "library/";
/// `RepositoryNameTotalLengthMax` of the reference implementation: bytes of the path alone.
const MAX_PATH_BYTES: usize = 255;
const MAX_TAG_BYTES: usize = 128;

/// A valid image reference: the written text, and the canonical name that rules match.
///
/// ```
/// use pullthrough_engine::ImageRef;
///
/// let image = ImageRef::parse("Registry-1.docker.io:443/nginx:1.29")?;
/// assert_eq!(image.canonical(), "docker.io/library/nginx");
/// assert_eq!(image.suffix(), ":1.29");
/// # Ok::<(), pullthrough_engine::InvalidReference>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef<'a> {
    written: &'a str,
    /// Bytes of `written` before the tag and the digest.
    name_len: usize,
    canonical: Cow<'a, str>,
    /// Bytes of `canonical` that are the host; 0 if there is none.
    host_len: usize,
    host_is_written: bool,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

/// Why a string is not an image reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidReference {
    #[error("the name is 64 hexadecimal digits, which could be an image ID")]
    Identifier,
    #[error("it has a scheme; images have none")]
    Scheme,
    #[error("it has white space; images have none")]
    Space,
    #[error("the repository has upper-case letters; write it in lower case")]
    UpperCase,
    #[error("the repository must be lower-case letters and digits, separated by `.`, `_`, `__` or dashes")]
    Repository,
    #[error("the repository is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    #[error(
        "the tag must be at most {MAX_TAG_BYTES} of A-Z, a-z, 0-9, `_`, `.` and `-`, and not start with `.` or `-`"
    )]
    Tag,
    #[error("the digest must be sha256, sha384 or sha512, a colon and its lower-case hexadecimal digits")]
    Digest,
}

impl InvalidReference {
    /// Returns the same error, or a more precise one for the whole text.
    fn of(self, written: &str) -> Self {
        match self {
            _ if written.contains("://") => Self::Scheme,
            _ if written.contains(char::is_whitespace) => Self::Space,
            Self::Repository if ImageRef::read(&written.to_ascii_lowercase()).is_ok() => Self::UpperCase,
            other => other,
        }
    }
}

impl<'a> ImageRef<'a> {
    /// Parses a reference.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a reference.
    pub fn parse(written: &'a str) -> Result<Self, InvalidReference> {
        Self::read(written).map_err(|error| error.of(written))
    }

    fn read(written: &'a str) -> Result<Self, InvalidReference> {
        let (before_digest, digest) = match split_first(written, b'@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest)),
            Some(_) => return Err(InvalidReference::Digest),
            None => (written, None),
        };
        let last_component = split_last(before_digest, b'/').map_or(before_digest, |(_, last)| last);
        let (name, tag) = match split_first(last_component, b':') {
            Some((_, tag)) if is_tag(tag) => (&before_digest[..before_digest.len() - tag.len() - 1], Some(tag)),
            Some(_) => return Err(InvalidReference::Tag),
            None => (before_digest, None),
        };
        if tag.is_none() && digest.is_none() && name.len() == 64 && name.bytes().all(is_lower_hex) {
            return Err(InvalidReference::Identifier);
        }
        let (host, path) = split_host(name);
        if !is_path(path) {
            return Err(InvalidReference::Repository);
        }
        let (host, path, host_is_written) = match host {
            // If the host is invalid, the whole name is the path (`foo_bar.com/baz`).
            Some(host) if !is_host(host) => {
                if is_path(name) {
                    (Cow::Borrowed(""), name, false)
                } else {
                    return Err(InvalidReference::Repository);
                }
            }
            Some(host) => (fold_host(host), path, true),
            None => (Cow::Borrowed(DOCKER_HUB), path, false),
        };
        let official = if host == DOCKER_HUB && !path.contains('/') { OFFICIAL_IMAGES } else { "" };
        if official.len() + path.len() > MAX_PATH_BYTES {
            return Err(InvalidReference::TooLong);
        }
        let host_len = host.len();
        let canonical = if host.is_empty()
            || (host_is_written
                && official.is_empty()
                && matches!(host, Cow::Borrowed(h) if h.len() + 1 + path.len() == name.len()))
        {
            Cow::Borrowed(name)
        } else {
            Cow::Owned([&host, "/", official, path].concat())
        };
        Ok(Self { written, name_len: name.len(), canonical, host_len, host_is_written, tag, digest })
    }

    /// Returns host and path in canonical form; the path alone if the reference has no host.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Returns the canonical registry host, with its port.
    pub fn registry(&self) -> Option<&str> {
        (self.host_len > 0).then(|| &self.canonical[..self.host_len])
    }

    /// Returns the canonical path below the host.
    pub fn repository(&self) -> &str {
        match self.host_len {
            0 => &self.canonical,
            host_len => &self.canonical[host_len + 1..],
        }
    }

    pub fn tag(&self) -> Option<&'a str> {
        self.tag
    }

    pub fn digest(&self) -> Option<&'a str> {
        self.digest
    }

    /// Returns tag and digest with their separators, byte for byte as written.
    pub fn suffix(&self) -> &'a str {
        &self.written[self.name_len..]
    }

    /// Returns the whole reference as written.
    pub(super) fn written(&self) -> &'a str {
        self.written
    }

    /// Returns the bytes of host, slash and path as written.
    pub(super) fn written_name_bytes(&self) -> usize {
        self.name_len
    }

    /// Returns whether the written text has a host.
    pub fn host_is_written(&self) -> bool {
        self.host_is_written
    }
}

/// Returns whether a text is a reference with a host.
pub fn has_host(image: &str) -> bool {
    ImageRef::parse(image).is_ok_and(|image| image.host_is_written())
}

/// Returns whether a text is a `remote-name` of the grammar: components of lower-case letters and digits with single
/// separators.
pub(super) fn is_path(path: &str) -> bool {
    /// What the path has up to here.
    #[derive(Clone, Copy, PartialEq)]
    enum Last {
        Slash,
        Alphanumeric,
        /// A separator that is complete: `.` or `__`.
        Separator,
        Underscore,
        Dashes,
    }

    let mut last = Last::Slash;
    for byte in path.bytes() {
        last = match (byte, last) {
            (b'a'..=b'z' | b'0'..=b'9', _) => Last::Alphanumeric,
            (b'/', Last::Alphanumeric) => Last::Slash,
            (b'.', Last::Alphanumeric) | (b'_', Last::Underscore) => Last::Separator,
            (b'_', Last::Alphanumeric) => Last::Underscore,
            (b'-', Last::Alphanumeric | Last::Dashes) => Last::Dashes,
            _ => return false,
        };
    }
    last == Last::Alphanumeric
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= MAX_TAG_BYTES
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        && tag.bytes().next().is_some_and(|b| !matches!(b, b'.' | b'-'))
}

/// The algorithms that `opencontainers/go-digest` registers.
fn is_digest(digest: &str) -> bool {
    let hex_digits = match digest.split_once(':') {
        Some(("sha256", hex)) => (hex, 64),
        Some(("sha384", hex)) => (hex, 96),
        Some(("sha512", hex)) => (hex, 128),
        _ => return false,
    };
    hex_digits.0.len() == hex_digits.1 && hex_digits.0.bytes().all(is_lower_hex)
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

//! A registry host, or a host and a path, as in `from`, `except` and `to`.

use thiserror::Error;

use super::host::{DOCKER_HUB, fold_host, is_host, split_host};
use super::image::is_path;

/// A valid prefix of image names, as written and in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    written: String,
    canonical: String,
}

/// Why a string is not a prefix. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPrefix {
    #[error("it is empty; write a registry host, such as `registry.k8s.io`, or a host and a path")]
    Empty,
    #[error("it has a scheme; write `{without}`")]
    Scheme { without: String },
    #[error("it ends in a slash; write `{without}`")]
    TrailingSlash { without: String },
    #[error("it has a wildcard; remove it, since a prefix matches everything below it, or use `pattern`")]
    Wildcard,
    #[error("it has a digest; write `{without}`")]
    Digest { without: String },
    #[error("it has a tag; write `{without}`")]
    Tag { without: String },
    #[error("its first component is not a registry host (with a `.` or a `:`, or `localhost`); write `{suggestion}`")]
    NotAHost { written: String, suggestion: String },
    #[error(
        "its first component is not a registry host (with a `.` or a `:`, or `localhost`); \
         write the cache's host first, as in `cache.example.com/{written}`"
    )]
    NotACache { written: String },
    #[error("did you mean `{suggestion}`?")]
    Misspelled { suggestion: String },
    #[error("it has white space; remove it, or, if the text spans several lines, check their indentation")]
    Space,
    #[error(
        "`{host}` is not a valid host; use letters, digits and inner dashes between dots, or an IPv6 address in brackets, and optionally a port number"
    )]
    Host { host: String },
    #[error(
        "`{path}` is not a valid path; use lower-case letters and digits, separated by `/`, `.`, `_`, `__` or dashes"
    )]
    Path { path: String },
}

impl InvalidPrefix {
    /// Returns the same error for a `to`: the missing host is that of the cache, which is unknown.
    pub fn of_target(self) -> Self {
        match self {
            Self::NotAHost { written, .. } => Self::NotACache { written },
            other => other,
        }
    }

    /// Returns the same error, or one with the nearest valid text if there is one.
    pub(super) fn with_suggestion(self, written: &str, is_valid: impl Fn(&str) -> bool) -> Self {
        if !matches!(self, Self::Host { .. } | Self::Path { .. }) {
            return self;
        }
        match nearest(written) {
            suggestion if is_valid(&suggestion) => Self::Misspelled { suggestion },
            _ if written.contains(char::is_whitespace) => Self::Space,
            _ => self,
        }
    }
}

/// Returns a text without the most frequent mistakes: upper case in the path, outer white space, repeated slashes.
fn nearest(written: &str) -> String {
    let slashes = written.replace('\\', "/");
    let mut parts = slashes.split('/').map(str::trim);
    let host = parts.next().unwrap_or_default();
    let path = parts.filter(|part| !part.is_empty()).map(|part| part.to_lowercase());
    std::iter::once(host.trim_end_matches(['.', ':']).to_owned()).chain(path).collect::<Vec<_>>().join("/")
}

impl Prefix {
    /// Parses a prefix.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a host, or a host and a path.
    pub fn parse(written: &str) -> Result<Self, InvalidPrefix> {
        let (host, path) =
            check(written).map_err(|error| error.with_suggestion(written, |nearest| check(nearest).is_ok()))?;
        let canonical = match path {
            "" => fold_host(host).into_owned(),
            path => [&fold_host(host), "/", path].concat(),
        };
        Ok(Self { written: written.to_owned(), canonical })
    }

    /// Checks a text without parsing it.
    pub(super) fn check(written: &str) -> Result<(), InvalidPrefix> {
        check(written).map(drop)
    }

    pub fn written(&self) -> &str {
        &self.written
    }

    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Returns the canonical host.
    pub fn host(&self) -> &str {
        self.canonical.split('/').next().unwrap_or_default()
    }

    /// Returns the rest of a canonical name behind this prefix; `None` if the name is not at or below it.
    pub fn strip<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(&self.canonical).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns whether every name below `other` is below this prefix too.
    pub fn covers(&self, other: &Self) -> bool {
        self.strip(&other.canonical).is_some()
    }
}

/// Returns the prefixes of a name that end with a component, the whole name last.
pub fn boundaries(name: &str) -> impl DoubleEndedIterator<Item = &str> {
    memchr::memchr_iter(b'/', name.as_bytes()).map(|slash| &name[..slash]).chain(std::iter::once(name))
}

/// Returns the prefix of all names with a start: the components that the start has in whole. `None` if it has none.
pub fn prefix_of_start(start: &str) -> Option<&str> {
    start.rsplit_once('/').map(|(prefix, _)| prefix)
}

/// Returns the host and the path, each valid.
fn check(written: &str) -> Result<(&str, &str), InvalidPrefix> {
    if written.is_empty() {
        return Err(InvalidPrefix::Empty);
    }
    if let Some((_, without)) = written.split_once("://") {
        return Err(InvalidPrefix::Scheme { without: without.trim_end_matches('/').to_owned() });
    }
    if written.contains('*') {
        return Err(InvalidPrefix::Wildcard);
    }
    if written.ends_with('/') {
        return Err(InvalidPrefix::TrailingSlash { without: written.trim_end_matches('/').to_owned() });
    }
    if let Some((without, _)) = written.split_once('@') {
        return Err(InvalidPrefix::Digest { without: without.to_owned() });
    }
    let (first, path) = written.split_once('/').unwrap_or((written, ""));
    let tag_colon = match path.rfind(':') {
        Some(colon) => Some(first.len() + 1 + colon),
        None if path.is_empty() => first
            .rfind(':')
            .filter(|&colon| !first.ends_with(']') && !first[colon + 1..].bytes().all(|b| b.is_ascii_digit())),
        None => None,
    };
    if let Some(colon) = tag_colon {
        return Err(InvalidPrefix::Tag { without: written[..colon].to_owned() });
    }
    if first != "localhost" && !first.contains(['.', ':']) {
        // The repository of the image with this name: `nginx` is `docker.io/library/nginx`.
        let official = if path.is_empty() { "library/" } else { "" };
        return Err(InvalidPrefix::NotAHost {
            written: written.to_owned(),
            suggestion: format!("{DOCKER_HUB}/{official}{written}"),
        });
    }
    if !is_host(first) {
        return Err(InvalidPrefix::Host { host: first.to_owned() });
    }
    if !path.is_empty() && !is_path(path) {
        return Err(InvalidPrefix::Path { path: path.to_owned() });
    }
    debug_assert!(path.is_empty() || split_host(written).0 == Some(first));
    Ok((first, path))
}

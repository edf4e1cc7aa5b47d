//! A registry host, or a host and a path: what `from`, `except` and `to` name.

use thiserror::Error;

use super::host::{DOCKER_HUB, fold_host, is_host, split_host};
use super::image::is_path;

/// A valid prefix of image names, as written and in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    written: String,
    canonical: String,
}

/// Why a string is no prefix. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPrefix {
    #[error("it is empty; write a registry host such as `registry.k8s.io`, or a host and a path")]
    Empty,
    #[error("it has a scheme; write `{without}`")]
    Scheme { without: String },
    #[error("it ends in a slash; write `{without}`")]
    TrailingSlash { without: String },
    #[error(
        "it has a wildcard; a prefix matches everything below it already, and for anything else there is `pattern`"
    )]
    Wildcard,
    #[error("it has a digest; write `{without}`")]
    Digest { without: String },
    #[error("it has a tag; write `{without}`")]
    Tag { without: String },
    #[error(
        "its first component is no registry host (a host has a `.` or a `:`, or is `localhost`); write `{suggestion}`"
    )]
    NotAHost { written: String, suggestion: String },
    #[error(
        "its first component is no registry host (a host has a `.` or a `:`, or is `localhost`); \
         write the cache's host first, as in `cache.example.com/{written}`"
    )]
    NotACache { written: String },
    #[error(
        "`{host}` is no valid host: it takes letters, digits and inner dashes between dots, or an IPv6 address in brackets, and perhaps a port"
    )]
    Host { host: String },
    #[error(
        "`{path}` is no valid path: it takes lower-case letters and digits, separated by `/`, `.`, `_`, `__` or dashes"
    )]
    Path { path: String },
}

impl InvalidPrefix {
    /// The same for a `to`: what it lacks is the cache's host, which can't be guessed.
    pub fn of_target(self) -> Self {
        match self {
            Self::NotAHost { written, .. } => Self::NotACache { written },
            other => other,
        }
    }
}

impl Prefix {
    pub fn parse(written: &str) -> Result<Self, InvalidPrefix> {
        let (host, path) = check(written)?;
        let canonical = match path {
            "" => fold_host(host).into_owned(),
            path => [&fold_host(host), "/", path].concat(),
        };
        Ok(Self { written: written.to_owned(), canonical })
    }

    pub fn written(&self) -> &str {
        &self.written
    }

    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The canonical host.
    pub fn host(&self) -> &str {
        self.canonical.split('/').next().unwrap_or_default()
    }

    /// What follows this prefix in a canonical name, if the name is it or lies below it.
    pub fn strip<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(&self.canonical).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether every name below `other` is below this prefix too.
    pub fn covers(&self, other: &Self) -> bool {
        self.strip(&other.canonical).is_some()
    }
}

/// The host and the path, each valid.
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
        // The same repository as an image would be read as: `nginx` is `docker.io/library/nginx`.
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

//! Names of what a registry has.

use std::fmt;

use super::digest::Digest;
use crate::engine::{DOCKER_HUB, ImageRef};

/// The host of Docker Hub's API.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// A repository of a registry, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    host: String,
    path: String,
}

impl Repository {
    /// Returns the repository of an image; `None` if the image has no host.
    pub fn of(image: &ImageRef<'_>) -> Option<Self> {
        Some(Self { host: image.registry()?.to_owned(), path: image.repository().to_owned() })
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the host, with its port, to which requests go.
    pub(super) fn api(&self) -> &str {
        api_host(&self.host)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.host, self.path)
    }
}

/// Returns the host of a registry's API.
pub(super) fn api_host(host: &str) -> &str {
    if host == DOCKER_HUB { DOCKER_HUB_API } else { host }
}

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    Tag(String),
    Digest(Digest),
}

impl Reference {
    /// Returns the reference by which a node asks for an image: the digest if there is one, then the tag, then `latest`.
    pub fn of(image: &ImageRef<'_>) -> Self {
        match image.digest().and_then(Digest::parse) {
            Some(digest) => Self::Digest(digest),
            None => Self::Tag(image.tag().unwrap_or("latest").to_owned()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => formatter.write_str(tag),
            Self::Digest(digest) => write!(formatter, "{digest}"),
        }
    }
}

/// Returns whether a host, with or without a port, is this machine: `localhost` or a loopback address.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = without_port(host);
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Returns the host without its port. An IPv6 address keeps its brackets.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => {
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_api() {
        for (image, host, api, path, reference) in [
            ("nginx", "docker.io", "registry-1.docker.io", "library/nginx", "latest"),
            ("index.docker.io/me/app:1", "docker.io", "registry-1.docker.io", "me/app", "1"),
            ("Quay.IO:443/a/b:2", "quay.io", "quay.io", "a/b", "2"),
            ("[::1]:5000/a", "[::1]:5000", "[::1]:5000", "a", "latest"),
        ] {
            let image = ImageRef::parse(image).unwrap();
            let repository = Repository::of(&image).unwrap();
            assert_eq!((repository.host(), repository.api(), repository.path()), (host, api, path));
            assert_eq!(Reference::of(&image).to_string(), reference);
        }
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = format!("quay.io/a:1@{digest}");
        assert_eq!(Reference::of(&ImageRef::parse(&image).unwrap()).to_string(), digest);
    }

    #[test]
    fn loopback_hosts_are_recognised() {
        for host in
            ["localhost", "LOCALHOST:5000", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:5000", "[::ffff:127.0.0.1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.com", "10.0.0.1", "0.0.0.0", "[fd00::1]:5000", "127.0.0.1.example.com"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}

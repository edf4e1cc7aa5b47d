//! Registry hosts: which texts are hosts, and which hosts are the same registry.

use std::borrow::Cow;

use super::split::{split_first, split_last};

/// The host of a reference without one.
pub const DOCKER_HUB: &str = "docker.io";

/// Other names of a registry, each with its canonical host.
///
/// | name | source |
/// | --- | --- |
/// | `index.docker.io` | `legacyDefaultDomain` in `normalize.go` of `github.com/distribution/reference` |
/// | `registry-1.docker.io` | the host of Docker Hub's API: `DefaultHost` in `core/remotes/docker/registry.go` of containerd |
/// | `registry.hub.docker.com` | the same API under Docker Hub's own domain |
/// | `ecr-public.aws.com` | the dual-stack name: docs.aws.amazon.com/AmazonECR/latest/public/public-ecr-requests.html |
pub const ALIASES: [(&str, &str); 4] = [
    ("index.docker.io", DOCKER_HUB),
    ("registry-1.docker.io", DOCKER_HUB),
    ("registry.hub.docker.com", DOCKER_HUB),
    ("ecr-public.aws.com", "public.ecr.aws"),
];

/// Returns the other names of a canonical host.
pub fn aliases_of<'h>(host: &'h str) -> impl Iterator<Item = &'h str> {
    ALIASES.into_iter().filter(move |(_, of)| *of == host).map(|(alias, _)| -> &'h str { alias })
}

/// Splits off the text before the first slash if it counts as a host (`splitDockerDomain`).
pub(super) fn split_host(name: &str) -> (Option<&str>, &str) {
    match split_first(name, b'/') {
        Some((first, rest))
            if first == "localhost" || first.bytes().any(|b| matches!(b, b'.' | b':' | b'A'..=b'Z')) =>
        {
            (Some(first), rest)
        }
        _ => (None, name),
    }
}

/// Returns the canonical form of a host: lower case, the port as a number, no port 443, one name for each registry.
pub fn fold_host(host: &str) -> Cow<'_, str> {
    let host = fold_port(host);
    let host = if host.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(host.to_ascii_lowercase()) } else { host };
    match ALIASES.iter().find(|(alias, _)| *alias == host) {
        Some((_, of)) => Cow::Borrowed(of),
        None => host,
    }
}

/// Returns a host with its port as a number and without port 443. Go ignores leading zeros (`parsePort` in its package
/// `net`).
pub(super) fn fold_port(host: &str) -> Cow<'_, str> {
    let Some((name, port)) = split_last(host, b':').filter(|(_, port)| is_port(port)) else {
        return Cow::Borrowed(host);
    };
    match port.trim_start_matches('0') {
        "443" => Cow::Borrowed(name),
        number if number.len() == port.len() => Cow::Borrowed(host),
        "" => Cow::Owned([name, ":0"].concat()),
        number => Cow::Owned([name, ":", number].concat()),
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Returns whether a text is a `domain` of the grammar: DNS labels or an IPv6 address in brackets, and optionally a port.
pub(super) fn is_host(host: &str) -> bool {
    let (name, port) = match split_last(host, b':') {
        Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let name_is_valid = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(ipv6) => !ipv6.is_empty() && ipv6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => is_dns_name(name),
    };
    name_is_valid && port.is_none_or(is_port)
}

/// Returns whether a text is labels of letters, digits and inner dashes, separated by dots.
fn is_dns_name(name: &str) -> bool {
    let mut last = b'.';
    for byte in name.bytes() {
        let fits = match byte {
            b'-' => last != b'.',
            b'.' => last.is_ascii_alphanumeric(),
            byte => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            return false;
        }
        last = byte;
    }
    last.is_ascii_alphanumeric()
}

//! URLs of requests and redirects.

use http::Uri;

use super::name::{is_loopback, without_port};

fn default_port(url: &Uri) -> u16 {
    if url.scheme_str() == Some("http") { 80 } else { 443 }
}

/// Returns the port of a URL: its own, or its scheme's.
pub(super) fn port(url: &Uri) -> u16 {
    url.port_u16().unwrap_or_else(|| default_port(url))
}

/// Returns whether a URL is at a host, which may have a port.
pub(super) fn is_at(url: &Uri, host: &str) -> bool {
    let name = without_port(host);
    let of_host = host[name.len()..].trim_start_matches(':').parse().unwrap_or_else(|_| default_port(url));
    url.host().is_some_and(|of_url| of_url.eq_ignore_ascii_case(name)) && port(url) == of_host
}

/// Returns the host of a URL, with its port where it is not the scheme's.
pub(super) fn place(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    if port(url) == default_port(url) { host.to_owned() } else { format!("{host}:{}", port(url)) }
}

/// Returns the target of a redirect from `base`: an absolute URL, or a path.
pub(super) fn target(base: &Uri, location: &str) -> Option<Uri> {
    let scheme = base.scheme_str()?;
    let location = location.split('#').next()?;
    let absolute = match location {
        "" => return None,
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{}{location}", base.authority()?),
        _ if location.contains("://") => location.to_owned(),
        _ => {
            let (folder, _) = base.path().rsplit_once('/')?;
            format!("{scheme}://{}{folder}/{location}", base.authority()?)
        }
    };
    let url: Uri = absolute.parse().ok()?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let has_login = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    (is_http && !has_login && url.host().is_some_and(|host| !host.is_empty())).then_some(url)
}

/// Returns path and query of a link from a path of a host to another one of it; `None` for a link elsewhere.
pub(super) fn next_path(host: &str, path: &str, link: &str) -> Option<String> {
    let base: Uri = format!("https://{host}{path}").parse().ok()?;
    let url = target(&base, link)?;
    // A registry behind a proxy may not know that it is asked with HTTPS.
    let is_same = is_at(&url, host) || url.host() == base.host();
    let next = url.path_and_query()?.as_str();
    (is_same && next != path).then(|| next.to_owned())
}

/// Returns whether the credentials for `registry` may be sent to its token server: the same host, or one of the same domain, such
/// as `auth.docker.io` for `registry-1.docker.io`.
pub(super) fn is_own_token_server(registry: &str, server: &str) -> bool {
    let (registry, server) = (without_port(registry).to_ascii_lowercase(), without_port(server).to_ascii_lowercase());
    if registry == server || (is_loopback(&registry) && is_loopback(&server)) {
        return true;
    }
    let is_address = |host: &str| host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    if is_address(&registry) || is_address(&server) {
        return false;
    }
    let is_below =
        |domain: &str| server == domain || server.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    let domain = registry.split_once('.').map(|(_, domain)| domain).filter(|domain| is_registrable(domain));
    is_below(&registry) || domain.is_some_and(is_below)
}

/// Returns whether a domain can belong to one organisation: not `com`, and not `co.uk`.
fn is_registrable(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    match labels[..] {
        [] | [_] => false,
        [second, top] => !(top.len() == 2 && second.len() <= 3),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_redirects_are_resolved() {
        let base: Uri = "https://r.example:5000/v2/a/blobs/x?q".parse().unwrap();
        for (location, expected) in [
            ("https://cdn.example/b?sig=1#f", Some("https://cdn.example/b?sig=1")),
            ("//cdn.example/b", Some("https://cdn.example/b")),
            ("/b", Some("https://r.example:5000/b")),
            ("y", Some("https://r.example:5000/v2/a/blobs/y")),
            ("file:///etc/passwd", None),
            ("gopher://x/1", None),
            ("https://user:password@cdn.example/", None),
            ("https://", None),
            ("https://a b/", None),
        ] {
            let found = target(&base, location).map(|url| url.to_string());
            assert_eq!(found.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn links_lead_to_paths_of_the_same_host() {
        for (link, expected) in [
            ("/v2/a/tags/list?n=2&last=b", Some("/v2/a/tags/list?n=2&last=b")),
            ("https://r.example:5000/v2/x", Some("/v2/x")),
            ("http://r.example/v2/x", Some("/v2/x")),
            ("https://evil.example/v2/x", None),
            ("/v2/a/tags/list", None),
            ("", None),
        ] {
            let found = next_path("r.example:5000", "/v2/a/tags/list", link);
            assert_eq!(found.as_deref(), expected, "{link}");
        }
    }

    #[test]
    fn hosts_are_compared_with_their_ports() {
        for (url, host, expected) in [
            ("https://r.example/v2/", "r.example", true),
            ("https://R.example:443/v2/", "r.example", true),
            ("https://r.example/v2/", "r.example:443", true),
            ("https://r.example:5000/", "r.example:5000", true),
            ("https://[::1]:5000/", "[::1]:5000", true),
            ("https://[::1]/", "[::1]", true),
            ("https://r.example:5000/", "r.example", false),
            ("https://r.example/", "r.example:5000", false),
            ("http://r.example/", "r.example:443", false),
            ("https://evil.example/", "r.example", false),
        ] {
            assert_eq!(is_at(&url.parse().unwrap(), host), expected, "{url} at {host}");
        }
        assert_eq!(place(&"https://a.example:443/x".parse().unwrap()), "a.example");
        assert_eq!(place(&"http://[::1]:443/x".parse().unwrap()), "[::1]:443");
    }

    #[test]
    fn token_servers_of_the_same_domain_are_the_registrys_own() {
        for (registry, server, expected) in [
            ("registry-1.docker.io", "auth.docker.io", true),
            ("registry.gitlab.com", "gitlab.com", true),
            ("harbor.example.com:8443", "harbor.example.com", true),
            ("ghcr.io", "ghcr.io", true),
            ("ghcr.io", "token.ghcr.io", true),
            ("a.eu.example.com", "auth.eu.example.com", true),
            ("localhost:5000", "127.0.0.1:5001", true),
            ("registry.example.com", "auth.example.org", false),
            ("registry.example.com", "auth.badexample.com", false),
            ("ghcr.io", "evil.io", false),
            ("example.co.uk", "evil.co.uk", false),
            ("10.0.0.1:5000", "10.0.0.1:5001", true),
            ("10.0.0.1:5000", "11.0.0.1", false),
            ("localhost:5000", "evil.example", false),
            ("registry.example.com", "localhost", false),
        ] {
            assert_eq!(is_own_token_server(registry, server), expected, "{registry}, {server}");
        }
    }
}

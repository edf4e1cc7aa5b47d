//! Caches that are names of documentation: `placeholder`.

use super::{Findings, Lint, PlacedRule};
use crate::engine::Mode;

/// Adds rules that rewrite images to a placeholder. A rule that observes does no harm.
pub fn check(rules: &[PlacedRule], findings: &mut Findings) {
    for &place in rules {
        if place.rule.mode != Mode::Enforce {
            continue;
        }
        let matcher = &place.rule.matcher;
        let to = (matcher.target(), &place.places.to, "set `to` to your cache");
        let failover = matcher.failover().into_iter().zip(&place.places.failover);
        let failover = failover.map(|(written, span)| (written, span, "name another cache of yours, or remove it"));
        let targets = std::iter::once(to).chain(failover).zip(matcher.target_hosts());
        for ((written, span, fix), _) in targets.filter(|(_, host)| host.is_some_and(is_placeholder_host)) {
            let message =
                format!("`{written}` is a placeholder: no image can be pulled from it, and the rule enforces");
            findings.add(Lint::Placeholder, place, span, message, fix.to_owned());
        }
    }
}

/// Returns whether a host is reserved for documentation: the names of RFC 2606, and the account in AWS' examples.
pub fn is_placeholder_host(host: &str) -> bool {
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let under = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    ["example", "example.com", "example.net", "example.org"].into_iter().any(under)
        || host.starts_with("123456789012.dkr.ecr.")
}

#[cfg(test)]
mod tests {
    use super::is_placeholder_host;

    #[test]
    fn placeholders_are_names_that_documentation_uses() {
        for host in ["cache.example.com", "example.org", "a.b.example", "harbor.example.net:5000"] {
            assert!(is_placeholder_host(host), "{host}");
        }
        assert!(is_placeholder_host("123456789012.dkr.ecr.eu-west-1.amazonaws.com"));
        for host in
            ["example.de", "myexample.com", "example.com.internal", "210987654321.dkr.ecr.eu-west-1.amazonaws.com"]
        {
            assert!(!is_placeholder_host(host), "{host}");
        }
    }
}

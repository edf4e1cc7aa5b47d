//! Mirrors for the library of CRI-O, Podman and OpenShift (`containers/image`, `registries.conf` version 2). They are of prefixes,
//! of which the longest decides.

use std::collections::{BTreeMap, BTreeSet};

use super::mirrors::{self, Mirror};
use super::{Export, Omission};
use crate::engine::{DOCKER_HUB, Policy, Prefix, aliases_of};

/// Returns notes on the images that the library reads differently than the rules do.
fn spellings(mirrors: &[Mirror]) -> Vec<String> {
    let mirrored: Vec<&Mirror> = mirrors.iter().filter(|mirror| mirror.to.is_some()).collect();
    let hosts: BTreeSet<&str> = mirrored.iter().map(|mirror| mirror.host()).collect();
    let whole: Vec<&str> =
        mirrored.iter().map(|mirror| mirror.prefix.as_str()).filter(|host| !host.contains(['/', ':'])).collect();
    let mut notes = Vec::new();
    if !hosts.is_empty() {
        notes.push(
            "hosts are compared as written: images whose host has upper case, or a port with leading zeros, are not mirrored"
                .to_owned(),
        );
    }
    if hosts.contains(DOCKER_HUB) {
        notes.push(
            "images of registry-1.docker.io, registry.hub.docker.com and docker.io:443 are not mirrored; the node's short-name aliases \
             and unqualified-search-registries decide on images without a host"
                .to_owned(),
        );
    }
    if !whole.is_empty() {
        notes.push(format!(
            "images of {} on another port, or with a port with leading zeros, can't be pulled, since the library takes the port for a \
             part of the path; if you have such images, name HOST:PORT in an `except` or a rule",
            whole.join(", ")
        ));
    }
    notes
}

const IPV6: &str = "IPv6 addresses are not supported";

/// The mirrors of a prefix, the first and those to try after it.
#[derive(Clone)]
struct Locations {
    to: String,
    failover: Vec<String>,
}

/// Returns the mirrors sorted by prefix. A prefix without a `to` is below another, or on another port of its host.
pub fn mirrors(policy: &Policy) -> Export<Vec<Mirror>> {
    let Export { what: mirrors, mut notes, omissions } = mirrors::mirrors(policy);
    notes.extend(mirrors::ca_notes(policy));
    let mut omissions: BTreeSet<Omission> = omissions.into_iter().collect();
    let mut entries: BTreeMap<String, Option<Locations>> = BTreeMap::new();
    for Mirror { prefix, to, failover } in mirrors {
        if prefix.starts_with('[') {
            omissions.insert(not_mirrored(&prefix, &prefix, IPV6));
            continue;
        }
        let to = to.filter(|to| match unreadable(&prefix, to) {
            Some(why) => {
                omissions.insert(not_mirrored(&prefix, to, why));
                false
            }
            None => true,
        });
        let failover = failover.into_iter().filter(|to| match unreadable(&prefix, to) {
            Some(why) => {
                let why = format!("the failover `{to}` is not a mirror, since containers/image rejects it: {why}");
                omissions.insert(Omission { what: format!("`{prefix}`"), why });
                false
            }
            None => true,
        });
        let failover: Vec<String> = failover.collect();
        let locations = to.map(|to| Locations { to, failover });
        entries.extend(other_names(&prefix).into_iter().map(|twin| (twin, locations.clone())));
        entries.insert(prefix, locations);
    }
    // The library matches a host with all of its ports.
    let is_whole = |host: &str| entries.get(host).is_some_and(Option::is_some);
    let others: Vec<String> =
        hosts(policy).filter(|host| host.rsplit_once(':').is_some_and(|(name, _)| is_whole(name))).collect();
    for host in others.into_iter().chain(is_whole(DOCKER_HUB).then(|| format!("{DOCKER_HUB}:443"))) {
        entries.entry(host).or_insert(None);
    }
    // A prefix that is not mirrored needs an entry only below a mirror. Elsewhere the node may have mirrors of its own.
    let is_mirrored_above = |prefix: &str| {
        let above = entries.iter().filter(|(above, _)| *above != prefix && holds(above, prefix));
        above.max_by_key(|(above, _)| above.len()).is_some_and(|(_, to)| to.is_some())
    };
    let mirrors: Vec<Mirror> = entries
        .iter()
        .filter(|(prefix, to)| to.is_some() || is_mirrored_above(prefix))
        .map(|(prefix, locations)| {
            let (to, failover) = match locations.clone() {
                Some(Locations { to, failover }) => (Some(to), failover),
                None => (None, Vec::new()),
            };
            Mirror { prefix: prefix.clone(), to, failover }
        })
        .collect();
    notes.extend(spellings(&mirrors));
    Export { what: mirrors, notes, omissions: omissions.into_iter().collect() }
}

/// Returns whether a prefix is at or above a name. A host is above its ports.
pub fn holds(prefix: &str, name: &str) -> bool {
    let rest = name.strip_prefix(prefix);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.starts_with('/') || (rest.starts_with(':') && !prefix.contains('/'))
    })
}

/// Returns the other names of such images; none on Docker Hub, where they would lack the implied `library/`.
fn other_names(prefix: &str) -> Vec<String> {
    let (host, rest) = prefix.split_at(prefix.find('/').unwrap_or(prefix.len()));
    if host == DOCKER_HUB || host.contains(':') {
        return Vec::new();
    }
    let aliases = aliases_of(host).flat_map(|alias| [format!("{alias}{rest}"), format!("{alias}:443{rest}")]);
    std::iter::once(format!("{host}:443{rest}")).chain(aliases).collect()
}

/// Returns the reason why the library rejects an image at a location.
fn unreadable(prefix: &str, to: &str) -> Option<&'static str> {
    let (host, path) = to.split_once('/').unwrap_or((to, ""));
    let is_repository = prefix.contains('/');
    match host {
        _ if is_repository && path.is_empty() => Some("the image named by the prefix itself would have no path"),
        _ if host.starts_with('[') => Some(IPV6),
        "index.docker.io" => Some("write `docker.io`"),
        DOCKER_HUB if path.is_empty() || (is_repository && !path.contains('/')) => {
            Some("images on Docker Hub need two path components")
        }
        _ => None,
    }
}

fn not_mirrored(prefix: &str, unreadable: &str, why: &str) -> Omission {
    let why = format!("not mirrored, since containers/image rejects `{unreadable}`: {why}");
    Omission { what: format!("`{prefix}`"), why }
}

/// Returns every canonical host that the rules name.
fn hosts(policy: &Policy) -> impl Iterator<Item = String> {
    let prefixes = policy.rules().iter().flat_map(|rule| {
        let of_matcher = rule.matcher.prefixes().into_iter().flat_map(|(from, targets)| from.iter().chain(targets));
        of_matcher.chain(rule.except.iter()).map(Prefix::host)
    });
    prefixes.map(str::to_owned)
}

use std::collections::BTreeSet;

use super::*;
use crate::engine::Product;
use crate::registry::{CredentialFault, DockerConfigFault, RegistryError};

fn answer(outcome: Outcome<()>, status: u16) -> Answer<()> {
    Answer { outcome, trace: Trace { status: Some(status), ..Trace::default() } }
}

fn not_found() -> Answer<()> {
    answer(Outcome::Missing, 404)
}

fn of(product: Product, cache: &Answer<()>) -> Observation<'_> {
    Observation {
        model: Model::of(product),
        name: "harbor.example.com/hub/library/nginx",
        upstream_name: Some("docker.io/library/nginx"),
        cache,
        upstream: None,
        requires_login: None,
        is_start_served: false,
        platforms: Platforms::Served,
    }
}

/// Each answer of a cache that can follow from a fault, and the fault. The fault is always among the causes.
#[test]
fn the_true_cause_is_never_excluded() {
    let (served, denied) = (answer(Outcome::Served(()), 200), answer(Outcome::Denied(Denied::Registry), 401));
    let (missing, limited) = (not_found(), answer(Outcome::RateLimited, 429));
    let broken = answer(Outcome::Other, 500);
    // What the upstream answers to a workstation that has no credentials of the cache, by the fault.
    let faults: [(Cause, &[Option<&Answer<()>>]); 5] = [
        (Cause::Absent, &[Some(&missing), Some(&denied), Some(&limited), Some(&broken), None]),
        (Cause::Path, &[Some(&served), Some(&denied), Some(&limited), Some(&broken), None]),
        (Cause::UpstreamLogin, &[Some(&served), Some(&denied), Some(&limited), Some(&broken), None]),
        (Cause::UpstreamLimit, &[Some(&served), Some(&denied), Some(&limited), Some(&broken), None]),
        (Cause::UpstreamFailure, &[Some(&served), Some(&denied), Some(&limited), Some(&broken), None]),
    ];
    for &product in Product::ALL {
        let cache = not_found();
        let can_have: Vec<Cause> = Model::of(product).causes(404).iter().map(|cause| Cause::from(*cause)).collect();
        for (fault, upstreams) in faults.iter().filter(|(fault, _)| can_have.contains(fault)) {
            for upstream in upstreams.iter() {
                let found = diagnose(&Observation { upstream: *upstream, ..of(product, &cache) });
                assert!(found.causes.contains(fault), "{product:?} {fault:?} {upstream:?} {found:?}");
            }
        }
    }
}

#[test]
fn a_404_is_missing_only_with_the_upstreams_word() {
    let cache = not_found();
    for (upstream, status) in [
        (Some(answer(Outcome::Served(()), 200)), Status::Missing),
        (Some(not_found()), Status::Missing),
        (Some(answer(Outcome::Denied(Denied::Registry), 401)), Status::Unknown),
        (Some(answer(Outcome::RateLimited, 429)), Status::Unknown),
        (Some(answer(Outcome::Other, 500)), Status::Unknown),
        (None, Status::Unknown),
    ] {
        for &product in Product::ALL {
            let found = diagnose(&Observation { upstream: upstream.as_ref(), ..of(product, &cache) });
            assert_eq!(found.status, status, "{product:?} {upstream:?}");
        }
    }
}

#[test]
fn a_missing_library_is_named_first() {
    let cache = not_found();
    for (name, upstream_name, is_start_served, expected) in [
        ("harbor.example.com/hub/nginx", "docker.io/library/nginx", false, true),
        ("harbor.example.com/nginx", "docker.io/library/nginx", false, true),
        ("harbor.example.com/hub/library/nginx", "docker.io/library/nginx", false, false),
        ("harbor.example.com/hub/library/a/nginx", "docker.io/library/a/nginx", false, false),
        ("harbor.example.com/hub/nginx", "docker.io/library/nginx", true, false),
        ("harbor.example.com/hub/nginx", "quay.io/library/nginx", false, false),
        ("harbor.example.com/hub/mynginx", "docker.io/library/nginx", false, false),
    ] {
        let observation =
            Observation { name, upstream_name: Some(upstream_name), is_start_served, ..of(Product::Harbor, &cache) };
        let found = diagnose(&observation);
        assert_eq!(found.causes[0] == Cause::LibraryMissing, expected, "{name} {found:?}");
    }
}

#[test]
fn credentials_that_are_unreadable_are_not_called_wrong() {
    let mut cache = answer(Outcome::Denied(Denied::Registry), 401);
    let fault = DockerConfigFault::HelperAnswer { helper: "x".to_owned() };
    cache.trace.credential_faults = vec![CredentialFault::Workstation { host: "h".to_owned(), fault }];
    assert_eq!(diagnose(&of(Product::Harbor, &cache)).causes, [Cause::CredentialsUnreadable]);
    // A token server denies a login, or the right.
    let mut cache = answer(Outcome::Denied(Denied::TokenServer { host: "t".to_owned() }), 401);
    assert_eq!(diagnose(&of(Product::Harbor, &cache)).causes, [Cause::NoCredentials]);
    cache.trace.credential = Some("key h".to_owned());
    assert_eq!(diagnose(&of(Product::Harbor, &cache)).causes, [Cause::Login, Cause::Rights]);
}

#[test]
fn errors_in_a_body_are_a_registrys() {
    let mut cache = not_found();
    cache.trace.page = Some("<html>".to_owned());
    assert_eq!(diagnose(&of(Product::Harbor, &cache)).causes[0], Cause::NotARegistry);
    cache.trace.errors = vec![RegistryError { code: "NOT_FOUND".to_owned(), message: String::new() }];
    assert_ne!(diagnose(&of(Product::Harbor, &cache)).causes[0], Cause::NotARegistry);
}

#[test]
fn a_start_is_the_part_of_the_rule() {
    for (name, upstream, expected) in [
        ("h.io/hub/library/nginx", "docker.io/library/nginx", "h.io/hub"),
        ("h.io/hub/nginx", "docker.io/library/nginx", "h.io/hub"),
        ("h.io/a/b", "quay.io/c/d", "h.io/a/b"),
        ("h.io/b", "quay.io/b", "h.io"),
    ] {
        assert_eq!(start(name, upstream), expected);
    }
}

#[test]
fn causes_have_words_of_their_own() {
    let mut seen = BTreeSet::new();
    for cause in Cause::ALL {
        assert!(seen.insert(cause.as_str()) && seen.insert(cause.what()), "{cause:?}");
        for text in [cause.what(), cause.fix()] {
            assert!(
                !text.is_empty() && !text.ends_with('.') && !text.starts_with(char::is_uppercase)
                    || text.starts_with("TLS"),
                "{text}"
            );
        }
    }
}

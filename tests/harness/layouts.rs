//! Layouts of `pullthrough init`, one for each product.

use pullthrough::config::{self, Source};
use pullthrough::engine::{Decision, Policy, Question, Reason};
use pullthrough::init::{Layout, Product};
use pullthrough::lint;
use pullthrough::registries::Upstream;

/// Returns an address for each product.
pub fn cache(product: Product) -> &'static str {
    match product {
        Product::Ecr => "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        Product::Harbor => "harbor.example.com",
        Product::ArtifactRegistry => "europe-west1-docker.pkg.dev/acme",
        Product::Acr => "acmecache.azurecr.io",
        Product::Artifactory => "acme.jfrog.io",
        Product::Nexus => "nexus.example.com",
        Product::Zot => "zot.example.com",
        Product::Registry => "registry.example.com",
    }
}

pub fn layout(product: Product, upstreams: &[Upstream]) -> Layout {
    Layout::new(product, cache(product), upstreams).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the rules, which must pass `check`.
pub fn policy(layout: &Layout) -> Policy {
    let text = layout.rules();
    let config = config::parse("rules.yaml", &text).unwrap_or_else(|error| panic!("{error}"));
    let findings = lint::findings(&config);
    assert!(findings.is_empty(), "{}", findings[0].render(&Source::new("rules.yaml", &text)));
    Policy::from(config)
}

/// Returns the name that the rules, which observe, would give an image.
pub fn rewritten(policy: &Policy, image: &str) -> Option<String> {
    match policy.decide(Question {
        image,
        namespace: "default",
        pull_never: false,
        previous: None,
        included_from: None,
    }) {
        Decision::NotRewritten { reason: Reason::Observed, would_be, .. } => would_be,
        decision => panic!("{image}: {decision:?}"),
    }
}

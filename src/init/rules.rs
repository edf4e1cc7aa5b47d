//! The rules file that `init` prints.

use std::fmt::Write;

use super::{Layout, Product, Route};
use crate::registries::Upstream;

impl Layout {
    /// A rules file with comments, ready to be used.
    pub fn rules(&self) -> String {
        let Self { product, routes, .. } = self;
        let mut text = format!(
            "# Sends images through {}. Written by `pullthrough init {}`, and yours to change:\n\
             # `pullthrough check` checks it, `pullthrough explain` tells what becomes of an image and why, and\n\
             # `pullthrough init {} --setup` prints how the caches below are created.\n",
            product.title(),
            product.as_str(),
            product.as_str()
        );
        for line in note(*product) {
            let _ = writeln!(text, "#\n# {}", line.join("\n# "));
        }
        text.push_str("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n");
        for (index, route) in routes.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            rule(&mut text, *product, route, index == 0);
        }
        text
    }
}

fn rule(text: &mut String, product: Product, Route { upstream, to }: &Route, is_first: bool) {
    let about = match upstream {
        Upstream::Kubernetes => "The registry of the Kubernetes project, and the names that it had before.".to_owned(),
        Upstream::DockerHub => "Docker Hub. Short names are its too: `nginx` is docker.io/library/nginx.".to_owned(),
        other => format!("{}{}.", other.title()[..1].to_uppercase(), &other.title()[1..]),
    };
    let _ = writeln!(text, "  # {about}\n  - name: {}", rule_name(*upstream));
    match upstream.names().as_slice() {
        [name] => {
            let _ = writeln!(text, "    from: [{name}]");
        }
        names => {
            text.push_str("    from:\n");
            for name in names {
                let _ = writeln!(text, "      - {name}");
            }
        }
    }
    // An IPv6 address would be a list.
    let quote = if to.starts_with('[') { "'" } else { "" };
    let _ = writeln!(text, "    to: {quote}{to}{quote}");
    if is_first {
        text.push_str(
            "    # A rule that only observes decides, counts and reports, but changes nothing. Begin with it if in doubt.\n\
             \x20   # mode: observe\n",
        );
        if let Some(secret) = pull_secret(product) {
            let _ = writeln!(
                text,
                "    # Where the cache wants a login: a Secret that each namespace has, added to every Pod that is rewritten.\n    \
                 # imagePullSecrets: [{secret}]"
            );
        }
    }
}

/// As the built-in rule is called, which metrics go by.
const fn rule_name(upstream: Upstream) -> &'static str {
    match upstream {
        Upstream::Kubernetes => "kubernetes",
        other => other.name(),
    }
}

/// Clouds let their nodes in by themselves.
const fn pull_secret(product: Product) -> Option<&'static str> {
    match product {
        Product::Ecr | Product::ArtifactRegistry | Product::Acr => None,
        Product::Harbor => Some("harbor-pull"),
        Product::Artifactory => Some("artifactory-pull"),
        Product::Nexus => Some("nexus-pull"),
        Product::Zot | Product::Registry => Some("cache-pull"),
    }
}

/// What must be so for the paths below to be right.
const fn note(product: Product) -> &'static [&'static [&'static str]] {
    match product {
        Product::Ecr => &[&[
            "Each path is the prefix of a pull-through cache rule of ECR. The first pull of an image creates its repository, which",
            "nodes may only do if their IAM role allows ecr:CreateRepository and ecr:BatchImportUpstreamImage.",
        ]],
        Product::Harbor => &[&["Each path is a proxy cache project of Harbor."]],
        Product::ArtifactRegistry => {
            &[&["Each path is a remote repository of Artifact Registry, in one project and location."]]
        }
        Product::Acr => &[&[
            "Each path is the target of an artifact cache rule, such as docker.io/* to docker-hub/*. For Docker Hub the rule needs",
            "credentials.",
        ]],
        Product::Artifactory => &[&[
            "Each path is a remote repository of Artifactory, reached by its path (\"Repository Path\" in its HTTP settings; JFrog's",
            "cloud always does). With the subdomain method write REPOSITORY.HOST for each instead.",
        ]],
        Product::Nexus => &[&[
            "Each path is a proxy repository of Nexus with path-based routing, which 3.83 and later have. Where repositories have",
            "connector ports, write HOST:PORT for each instead.",
        ]],
        Product::Zot => &[&["Each path is the destination of a registry that zot syncs on demand."]],
        Product::Registry => &[&[
            "A plain registry caches one other registry, so there is one instance for each, told apart by its port.",
        ]],
    }
}

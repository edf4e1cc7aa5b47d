//! The rules file that `init` prints.

use std::fmt::Write;

use super::{Layout, Product, Route};
use crate::registries::Upstream;

/// The comment on `mode`. Its second sentence is `words::ONE_NAMESPACE`, in lines.
const HOW_TO_ENFORCE: &str = "\
#
# All rules observe: no image is rewritten, and metrics, logs and warnings report the results.
# To enforce a rule in one namespace, add a copy before it, with another name, `mode: enforce` and
# `namespaces: {include: [NAMESPACE]}`; the rule itself keeps observing the other namespaces.
# To enforce it in all namespaces, remove the copy, and `mode: observe` of the rule.
";

impl Layout {
    /// Returns a rules file with comments. Its rules observe.
    pub fn rules(&self) -> String {
        let Self { product, routes, .. } = self;
        let mut text = format!(
            "# Sends images through {}. Written by `pullthrough init {}`; change it as you need.\n\
             # `pullthrough check` checks it, `pullthrough explain` shows the decision about an image and its reason, and\n\
             # `pullthrough init {} --setup` prints the commands that create the caches below.\n",
            product.title(),
            product.as_str(),
            product.as_str()
        );
        for line in note(*product) {
            let _ = writeln!(text, "#\n# {}", line.join("\n# "));
        }
        text.push_str(HOW_TO_ENFORCE);
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
        Upstream::Kubernetes => "The registry of the Kubernetes project, and its former names.".to_owned(),
        Upstream::DockerHub => "Docker Hub, also for short names: `nginx` is docker.io/library/nginx.".to_owned(),
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
    let _ = writeln!(text, "    to: {quote}{to}{quote}\n    mode: observe");
    if let Some(secret) = pull_secret(product) {
        if is_first {
            text.push_str(
                "    # If the cache needs a login: a Secret that exists in each namespace, added to every Pod that is rewritten.\n",
            );
        }
        let _ = writeln!(text, "    # imagePullSecrets: [{secret}]");
    }
}

/// Returns the name of a rule; that of the built-in rule for Kubernetes, so that metrics have the same label.
const fn rule_name(upstream: Upstream) -> &'static str {
    match upstream {
        Upstream::Kubernetes => "kubernetes",
        other => other.name(),
    }
}

/// Returns the name of a pull Secret. Clouds need none: they authenticate their nodes.
const fn pull_secret(product: Product) -> Option<&'static str> {
    match product {
        Product::Ecr | Product::ArtifactRegistry | Product::Acr => None,
        Product::Harbor => Some("harbor-pull"),
        Product::Artifactory => Some("artifactory-pull"),
        Product::Nexus => Some("nexus-pull"),
        Product::Zot | Product::Registry => Some("cache-pull"),
    }
}

/// Returns comments on the paths of the rules.
const fn note(product: Product) -> &'static [&'static [&'static str]] {
    match product {
        Product::Ecr => &[&[
            "Each path is the prefix of a pull-through cache rule of ECR. The first pull of an image creates its repository. For that",
            "the IAM role of the nodes must allow ecr:CreateRepository and ecr:BatchImportUpstreamImage.",
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
            "Each path is a remote repository of Artifactory with the method \"Repository Path\" in its HTTP settings (always so in",
            "JFrog's cloud). With the subdomain method write REPOSITORY.HOST for each instead.",
        ]],
        Product::Nexus => &[&[
            "Each path is a proxy repository of Nexus 3.83 or later with path-based routing. If repositories have connector ports,",
            "write HOST:PORT for each instead.",
        ]],
        Product::Zot => &[&["Each path is the destination of a registry that zot syncs on demand."]],
        Product::Registry => &[&[
            "A plain registry caches one other registry, so there is one instance for each, with a port of its own.",
        ]],
    }
}

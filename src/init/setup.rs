//! The shell script that creates the caches.

use std::fmt::Write;

use super::layout::Route;
use super::{Layout, Product};
use crate::registries::{EcrHost, Upstream};

impl Layout {
    /// Returns a script for Bash that creates the caches, with its settings on top.
    pub fn setup(&self) -> String {
        let Self { product, host, path, .. } = self;
        let template = match product {
            Product::Ecr => include_str!("setup/ecr.sh"),
            Product::Harbor => include_str!("setup/harbor.sh"),
            Product::ArtifactRegistry => include_str!("setup/artifact-registry.sh"),
            Product::Acr => include_str!("setup/acr.sh"),
            Product::Artifactory => include_str!("setup/artifactory.sh"),
            Product::Nexus => include_str!("setup/nexus.sh"),
            Product::Zot => include_str!("setup/zot.sh"),
            Product::Registry => include_str!("setup/registry.sh"),
        };
        let ecr = EcrHost::parse(host);
        let region = ecr.map_or("", |host| host.region);
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "5000"));
        let lines = self.routes.iter().fold(String::new(), |mut lines, route| {
            let _ = writeln!(lines, "{}", self.line(route));
            lines
        });
        [
            ("@UPSTREAMS@", lines.trim_end().trim_end_matches(',')),
            ("@HOST@", host),
            ("@ACCOUNT@", ecr.map_or("", |host| host.account)),
            ("@REGION@", region),
            ("@PARTITION@", partition(region)),
            ("@PROJECT@", &path.replace('/', ":")),
            ("@LOCATION@", host.trim_end_matches("-docker.pkg.dev")),
            // `NAME-HASH.azurecr.io` is the host of the registry NAME with a domain name label.
            ("@REGISTRY@", name.split(['.', '-']).next().unwrap_or_default()),
            ("@PORT@", port),
        ]
        .iter()
        .fold(template.to_owned(), |script, (placeholder, value)| script.replace(placeholder, value))
    }

    /// Returns the line of the script for one registry.
    fn line(&self, Route { upstream, to }: &Route) -> String {
        let (name, endpoint) = (upstream.name(), upstream.endpoint());
        let path = to.split_once('/').map_or("", |(_, path)| path);
        match self.product {
            Product::Ecr => format!("{path} {endpoint} {}", if needs_login(*upstream) { "login" } else { "anonymous" }),
            Product::Harbor => {
                let (kind, address) = match upstream {
                    Upstream::DockerHub => ("docker-hub", "hub.docker.com"),
                    Upstream::Ghcr => ("github-ghcr", endpoint),
                    Upstream::Quay => ("quay", endpoint),
                    _ => ("docker-registry", endpoint),
                };
                format!("{name} {kind} https://{address}")
            }
            Product::ArtifactRegistry => match upstream {
                Upstream::DockerHub => format!("{name} DOCKER-HUB"),
                _ => format!("{name} https://{endpoint}"),
            },
            Product::Acr => {
                let login = if *upstream == Upstream::DockerHub { " docker-hub" } else { "" };
                // A rule's name has at least 5 characters.
                format!("pullthrough-{name} {}/* {path}/*{login}", upstream.host())
            }
            Product::Artifactory => format!("{name} https://{endpoint}/"),
            Product::Nexus => {
                let index = if *upstream == Upstream::DockerHub { "HUB" } else { "REGISTRY" };
                format!("{name} {index} https://{endpoint}")
            }
            Product::Zot => format!(
                "        {{\"urls\": [\"https://{endpoint}\"], \"onDemand\": true, \"tlsVerify\": true, \"preserveDigest\": true,\n         \
                 \"content\": [{{\"prefix\": \"**\", \"destination\": \"/{path}\"}}]}},"
            ),
            Product::Registry => {
                let port = to.rsplit_once(':').map_or("", |(_, port)| port);
                format!("{name} {port} https://{endpoint}")
            }
        }
    }
}

/// Returns whether ECR requires credentials in the rule for a registry.
const fn needs_login(upstream: Upstream) -> bool {
    matches!(upstream, Upstream::DockerHub | Upstream::Ghcr | Upstream::GitLab)
}

fn partition(region: &str) -> &'static str {
    match region.split('-').next().unwrap_or_default() {
        "cn" => "aws-cn",
        "us" if region.starts_with("us-gov-") => "aws-us-gov",
        "us" if region.starts_with("us-isob-") => "aws-iso-b",
        "us" if region.starts_with("us-isof-") => "aws-iso-f",
        "us" if region.starts_with("us-iso-") => "aws-iso",
        "eusc" => "aws-eusc",
        _ => "aws",
    }
}

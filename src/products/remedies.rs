//! What to do about a cause in a product, where more is known than the general fix.

use super::Source::{Documentation, Report};
use super::{Cause, Model, Source};
use crate::engine::Product;

/// The fix of a cause in a product.
#[derive(Debug)]
pub struct Remedy {
    pub product: Product,
    pub cause: Cause,
    /// An imperative, as the fixes of findings are.
    pub text: &'static str,
    pub source: Source,
}

impl Model {
    /// Returns the fixes that are known for the product.
    pub fn remedies(&self) -> impl Iterator<Item = &'static Remedy> {
        let product = self.product;
        REMEDIES.iter().filter(move |remedy| remedy.product == product)
    }
}

const fn remedy(product: Product, cause: Cause, text: &'static str, source: &'static str) -> Remedy {
    Remedy { product, cause, text, source: Documentation(source) }
}

const MIRROR: &str = "https://distribution.github.io/distribution/recipes/mirror/";
const HARBOR: &str = "https://goharbor.io/docs/latest/administration/configure-proxy-cache/";
const HARBOR_ENDPOINTS: &str =
    "https://goharbor.io/docs/latest/administration/configuring-replication/create-replication-endpoints/";
const HARBOR_ROBOTS: &str = "https://goharbor.io/docs/latest/administration/robot-accounts/";
const ZOT: &str = "https://zotregistry.dev/latest/articles/mirroring/";
const ECR_RIGHTS: &str = "https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-iam.html";
const ECR_LOGIN: &str = "https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html";
const ECR_RULES: &str = "https://docs.aws.amazon.com/cli/latest/reference/ecr/describe-pull-through-cache-rules.html";
const ECR_VALIDATE: &str = "https://docs.aws.amazon.com/cli/latest/reference/ecr/validate-pull-through-cache-rule.html";
const ACR_RULES: &str = "https://learn.microsoft.com/cli/azure/acr/cache";
const ACR_CREDENTIALS: &str = "https://learn.microsoft.com/azure/container-registry/artifact-cache-cli";
const ACR_ROLE: &str = "https://learn.microsoft.com/azure/aks/cluster-container-registry-integration";
const REMOTE_ROLE: &str = "https://cloud.google.com/artifact-registry/docs/access-control";
const NEXUS: &str = "https://help.sonatype.com/en/configurable-repository-fields.html";
const ARTIFACTORY: &str =
    "https://jfrog.com/help/r/jfrog-artifactory-documentation/cache-settings-for-remote-repositories";

static REMEDIES: [Remedy; 18] = [
    remedy(
        Product::Distribution,
        Cause::UpstreamLogin,
        "set `proxy.username` and `proxy.password` in the configuration of the registry",
        MIRROR,
    ),
    remedy(
        Product::Distribution,
        Cause::UpstreamLimit,
        "set `proxy.username` and `proxy.password` of an account with a higher limit, or wait",
        MIRROR,
    ),
    remedy(
        Product::Harbor,
        Cause::Path,
        "begin the path in `to` with the name of a proxy cache project, such as harbor.example.com/docker-hub",
        HARBOR,
    ),
    remedy(
        Product::Harbor,
        Cause::UpstreamLogin,
        "test the connection of the endpoint under Administration, Registries, and correct its access ID and secret",
        HARBOR_ENDPOINTS,
    ),
    remedy(
        Product::Harbor,
        Cause::Login,
        "log in again, or replace the pull Secrets; renew a robot account, which expires after 30 days by default",
        HARBOR_ROBOTS,
    ),
    remedy(
        Product::Zot,
        Cause::Path,
        "compare `to` with `prefix`, `destination` and `stripPrefix` in the `sync` extension",
        ZOT,
    ),
    remedy(Product::Zot, Cause::UpstreamLogin, "add the upstream to `credentialsFile` of the `sync` extension", ZOT),
    remedy(
        Product::Ecr,
        Cause::Rights,
        "for first pulls, allow `ecr:CreateRepository` and `ecr:BatchImportUpstreamImage` to the role of the nodes",
        ECR_RIGHTS,
    ),
    remedy(
        Product::Ecr,
        Cause::Login,
        "configure the kubelet's ecr-credential-provider; a token in a Secret expires after 12 hours",
        ECR_LOGIN,
    ),
    Remedy {
        product: Product::Ecr,
        cause: Cause::NotCached,
        text: "pull the image once by its tag alone, before it is pulled by its digest",
        source: Report("https://github.com/aws/containers-roadmap/issues/2837"),
    },
    remedy(
        Product::Ecr,
        Cause::Path,
        "compare `to` with the prefixes that `aws ecr describe-pull-through-cache-rules` lists for the region",
        ECR_RULES,
    ),
    remedy(
        Product::Ecr,
        Cause::UpstreamLogin,
        "check the secret with `aws ecr validate-pull-through-cache-rule --ecr-repository-prefix PREFIX`",
        ECR_VALIDATE,
    ),
    remedy(
        Product::Acr,
        Cause::Rights,
        "attach the registry with `az aks update --attach-acr`; if it uses ABAC, assign Container Registry Repository Reader",
        ACR_ROLE,
    ),
    remedy(
        Product::Acr,
        Cause::Path,
        "compare `to` with the rules of `az acr cache list --registry REGISTRY`",
        ACR_RULES,
    ),
    remedy(
        Product::Acr,
        Cause::UpstreamLogin,
        "check the credential set with `az acr credential-set show --registry REGISTRY --name NAME`",
        ACR_CREDENTIALS,
    ),
    remedy(
        Product::ArtifactRegistry,
        Cause::Rights,
        "grant the role roles/artifactregistry.reader to the service account of the nodes",
        REMOTE_ROLE,
    ),
    remedy(
        Product::Nexus,
        Cause::Remembered,
        "invalidate the cache of the proxy repository, or wait for its Not found cache TTL (1,440 minutes by default)",
        NEXUS,
    ),
    remedy(
        Product::Artifactory,
        Cause::Remembered,
        "wait for the Missed Retrieval Cache Period of the remote repository (1,800 s by default), or lower it",
        ARTIFACTORY,
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_cause_has_one_fix_in_a_product() {
        let keys: BTreeSet<_> = REMEDIES.iter().map(|remedy| (remedy.product, remedy.cause)).collect();
        assert_eq!(keys.len(), REMEDIES.len());
        for Remedy { text, .. } in &REMEDIES {
            assert!(text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('.'), "{text}");
        }
    }
}

//! The registries that rules send images to, as `caches` of the rules file describes them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::prefix::Prefix;

/// A registry, for programs that send requests to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// The names at and below it belong to the cache.
    pub prefix: Prefix,
    pub product: Product,
    /// The absolute path of its CA (PEM). Reading rules does not open it.
    pub ca_file: Option<String>,
    /// How the webhook probes it; `None` if it does not, and the cache counts as up.
    pub health: Option<HealthCheck>,
}

/// How a cache is probed. Each field has a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The time from the start of a probe to that of the next one, while the cache is up.
    pub interval: Duration,
    /// The time after which a probe without an answer has failed.
    pub timeout: Duration,
    /// The repository below the prefix, and the digest, of an image that the cache holds: `REPOSITORY@DIGEST`. Without one,
    /// `/v2/` is requested.
    pub canary: Option<String>,
}

impl Cache {
    /// Returns the cache of a canonical name. Of several prefixes the longest applies.
    pub fn of<'c>(caches: &'c [Self], name: &str) -> Option<&'c Self> {
        let above = caches.iter().filter(|cache| cache.prefix.strip(name).is_some());
        above.max_by_key(|cache| cache.prefix.canonical().len())
    }

    /// Returns the product of the cache of a canonical name.
    pub fn product_of(caches: &[Self], name: &str) -> Product {
        Self::of(caches, name).map_or_else(Product::default, |cache| cache.product)
    }
}

macro_rules! products {
    ($($product:ident, $name:literal;)+) => {
        /// The product that serves the registry.
        #[derive(Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Product { $(#[serde(rename = $name)] $product,)+ #[default] #[serde(rename = "generic")] Generic }

        impl Product {
            pub const ALL: &[Self] = &[$(Self::$product,)+ Self::Generic];

            /// Returns its name in the rules file.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$product => $name,)+ Self::Generic => "generic" }
            }
        }
    };
}

products! {
    Distribution, "distribution";
    Harbor, "harbor";
    Zot, "zot";
    Ecr, "ecr";
    Acr, "acr";
    ArtifactRegistry, "artifact-registry";
    Nexus, "nexus";
    Artifactory, "artifactory";
}

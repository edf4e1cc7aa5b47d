//! Where a product keeps what it caches.

use super::{Product, Unsuitable};
use crate::engine::{InvalidPrefix, Prefix};
use crate::registries::{ECR_PREFIX_CHARS, EcrHost, Upstream, is_ecr_path};

/// One registry, and where its images are in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub upstream: Upstream,
    pub to: String,
}

/// The caches of a product, one for each registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub product: Product,
    /// As it was written.
    pub host: String,
    /// What stands between the host and the name of a cache; empty for most.
    pub path: String,
    pub routes: Vec<Route>,
}

impl Layout {
    /// Where `product` at `cache` keeps what it pulls from `upstreams`; of all that it can, if none is named.
    ///
    /// # Errors
    ///
    /// Where the product can't be there, or can't pull from one of them.
    pub fn new(product: Product, cache: &str, upstreams: &[Upstream]) -> Result<Self, Unsuitable> {
        let invalid = |error: InvalidPrefix| Unsuitable::Invalid { cache: cache.to_owned(), error: error.of_target() };
        Prefix::parse(cache).map_err(invalid)?;
        let (host, path) = cache.split_once('/').unwrap_or((cache, ""));
        // Nobody keeps a cache there.
        if !is_of(product, host, path) || Upstream::of_host(host).is_some() {
            return Err(Unsuitable::Form { cache: cache.to_owned(), product });
        }
        if let Some(&upstream) = upstreams.iter().find(|upstream| !product.upstreams().contains(upstream)) {
            return Err(Unsuitable::Upstream { product, upstream });
        }
        let is_wanted = |upstream: &Upstream| upstreams.is_empty() || upstreams.contains(upstream);
        let routes =
            Upstream::ALL.into_iter().filter(|upstream| product.upstreams().contains(upstream)).filter(is_wanted);
        let routes = routes.map(|upstream| Ok(Route { upstream, to: target(product, cache, upstream)? }));
        let (host, path) = (host.to_owned(), path.to_owned());
        Ok(Self { product, host, path, routes: routes.collect::<Result<_, Unsuitable>>()? })
    }
}

/// Whether the product's caches can be at a host and a path.
fn is_of(product: Product, host: &str, path: &str) -> bool {
    let components = if path.is_empty() { 0 } else { path.split('/').count() };
    let is_domain = path.split('/').next().is_some_and(|first| first.contains('.'));
    match product {
        Product::Ecr => EcrHost::parse(host).is_some(),
        // A project whose name has a domain, `example.com:project`, is `example.com/project` in the path.
        Product::ArtifactRegistry => {
            host.strip_suffix("-docker.pkg.dev").is_some_and(|location| !location.is_empty())
                && (components == 1 && !is_domain || components == 2 && is_domain)
        }
        Product::Acr => [".azurecr.io", ".azurecr.cn", ".azurecr.us"].iter().any(|domain| {
            host.strip_suffix(domain)
                .is_some_and(|name| name.len() >= 5 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        }),
        Product::Harbor | Product::Artifactory | Product::Nexus | Product::Registry => path.is_empty(),
        Product::Zot => true,
    }
}

fn target(product: Product, cache: &str, upstream: Upstream) -> Result<String, Unsuitable> {
    if product == Product::Registry {
        let port = port(cache, upstream).ok_or_else(|| Unsuitable::Port { cache: cache.to_owned() })?;
        return Ok(format!("{}:{port}", host_and_port(cache).0));
    }
    let to = format!("{cache}/{}", upstream.name());
    if product == Product::Ecr {
        let prefix = to.split_once('/').map_or("", |(_, prefix)| prefix);
        if !ECR_PREFIX_CHARS.contains(&prefix.len()) || !is_ecr_path(prefix) {
            return Err(Unsuitable::EcrPrefix { prefix: prefix.to_owned() });
        }
    }
    Ok(to)
}

/// A plain registry caches one other registry, so each has its own port: the same whichever are chosen.
fn port(cache: &str, upstream: Upstream) -> Option<u16> {
    let at = Upstream::ALL.iter().position(|other| *other == upstream).unwrap_or_default();
    host_and_port(cache).1.checked_add(u16::try_from(at).ok()?)
}

fn host_and_port(cache: &str) -> (&str, u16) {
    let parts = cache.rsplit_once(':').filter(|_| !cache.ends_with(']'));
    parts.and_then(|(host, port)| Some((host, port.parse().ok()?))).unwrap_or((cache, 5000))
}

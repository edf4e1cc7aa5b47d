//! The paths of a product's caches.

use super::{Product, Unsuitable};
use crate::engine::{InvalidPrefix, Prefix};
use crate::registries::{ECR_PREFIX_CHARS, EcrHost, Upstream, is_ecr_path};

/// One registry, and the path of its images in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub upstream: Upstream,
    pub to: String,
}

/// The caches of a product, one for each registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub product: Product,
    /// The host as written.
    pub host: String,
    /// The path between the host and the name of a cache; empty for most products.
    pub path: String,
    pub routes: Vec<Route>,
}

impl Layout {
    /// Returns the caches of `product` at `cache` for `upstreams`; for all supported ones if the list is empty.
    ///
    /// # Errors
    ///
    /// Returns an error if `cache` is not a place of the product, or an upstream is not supported.
    pub fn new(product: Product, cache: &str, upstreams: &[Upstream]) -> Result<Self, Unsuitable> {
        let invalid = |error: InvalidPrefix| Unsuitable::Invalid { cache: cache.to_owned(), error: error.of_target() };
        Prefix::parse(cache).map_err(invalid)?;
        let (host, path) = cache.split_once('/').unwrap_or((cache, ""));
        // A public registry is not a cache.
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

/// Returns whether the product's caches can be at a host and a path.
fn is_of(product: Product, host: &str, path: &str) -> bool {
    let components = if path.is_empty() { 0 } else { path.split('/').count() };
    let is_domain = path.split('/').next().is_some_and(|first| first.contains('.'));
    match product {
        Product::Ecr => EcrHost::parse(host).is_some(),
        // A project with a domain in its name, `example.com:project`, has the path `example.com/project`.
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

/// Returns the port of an upstream. A plain registry caches one upstream, so each has a fixed port of its own.
fn port(cache: &str, upstream: Upstream) -> Option<u16> {
    let at = Upstream::ALL.iter().position(|other| *other == upstream).unwrap_or_default();
    host_and_port(cache).1.checked_add(u16::try_from(at).ok()?)
}

fn host_and_port(cache: &str) -> (&str, u16) {
    let parts = cache.rsplit_once(':').filter(|_| !cache.ends_with(']'));
    parts.and_then(|(host, port)| Some((host, port.parse().ok()?))).unwrap_or((cache, 5000))
}

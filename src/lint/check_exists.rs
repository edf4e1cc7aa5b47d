//! Existence checks that have no use: `check-exists`.

use super::index::Index;
use super::{Findings, Lint};
use crate::engine::{Cache, Product};

/// Adds rules that ask a pull-through cache for an image before they name it. The products of the table are pull-through caches;
/// nothing is known of a generic one.
pub fn check(index: &Index, caches: &[Cache], findings: &mut Findings) {
    for (&place, targets) in index.rules.iter().zip(&index.targets) {
        let Some(span) = &place.places.check_exists else { continue };
        let product = |name: &str| Some(Cache::product_of(caches, name)).filter(|product| *product != Product::Generic);
        let found = targets.iter().find_map(|target| Some((target.written, product(target.prefix.canonical())?)));
        if let Some((written, product)) = found {
            let message = format!(
                "`{written}` is a cache of the product `{}`, which fetches an image that it does not have: the check is not needed",
                product.as_str()
            );
            let fix =
                "remove `checkExists`, or allow `check-exists` if the cache has only images that are copied there";
            findings.add(Lint::CheckExists, place, span, message, fix.to_owned());
        }
    }
}

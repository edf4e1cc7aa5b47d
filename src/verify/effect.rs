//! What the requests of a verification cause in caches.

use std::collections::BTreeMap;

use super::targets::Target;
use crate::engine::{Cache, ImageRef, Product};
use crate::products::{Blobs, Fill, Model};
use crate::words::count;

/// Returns a line for each registry: how many images it is asked for, and what this causes in it.
pub fn effects<'t>(targets: impl IntoIterator<Item = &'t Target>, caches: &[Cache]) -> Vec<String> {
    let mut images: BTreeMap<(String, Product), usize> = BTreeMap::new();
    for target in targets {
        let Ok(image) = ImageRef::parse(&target.image) else { continue };
        let Some(host) = image.registry() else { continue };
        *images.entry((host.to_owned(), Cache::product_of(caches, image.canonical()))).or_default() += 1;
    }
    let line = |((host, product), images): ((String, Product), usize)| {
        format!("{host} ({}) is asked for {}: {}", product.as_str(), count(images, "image"), effect(Model::of(product)))
    };
    images.into_iter().map(line).collect()
}

/// Requests are those for manifests, and for the configuration of an image without an index.
fn effect(model: &Model) -> &'static str {
    match (model.fill.value, model.blobs.value) {
        (Fill::Image, _) => "a request imports the image with every platform",
        (Fill::ImageByTag, _) => "a request by tag imports the image with every platform",
        (Fill::Manifest, Blobs::Later) => "a request stores the manifest, and the cache may fetch its layers later",
        (Fill::Manifest, Blobs::OnRequest | Blobs::WithManifest) => "a request stores the manifest, but no layers",
        (Fill::Pull, _) if model.product == Product::Generic => {
            "some products import images by this; set `product` in `caches` of the rules"
        }
        (Fill::Pull, _) => "only a complete pull is documented to store an image, and this is none",
    }
}

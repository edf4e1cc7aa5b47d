//! Answers in words.

use std::collections::BTreeMap;

use super::{PullUse, Verified};
use crate::products::Model;
use crate::registry::Platform;
use crate::words::few;

/// Returns `missing: linux/arm64; served: linux/amd64`; `None` if no required platform is missing.
pub fn platforms(verified: &Verified) -> Option<String> {
    let names = |platforms: &[Platform]| platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let platforms = &verified.seen.platforms;
    let found = platforms.found.as_deref().unwrap_or_default();
    (!platforms.missing.is_empty()).then(|| format!("missing: {}; served: {}", names(&platforms.missing), names(found)))
}

/// Returns the texts of `Warning` headers by the host of the cache, with the number of their images.
pub fn warnings(images: &[Verified]) -> BTreeMap<(&str, &str), usize> {
    let mut warnings = BTreeMap::new();
    for verified in images.iter().filter(|verified| !verified.seen.is_inferred) {
        for warning in &verified.seen.cache.trace.warnings {
            *warnings.entry((verified.host(), warning.as_str())).or_default() += 1;
        }
    }
    warnings
}

/// Returns the pull Secrets that an image was asked with, by namespace and name.
pub fn pull_secrets(uses: &[PullUse]) -> String {
    if uses.is_empty() {
        return "none, since its place is in no namespace".to_owned();
    }
    let names = uses.iter().flat_map(|PullUse { namespace, secrets, unusable }| {
        let none = (secrets.is_empty() && unusable.is_empty()).then(|| format!("none in namespace {namespace}"));
        let used = secrets.iter().map(move |name| format!("{namespace}/{name}"));
        used.chain(unusable.iter().map(move |name| format!("{namespace}/{name} (unusable)"))).chain(none)
    });
    few(&names.collect::<Vec<_>>())
}

/// Returns what the answer means for the product, in its own words. It is for answers that have several causes.
pub fn meaning(verified: &Verified) -> Option<&'static str> {
    let status = verified.seen.cache.trace.status.filter(|_| verified.diagnosis.causes.len() > 1)?;
    Some(Model::of(verified.product).answer(status)?.text)
}

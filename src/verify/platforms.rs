//! The platforms of an image, and those that it must have.

use super::ask::Ask;
use crate::diagnosis;
use crate::engine::ImageRef;
use crate::registry::{Content, Manifest, Outcome, Platform, Reference, Repository};

/// The platforms of an image.
#[derive(Debug, Clone, Default)]
pub struct Platforms {
    pub outcome: diagnosis::Platforms,
    /// `None` if they are not known.
    pub found: Option<Vec<Platform>>,
    pub missing: Vec<Platform>,
}

fn missing(needed: &[Platform], found: &[Platform]) -> Vec<Platform> {
    needed.iter().filter(|needed| !found.iter().any(|found| needed.runs(found))).cloned().collect()
}

/// Returns the platforms of a manifest: those of an index, or the one in the configuration of an image.
async fn of(ask: &Ask<'_>, repository: &Repository, manifest: &Manifest) -> Option<Vec<Platform>> {
    match &manifest.content {
        Content::Index(_) => Some(manifest.platforms().into_iter().cloned().collect()),
        Content::Image { config, .. } => match ask.platform(repository, config).await.outcome {
            Outcome::Served(platform) => Some(vec![platform]),
            _ => None,
        },
    }
}

/// Looks for the needed platforms in a manifest of the cache, and for those that are missing in the upstream's.
pub(super) async fn look(
    ask: &Ask<'_>,
    needed: &[Platform],
    repository: &Repository,
    manifest: &Manifest,
    upstream: Option<&ImageRef<'_>>,
) -> Platforms {
    let is_index = matches!(manifest.content, Content::Index(_));
    if needed.is_empty() {
        let found = is_index.then(|| manifest.platforms().into_iter().cloned().collect());
        return Platforms { found, ..Platforms::default() };
    }
    let Some(found) = of(ask, repository, manifest).await else {
        return Platforms { outcome: diagnosis::Platforms::Unknown, ..Platforms::default() };
    };
    let missing = missing(needed, &found);
    if missing.is_empty() {
        return Platforms { found: Some(found), ..Platforms::default() };
    }
    let at_upstream = match upstream.and_then(|image| Some((Repository::of(image)?, Reference::of(image)))) {
        Some((repository, reference)) => match ask.manifest(&repository, &reference).await.outcome {
            Outcome::Served(manifest) => of(ask, &repository, &manifest).await,
            _ => None,
        },
        None => None,
    };
    let outcome = match at_upstream {
        None => diagnosis::Platforms::Missing,
        Some(of_upstream) if self::missing(&missing, &of_upstream).len() < missing.len() => {
            diagnosis::Platforms::MissingInCache
        }
        Some(_) => diagnosis::Platforms::MissingUpstream,
    };
    Platforms { outcome, found: Some(found), missing }
}

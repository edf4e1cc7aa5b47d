//! Whether a cache serves the digest that its upstream has for a tag.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ask::Ask;
use crate::engine::ImageRef;
use crate::registry::{Answer, Content, Digest, Manifest, Outcome, Reference, Repository};

/// How the digests of a tag compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    Equal,
    /// The cache serves an earlier digest of the upstream.
    Stale,
    /// The cache serves the upstream's index without some of its children.
    Trimmed,
    /// The upstream does not have the cache's digest.
    Different,
    Unknown,
}

impl Match {
    pub const ALL: [Self; 5] = [Self::Equal, Self::Stale, Self::Trimmed, Self::Different, Self::Unknown];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Stale => "stale",
            Self::Trimmed => "trimmed",
            Self::Different => "different",
            Self::Unknown => "unknown",
        }
    }

    /// Returns what it means, and the fix.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Equal => ("the digests are equal", "none needed"),
            Self::Stale => (
                "the cache serves an earlier image of the tag",
                "have the cache check the tag again, or delete its copy; where the digest matters, pin it",
            ),
            Self::Trimmed => (
                "the cache serves the upstream's index without some of its children",
                "delete the image in the cache, and pull every platform at once",
            ),
            Self::Different => (
                "the upstream does not have the cache's digest: it removed an earlier image, or the cache's image is another one",
                "compare both digests with one that you trust, before the image is used",
            ),
            Self::Unknown => ("the digests were not compared", "see the reason"),
        }
    }
}

/// The comparison of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub result: Match,
    pub upstream_digest: Option<Digest>,
    /// How much older the cache's image is than the upstream's, where both say when they were created.
    pub stale_secs: Option<i64>,
    /// Why the digests were not compared.
    pub reason: Option<String>,
}

impl Proof {
    pub(super) fn unknown(reason: &str) -> Self {
        let reason = Some(reason.to_owned());
        Self { result: Match::Unknown, upstream_digest: None, stale_secs: None, reason }
    }
}

/// Compares what a cache serves for a tag with what the upstream has for it. The upstream's manifest is fetched only if its
/// digest is another.
pub(super) async fn look(ask: &Ask<'_>, cached: &Manifest, upstream: &ImageRef<'_>) -> Proof {
    let Some(repository) = Repository::of(upstream) else { return Proof::unknown("the upstream has no host") };
    let head = ask.head(&repository, &Reference::of(upstream)).await;
    if let Outcome::Served(head) = &head.outcome
        && head.digest.as_ref() == Some(&cached.digest)
    {
        let upstream_digest = head.digest.clone();
        return Proof { result: Match::Equal, upstream_digest, stale_secs: None, reason: None };
    }
    if head.served().is_none() {
        return Proof::unknown(&failed(&head));
    }
    let answer = ask.manifest(&repository, &Reference::of(upstream)).await;
    let current = match &answer.outcome {
        Outcome::Served(manifest) => manifest,
        _ => return Proof::unknown(&failed(&answer)),
    };
    let upstream_digest = Some(current.digest.clone());
    let proof = |result, stale_secs| Proof { result, upstream_digest, stale_secs, reason: None };
    if current.digest == cached.digest {
        return proof(Match::Equal, None);
    }
    if is_trimmed(cached, current) {
        return proof(Match::Trimmed, None);
    }
    match ask.head(&repository, &Reference::Digest(cached.digest.clone())).await {
        Answer { outcome: Outcome::Served(_), .. } => {
            let age = created(current).zip(created(cached)).map(|(current, cached)| current - cached);
            proof(Match::Stale, age.filter(|secs| *secs > 0))
        }
        Answer { outcome: Outcome::Missing, .. } => proof(Match::Different, None),
        answer => Proof { reason: Some(failed(&answer)), ..proof(Match::Unknown, None) },
    }
}

fn failed<T>(answer: &Answer<T>) -> String {
    match (&answer.outcome, answer.trace.status) {
        (Outcome::Unreachable(unreachable), _) => format!("the upstream is unreachable: {unreachable}"),
        (Outcome::Invalid(invalid), _) => format!("the upstream's answer is unusable: {invalid}"),
        (_, Some(status)) => format!("the upstream answers {status}"),
        (_, None) => "the upstream gives no answer".to_owned(),
    }
}

/// Returns whether one index is the other without some of its children.
fn is_trimmed(cached: &Manifest, current: &Manifest) -> bool {
    let children = |manifest: &Manifest| match &manifest.content {
        Content::Index(children) => Some(children.iter().map(|child| child.digest.clone()).collect::<BTreeSet<_>>()),
        Content::Image { .. } => None,
    };
    match (children(cached), children(current)) {
        (Some(cached), Some(current)) => {
            !cached.is_empty() && cached.len() < current.len() && cached.is_subset(&current)
        }
        _ => false,
    }
}

#[derive(Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, serde_json::Value>>,
}

/// Returns when an image was created, in seconds since 1970, as its manifest or the children of its index say.
fn created(manifest: &Manifest) -> Option<i64> {
    const CREATED: &str = "org.opencontainers.image.created";
    let secs = |text: &str| text.parse::<Timestamp>().ok().map(Timestamp::as_second);
    let own = serde_json::from_slice::<Annotated>(&manifest.bytes).ok().and_then(|document| document.annotations);
    let own = own.and_then(|annotations| secs(annotations.get(CREATED)?.as_str()?));
    own.or_else(|| match &manifest.content {
        Content::Index(children) => children.iter().filter_map(|child| secs(child.annotations.get(CREATED)?)).max(),
        Content::Image { .. } => None,
    })
}

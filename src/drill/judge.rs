//! Whether a cache serves an image without its upstream: pure, from what its inventory says.

use super::holdings::{Holdings, Part};
use super::verdict::Verdict;
use crate::registry::{Content, Descriptor, Digest, Manifest, Platform, Reference};
use crate::words::few;

/// The characters of a digest that identify it for people.
const SHORT: usize = 19;

/// The outage, and what the cache does in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offline {
    /// Whether the cache serves what it holds; `None` if unknown.
    pub serves_held: Option<bool>,
    /// The end of the outage, in seconds since 1970. What the cache removes before is not safe.
    pub ends_secs: i64,
}

/// What an inventory says of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    /// What is missing, or not known. Empty for `yes`.
    pub reasons: Vec<String>,
    /// The digest of the tag, or of the reference.
    pub digest: Option<Digest>,
    /// When the cache removes a part of it, in seconds since 1970.
    pub until_secs: Option<i64>,
}

/// Judges an image by the parts of it that a cache holds.
///
/// It is `yes` only if every part is held that the platforms need: the tag's manifest, of an index the manifests of the platforms,
/// and the configuration and all layers of each. Without `platforms`, each platform of an index is needed.
pub fn judge(
    holdings: &dyn Holdings,
    repository: &str,
    reference: &Reference,
    platforms: &[Platform],
    offline: Offline,
) -> Finding {
    let mut look = Look { holdings, repository, parts: Parts::default() };
    let digest = match reference {
        Reference::Digest(digest) => Some(digest.clone()),
        Reference::Tag(tag) => look.parts.take(&format!("tag {tag}"), holdings.tag(repository, tag)),
    };
    let manifest = digest.as_ref().and_then(|digest| look.manifest("manifest", digest));
    let mut parts = look.parts;
    let mut verdict = parts.verdict();
    if let Some(manifest) = manifest {
        let below = content(holdings, repository, &manifest, platforms);
        parts.extend(below.parts);
        verdict = verdict.min(below.verdict);
    }
    if verdict == Verdict::Yes && offline.serves_held != Some(true) {
        verdict = Verdict::Unknown;
        parts
            .unknown
            .push("it is held, but it is not known whether this product serves it without its upstream".to_owned());
    }
    if verdict == Verdict::Yes && parts.until_secs.is_some_and(|until| until <= offline.ends_secs) {
        verdict = Verdict::Unknown;
        parts.unknown.push("it is held, but the cache removes a part of it before the end of the outage".to_owned());
    }
    let Parts { absent, unknown, until_secs } = parts;
    let reasons = if verdict == Verdict::No { absent } else { [absent, unknown].concat() };
    Finding { verdict, reasons, digest, until_secs }
}

/// What is known of several parts together.
#[derive(Default)]
struct Parts {
    absent: Vec<String>,
    unknown: Vec<String>,
    until_secs: Option<i64>,
}

impl Parts {
    fn take<T>(&mut self, what: &str, part: Part<T>) -> Option<T> {
        match part {
            Part::Held { value, until_secs } => {
                self.until_secs = self.until_secs.into_iter().chain(until_secs).min();
                return Some(value);
            }
            Part::Absent(why) => self.absent.push(format!("{what}: {why}")),
            Part::Unknown(why) => self.unknown.push(format!("{what}: {why}")),
        }
        None
    }

    fn verdict(&self) -> Verdict {
        match (&*self.absent, &*self.unknown) {
            ([], []) => Verdict::Yes,
            ([], _) => Verdict::Unknown,
            _ => Verdict::No,
        }
    }

    fn extend(&mut self, other: Self) {
        self.absent.extend(other.absent);
        self.unknown.extend(other.unknown);
        self.until_secs = self.until_secs.into_iter().chain(other.until_secs).min();
    }
}

struct Look<'h> {
    holdings: &'h dyn Holdings,
    repository: &'h str,
    parts: Parts,
}

/// Parts with their verdict, which is not always the worst one: an image may be whole for some platforms.
struct Judged {
    parts: Parts,
    verdict: Verdict,
}

impl Look<'_> {
    fn manifest(&mut self, what: &str, digest: &Digest) -> Option<Manifest> {
        let part = self.holdings.manifest(self.repository, digest);
        self.parts.take(&format!("{what} {}", short(digest)), part)
    }

    fn image(&mut self, config: &Descriptor, layers: &[Descriptor]) {
        let config_part = self.holdings.blob(self.repository, config);
        self.parts.take(&format!("configuration {}", short(&config.digest)), config_part);
        for layer in layers {
            let part = self.holdings.blob(self.repository, layer);
            self.parts.take(&format!("layer {}", short(&layer.digest)), part);
        }
    }
}

fn content(holdings: &dyn Holdings, repository: &str, manifest: &Manifest, platforms: &[Platform]) -> Judged {
    let look = || Look { holdings, repository, parts: Parts::default() };
    match &manifest.content {
        Content::Image { config, layers } => {
            let mut image = look();
            image.image(config, layers);
            let verdict = image.parts.verdict();
            let of_platforms = of_image(holdings, repository, config, platforms);
            image.parts.extend(of_platforms.parts);
            Judged { parts: image.parts, verdict: verdict.min(of_platforms.verdict) }
        }
        Content::Index(children) => {
            let runnable: Vec<&Descriptor> = children.iter().filter(|child| !is_aside(child)).collect();
            let child = |child: &Descriptor| {
                let mut look = look();
                let title = child.platform.as_ref().map_or_else(String::new, |platform| format!("{platform} "));
                match look.manifest(&format!("{title}manifest"), &child.digest).map(|manifest| manifest.content) {
                    Some(Content::Image { config, layers }) => look.image(&config, &layers),
                    Some(Content::Index(_)) => {
                        look.parts
                            .unknown
                            .push(format!("{title}manifest {}: it is another index", short(&child.digest)));
                    }
                    None => {}
                }
                look.parts
            };
            let needed: Vec<Parts> = if platforms.is_empty() {
                runnable.into_iter().map(child).collect()
            } else {
                // Which of several variants a node pulls depends on its processor, so that each is needed.
                let of_platform = |platform: &Platform| {
                    let mut parts = Parts::default();
                    let matching = runnable
                        .iter()
                        .filter(|child| child.platform.as_ref().is_some_and(|found| platform.runs(found)));
                    let found: Vec<_> = matching.map(|found| child(found)).collect();
                    let is_unnamed = |child: &&&Descriptor| child.platform.is_none();
                    if let Some(child) = runnable.iter().find(is_unnamed) {
                        parts
                            .unknown
                            .push(format!("manifest {}: the index does not name its platform", short(&child.digest)));
                    } else if found.is_empty() {
                        let names: Vec<String> =
                            runnable.iter().filter_map(|child| Some(child.platform.as_ref()?.to_string())).collect();
                        parts.absent.push(format!("{platform}: the index has only {}", few(&names)));
                    }
                    found.into_iter().for_each(|found| parts.extend(found));
                    parts
                };
                platforms.iter().map(of_platform).collect()
            };
            together(needed)
        }
    }
}

/// Returns whether no node runs a child of an index: attestations.
fn is_aside(child: &Descriptor) -> bool {
    child.is_attestation() || child.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
}

fn of_image(holdings: &dyn Holdings, repository: &str, config: &Descriptor, platforms: &[Platform]) -> Judged {
    if platforms.is_empty() {
        return Judged { parts: Parts::default(), verdict: Verdict::Yes };
    }
    let mut parts = Parts::default();
    let found = parts.take("platform", holdings.platform(repository, config));
    let Some(found) = found else {
        let verdict = parts.verdict();
        return Judged { parts, verdict };
    };
    let of_platform = |platform: &Platform| {
        let mut parts = Parts::default();
        if !platform.runs(&found) {
            parts.absent.push(format!("{platform}: the image is for {found}"));
        }
        parts
    };
    together(platforms.iter().map(of_platform).collect())
}

/// Judges alternatives, of which a node needs one: platforms. If some are whole and others are not, the answer depends on the node.
fn together(all: Vec<Parts>) -> Judged {
    let verdicts: Vec<Verdict> = all.iter().map(Parts::verdict).collect();
    let verdict = match (verdicts.iter().min(), verdicts.iter().max()) {
        (Some(worst), Some(best)) if worst == best => *worst,
        (Some(_), Some(_)) => Verdict::Unknown,
        _ => Verdict::No,
    };
    let mut parts = Parts::default();
    if all.is_empty() {
        parts.absent.push("the index has no image".to_owned());
    }
    all.into_iter().for_each(|one| parts.extend(one));
    Judged { parts, verdict }
}

fn short(digest: &Digest) -> &str {
    digest.as_str().get(..SHORT).unwrap_or(digest.as_str())
}

#[cfg(test)]
mod tests;

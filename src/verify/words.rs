//! Answers in words.

use std::collections::BTreeMap;

use super::{PullUse, Verified};
use crate::products::Model;
use crate::registry::{Answer, Outcome, Platform, Trace};
use crate::words::{count, few, span};

/// The most characters of a page that is not a registry's.
const PAGE_CHARS: usize = 120;

/// Returns an answer in one line: status, errors, credentials and limits.
pub fn answer(answer: &Answer<()>) -> String {
    let Answer { outcome, trace } = answer;
    let Trace { status, errors, page, retry_after, rate_limit, credential_faults, .. } = trace;
    let mut text = match outcome {
        Outcome::Unreachable(unreachable) => unreachable.to_string(),
        Outcome::Invalid(invalid) => invalid.to_string(),
        _ => match status {
            Some(status) => status.to_string(),
            None => "no answer".to_owned(),
        },
    };
    if let Outcome::Denied(denied) = outcome {
        text += &format!(", {denied}");
    }
    for error in errors {
        let separator = if error.message.is_empty() { "" } else { ": " };
        text += &format!(", {}{separator}{}", error.code, error.message);
    }
    if let Some(page) = page.as_ref().filter(|_| errors.is_empty()) {
        let one_line = page.split_whitespace().collect::<Vec<_>>().join(" ");
        text += &format!(", a page: {}", one_line.chars().take(PAGE_CHARS).collect::<String>());
    }
    if let Some(wait) = retry_after {
        text += &format!(", Retry-After: {}", span(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)));
    }
    if let Some(remaining) = rate_limit.and_then(|limit| limit.remaining) {
        text +=
            &format!(", {} left of the rate limit", count(usize::try_from(remaining).unwrap_or(usize::MAX), "request"));
    }
    if matches!(outcome, Outcome::Denied(_)) {
        text += &match &trace.credential {
            Some(source) => format!(", with the {source}"),
            None => ", without credentials".to_owned(),
        };
    }
    for fault in credential_faults {
        text += &format!(", {fault}");
    }
    text
}

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

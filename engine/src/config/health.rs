//! Checks `health` of a cache, and durations.

use std::time::Duration;

use serde_saphyr::Spanned;

use super::bounded::{Bounded, INTERVAL, TIMEOUT};
use super::checker::Checker;
use super::schema::HealthEntry;
use crate::{HealthCheck, ImageRef, Prefix, duration_text, parse_duration};

impl Checker {
    pub(super) fn health(&mut self, entry: HealthEntry, prefix: &Prefix) -> HealthCheck {
        let HealthEntry { interval, timeout, canary } = entry;
        let interval = self.duration(interval, "`interval`", INTERVAL);
        let timeout = self.duration(timeout, "`timeout`", TIMEOUT);
        let canary = canary.and_then(|canary| {
            self.valid(&canary, "`canary`", check_canary(prefix, &canary.value)).map(|()| canary.value)
        });
        HealthCheck { interval, timeout, canary }
    }

    pub(super) fn duration(&mut self, value: Option<Spanned<String>>, what: &str, bounded: Bounded) -> Duration {
        let Bounded { default, range } = bounded;
        let Some(text) = value else { return default };
        let parsed = parse_duration(&text.value).and_then(|duration| {
            if range.contains(&duration) {
                Ok(duration)
            } else {
                Err(format!(
                    "write a duration from {} to {}",
                    duration_text(*range.start()),
                    duration_text(*range.end())
                ))
            }
        });
        self.valid(&text, what, parsed).unwrap_or(default)
    }
}

/// Checks that a canary is a repository and a digest below the prefix. A tag would make some caches import the image.
fn check_canary(prefix: &Prefix, canary: &str) -> Result<(), String> {
    const FORM: &str = "write a repository below the prefix and a digest, such as `library/busybox@sha256:…`";
    let name = format!("{}/{canary}", prefix.canonical());
    let image = ImageRef::parse(&name).map_err(|error| format!("{FORM}: {error}"))?;
    match (image.tag(), image.digest()) {
        (Some(tag), Some(_)) => Err(format!("remove the tag `:{tag}`: the digest names the image")),
        (Some(_), None) | (None, None) => Err(format!("{FORM}: without a digest, some caches import the image")),
        (None, Some(_)) => Ok(()),
    }
}

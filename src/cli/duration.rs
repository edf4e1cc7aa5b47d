//! Durations as options and variables write them.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::engine::{duration_text, parse_duration};

/// A duration such as `500ms`, `5s` or `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationArg(Duration);

impl DurationArg {
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub const fn get(self) -> Duration {
        self.0
    }

    /// Returns a parser for values within the range.
    pub fn within(
        range: RangeInclusive<Self>,
    ) -> impl Fn(&str) -> Result<Self, String> + Clone + Send + Sync + 'static {
        move |text| {
            let value = Self(parse_duration(text)?);
            if range.contains(&value) {
                Ok(value)
            } else {
                Err(format!("write a duration from {} to {}", range.start(), range.end()))
            }
        }
    }
}

impl fmt::Display for DurationArg {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&duration_text(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_named_in_its_error() {
        let parse = DurationArg::within(DurationArg::from_secs(1)..=DurationArg::from_secs(600));
        assert_eq!(parse("10m"), Ok(DurationArg::from_secs(600)));
        assert_eq!(parse("999ms"), Err("write a duration from 1s to 10m".to_owned()));
        assert_eq!(parse("11m"), Err("write a duration from 1s to 10m".to_owned()));
    }
}

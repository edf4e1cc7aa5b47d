//! Answers in words.

use super::answer::{Answer, Outcome, Trace};
use crate::words::{count, span};

/// The most characters of a page that is not a registry's.
const PAGE_CHARS: usize = 120;

impl Answer<()> {
    /// Returns it in one line: status, errors, credentials and limits.
    pub fn in_words(&self) -> String {
        let Self { outcome, trace } = self;
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
            text += &format!(
                ", {} left of the rate limit",
                count(usize::try_from(remaining).unwrap_or(usize::MAX), "request")
            );
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
}

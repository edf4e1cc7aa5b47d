//! Formats times, counts and lists for messages, and texts that several messages have.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::Timestamp;

/// The number of names that a message lists before it counts the others.
const FEW: usize = 5;

/// The step after observing. The chart's notes and `manifests/base/rules.yaml` have the same text.
pub const ONE_NAMESPACE: &str = "to enforce a rule in one namespace, add a copy before it, with another name, `mode: enforce` and \
    `namespaces: {include: [NAMESPACE]}`; the rule itself keeps observing the other namespaces";

/// Returns a number with its noun: `1 image`, `3 images`, `2 registries`.
pub fn count(number: usize, what: &str) -> String {
    let what = if number == 1 { what.to_owned() } else { plural(what) };
    format!("{number} {what}")
}

/// Returns the plural of a noun.
pub fn plural(what: &str) -> String {
    match what.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
        Some(stem) => format!("{stem}ies"),
        None => format!("{what}s"),
    }
}

/// Returns the first five names, and the number of the others.
pub fn few<T: AsRef<str>>(names: &[T]) -> String {
    first(FEW, names, names.len())
}

/// Returns the first `shown` names, and the number of the others of `all`.
pub fn first<T: AsRef<str>>(shown: usize, names: &[T], all: usize) -> String {
    let shown: Vec<&str> = names.iter().take(shown).map(AsRef::as_ref).collect();
    match all.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Replaces characters that control a terminal or change the reading direction.
pub fn visible(text: &str) -> String {
    let is_control = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_control(c) { '\u{fffd}' } else { c }).collect()
}

/// Returns a duration in its largest suitable unit: `3 days`.
pub fn span(secs: i64) -> String {
    let secs = secs.unsigned_abs();
    let (number, unit) = match secs {
        0..120 => (secs, "second"),
        120..7200 => (secs / 60, "minute"),
        7200..172_800 => (secs / 3600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    count(usize::try_from(number).unwrap_or(usize::MAX), unit)
}

/// Returns a time with its distance from now: `2027-01-01T00:00:00Z, in 3 days`.
pub fn when(at_secs: i64, now: SystemTime) -> String {
    let now_secs = secs(now);
    let distance = match at_secs.saturating_sub(now_secs) {
        left if left >= 0 => format!("in {}", span(left)),
        left => format!("{} ago", span(left)),
    };
    match Timestamp::from_second(at_secs) {
        Ok(time) => format!("{time}, {distance}"),
        Err(_) => distance,
    }
}

/// Returns seconds since 1970.
pub fn secs(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs().try_into().unwrap_or(i64::MAX)
}

/// Reads a time in Kubernetes' format. Returns seconds since 1970.
pub fn parse_secs(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_formatted() {
        assert_eq!(count(1, "Pod"), "1 Pod");
        assert_eq!(count(2, "registry"), "2 registries");
        assert_eq!(visible("a\u{1b}[2J\u{9b}\u{202e}é"), "a\u{fffd}[2J\u{fffd}\u{fffd}é");
        assert_eq!(few(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
        assert_eq!(span(-90), "90 seconds");
        assert_eq!(span(3 * 86_400), "3 days");
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(when(1_000_060, now), "1970-01-12T13:47:40Z, in 60 seconds");
        assert!(when(i64::MAX, now).contains("in "));
        assert_eq!(parse_secs("1970-01-12T13:46:40Z"), Some(1_000_000));
        assert_eq!(parse_secs("yesterday"), None);
    }
}

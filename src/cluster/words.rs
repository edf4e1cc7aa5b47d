//! Times, counts and lists, as sentences have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::Timestamp;

/// Names that are given of a long list.
const FEW: usize = 5;

/// `3 Pods`, `1 Pod`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The first few, and how many more there are.
pub fn few<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(FEW).map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(FEW) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The largest unit that makes sense: `3 days`.
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

/// A time, and how far it is from now: `2027-01-01T00:00:00Z, in 3 days`.
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

pub fn secs(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs().try_into().unwrap_or(i64::MAX)
}

/// A time as Kubernetes writes it, in seconds since 1970.
pub fn parse_secs(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_read_well() {
        assert_eq!(count(1, "Pod"), "1 Pod");
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

//! Annotations of the Secret: requests from users, and state that replicas share.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::certificate::clock;
use crate::words::parse_secs;

/// CAs whose certificates replicas renew at once.
pub const RENEW: &str = "pullthrough.dev/renew";
/// CAs that are no longer trusted. Replicas renew their certificates too.
pub const REVOKE: &str = "pullthrough.dev/revoke";
/// CAs that are trusted besides the one of the serving certificate, and until when: `SHA256=TIME`, separated by commas.
const TRUSTED_UNTIL: &str = "pullthrough.dev/trusted-until";

/// An invalid value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the annotation {annotation} has {value:?}; set it to the SHA-256 of a CA certificate, 64 hexadecimal digits")]
pub struct Invalid {
    annotation: &'static str,
    value: String,
}

/// Requests from users.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// The SHA-256 of CAs in lower-case hexadecimal digits.
    pub renew: Vec<String>,
    pub revoke: Vec<String>,
    /// The first invalid value. The valid ones still count.
    pub invalid: Option<Invalid>,
}

impl Requests {
    /// Reads the annotations of a Secret.
    pub fn of(secret: &Value) -> Requests {
        let mut requests = Requests::default();
        for (annotation, named) in [(RENEW, &mut requests.renew), (REVOKE, &mut requests.revoke)] {
            for word in parts(secret, annotation) {
                match sha256(word) {
                    Some(sha256) => named.push(sha256),
                    None => {
                        requests.invalid.get_or_insert_with(|| Invalid { annotation, value: word.to_owned() });
                    }
                }
            }
        }
        requests
    }
}

/// Reads a fingerprint as `openssl x509 -fingerprint -sha256` prints it, or without the colons.
fn sha256(word: &str) -> Option<String> {
    let digits = word.replace(':', "").to_ascii_lowercase();
    (digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

/// Sets an annotation to CAs.
pub fn name(secret: &mut Value, annotation: &'static str, cas: impl IntoIterator<Item = String>) {
    let cas: Vec<_> = cas.into_iter().collect();
    secret["metadata"]["annotations"][annotation] = json!(cas.join(","));
}

/// Returns until when CAs are trusted, in seconds since 1970, by their SHA-256. Invalid entries are ignored.
pub fn trusted_until(secret: &Value) -> BTreeMap<String, i64> {
    let records = parts(secret, TRUSTED_UNTIL).filter_map(|record| {
        let (sha256, time) = record.split_once('=')?;
        Some((sha256.to_owned(), parse_secs(time)?))
    });
    records.collect()
}

/// Sets the annotation that [`trusted_until`] reads.
pub fn set_trusted_until(secret: &mut Value, records: impl IntoIterator<Item = (String, i64)>) {
    let records = records.into_iter().map(|(sha256, until_secs)| format!("{sha256}={}", clock::text(until_secs)));
    let records = records.collect::<Vec<_>>().join(",");
    if !records.is_empty() {
        secret["metadata"]["annotations"][TRUSTED_UNTIL] = json!(records);
    } else if let Some(annotations) = secret.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(TRUSTED_UNTIL);
    }
}

fn parts<'s>(secret: &'s Value, annotation: &str) -> impl Iterator<Item = &'s str> {
    let value = secret["metadata"]["annotations"][annotation].as_str().unwrap_or_default();
    value.split([',', ' ', '\n']).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cas_are_identified_by_their_sha256() {
        let lower = "0a".repeat(32);
        let colons = vec!["0A"; 32].join(":");
        let of = |value: &str| Requests::of(&json!({"metadata": {"annotations": {REVOKE: value}}}));
        assert_eq!(of(&lower).revoke, [lower.as_str()]);
        assert_eq!(of(&format!("{colons}, {lower}\n")).revoke, [lower.as_str(), &lower]);
        assert_eq!(of(""), Requests::default());
        assert_eq!(Requests::of(&json!({})), Requests::default());
        for value in ["all", &lower[1..], &format!("{lower}0"), &lower.replace('a', "g")] {
            let requests = of(&format!("{value},{lower}"));
            assert_eq!(requests.revoke, [lower.as_str()]);
            let error = requests.invalid.unwrap().to_string();
            let expected = format!("the annotation pullthrough.dev/revoke has {value:?}; ");
            assert!(error.starts_with(&expected), "{error}");
        }
        let mut secret = json!({"metadata": {"name": "a"}});
        name(&mut secret, RENEW, [lower.clone()]);
        assert_eq!(Requests::of(&secret).renew, [lower]);
    }

    #[test]
    fn trusted_until_is_read_as_written() {
        let mut secret = json!({"metadata": {"name": "a"}});
        set_trusted_until(&mut secret, []);
        assert_eq!(secret, json!({"metadata": {"name": "a"}}));
        let records = BTreeMap::from([("aa".to_owned(), 1_000_000), ("bb".to_owned(), 2_000_000)]);
        set_trusted_until(&mut secret, records.clone());
        assert_eq!(trusted_until(&secret), records);
        set_trusted_until(&mut secret, []);
        assert_eq!(trusted_until(&secret), BTreeMap::new());
        let odd = json!({"metadata": {"annotations": {TRUSTED_UNTIL: "aa,bb=soon,cc=1970-01-12T13:46:40Z"}}});
        assert_eq!(trusted_until(&odd), BTreeMap::from([("cc".to_owned(), 1_000_000)]));
    }
}

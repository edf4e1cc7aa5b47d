//! What people ask of the replicas, and what these tell each other, as annotations of the Secret.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::certificate::clock;
use crate::cluster::words::parse_secs;

/// CAs whose certificate is to be renewed now.
pub const RENEW: &str = "pullthrough.dev/renew";
/// CAs that are not to be trusted any more; their certificates are renewed too.
pub const REVOKE: &str = "pullthrough.dev/revoke";
/// Other CAs than the one of the serving certificate that are still trusted, and until when: `SHA256=TIME`, and so on.
const TRUSTED_UNTIL: &str = "pullthrough.dev/trusted-until";

/// A value that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the annotation {annotation} has {value:?}; write the SHA-256 of a CA certificate, 64 hexadecimal digits")]
pub struct Invalid {
    annotation: &'static str,
    value: String,
}

/// What people ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// The SHA-256 of CAs, in lower-case hexadecimal digits.
    pub renew: Vec<String>,
    pub revoke: Vec<String>,
    /// The first value that can't be read; the others count.
    pub invalid: Option<Invalid>,
}

impl Orders {
    /// Reads the annotations of a Secret.
    pub fn of(secret: &Value) -> Orders {
        let mut orders = Orders::default();
        for (annotation, named) in [(RENEW, &mut orders.renew), (REVOKE, &mut orders.revoke)] {
            for word in parts(secret, annotation) {
                match sha256(word) {
                    Some(sha256) => named.push(sha256),
                    None => {
                        orders.invalid.get_or_insert_with(|| Invalid { annotation, value: word.to_owned() });
                    }
                }
            }
        }
        orders
    }
}

/// As `openssl x509 -fingerprint -sha256` prints it, or without the colons.
fn sha256(word: &str) -> Option<String> {
    let digits = word.replace(':', "").to_ascii_lowercase();
    (digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

/// Names CAs in an annotation.
pub fn name(secret: &mut Value, annotation: &'static str, cas: impl IntoIterator<Item = String>) {
    let cas: Vec<_> = cas.into_iter().collect();
    secret["metadata"]["annotations"][annotation] = json!(cas.join(","));
}

/// Until when CAs are trusted, in seconds since 1970, by their SHA-256. What can't be read is not trusted.
pub fn trusted_until(secret: &Value) -> BTreeMap<String, i64> {
    let records = parts(secret, TRUSTED_UNTIL).filter_map(|record| {
        let (sha256, time) = record.split_once('=')?;
        Some((sha256.to_owned(), parse_secs(time)?))
    });
    records.collect()
}

/// Writes what [`trusted_until`] reads.
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
    fn cas_are_named_by_their_digest() {
        let lower = "0a".repeat(32);
        let colons = vec!["0A"; 32].join(":");
        let of = |value: &str| Orders::of(&json!({"metadata": {"annotations": {REVOKE: value}}}));
        assert_eq!(of(&lower).revoke, [lower.as_str()]);
        assert_eq!(of(&format!("{colons}, {lower}\n")).revoke, [lower.as_str(), &lower]);
        assert_eq!(of(""), Orders::default());
        assert_eq!(Orders::of(&json!({})), Orders::default());
        for value in ["all", &lower[1..], &format!("{lower}0"), &lower.replace('a', "g")] {
            let orders = of(&format!("{value},{lower}"));
            assert_eq!(orders.revoke, [lower.as_str()]);
            let error = orders.invalid.unwrap().to_string();
            let expected = format!("the annotation pullthrough.dev/revoke has {value:?}; ");
            assert!(error.starts_with(&expected), "{error}");
        }
        let mut secret = json!({"metadata": {"name": "a"}});
        name(&mut secret, RENEW, [lower.clone()]);
        assert_eq!(Orders::of(&secret).renew, [lower]);
    }

    #[test]
    fn times_are_read_as_they_were_written() {
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

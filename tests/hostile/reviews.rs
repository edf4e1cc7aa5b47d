//! Reviews: ordinary ones, and those that cost more than their size.

use std::fmt::Write as _;

/// The most keys of an object, and entries of a list, that the engine reads.
const KEYS: usize = 65_536;
const ENTRIES: usize = 8_000;

/// Returns reviews as the API server sends them, each with an image that is rewritten: 1.9 KB and 12 KB.
pub fn ordinary() -> [&'static [u8]; 2] {
    [include_bytes!("../data/reviews/a-one.json"), include_bytes!("../data/reviews/b-realistic.json")]
}

/// Returns a review with a long `uid`, which the response repeats.
pub fn long_uid(bytes: usize) -> Vec<u8> {
    review(&"u".repeat(bytes.saturating_sub(review("", "", "[]").len())), "", &containers(1))
}

/// Returns a review of half a megabyte, whose response has one and a half.
pub fn many_images() -> Vec<u8> {
    review("uid", "", &containers(ENTRIES))
}

/// Returns a review of 730 KB. For each image, the rule's secret is searched among those of the Pod, which differ in the last character.
pub fn many_secrets() -> Vec<u8> {
    let mut secrets = String::from(r#","imagePullSecrets":["#);
    for index in 0..ENTRIES {
        let _ = write!(secrets, r#"{}{{"name":"harbor-pull-{:05}"}}"#, comma(index), index + 2);
    }
    secrets.push(']');
    review_with_spec("uid", "", &containers(ENTRIES), &secrets)
}

/// Returns a review with objects of many escaped keys beside the Pod, of at most this size.
pub fn escaped_keys(bytes: usize) -> Vec<u8> {
    let mut object = String::from("{");
    for index in 0..KEYS {
        let _ = write!(object, r#"{}"\u006b{index:x}":0"#, comma(index));
    }
    object.push('}');
    fill(bytes, |index| format!(r#","x{index}":{object}"#))
}

/// Returns a review with nested lists beside the Pod, of at most this size.
pub fn deep(bytes: usize) -> Vec<u8> {
    const DEPTH: usize = 100;
    let list = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let lists = vec![list; 100].join(",");
    fill(bytes, |index| format!(r#","x{index}":[{lists}]"#))
}

/// Returns a review with a text of escapes in a field that the engine reads, of at most this size.
pub fn escaped_text(bytes: usize) -> Vec<u8> {
    let text = r"\u003c".repeat(bytes.saturating_sub(1024) / 6);
    review("uid", "", &format!(r#"[{{"name":"{text}","image":"registry.k8s.io/pause:3.10"}}]"#))
}

/// Returns a review with an empty list of containers, which needs little computation.
pub fn tiny() -> Vec<u8> {
    review("uid", "", "[]")
}

/// Adds fields up to the size.
fn fill(bytes: usize, field: impl Fn(usize) -> String) -> Vec<u8> {
    let mut fields = String::new();
    for index in 0.. {
        let next = field(index);
        if fields.len() + next.len() + 1024 > bytes {
            break;
        }
        fields += &next;
    }
    review("uid", &fields, &containers(1))
}

fn containers(count: usize) -> String {
    let mut list = String::from("[");
    for index in 0..count {
        let _ = write!(list, r#"{}{{"name":"c{index}","image":"registry.k8s.io/kube/i{index}:v1"}}"#, comma(index));
    }
    list.push(']');
    list
}

fn review(uid: &str, fields: &str, containers: &str) -> Vec<u8> {
    review_with_spec(uid, fields, containers, "")
}

fn review_with_spec(uid: &str, fields: &str, containers: &str, spec: &str) -> Vec<u8> {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"{uid}",
        "kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},
        "operation":"CREATE","namespace":"default","name":"pod"{fields},
        "object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod"}},"spec":{{"containers":{containers}{spec}}}}}}}}}"#
    )
    .into_bytes()
}

fn comma(index: usize) -> &'static str {
    if index == 0 { "" } else { "," }
}

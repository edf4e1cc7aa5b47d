//! Reviews: ordinary ones, and such as cost more than they weigh.

use std::fmt::Write as _;

/// Keys that an object may have before it is not understood, and entries of a list.
const KEYS: usize = 65_536;
const ENTRIES: usize = 8_000;

/// As the API server sends them, each with an image that is rewritten: 1.9 KB and 12 KB.
pub fn ordinary() -> [&'static [u8]; 2] {
    [include_bytes!("../data/reviews/a-one.json"), include_bytes!("../data/reviews/b-realistic.json")]
}

/// An answer repeats the `uid`.
pub fn long_uid(bytes: usize) -> Vec<u8> {
    review(&"u".repeat(bytes.saturating_sub(review("", "", "[]").len())), "", &containers(1))
}

/// Half a megabyte whose answer has one and a half.
pub fn many_images() -> Vec<u8> {
    review("uid", "", &containers(ENTRIES))
}

/// 730 KB: each image looks for the rule's secret among all of the Pod's, which differ in their last character only.
pub fn many_secrets() -> Vec<u8> {
    let mut secrets = String::from(r#","imagePullSecrets":["#);
    for index in 0..ENTRIES {
        let _ = write!(secrets, r#"{}{{"name":"harbor-pull-{:05}"}}"#, comma(index), index + 2);
    }
    secrets.push(']');
    review_with_spec("uid", "", &containers(ENTRIES), &secrets)
}

/// Objects of many keys with escapes, beside the Pod, up to so many bytes.
pub fn escaped_keys(bytes: usize) -> Vec<u8> {
    let mut object = String::from("{");
    for index in 0..KEYS {
        let _ = write!(object, r#"{}"\u006b{index:x}":0"#, comma(index));
    }
    object.push('}');
    fill(bytes, |index| format!(r#","x{index}":{object}"#))
}

/// Lists in lists, beside the Pod, up to so many bytes.
pub fn deep(bytes: usize) -> Vec<u8> {
    const DEPTH: usize = 100;
    let list = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let lists = vec![list; 100].join(",");
    fill(bytes, |index| format!(r#","x{index}":[{lists}]"#))
}

/// Text of escapes alone in a field that is read, up to so many bytes.
pub fn escaped_text(bytes: usize) -> Vec<u8> {
    let text = r"\u003c".repeat(bytes.saturating_sub(1024) / 6);
    review("uid", "", &format!(r#"[{{"name":"{text}","image":"registry.k8s.io/pause:3.10"}}]"#))
}

/// An empty list of containers, so almost nothing to do.
pub fn tiny() -> Vec<u8> {
    review("uid", "", "[]")
}

/// Adds fields while they fit.
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

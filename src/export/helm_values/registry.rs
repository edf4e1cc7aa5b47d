//! Registries in a chart's values, which its templates may put in front of a name.

use serde_json::{Map, Value};

use super::split::Split;
use super::text;
use crate::engine::has_host;

/// Keys of registries that charts' templates put in front of a repository.
pub(super) const REGISTRIES: [&str; 5] = ["imageRegistry", "registry", "hub", "containerRegistry", "dockerRegistry"];

/// Parts of keys whose values are a registry, or may be the beginning of one.
const REGISTRY_WORDS: [&str; 5] = ["registry", "hub", "domain", "host", "prefix"];
/// Keys of logins. A registry beside one of them is not an image's.
pub(super) const LOGIN: [&str; 2] = ["username", "password"];

/// Returns a value that may be a registry, and is not that of an image beside it. Templates may put it in front of any name.
/// Values in lists, such as an Ingress' hosts, are ignored.
pub(super) fn a_registry(values: &Map<String, Value>) -> Option<String> {
    let is_login = LOGIN.iter().any(|key| values.contains_key(*key));
    let split = Split::of(values);
    let of_value = |(key, value): (&String, &Value)| match value {
        Value::Object(values) => a_registry(values),
        Value::String(text) if !text.is_empty() && !is_login && split.is_none_or(|split| !split.has(key)) => {
            let key = key.to_ascii_lowercase();
            let may_be = REGISTRY_WORDS.iter().any(|word| key.contains(word));
            let is_one = key.contains("registry") || has_host(&[text.trim_end_matches('/'), "/x"].concat());
            (may_be && is_one).then(|| text.clone())
        }
        _ => None,
    };
    values.iter().find_map(of_value)
}

pub(super) fn registry_of(map: &Map<String, Value>) -> Option<&str> {
    REGISTRIES.iter().filter_map(|key| text(map, key)).find(|registry| !registry.is_empty())
}

/// Returns whether a text is a host without a path, such as `docker.io` or `localhost:5000/`.
pub(super) fn is_bare_host(text: &str) -> bool {
    let host = text.trim_end_matches('/');
    let name = host.split(':').next().unwrap_or_default();
    (name.contains('.') || name == "localhost") && !host.contains('/') && has_host(&[host, "/x"].concat())
}

//! Credentials of a `.dockerconfigjson`, chosen for an image as the kubelet chooses them.
//!
//! The matching is that of `pkg/credentialprovider/keyring.go` of Kubernetes 1.36.3; `tests/data/keyring.tsv` has its answers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use thiserror::Error;

use super::credential::Login;

/// As Go decodes: the bits after the last byte are ignored.
const BASE64: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
/// The key of credentials that also serve images whose name has no host.
const DEFAULT_REGISTRY: &str = "index.docker.io";

/// Why a `.dockerconfigjson` is unusable. Messages have no values, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidKeyring {
    #[error(
        "invalid JSON, or a value of the wrong type, at line {line}, column {column}; write {{\"auths\": {{\"HOST\": {{\"auth\": \"…\"}}}}}}"
    )]
    Json { line: usize, column: usize },
    #[error("`auth` of `{registry}` in `auths` is not base64; write base64 of USER:PASSWORD")]
    NotBase64 { registry: String },
    #[error("`auth` of `{registry}` in `auths` has no colon when decoded; write base64 of USER:PASSWORD")]
    NoColon { registry: String },
    #[error("`auth` of `{registry}` in `auths` is not UTF-8 when decoded, which is not supported; change the password")]
    NotText { registry: String },
}

/// Credentials by the registries, or parts of them, that they are for.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    /// In the order of the kubelet: of two keys where one begins with the other, the longer is first.
    keys: Vec<(Key, Vec<Login>)>,
    /// Keys in `auths` that are not supported: not a host, or a host and a path, with no glob but `*`.
    pub ignored: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
}

impl Keyring {
    pub fn parse(json: &[u8]) -> Result<Self, InvalidKeyring> {
        let file: File = serde_json::from_slice(json)
            .map_err(|error| InvalidKeyring::Json { line: error.line(), column: error.column() })?;
        let entries = file.auths.unwrap_or_default().into_iter();
        let logins = entries.map(|(registry, entry)| {
            let login = entry.login(&registry)?;
            Ok((registry, login))
        });
        Ok(logins.collect::<Result<Vec<_>, _>>()?.into_iter().collect())
    }

    /// Adds the credentials of another one, as the kubelet does with those of several Secrets.
    pub fn extend(&mut self, other: Self) {
        for (key, logins) in other.keys {
            self.add(key, logins);
        }
        self.ignored.extend(other.ignored);
    }

    fn add(&mut self, key: Key, logins: Vec<Login>) {
        match self.keys.binary_search_by(|(other, _)| key.text().cmp(&other.text())) {
            Ok(at) => self.keys[at].1.extend(logins),
            Err(at) => self.keys.insert(at, (key, logins)),
        }
    }

    /// Returns the credentials for an image, with their keys, in the order in which the kubelet tries them. `name` has no tag and
    /// no digest.
    pub fn lookup(&self, name: &str) -> Vec<(String, &Login)> {
        let found = Self::logins(self.keys.iter().filter(|(key, _)| key.matches(name)));
        if !found.is_empty() || !is_of_default_registry(name) {
            return found;
        }
        Self::logins(self.keys.iter().filter(|(key, _)| key.host == DEFAULT_REGISTRY && key.path.is_empty()))
    }

    fn logins<'k>(keys: impl Iterator<Item = &'k (Key, Vec<Login>)>) -> Vec<(String, &'k Login)> {
        keys.flat_map(|(key, logins)| logins.iter().map(|login| (key.text(), login))).collect()
    }
}

impl FromIterator<(String, Login)> for Keyring {
    fn from_iter<I: IntoIterator<Item = (String, Login)>>(entries: I) -> Self {
        let mut keyring = Self::default();
        for (registry, login) in entries {
            match Key::parse(&registry) {
                Some(key) => keyring.add(key, vec![login]),
                None => keyring.ignored.push(registry),
            }
        }
        keyring
    }
}

impl Entry {
    fn login(self, registry: &str) -> Result<Login, InvalidKeyring> {
        let Self { username, password, auth } = self;
        match auth.filter(|auth| !auth.is_empty()) {
            Some(auth) => decode(registry, &auth),
            None => Ok(Login { username: username.unwrap_or_default(), password: password.unwrap_or_default() }),
        }
    }
}

/// Decodes `auth` of a registry: `USER:PASSWORD` in base64.
pub(super) fn decode(registry: &str, auth: &str) -> Result<Login, InvalidKeyring> {
    let padding = if auth.trim_end().ends_with('=') {
        DecodePaddingMode::RequireCanonical
    } else {
        DecodePaddingMode::RequireNone
    };
    let registry = || registry.to_owned();
    let engine = GeneralPurpose::new(&STANDARD, BASE64.with_decode_padding_mode(padding));
    let decoded = engine
        .decode(auth.replace(['\r', '\n'], ""))
        .map_err(|_| InvalidKeyring::NotBase64 { registry: registry() })?;
    let decoded = String::from_utf8(decoded).map_err(|_| InvalidKeyring::NotText { registry: registry() })?;
    let (username, password) =
        decoded.split_once(':').ok_or_else(|| InvalidKeyring::NoColon { registry: registry() })?;
    Ok(Login { username: username.to_owned(), password: password.to_owned() })
}

/// A host, in whose labels `*` stands for any characters, and the beginning of a path.
#[derive(Debug, Clone)]
pub(super) struct Key {
    host: String,
    path: String,
}

impl Key {
    pub(super) fn parse(registry: &str) -> Option<Self> {
        let rest = registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let (name, port) = split_port(host);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*');
        let is_address = name.parse::<std::net::Ipv6Addr>().is_ok() && host.starts_with('[');
        if !(is_address || name.chars().all(is_name)) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let is_api = path.starts_with("/v1/") || path.starts_with("/v2/");
        let path = if is_api { &path[3..] } else { path };
        let path = if path == "/" { "" } else { path };
        Some(Self { host: host.to_owned(), path: path.to_owned() })
    }

    fn text(&self) -> String {
        format!("{}{}", self.host, self.path)
    }

    /// The path is a prefix byte by byte, also where it ends within a component.
    pub(super) fn matches(&self, name: &str) -> bool {
        let (host, path) = name.find('/').map_or((name, ""), |slash| name.split_at(slash));
        let ((globs, glob_port), (labels, port)) = (split_port(&self.host), split_port(host));
        let same_count = globs.split('.').count() == labels.split('.').count();
        glob_port == port
            && same_count
            && path.starts_with(&self.path)
            && globs.split('.').zip(labels.split('.')).all(|(glob, label)| is_match(glob, label))
    }
}

/// Host and port; an IPv6 address with a port is without its brackets.
fn split_port(host: &str) -> (&str, &str) {
    let Some((name, port)) = host.rsplit_once(':') else { return (host, "") };
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => (address, port),
        None if name.contains(':') => (host, ""),
        None => (name, port),
    }
}

fn is_match(glob: &str, label: &str) -> bool {
    let mut pieces = glob.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = label.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

fn is_of_default_registry(name: &str) -> bool {
    match name.split_once('/') {
        None => !name.is_empty(),
        Some((first, _)) => {
            matches!(first, "docker.io" | DEFAULT_REGISTRY) || !(first.is_empty() || first.contains(['.', ':']))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/data/keyring.go` writes the cases.
    #[test]
    fn the_kubelet_gives_the_same_credentials() {
        let cases = include_str!("../../tests/data/keyring.tsv");
        let mut count = 0;
        for line in cases.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [keys, image, expected] = fields[..] else { panic!("{line}") };
            let auths: serde_json::Map<_, _> = keys
                .split(' ')
                .map(|key| (key.to_owned(), serde_json::json!({"username": key, "password": "p"})))
                .collect();
            let keyring = Keyring::parse(serde_json::json!({"auths": auths}).to_string().as_bytes()).unwrap();
            let found: Vec<&str> = keyring.lookup(image).iter().map(|(_, one)| &*one.username).collect();
            assert_eq!(found.join(" "), expected, "{keys} for {image}");
            // Of one Secret for each key, in any order.
            let mut merged = Keyring::default();
            for key in keys.split(' ').rev() {
                let login = Login { username: key.to_owned(), password: "p".to_owned() };
                merged.extend([(key.to_owned(), login)].into_iter().collect());
            }
            assert_eq!(merged.lookup(image), keyring.lookup(image), "{keys} for {image}");
            count += 1;
        }
        assert!(count > 500, "{count}");
    }

    #[test]
    fn user_and_password_are_read_as_the_kubelet_reads_them() {
        for (entry, expected) in [
            (r#"{"auth":"dTpw"}"#, ("u", "p")),
            (r#"{"auth":"dTpwOng="}"#, ("u", "p:x")),
            (r#"{"auth":"dTpw\nOng="}"#, ("u", "p:x")),
            (r#"{"auth":"dTpwOng"}"#, ("u", "p:x")),
            (r#"{"auth":"dTpw","username":"x","password":"y"}"#, ("u", "p")),
            (r#"{"auth":"","username":"x","password":"y"}"#, ("x", "y")),
            (r#"{"username":"x","password":"y","email":"z"}"#, ("x", "y")),
            (r#"{"identitytoken":"t"}"#, ("", "")),
        ] {
            let keyring = Keyring::parse(format!(r#"{{"auths":{{"a.example":{entry}}}}}"#).as_bytes()).unwrap();
            let found = keyring.lookup("a.example/x");
            assert_eq!(found.iter().map(|(_, one)| (&*one.username, &*one.password)).collect::<Vec<_>>(), [expected]);
        }
        for nothing in ["{}", r#"{"auths":null}"#, r#"{"auths":{}}"#] {
            assert!(Keyring::parse(nothing.as_bytes()).unwrap().lookup("a.example/x").is_empty());
        }
    }

    #[test]
    fn errors_name_the_place_and_no_secret() {
        for (entry, part) in [
            (r#"{"auth":"hunter2!"}"#, "`auth` of `a.example` in `auths` is not base64"),
            (r#"{"auth":"aHVudGVyMg=="}"#, "`auth` of `a.example` in `auths` has no colon"),
            (r#"{"auth":"aHVudGVyMjr/"}"#, "`auth` of `a.example` in `auths` is not UTF-8"),
            (r#"{"auth":["hunter2"]}"#, "at line 1, column"),
            (r#""hunter2""#, "at line 1, column"),
            ("hunter2", "at line 1, column"),
        ] {
            let error = Keyring::parse(format!(r#"{{"auths":{{"a.example":{entry}}}}}"#).as_bytes()).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(part) && !text.contains("hunter2") && !text.contains("aHVudGVy"), "{text}");
        }
        let keyring = Keyring::parse(br#"{"auths":{"a.example":{"username":"u","password":"hunter2"}}}"#).unwrap();
        assert!(!format!("{keyring:?}").contains("hunter2"));
    }

    #[test]
    fn keys_that_are_no_registry_are_listed() {
        for key in ["a b.example", "a.example:x", "user@a.example", "a[bc].example", "a\\*.example"] {
            let file = serde_json::json!({"auths": {key: {"username": "u"}}}).to_string();
            assert_eq!(Keyring::parse(file.as_bytes()).unwrap().ignored, [key]);
        }
    }
}

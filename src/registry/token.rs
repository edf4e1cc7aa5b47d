//! Tokens and the servers that issue them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::credential::Credential;
use super::http_client::Received;

/// The specification's, for servers that do not say how long a token is valid.
const DEFAULT_SECS: u64 = 60;
/// The limit on the tokens that are kept.
const MAX_TOKENS: usize = 10_000;
pub(super) const MAX_TOKEN_BODY_BYTES: usize = 256 << 10;
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request proves itself with.
#[derive(Clone)]
pub(super) struct Authorization {
    pub(super) header: HeaderValue,
    until: Option<Instant>,
}

impl Authorization {
    pub(super) fn basic(credential: &Credential) -> Option<Self> {
        let Credential::Login(login) = credential else { return None };
        Self::new(&format!("Basic {}", login.basic()), None)
    }

    fn new(value: &str, until: Option<Instant>) -> Option<Self> {
        let mut header = HeaderValue::from_str(value).ok()?;
        header.set_sensitive(true);
        Some(Self { header, until })
    }

    /// Returns the part that is secret.
    pub(super) fn secret(&self) -> &str {
        let value = self.header.to_str().unwrap_or_default();
        value.split_once(' ').map_or(value, |(_, secret)| secret)
    }

    fn is_valid(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

/// What an authorization is for: a registry, a scope, and who asks.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) registry: String,
    pub(super) scope: String,
    pub(super) credential: Option<Credential>,
}

/// The lock is held while a token is fetched, so that one request fetches it for all.
type Slot = Arc<tokio::sync::Mutex<Option<Authorization>>>;

/// The authorizations by what they are for.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<Key, Slot>>);

impl Tokens {
    pub(super) fn slot(&self, key: &Key) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_TOKENS && !slots.contains_key(key) {
            slots.clear();
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }
}

/// Returns the authorization of a slot, if it is still valid.
pub(super) fn valid(slot: &Option<Authorization>) -> Option<Authorization> {
    slot.clone().filter(Authorization::is_valid)
}

/// Returns the request for a token: GET with a login or without one, POST with an identity token.
pub(super) fn request(
    realm: &Uri,
    service: Option<&str>,
    scope: &str,
    credential: Option<&Credential>,
) -> Option<Request<Full<Bytes>>> {
    let mut fields = vec![("scope", scope)];
    fields.extend(service.map(|service| ("service", service)));
    if let Some(Credential::IdentityToken(token)) = credential {
        fields.extend([("client_id", "pullthrough"), ("grant_type", "refresh_token"), ("refresh_token", token)]);
        let request = Request::post(realm).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        return request.body(Full::from(encode(&fields))).ok();
    }
    let separator = if realm.query().is_some() { '&' } else { '?' };
    let mut request = Request::get(format!("{realm}{separator}{}", encode(&fields)));
    if let Some(authorization) = credential.and_then(Authorization::basic) {
        request = request.header(AUTHORIZATION, authorization.header);
    }
    request.body(Full::default()).ok()
}

fn encode(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY))).collect();
    pairs.join("&")
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Reads the token in a response; `None` if there is none.
pub(super) async fn read(received: Received) -> Option<Authorization> {
    let asked = Instant::now();
    let body = received.body.all(MAX_TOKEN_BODY_BYTES).await.ok()?;
    let Answer { token, access_token, expires_in } = serde_json::from_slice(&body).ok()?;
    let token = token.or(access_token).filter(|token| !token.is_empty())?;
    let secs = expires_in.unwrap_or(DEFAULT_SECS);
    // It has to be valid when the registry checks it.
    let lifetime = Duration::from_secs(secs - (secs / 10).min(30));
    Authorization::new(&format!("Bearer {token}"), asked.checked_add(lifetime))
}

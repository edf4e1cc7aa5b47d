//! The MutatingWebhookConfiguration, as far as TLS goes: the name that the API server asks for, and the CAs that it trusts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::export::webhook::WEBHOOK_NAME;

/// A configuration that was read.
#[derive(Debug, Clone)]
pub struct Registration {
    object: Value,
}

impl Registration {
    pub fn new(object: Value) -> Registration {
        Registration { object }
    }

    /// The names that the API server expects in the certificate, each once: `SERVICE.NAMESPACE.svc`, or a URL's host.
    pub fn hosts(&self) -> Vec<String> {
        self.client().and_then(host).into_iter().collect()
    }

    /// The `caBundle`, in PEM; empty where there is none.
    pub fn bundle(&self) -> Vec<u8> {
        let bundle = self.client().and_then(|client| client["caBundle"].as_str());
        STANDARD.decode(bundle.unwrap_or_default()).unwrap_or_default()
    }

    /// The object with this as our webhook's `caBundle`; all else stays, other webhooks of the configuration too.
    pub fn with_bundle(mut self, bundle: &str) -> Value {
        let webhooks = self.object["webhooks"].as_array_mut().into_iter().flatten();
        for webhook in webhooks.filter(|webhook| is_ours(webhook)) {
            webhook["clientConfig"]["caBundle"] = json!(STANDARD.encode(bundle));
        }
        self.object
    }

    fn client(&self) -> Option<&Value> {
        let mut webhooks = self.object["webhooks"].as_array().into_iter().flatten();
        webhooks.find(|webhook| is_ours(webhook)).map(|webhook| &webhook["clientConfig"])
    }
}

/// Names are unique in a configuration.
fn is_ours(webhook: &Value) -> bool {
    webhook["name"] == WEBHOOK_NAME
}

fn host(client: &Value) -> Option<String> {
    if let Some(url) = client["url"].as_str() {
        let url: http::Uri = url.parse().ok()?;
        return url.host().map(|host| host.trim_matches(['[', ']']).to_owned());
    }
    let part = |name: &str| client["service"][name].as_str();
    Some(format!("{}.{}.svc", part("name")?, part("namespace")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_what_the_api_server_asks_for() {
        let service =
            json!({"service": {"name": "pullthrough", "namespace": "system", "port": 443, "path": "/mutate"}});
        let of = |client: Value| {
            let others = json!({"name": "other.example.com", "clientConfig": {"url": "https://other.example.com/"}});
            let ours = json!({"name": WEBHOOK_NAME, "clientConfig": client});
            Registration::new(json!({"webhooks": [others, ours]})).hosts()
        };
        assert_eq!(of(service), ["pullthrough.system.svc"]);
        assert_eq!(of(json!({"url": "https://example.com:8443/mutate"})), ["example.com"]);
        assert_eq!(of(json!({"url": "https://[::1]:8443/mutate"})), ["::1"]);
        assert_eq!(of(json!({})), [""; 0]);
        assert_eq!(of(json!({"url": "::"})), [""; 0]);
    }

    #[test]
    fn only_the_own_bundle_is_replaced() {
        let object = json!({"new": 1, "webhooks": [
            {"name": "a.example.com", "clientConfig": {"caBundle": "eQ=="}},
            {"name": WEBHOOK_NAME, "newer": {}, "clientConfig": {"caBundle": "eA==", "service": {}}},
            {"name": "b.rewrite.pullthrough.dev", "clientConfig": {}},
        ]});
        let registration = Registration::new(object.clone());
        assert_eq!(registration.bundle(), b"x");
        let mut expected = object;
        expected["webhooks"][1]["clientConfig"]["caBundle"] = json!("cGVt");
        assert_eq!(registration.with_bundle("pem"), expected);
        assert_eq!(Registration::new(json!({})).bundle(), b"");
    }
}

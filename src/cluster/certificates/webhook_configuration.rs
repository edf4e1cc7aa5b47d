//! The MutatingWebhookConfiguration's part in TLS: the name that the API server expects, and the CAs that it trusts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::export::webhook::{TEMPLATES_WEBHOOK_NAME, WEBHOOK_NAME};

/// A MutatingWebhookConfiguration as JSON with all its fields.
#[derive(Debug, Clone)]
pub struct WebhookConfiguration {
    object: Value,
}

impl WebhookConfiguration {
    pub fn new(object: Value) -> WebhookConfiguration {
        WebhookConfiguration { object }
    }

    /// Returns the names that the API server expects in the certificate: `SERVICE.NAMESPACE.svc`, or a URL's host.
    pub fn hosts(&self) -> Vec<String> {
        self.client().and_then(host).into_iter().collect()
    }

    /// Returns the `caBundle` in PEM; empty if there is none.
    pub fn bundle(&self) -> Vec<u8> {
        self.client().map(bundle).unwrap_or_default()
    }

    /// Returns whether every webhook of ours has this `caBundle`.
    pub fn has_bundle(&self, pem: &str) -> bool {
        let mut clients = self.clients().peekable();
        clients.peek().is_some() && clients.all(|client| bundle(client) == pem.as_bytes())
    }

    /// Returns the object with this `caBundle` in our webhooks. Everything else stays, other webhooks included.
    pub fn with_bundle(mut self, bundle: &str) -> Value {
        let webhooks = self.object["webhooks"].as_array_mut().into_iter().flatten();
        for webhook in webhooks.filter(|webhook| is_ours(webhook)) {
            webhook["clientConfig"]["caBundle"] = json!(STANDARD.encode(bundle));
        }
        self.object
    }

    /// Returns the client of the webhook for Pods. The one for templates has the same.
    fn client(&self) -> Option<&Value> {
        let mut webhooks = self.object["webhooks"].as_array().into_iter().flatten();
        webhooks.find(|webhook| webhook["name"] == WEBHOOK_NAME).map(|webhook| &webhook["clientConfig"])
    }

    fn clients(&self) -> impl Iterator<Item = &Value> {
        let webhooks = self.object["webhooks"].as_array().into_iter().flatten();
        webhooks.filter(|webhook| is_ours(webhook)).map(|webhook| &webhook["clientConfig"])
    }
}

/// Returns whether a webhook is ours. Names are unique in a configuration.
fn is_ours(webhook: &Value) -> bool {
    webhook["name"] == WEBHOOK_NAME || webhook["name"] == TEMPLATES_WEBHOOK_NAME
}

fn bundle(client: &Value) -> Vec<u8> {
    STANDARD.decode(client["caBundle"].as_str().unwrap_or_default()).unwrap_or_default()
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
    fn hosts_are_the_names_that_the_api_server_expects() {
        let service =
            json!({"service": {"name": "pullthrough", "namespace": "system", "port": 443, "path": "/mutate"}});
        let of = |client: Value| {
            let others = json!({"name": "other.example.com", "clientConfig": {"url": "https://other.example.com/"}});
            let ours = json!({"name": WEBHOOK_NAME, "clientConfig": client});
            WebhookConfiguration::new(json!({"webhooks": [others, ours]})).hosts()
        };
        assert_eq!(of(service), ["pullthrough.system.svc"]);
        assert_eq!(of(json!({"url": "https://example.com:8443/mutate"})), ["example.com"]);
        assert_eq!(of(json!({"url": "https://[::1]:8443/mutate"})), ["::1"]);
        assert_eq!(of(json!({})), [""; 0]);
        assert_eq!(of(json!({"url": "::"})), [""; 0]);
    }

    #[test]
    fn only_our_bundles_are_replaced() {
        let object = json!({"new": 1, "webhooks": [
            {"name": "a.example.com", "clientConfig": {"caBundle": "eQ=="}},
            {"name": WEBHOOK_NAME, "newer": {}, "clientConfig": {"caBundle": "eA==", "service": {}}},
            {"name": "b.rewrite.pullthrough.dev", "clientConfig": {}},
            {"name": TEMPLATES_WEBHOOK_NAME, "clientConfig": {"service": {}}},
        ]});
        let configuration = WebhookConfiguration::new(object.clone());
        assert_eq!(configuration.bundle(), b"x");
        assert!(!configuration.has_bundle("x"), "the webhook for templates has none");
        let mut expected = object;
        for position in [1, 3] {
            expected["webhooks"][position]["clientConfig"]["caBundle"] = json!("cGVt");
        }
        let published = configuration.with_bundle("pem");
        assert_eq!(published, expected);
        assert!(WebhookConfiguration::new(published).has_bundle("pem"));
        assert_eq!(WebhookConfiguration::new(json!({})).bundle(), b"");
    }
}

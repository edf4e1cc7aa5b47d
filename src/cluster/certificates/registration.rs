//! The MutatingWebhookConfiguration, as far as TLS goes: whom the API server asks for, and which authorities it trusts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

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
        let mut hosts: Vec<String> = self.clients().filter_map(host).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// The `caBundle`s, in PEM; empty where there is none.
    pub fn bundles(&self) -> impl Iterator<Item = Vec<u8>> {
        self.clients()
            .map(|client| STANDARD.decode(client["caBundle"].as_str().unwrap_or_default()).unwrap_or_default())
    }

    /// The object with this as every `caBundle`.
    pub fn with_bundle(mut self, bundle: &str) -> Value {
        let encoded = json!(STANDARD.encode(bundle));
        for webhook in self.object["webhooks"].as_array_mut().into_iter().flatten() {
            webhook["clientConfig"]["caBundle"] = encoded.clone();
        }
        self.object
    }

    fn clients(&self) -> impl Iterator<Item = &Value> {
        self.object["webhooks"].as_array().into_iter().flatten().map(|webhook| &webhook["clientConfig"])
    }
}

fn host(client: &Value) -> Option<String> {
    if let Some(url) = client["url"].as_str() {
        let url: axum::http::Uri = url.parse().ok()?;
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
        let of = |clients: &[Value]| {
            let webhooks: Vec<_> = clients.iter().map(|client| json!({"clientConfig": client})).collect();
            Registration::new(json!({"webhooks": webhooks})).hosts()
        };
        assert_eq!(of(&[service.clone(), service.clone()]), ["pullthrough.system.svc"]);
        assert_eq!(of(&[json!({"url": "https://example.com:8443/mutate"})]), ["example.com"]);
        assert_eq!(of(&[json!({"url": "https://[::1]:8443/mutate"}), service]), ["::1", "pullthrough.system.svc"]);
        assert_eq!(of(&[json!({}), json!({"url": "::"})]), [""; 0]);
    }

    #[test]
    fn only_the_bundle_is_replaced() {
        let object = json!({"new": 1, "webhooks": [{"newer": {}, "clientConfig": {"service": {}}}, {"clientConfig": {"caBundle": "eA=="}}]});
        let registration = Registration::new(object.clone());
        assert_eq!(registration.bundles().collect::<Vec<_>>(), [vec![], b"x".to_vec()]);
        let mut expected = object;
        for index in 0..2 {
            expected["webhooks"][index]["clientConfig"]["caBundle"] = json!("cGVt");
        }
        assert_eq!(registration.with_bundle("pem"), expected);
    }
}

//! The pull Secrets that the kubelet uses for an image.

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};

use super::pods::Use;
use crate::cluster::api::{Api, Failure, Target};
use crate::registry::Keyring;

/// The service account of Pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// A pull Secret.
#[derive(Debug)]
pub struct PullSecret {
    pub name: String,
    /// What names it.
    pub of: String,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    Credentials(Keyring),
    /// The kubelet ignores it.
    Missing,
    Unusable(String),
    Unreadable(Failure),
}

/// Reads the Secrets that Pods with the image have. If there is no such Pod: those of the service account `default` and of the
/// rule, which a new Pod gets.
///
/// # Errors
///
/// Returns an error if the service account is unavailable.
pub async fn read(
    api: &Api,
    namespace: &str,
    uses: &[Use],
    rule: Option<(&str, &[String])>,
) -> Result<Vec<PullSecret>, Failure> {
    let mut names: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, of: String| {
        if !names.iter().any(|(known, _)| known == name) {
            names.push((name.to_owned(), of));
        }
    };
    for one in uses {
        one.pull_secrets.iter().for_each(|name| add(name, format!("Pod {namespace}/{}", one.pod)));
    }
    if uses.is_empty() {
        let account = Target {
            api: "api/v1",
            resource: "serviceaccounts",
            namespace: Some(namespace),
            name: Some(DEFAULT_ACCOUNT),
        };
        let account: Option<ServiceAccount> = api.find(account).await?;
        let of_account = account.and_then(|account| account.image_pull_secrets).unwrap_or_default();
        let of = || format!("service account {namespace}/{DEFAULT_ACCOUNT}");
        of_account.iter().for_each(|secret| add(&secret.name, of()));
        if let Some((rule, secrets)) = rule {
            secrets.iter().for_each(|name| add(name, format!("rule {rule}")));
        }
    }
    let mut secrets = Vec::new();
    for (name, of) in names {
        let target = Target { api: "api/v1", resource: "secrets", namespace: Some(namespace), name: Some(&name) };
        let content = match api.find::<Secret>(target).await {
            Ok(None) => Content::Missing,
            Ok(Some(secret)) => content(secret),
            Err(failure) => Content::Unreadable(failure),
        };
        secrets.push(PullSecret { name, of, content });
    }
    Ok(secrets)
}

/// As the kubelet reads it: `.dockerconfigjson`, or the older `.dockercfg`, which has what `auths` has in the other.
fn content(secret: Secret) -> Content {
    let data = secret.data.unwrap_or_default();
    let json = match (secret.type_.as_deref(), data.get(".dockerconfigjson"), data.get(".dockercfg")) {
        (Some("kubernetes.io/dockerconfigjson"), Some(json), _) => json.0.clone(),
        (Some("kubernetes.io/dockercfg"), _, Some(json)) => [b"{\"auths\":", &json.0[..], b"}"].concat(),
        (kind, ..) => {
            let kind = kind.unwrap_or("Opaque");
            return Content::Unusable(format!("its type is {kind}, or it lacks the key of this type"));
        }
    };
    match Keyring::parse(&json) {
        Ok(keyring) => Content::Credentials(keyring),
        Err(error) => Content::Unusable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(kind: &str, key: &str, text: &str) -> Secret {
        let data = json!({key: k8s_openapi::ByteString(text.as_bytes().to_vec())});
        serde_json::from_value(json!({"type": kind, "data": data})).unwrap()
    }

    #[test]
    fn both_types_of_pull_secrets_are_read() {
        let entry = r#"{"c.example": {"username": "u", "password": "hunter2"}}"#;
        for (kind, key, text) in [
            ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", &*format!("{{\"auths\": {entry}}}")),
            ("kubernetes.io/dockercfg", ".dockercfg", entry),
        ] {
            let content = content(secret(kind, key, text));
            let Content::Credentials(keyring) = &content else { panic!("{content:?}") };
            assert_eq!(keyring.lookup("c.example/a").len(), 1);
            assert!(!format!("{content:?}").contains("hunter2"));
        }
        for (kind, key, text) in [
            ("Opaque", ".dockerconfigjson", "{}"),
            ("kubernetes.io/dockerconfigjson", ".dockercfg", "{}"),
            ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", "hunter2"),
        ] {
            let content = content(secret(kind, key, text));
            assert!(matches!(&content, Content::Unusable(why) if !why.contains("hunter2")), "{content:?}");
        }
    }
}

//! The pull Secrets that the kubelet uses for an image.

use super::pods::Use;
use crate::cluster::api::{Api, Failure};
use crate::cluster::pull_secrets::{Content, of_service_account, secret};
use crate::cluster::scan::DEFAULT_ACCOUNT;

/// A pull Secret.
#[derive(Debug)]
pub struct PullSecret {
    pub name: String,
    /// What names it.
    pub of: String,
    pub content: Content,
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
        let of_account = of_service_account(api, namespace, DEFAULT_ACCOUNT).await?.unwrap_or_default();
        let of = || format!("service account {namespace}/{DEFAULT_ACCOUNT}");
        of_account.iter().for_each(|name| add(name, of()));
        if let Some((rule, secrets)) = rule {
            secrets.iter().for_each(|name| add(name, format!("rule {rule}")));
        }
    }
    let mut secrets = Vec::new();
    for (name, of) in names {
        let content = secret(api, namespace, &name).await;
        secrets.push(PullSecret { name, of, content });
    }
    Ok(secrets)
}

//! What `--manage-certificates` needs: the Secret, and the permissions of the service account.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::PostParams;
use serde_json::json;

use super::environment::Setting;
use super::objects::Objects;
use crate::cluster::api::{Api, Failure, Seen, Target};
use crate::cluster::{WEBHOOKS, our_webhook};

/// A renewal writes first the Secret and then caBundle, within about this time.
const BETWEEN: Duration = Duration::from_secs(3);

/// The state of `--manage-certificates`.
#[derive(Debug)]
pub struct Managed {
    pub secret_name: String,
    pub secret: Seen<Secret>,
    /// `caBundle` at the time when the Secret was read.
    pub ca_bundle: Option<Vec<u8>>,
    /// The permissions of the service account.
    pub permissions: Result<Vec<Permission>, Failure>,
    /// Whether its Pods have its token; `None` if the ServiceAccount decides and is unreadable.
    pub has_token: Option<bool>,
}

/// A permission that the service account needs.
#[derive(Debug, Clone)]
pub struct Permission {
    pub what: String,
    pub allowed: bool,
}

pub async fn look(api: &Api, objects: &Objects) -> Setting<Option<Managed>> {
    let Some(arguments) = &objects.arguments else { return Ok(None) };
    let Some(secret_name) = arguments.managed_secret.clone()? else { return Ok(None) };
    let namespace = &objects.namespace;
    let read = async || {
        let name = Some(secret_name.as_str());
        let secret = Target { api: "api/v1", resource: "secrets", namespace: Some(namespace), name };
        let secret = api.find::<Secret>(secret).await;
        let configuration = Target { name: Some(&objects.configuration_name), ..WEBHOOKS };
        let configuration = api.find(configuration).await.ok().flatten();
        let ca_bundle = configuration.as_ref().and_then(our_webhook);
        let ca_bundle = ca_bundle.and_then(|webhook| webhook.client_config.ca_bundle.clone()).map(|bytes| bytes.0);
        (secret, ca_bundle)
    };
    let (mut secret, mut ca_bundle) = read().await;
    if let Ok(Some(found)) = &secret
        && trusted_cas(found) != ca_bundle.as_deref()
    {
        tokio::time::sleep(BETWEEN).await;
        (secret, ca_bundle) = read().await;
    }
    let has_token = match arguments.has_token {
        Some(has_token) => Some(has_token),
        None => {
            let name = Some(arguments.service_account.as_str());
            let account = Target { api: "api/v1", resource: "serviceaccounts", namespace: Some(namespace), name };
            let account = api.get::<ServiceAccount>(account).await;
            account.ok().map(|account| account.automount_service_account_token.unwrap_or(true))
        }
    };
    let permissions = permissions(api, objects, &arguments.service_account, &secret_name).await;
    Ok(Some(Managed { secret_name, secret, ca_bundle, permissions, has_token }))
}

/// Returns the Secret's trusted CAs.
pub fn trusted_cas(secret: &Secret) -> Option<&[u8]> {
    secret.data.as_ref()?.get("ca.crt").map(|bytes| bytes.0.as_slice()).filter(|bytes| !bytes.is_empty())
}

async fn permissions(api: &Api, objects: &Objects, account: &str, secret: &str) -> Result<Vec<Permission>, Failure> {
    let namespace = objects.namespace.as_str();
    let configuration = objects.configuration_name.as_str();
    let wanted = [
        ("", "secrets", Some(namespace), "get", Some(secret)),
        ("", "secrets", Some(namespace), "update", Some(secret)),
        ("", "secrets", Some(namespace), "create", None),
        (WEBHOOKS.group(), WEBHOOKS.resource, None, "get", Some(configuration)),
        (WEBHOOKS.group(), WEBHOOKS.resource, None, "update", Some(configuration)),
    ];
    let reviews =
        Target { api: "apis/authorization.k8s.io/v1", resource: "subjectaccessreviews", namespace: None, name: None };
    let mut permissions = Vec::new();
    for (group, resource, namespace_of, verb, name) in wanted {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": format!("system:serviceaccount:{namespace}:{account}"),
                "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}"), "system:authenticated"],
                "resourceAttributes": {
                    "group": group,
                    "resource": resource,
                    "namespace": namespace_of.unwrap_or_default(),
                    "verb": verb,
                    "name": name.unwrap_or_default(),
                },
            },
        });
        let answer = api.create(reviews, &PostParams::default(), &review).await?;
        let allowed = answer.body["status"]["allowed"] == true;
        let what = [&format!("{verb} {resource}"), name.unwrap_or_default()].map(str::trim).join(" ");
        permissions.push(Permission { what: what.trim().to_owned(), allowed });
    }
    Ok(permissions)
}

//! Pull Secrets of the cluster, read one by one and by name. Texts of errors have no values of them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use tokio::task::JoinSet;

use super::api::{Api, Failure, Target};
use super::scan::skipped::fix;
use crate::registry::{InvalidKeyring, Keyring};
use crate::scan::{PullAccess, Skipped};
use crate::verify::PodPull;
use crate::words::count;

/// The most objects that are requested at the same time.
const CONCURRENCY: usize = 8;

/// A pull Secret as the kubelet reads it: `pkg/credentialprovider/secrets/secrets.go` of Kubernetes 1.36.
#[derive(Debug)]
pub enum Content {
    Credentials(Keyring),
    /// The kubelet ignores it.
    Missing,
    /// The kubelet ignores it.
    Unusable(String),
    /// The kubelet pulls no image for a Pod with it.
    Invalid(InvalidKeyring),
    Unreadable(Failure),
}

/// Reads a Secret.
pub async fn secret(api: &Api, namespace: &str, name: &str) -> Content {
    // Errors of decoding a typed object may have its values, which may be secret.
    let answer = match api.look_up(of_secret(namespace, name)).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return Content::Missing,
        Err(failure) => return Content::Unreadable(failure),
    };
    match serde_json::from_value::<Secret>(answer.body) {
        Ok(secret) => content(secret),
        Err(_) => Content::Unreadable(Failure::Broken("the response is not a Secret".to_owned())),
    }
}

fn of_secret<'a>(namespace: &'a str, name: &'a str) -> Target<'a> {
    Target { api: "api/v1", resource: "secrets", namespace: Some(namespace), name: Some(name) }
}

fn of_account<'a>(namespace: &'a str, name: &'a str) -> Target<'a> {
    Target { api: "api/v1", resource: "serviceaccounts", namespace: Some(namespace), name: Some(name) }
}

/// As the kubelet reads it: `.dockerconfigjson`, or the older `.dockercfg`, which has what `auths` has in the other.
fn content(secret: Secret) -> Content {
    let data = secret.data.unwrap_or_default();
    let has_text = |key: &str| data.get(key).map(|text| &text.0).filter(|text| !text.is_empty());
    let json = match (secret.type_.as_deref(), has_text(".dockerconfigjson"), has_text(".dockercfg")) {
        (Some("kubernetes.io/dockerconfigjson"), Some(json), _) => json.clone(),
        (Some("kubernetes.io/dockercfg"), _, Some(json)) => [b"{\"auths\":", &json[..], b"}"].concat(),
        (kind, ..) => {
            let kind = kind.unwrap_or("Opaque");
            return Content::Unusable(format!("its type is {kind}, or it lacks the key of this type"));
        }
    };
    match Keyring::parse(&json) {
        Ok(keyring) => Content::Credentials(keyring),
        Err(error) => Content::Invalid(error),
    }
}

/// Reads the names of the pull Secrets of a service account; `None` if it does not exist.
///
/// # Errors
///
/// Returns why the service account is unavailable.
pub async fn of_service_account(api: &Api, namespace: &str, name: &str) -> Result<Option<Vec<String>>, Failure> {
    let account: Option<ServiceAccount> = api.find(of_account(namespace, name)).await?;
    let secrets = |account: ServiceAccount| account.image_pull_secrets.into_iter().flatten();
    Ok(account.map(|account| secrets(account).map(|secret| secret.name).collect()))
}

/// Namespace and name.
type Key = (String, String);

/// The pull Secrets of Pods.
#[derive(Debug, Default)]
pub struct PullSecrets {
    accounts: HashMap<Key, Result<Option<Vec<String>>, Failure>>,
    secrets: HashMap<Key, Content>,
}

impl PullSecrets {
    /// Reads the service accounts and the Secrets of Pods, each once. `on_read` gets the numbers of those that were read, and of
    /// all.
    pub async fn read(api: &Api, pods: &BTreeSet<Arc<PullAccess>>, mut on_read: impl FnMut(usize, usize)) -> Self {
        let account = |access: &Arc<PullAccess>| Some((access.namespace.clone(), access.service_account.clone()?));
        let accounts = pods.iter().filter_map(account).collect();
        let ask = |api: Api, (namespace, name): Key| async move { of_service_account(&api, &namespace, &name).await };
        let accounts = each(api, accounts, ask, |_, _| ()).await;
        let mut read = Self { accounts, secrets: HashMap::new() };
        let names = pods.iter().flat_map(|access| {
            read.names(access).into_iter().map(|name| (access.namespace.clone(), name.to_owned())).collect::<Vec<_>>()
        });
        let names: BTreeSet<Key> = names.collect();
        let ask = |api: Api, (namespace, name): Key| async move {
            match secret(&api, &namespace, &name).await {
                Content::Unreadable(failure) => Err(failure),
                content => Ok(content),
            }
        };
        let secrets = each(api, names, ask, &mut on_read).await.into_iter();
        read.secrets = secrets.map(|(key, content)| (key, content.unwrap_or_else(Content::Unreadable))).collect();
        read
    }

    fn names<'a>(&'a self, access: &'a PullAccess) -> Vec<&'a str> {
        let account = access.service_account.as_ref();
        let account = account.and_then(|name| self.accounts.get(&(access.namespace.clone(), name.clone())));
        let of_account = account.and_then(|account| account.as_ref().ok()?.as_deref());
        access.names(of_account.unwrap_or_default())
    }

    /// Returns what a Pod has, as the kubelet takes it: Secrets that are unusable are ignored.
    pub fn of(&self, access: &PullAccess) -> PodPull {
        let mut of_pod = PodPull::default();
        for name in self.names(access) {
            match self.secrets.get(&(access.namespace.clone(), name.to_owned())) {
                Some(Content::Credentials(keyring)) => {
                    of_pod.keyring.extend(keyring.clone());
                    of_pod.secrets.push(name.to_owned());
                }
                _ => of_pod.unusable.push(name.to_owned()),
            }
        }
        of_pod
    }

    /// Returns the Secrets and service accounts that can't be used, sorted.
    pub fn skipped(&self) -> Vec<Skipped> {
        let accounts = self.accounts.iter().filter_map(|((namespace, name), account)| {
            let (why, fix) = match account {
                Ok(Some(_)) => return None,
                Ok(None) => (
                    "it does not exist, so the API server rejects the Pods of templates that name it".to_owned(),
                    "create it, or correct `serviceAccountName`".to_owned(),
                ),
                Err(failure) => unreadable(of_account(namespace, name), failure),
            };
            Some(skip(format!("ServiceAccount {namespace}/{name}"), why, fix))
        });
        let secrets = self.secrets.iter().filter_map(|((namespace, name), content)| {
            let (why, fix) = match content {
                Content::Credentials(keyring) => ignored_keys(keyring)?,
                Content::Missing => (
                    "it does not exist, and the kubelet ignores it".to_owned(),
                    "create it, or remove it from `imagePullSecrets` of the Pods, the service account or the rule"
                        .to_owned(),
                ),
                Content::Unusable(why) => (
                    format!("{why}, and the kubelet ignores it"),
                    "create it with `kubectl create secret docker-registry`".to_owned(),
                ),
                Content::Invalid(error) => invalid(error),
                Content::Unreadable(failure) => unreadable(of_secret(namespace, name), failure),
            };
            Some(skip(format!("Secret {namespace}/{name}"), why, fix))
        });
        let mut skipped: Vec<Skipped> = accounts.chain(secrets).collect();
        skipped.sort_by(|one, other| one.what.cmp(&other.what));
        skipped
    }
}

fn skip(what: String, why: String, fix: String) -> Skipped {
    Skipped { what, why, fix, is_failure: true }
}

/// The texts of the keys may be secret, if somebody wrote a value in their place.
fn ignored_keys(keyring: &Keyring) -> Option<(String, String)> {
    let ignored = Some(keyring.ignored.len()).filter(|ignored| *ignored > 0)?;
    let why = format!("the kubelet ignores {} in `auths`, not a host, or a host and a path", count(ignored, "key"));
    Some((why, "write a host, or a host and a path".to_owned()))
}

/// Returns what the kubelet does with an invalid Secret, and the fix.
pub fn invalid(error: &InvalidKeyring) -> (String, String) {
    let text = error.to_string();
    let (what, fix) = text.split_once("; ").unwrap_or((&text, "correct it"));
    let effect = match error {
        // Go reads bytes that are not UTF-8.
        InvalidKeyring::NotText { .. } => "",
        _ => ", so the kubelet pulls no image for Pods with it",
    };
    (format!("{what}{effect}"), fix.to_owned())
}

/// A missing permission has one text for all objects, so that they are listed together.
fn unreadable(target: Target<'_>, failure: &Failure) -> (String, String) {
    let resource = target.resource;
    match failure {
        Failure::Forbidden { .. } => (
            format!("forbidden: the permission to get {resource} is missing"),
            format!(
                "bind a Role of the namespace, or a ClusterRole, with the rule \
                 {{apiGroups: [\"\"], resources: [{resource}], verbs: [get]}} to your user"
            ),
        ),
        failure => (failure.to_string(), fix(target, "get", failure)),
    }
}

/// Reads objects concurrently. If a failure would be that of every request, the rest is not requested.
async fn each<K, V, F>(
    api: &Api,
    keys: BTreeSet<K>,
    read: impl Fn(Api, K) -> F + Clone + Send + 'static,
    mut on_read: impl FnMut(usize, usize),
) -> HashMap<K, Result<V, Failure>>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Send + 'static,
    F: Future<Output = Result<V, Failure>> + Send,
{
    let all = keys.len();
    let queue = Arc::new(Mutex::new((keys.into_iter().collect::<VecDeque<K>>(), None::<Failure>)));
    let (done, mut incoming) = tokio::sync::mpsc::unbounded_channel();
    let mut workers = JoinSet::new();
    for _ in 0..CONCURRENCY.min(all) {
        let (api, read, queue, done) = (api.clone(), read.clone(), Arc::clone(&queue), done.clone());
        workers.spawn(async move {
            loop {
                let next = {
                    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                    queue.0.pop_front().map(|key| (key, queue.1.clone()))
                };
                let Some((key, stopped)) = next else { return };
                let result = match stopped {
                    Some(failure) => Err(failure),
                    None => read(api.clone(), key.clone()).await,
                };
                if let Some(failure) = result.as_ref().err().filter(|failure| failure.is_of_all_requests()) {
                    queue.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(failure.clone());
                }
                if done.send((key, result)).is_err() {
                    return;
                }
            }
        });
    }
    drop(done);
    let mut results = HashMap::new();
    while let Some((key, result)) = incoming.recv().await {
        results.insert(key, result);
        on_read(results.len(), all);
    }
    results
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
    }

    #[test]
    fn what_the_kubelet_ignores_differs_from_what_it_fails_on() {
        for (kind, key, text, is_ignored) in [
            ("Opaque", ".dockerconfigjson", "{}", true),
            ("kubernetes.io/dockerconfigjson", ".dockercfg", "{}", true),
            ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", "", true),
            ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", "hunter2", false),
            (
                "kubernetes.io/dockerconfigjson",
                ".dockerconfigjson",
                r#"{"auths": {"c.example": {"auth": "hunter2"}}}"#,
                false,
            ),
            ("kubernetes.io/dockercfg", ".dockercfg", "[\"hunter2\"]", false),
        ] {
            let content = content(secret(kind, key, text));
            let found = match &content {
                Content::Unusable(_) => true,
                Content::Invalid(_) => false,
                other => panic!("{other:?}"),
            };
            assert_eq!(found, is_ignored, "{kind} {key} {text}");
            assert!(!format!("{content:?}").contains("hunter2"), "{content:?}");
        }
    }
}

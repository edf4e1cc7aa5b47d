//! The permissions of the webhook's service account: what it needs, and nothing else.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::harness::{Client, Kubectl, wait_for};
use crate::installation::NAMESPACE;
use crate::{DEADLINE, step};

const ACCOUNT: &str = "pullthrough";

/// The permissions of every service account, by its groups.
const EVERY_ACCOUNT: &str = "
    system:basic-user
    selfsubjectreviews.authentication.k8s.io       [] [] [create]
    selfsubjectaccessreviews.authorization.k8s.io  [] [] [create]
    selfsubjectrulesreviews.authorization.k8s.io   [] [] [create]
    system:discovery and system:public-info-viewer
    [/api/*] [] [get]
    [/api] [] [get]
    [/apis/*] [] [get]
    [/apis] [] [get]
    [/openapi/*] [] [get]
    [/openapi] [] [get]
    [/healthz] [] [get]
    [/livez] [] [get]
    [/readyz] [] [get]
    [/version/] [] [get]
    [/version] [] [get]
    system:service-account-issuer-discovery
    [/.well-known/openid-configuration/] [] [get]
    [/.well-known/openid-configuration] [] [get]
    [/openid/v1/jwks/] [] [get]
    [/openid/v1/jwks] [] [get]
";
const EVERYWHERE: &str = "
    mutatingwebhookconfigurations.admissionregistration.k8s.io [] [zz-pullthrough] [get update]
";
const IN_ITS_NAMESPACE: &str = "
    secrets [] [] [create]
    secrets [] [pullthrough-tls] [get update]
";

const SECRETS: &str = "/api/v1/namespaces/pullthrough/secrets";
const SECRET: &str = "/api/v1/namespaces/pullthrough/secrets/pullthrough-tls";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-pullthrough";

/// Requests, with the verb and the resource that the API server derives from them.
#[rustfmt::skip]
const DENIED: [(Method, &str, &str, &str); 38] = [
    // Its Secret and its configuration, with verbs that it does not need.
    (Method::GET, SECRETS, "list", "secrets"),
    (Method::GET, "/api/v1/namespaces/pullthrough/secrets?watch=true&timeoutSeconds=1", "watch", "secrets"),
    (Method::GET, "/api/v1/namespaces/pullthrough/secrets?fieldSelector=metadata.name%3Dpullthrough-tls", "list", "secrets"),
    (Method::PATCH, SECRET, "patch", "secrets"),
    (Method::DELETE, SECRET, "delete", "secrets"),
    (Method::DELETE, SECRETS, "deletecollection", "secrets"),
    (Method::GET, CONFIGURATIONS, "list", "mutatingwebhookconfigurations"),
    (Method::GET, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?watch=true&timeoutSeconds=1", "watch", "mutatingwebhookconfigurations"),
    (Method::POST, CONFIGURATIONS, "create", "mutatingwebhookconfigurations"),
    (Method::PATCH, CONFIGURATION, "patch", "mutatingwebhookconfigurations"),
    (Method::DELETE, CONFIGURATION, "delete", "mutatingwebhookconfigurations"),
    (Method::DELETE, CONFIGURATIONS, "deletecollection", "mutatingwebhookconfigurations"),
    // Objects of others.
    (Method::GET, "/api/v1/namespaces/pullthrough/secrets/another", "get", "secrets"),
    (Method::PUT, "/api/v1/namespaces/pullthrough/secrets/another", "update", "secrets"),
    (Method::GET, "/api/v1/namespaces/default/secrets/pullthrough-tls", "get", "secrets"),
    (Method::POST, "/api/v1/namespaces/default/secrets", "create", "secrets"),
    (Method::GET, "/api/v1/secrets", "list", "secrets"),
    (Method::GET, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/another", "get", "mutatingwebhookconfigurations"),
    (Method::PUT, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/another", "update", "mutatingwebhookconfigurations"),
    (Method::GET, "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/zz-pullthrough", "get", "validatingwebhookconfigurations"),
    // Other kinds.
    (Method::GET, "/api/v1/namespaces/pullthrough/configmaps/pullthrough-rules", "get", "configmaps"),
    (Method::PUT, "/api/v1/namespaces/pullthrough/configmaps/pullthrough-rules", "update", "configmaps"),
    (Method::GET, "/api/v1/namespaces/pullthrough/pods", "list", "pods"),
    (Method::POST, "/api/v1/namespaces/pullthrough/pods", "create", "pods"),
    (Method::POST, "/api/v1/namespaces/pullthrough/pods/any/exec?command=sh", "create", "pods/exec"),
    (Method::POST, "/apis/apps/v1/namespaces/pullthrough/deployments", "create", "deployments"),
    (Method::PUT, "/apis/apps/v1/namespaces/pullthrough/deployments/pullthrough", "update", "deployments"),
    (Method::POST, "/apis/coordination.k8s.io/v1/namespaces/pullthrough/leases", "create", "leases"),
    (Method::POST, "/api/v1/namespaces/pullthrough/events", "create", "events"),
    (Method::GET, "/api/v1/namespaces", "list", "namespaces"),
    (Method::GET, "/api/v1/nodes/node", "get", "nodes"),
    (Method::GET, "/api/v1/nodes/node/proxy/pods", "get", "nodes/proxy"),
    // Requests that would extend its permissions.
    (Method::POST, "/api/v1/namespaces/pullthrough/serviceaccounts/default/token", "create", "serviceaccounts/token"),
    (Method::POST, "/apis/rbac.authorization.k8s.io/v1/namespaces/pullthrough/rolebindings", "create", "rolebindings"),
    (Method::POST, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "create", "clusterrolebindings"),
    (Method::PUT, "/apis/rbac.authorization.k8s.io/v1/namespaces/pullthrough/roles/pullthrough", "update", "roles"),
    (Method::PUT, "/apis/rbac.authorization.k8s.io/v1/clusterroles/pullthrough", "update", "clusterroles"),
    (Method::POST, "/apis/certificates.k8s.io/v1/certificatesigningrequests", "create", "certificatesigningrequests"),
];

pub fn is_minimal(cluster: &Cluster) {
    let account = cluster.control_plane.service_account(NAMESPACE, ACCOUNT);
    step("the service account has only the permissions that it needs", || {
        let own = [EVERY_ACCOUNT, EVERYWHERE, IN_ITS_NAMESPACE].concat();
        assert_eq!(listed(&account, NAMESPACE), rules(&own));
        assert_eq!(listed(&account, "default"), rules(&[EVERY_ACCOUNT, EVERYWHERE].concat()));
        // Another account has only the permissions of every account.
        assert_eq!(listed(&other_account(cluster), NAMESPACE), rules(EVERY_ACCOUNT));
    });
    let client = cluster.control_plane.client_of(&account);
    step("the requests that it needs are allowed", || is_allowed(&client));
    step("admission policies limit what RBAC can't", || is_guarded(cluster, &client));
    step(&format!("each of {} other requests is denied", DENIED.len()), || {
        for (method, path, verb, resource) in DENIED {
            is_denied(&client, &method, path, &format!("cannot {verb} resource \"{resource}\""));
        }
        // A header requests impersonation, not the path.
        let as_admin = ["get", "nodes", "--as=admin", "--as-group=system:masters"];
        let answer = account.run(&as_admin).err();
        assert!(answer.contains("(Forbidden)") && answer.contains("cannot impersonate"), "{answer}");
    });
}

fn other_account(cluster: &Cluster) -> Kubectl {
    cluster.control_plane.service_account(NAMESPACE, "default")
}

/// Returns the output of `kubectl auth can-i --list`, without the head of the table.
fn listed(account: &Kubectl, namespace: &str) -> BTreeSet<String> {
    let table = account.run(&["auth", "can-i", "--list", "--no-headers", "--namespace", namespace]).ok();
    rules(&table)
}

/// Returns the lines of a table that have verbs.
fn rules(table: &str) -> BTreeSet<String> {
    let lines = table.lines().filter(|line| line.trim_end().ends_with(']'));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn is_allowed(client: &Client) {
    // It exists already. That is checked after the permission.
    let own = client.post(&format!("{SECRETS}?dryRun=All"), &secret("pullthrough-tls", "kubernetes.io/tls"));
    assert!(matches!(&own, Err(kube::Error::Api(status)) if status.code == 409), "{own:?}");
    for path in [SECRET, CONFIGURATION] {
        let object = client.get(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let body = object.to_string().into_bytes();
        match client.request(Method::PUT, &format!("{path}?dryRun=All"), body) {
            Ok(_) => {}
            // Another client has just changed it.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("{path}: {error}"),
        }
    }
}

fn secret(name: &str, kind: &str) -> Value {
    let data = json!({"tls.crt": "", "tls.key": ""});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "data": data})
}

/// Tests requests that RBAC allows and the admission policies deny. tests/e2e/guard.rs tests all of them.
fn is_guarded(cluster: &Cluster, client: &Client) {
    let mut elsewhere = client.get(CONFIGURATION).unwrap();
    elsewhere["webhooks"][0]["clientConfig"]["service"]["namespace"] = json!("default");
    let attempts = [
        (Method::POST, SECRETS, secret("another", "kubernetes.io/tls")),
        (Method::POST, SECRETS, secret("pullthrough-tls", "Opaque")),
        (Method::PUT, CONFIGURATION, elsewhere),
    ];
    for (method, path, object) in attempts {
        match client.request(method.clone(), path, object.to_string().into_bytes()) {
            Err(kube::Error::Api(status)) if status.message.contains("denied request: pullthrough may") => {}
            answer => panic!("{method} {path}: {answer:?}"),
        }
    }
    // The controller-manager checks types some time after a policy was created.
    for policy in ["pullthrough-guard-webhooks", "pullthrough-guard-secrets"] {
        let checked = wait_for(DEADLINE, || {
            let policy = cluster.kubectl(&["get", "validatingadmissionpolicy", policy, "--output=json"]).json();
            policy["status"].get("typeChecking").cloned()
        });
        assert_eq!(checked.unwrap_or_else(|error| panic!("{policy}: {error:#}")), json!({}), "{policy}");
    }
}

fn is_denied(client: &Client, method: &Method, path: &str, why: &str) {
    match client.request(method.clone(), path, b"{}".to_vec()) {
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains(why) => {}
        answer => panic!("{method} {path}: the reason is not \"{why}\": {answer:?}"),
    }
}

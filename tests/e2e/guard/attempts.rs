//! Valid requests that pullthrough must not make.

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::Client;

pub const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
pub const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-pullthrough";
const OTHER_CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/other";
pub const SECRETS: &str = "/api/v1/namespaces/pullthrough/secrets";
pub const SECRET: &str = "/api/v1/namespaces/pullthrough/secrets/pullthrough-tls";
const OTHER_SECRET: &str = "/api/v1/namespaces/pullthrough/secrets/other";

#[derive(Debug)]
pub struct Attempt {
    what: &'static str,
    pub path: &'static str,
    request: Request,
}

#[derive(Debug)]
enum Request {
    Create(Value),
    /// Reads the object, and writes it with this JSON patch.
    Update(Value),
    Delete,
}

impl Attempt {
    pub fn create(path: &'static str, what: &'static str, object: Value) -> Self {
        Self { what, path, request: Request::Create(object) }
    }

    pub fn on(path: &'static str, what: &'static str, patch: Value) -> Self {
        Self { what, path, request: Request::Update(patch) }
    }

    fn delete(path: &'static str, what: &'static str) -> Self {
        Self { what, path, request: Request::Delete }
    }

    pub fn send(&self, client: &Client, query: &str) -> Result<Value, kube::Error> {
        let path = format!("{}{query}", self.path);
        match &self.request {
            Request::Create(object) => client.post(&path, object),
            Request::Update(patch) => {
                let patch: json_patch::Patch = serde_json::from_value(patch.clone()).expect("a patch");
                loop {
                    let mut object = client.get(self.path)?;
                    json_patch::patch(&mut object, &patch).unwrap_or_else(|error| panic!("{}: {error}", self.what));
                    match client.request(Method::PUT, &path, object.to_string().into_bytes()) {
                        // A running replica may have changed the object after it was read.
                        Err(kube::Error::Api(status)) if status.is_conflict() => {}
                        answer => return answer,
                    }
                }
            }
            Request::Delete => client.request(Method::DELETE, &path, vec![]),
        }
    }

    /// Returns the JSON pointers that the request changes.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        let operations = match &self.request {
            Request::Update(Value::Array(operations)) => &operations[..],
            _ => &[],
        };
        operations.iter().filter_map(|operation| operation["path"].as_str())
    }

    pub fn policy(&self) -> &'static str {
        if self.path.starts_with(CONFIGURATIONS) { "pullthrough-guard-webhooks" } else { "pullthrough-guard-secrets" }
    }
}

/// Returns a Secret that the service account may create under its own name.
pub fn secret(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "pullthrough"}},
        "data": {"tls.crt": "", "tls.key": ""},
    })
}

fn owner() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": "6f5e1f6c-0000-4000-8000-000000000000"})
}

/// Returns objects of others, and webhooks, labels and annotations of others in pullthrough's configuration.
pub fn of_others() -> Vec<Attempt> {
    let other = configuration("other", "other.example.com");
    let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
    let mark = json!({"example.com/a": "b"});
    let own = json!([add("/webhooks/-", other["webhooks"][0].clone()), add("/metadata/annotations", mark.clone()),]);
    let own_secret = json!([add("/metadata/labels/example.com~1a", json!("b")), add("/metadata/annotations", mark)]);
    vec![
        Attempt::on(CONFIGURATION, "a webhook of others", own),
        Attempt::on(SECRET, "labels of others", own_secret),
        Attempt::create(CONFIGURATIONS, "a configuration of others", other),
        Attempt::create(SECRETS, "a Secret of others", secret("other")),
    ]
}

fn configuration(name: &str, webhook: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": webhook,
            "clientConfig": {"url": "https://127.0.0.1:9/", "caBundle": ""},
            "rules": [{"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["examples"]}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    })
}

pub fn all() -> Vec<Attempt> {
    [of_webhooks(), of_configurations(), of_new_secrets(), of_secrets()].into_iter().flatten().collect()
}

/// Returns changes of each field of a webhook, and of the list of webhooks.
fn of_webhooks() -> Vec<Attempt> {
    let set =
        |field: &str, value: Value| json!([{"op": "add", "path": format!("/webhooks/0/{field}"), "value": value}]);
    let everything = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]);
    let service = |name: &str, namespace: &str| json!({"service": {"name": name, "namespace": namespace, "path": "/mutate", "port": 443}});
    let other = configuration("other", "more.pullthrough.dev")["webhooks"][0].take();
    let condition = json!({"name": "more", "expression": "true"});
    let table = [
        ("admissionReviewVersions", set("admissionReviewVersions", json!(["v1", "v1beta1"]))),
        (
            "a URL",
            json!([
                {"op": "remove", "path": "/webhooks/0/clientConfig/service"},
                {"op": "add", "path": "/webhooks/0/clientConfig/url", "value": "https://192.0.2.1/"},
            ]),
        ),
        ("a URL with a new caBundle", set("clientConfig", json!({"url": "https://192.0.2.1/", "caBundle": "eA=="}))),
        ("the Service's name", set("clientConfig/service/name", json!("other"))),
        ("the Service's namespace", set("clientConfig/service/namespace", json!("default"))),
        ("the Service's path", set("clientConfig/service/path", json!("/other"))),
        ("the Service without a path", json!([{"op": "remove", "path": "/webhooks/0/clientConfig/service/path"}])),
        ("the Service's port", set("clientConfig/service/port", json!(8443))),
        ("another Service, with caBundle", set("clientConfig", service("other", "default"))),
        ("failurePolicy", set("failurePolicy", json!("Fail"))),
        ("no matchConditions", json!([{"op": "remove", "path": "/webhooks/0/matchConditions"}])),
        ("one more of matchConditions", set("matchConditions/-", condition.clone())),
        ("one of matchConditions replaced", set("matchConditions/0/expression", json!("true"))),
        ("matchPolicy", set("matchPolicy", json!("Exact"))),
        ("the webhook's name", set("name", json!("other.pullthrough.dev"))),
        ("namespaceSelector", set("namespaceSelector", json!({}))),
        ("one more namespace", set("namespaceSelector/matchExpressions/0/values/-", json!("kube-system"))),
        ("objectSelector", set("objectSelector", json!({"matchLabels": {"a": "b"}}))),
        ("reinvocationPolicy", set("reinvocationPolicy", json!("Never"))),
        ("rules for everything", set("rules", everything)),
        ("one rule less", json!([{"op": "remove", "path": "/webhooks/0/rules/1"}])),
        ("one more operation", set("rules/0/operations/-", json!("DELETE"))),
        ("one more resource", set("rules/0/resources/-", json!("secrets"))),
        ("a rule's scope", set("rules/0/scope", json!("*"))),
        ("sideEffects", set("sideEffects", json!("NoneOnDryRun"))),
        ("timeoutSeconds", set("timeoutSeconds", json!(30))),
        (
            "timeoutSeconds beside caBundle",
            json!([
                {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "eA=="},
                {"op": "add", "path": "/webhooks/0/timeoutSeconds", "value": 30},
            ]),
        ),
        ("one more webhook", json!([{"op": "add", "path": "/webhooks/-", "value": other}])),
        ("a webhook before its own", json!([{"op": "add", "path": "/webhooks/0", "value": other}])),
        ("its own webhook removed", json!([{"op": "remove", "path": "/webhooks/0"}])),
        ("another webhook removed", json!([{"op": "remove", "path": "/webhooks/1"}])),
        ("all webhooks removed", json!([{"op": "remove", "path": "/webhooks"}])),
        ("another order", json!([{"op": "move", "from": "/webhooks/1", "path": "/webhooks/0"}])),
        (
            "two names swapped",
            json!([
                {"op": "replace", "path": "/webhooks/0/name", "value": "other.example.com"},
                {"op": "replace", "path": "/webhooks/1/name", "value": "rewrite.pullthrough.dev"},
            ]),
        ),
        (
            "caBundle of another webhook",
            json!([{"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "eA=="}]),
        ),
    ];
    table.map(|(what, patch)| Attempt::on(CONFIGURATION, what, patch)).into()
}

/// Returns changes of metadata, and of other configurations.
fn of_configurations() -> Vec<Attempt> {
    let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let own = |what, patch| Attempt::on(CONFIGURATION, what, patch);
    vec![
        own("a label", add("/metadata/labels/a", json!("b"))),
        own("a label replaced", add("/metadata/labels/app.kubernetes.io~1name", json!("b"))),
        own("no labels", json!([{"op": "remove", "path": "/metadata/labels"}])),
        own("an annotation", add("/metadata/annotations/cert-manager.io~1inject-ca-from", json!("a/b"))),
        own("no annotations", json!([{"op": "remove", "path": "/metadata/annotations"}])),
        own("ownerReferences", add("/metadata/ownerReferences", json!([owner()]))),
        own("finalizers", add("/metadata/finalizers", json!(["example.com/a"]))),
        Attempt::delete(CONFIGURATION, "its configuration deleted"),
        Attempt::create(CONFIGURATIONS, "another configuration", configuration("more", "more.example.com")),
        Attempt::create(
            CONFIGURATIONS,
            "another configuration with its webhook",
            configuration("zzz", "rewrite.pullthrough.dev"),
        ),
        Attempt::on(
            OTHER_CONFIGURATION,
            "caBundle of another configuration",
            add("/webhooks/0/clientConfig/caBundle", json!("eA==")),
        ),
        Attempt::on(OTHER_CONFIGURATION, "another configuration unchanged", json!([])),
        Attempt::delete(OTHER_CONFIGURATION, "another configuration deleted"),
    ]
}

fn of_new_secrets() -> Vec<Attempt> {
    let typed = |kind: &str, data: Value| {
        let mut secret = secret("more");
        secret["type"] = kind.into();
        secret["data"] = data;
        secret
    };
    let mut token = typed("kubernetes.io/service-account-token", json!({}));
    token["metadata"]["annotations"] = json!({"kubernetes.io/service-account.name": "default"});
    let mut generated = secret("");
    generated["metadata"] = json!({"generateName": "pullthrough-tls"});
    // Under its own name.
    let own = |field: &str, value: Value| {
        let mut secret = secret("pullthrough-tls");
        *secret.pointer_mut(field).unwrap_or_else(|| panic!("{field}")) = value;
        secret
    };
    let metadata = |field: &str, value: Value| own("/metadata", json!({"name": "pullthrough-tls", field: value}));
    let mut own_token = token.clone();
    own_token["metadata"]["name"] = json!("pullthrough-tls");
    let mut immutable = secret("pullthrough-tls");
    immutable["immutable"] = json!(true);
    let elsewhere = "/api/v1/namespaces/default/secrets";
    let bootstrap = json!({"token-id": "YWJjZGVm", "token-secret": "MDEyMzQ1Njc4OWFiY2RlZg=="});
    vec![
        Attempt::create(SECRETS, "another Secret", secret("more")),
        Attempt::create(SECRETS, "a token of a service account", token),
        Attempt::create(SECRETS, "an opaque Secret", typed("Opaque", json!({}))),
        Attempt::create(
            SECRETS,
            "registry credentials",
            typed("kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": "e30="})),
        ),
        Attempt::create(SECRETS, "a generated name", generated),
        Attempt::create(SECRETS, "its Secret with another type", own("/type", json!("Opaque"))),
        Attempt::create(SECRETS, "its Secret as a token of a service account", own_token),
        Attempt::create(SECRETS, "its Secret, immutable", immutable),
        Attempt::create(SECRETS, "its Secret with a label", metadata("labels", json!({"a": "b"}))),
        Attempt::create(SECRETS, "its Secret with an annotation", metadata("annotations", json!({"a": "b"}))),
        Attempt::create(SECRETS, "its Secret with a finalizer", metadata("finalizers", json!(["example.com/a"]))),
        Attempt::create(SECRETS, "its Secret with another owner", metadata("ownerReferences", json!([owner()]))),
        Attempt::create(elsewhere, "its name in another namespace", secret("pullthrough-tls")),
        Attempt::create(
            "/api/v1/namespaces/kube-system/secrets",
            "a bootstrap token",
            typed("bootstrap.kubernetes.io/token", bootstrap),
        ),
    ]
}

fn of_secrets() -> Vec<Attempt> {
    let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let own = |what, patch| Attempt::on(SECRET, what, patch);
    vec![
        own("a label", add("/metadata/labels/a", json!("b"))),
        own("a label replaced", add("/metadata/labels/example.com~1a", json!("c"))),
        own("a label removed", json!([{"op": "remove", "path": "/metadata/labels/example.com~1a"}])),
        own("an annotation", add("/metadata/annotations/reflector.example.com~1reflects", json!("kube-system/a"))),
        own("no annotations", json!([{"op": "remove", "path": "/metadata/annotations"}])),
        own("one more owner", add("/metadata/ownerReferences/-", owner())),
        own("no owner", json!([{"op": "remove", "path": "/metadata/ownerReferences"}])),
        own("finalizers", add("/metadata/finalizers", json!(["example.com/a"]))),
        own("immutable", add("/immutable", json!(true))),
        own(
            "a label beside data",
            json!([
                {"op": "add", "path": "/data/tls.crt", "value": "eA=="},
                {"op": "add", "path": "/metadata/labels/a", "value": "b"},
            ]),
        ),
        Attempt::delete(SECRET, "its Secret deleted"),
        Attempt::on(OTHER_SECRET, "data of another Secret", add("/data/tls.crt", json!("eA=="))),
        Attempt::delete(OTHER_SECRET, "another Secret deleted"),
    ]
}

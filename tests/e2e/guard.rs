//! The admission policies of the manifests deny pullthrough's service account requests that RBAC allows.

mod attempts;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use axum::http::Method;
use serde_json::json;

use self::attempts::{Attempt, CONFIGURATION, CONFIGURATIONS, SECRET, SECRETS};
use crate::DEADLINE;
use crate::harness::installation::{NAMESPACE, Objects, manifests};
use crate::harness::{Client, ControlPlane, Kubectl, Options, Webhook, wait_for};
use crate::scene::{KUBERNETES, rules};

const ACCOUNT: &str = "pullthrough";
/// A renewal is due after 30 s. Then come the interval of 3 s, and the time in which a published CA settles.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn the_service_account_changes_nothing_but_certificates() {
    let cluster = ControlPlane::start(&Options::default()).unwrap_or_else(|error| panic!("{error:#}"));
    let installed = Objects::parse(&fs::read_to_string(manifests("overlays/self-managed/install.yaml")).unwrap());
    cluster.create_namespace(NAMESPACE);
    cluster.kubectl_with(&["apply", "--validate=strict", "-f", "-"], &installed.list().to_string()).ok();
    let account = cluster.service_account(NAMESPACE, ACCOUNT);

    is_in_force(&cluster, &account);
    certificates_are_made_renewed_and_repaired(&cluster);

    let admin = cluster.client();
    for object in attempts::of_others() {
        object.send(&admin, "").unwrap_or_else(|error| panic!("{object:?}: {error}"));
    }
    let state = || [CONFIGURATIONS, "/api/v1/secrets"].map(|path| admin.get(path).unwrap()["items"].take());
    let before = state();
    let attempts = attempts::all();
    let client = cluster.client_of(&account);
    let by_rbac = attempts.iter().filter(|attempt| is_denied_by_rbac(&client, attempt)).count();
    let by_policies = attempts.len() - by_rbac;
    println!("{} attempts denied, {by_rbac} by RBAC and {by_policies} by the policies", attempts.len());
    assert!(by_policies >= 30);

    // Now only the policies deny the requests.
    let rights = ["create", "clusterrole", "any", "--verb=*"];
    let resources = "--resource=secrets,mutatingwebhookconfigurations.admissionregistration.k8s.io";
    cluster.kubectl(&[&rights[..], &[resources]].concat()).ok();
    let subject = format!("--serviceaccount={NAMESPACE}:{ACCOUNT}");
    cluster.kubectl(&["create", "clusterrolebinding", "any", "--clusterrole=any", &subject]).ok();
    wait_for(DEADLINE, || client.get(CONFIGURATIONS).ok()).expect("RBAC allows it");
    for attempt in &attempts {
        is_denied(&client, attempt);
    }
    assert_eq!(before, state(), "a denied request changed an object");
    every_field_is_tried(&cluster, &attempts);
    what_is_needed_is_allowed(&client);
    nobody_else_is_denied(&cluster, &attempts);
}

/// Policies take effect some time after they were created.
fn is_in_force(cluster: &ControlPlane, account: &Kubectl) {
    let client = cluster.client_of(account);
    let probes = [
        Attempt::on(
            CONFIGURATION,
            "timeout",
            json!([{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 9}]),
        ),
        Attempt::create(SECRETS, "other name", attempts::secret("other")),
    ];
    for probe in probes {
        wait_for(DEADLINE, || probe.send(&client, "?dryRun=All").is_err().then_some(()))
            .expect("the policy has an effect");
        is_denied(&client, &probe);
    }
}

/// Runs the program with the permissions of the manifests.
fn certificates_are_made_renewed_and_repaired(cluster: &ControlPlane) {
    let kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, ACCOUNT).unwrap();
    let replica = || {
        Webhook::start_managed(&rules("", KUBERNETES), &kubeconfig, &["--certificate-lifetime=1m"])
            .unwrap_or_else(|error| panic!("{error:#}"))
    };
    let admin = cluster.client();
    let secret = || admin.get(SECRET).unwrap_or_default();
    let published = || admin.get(CONFIGURATION).unwrap()["webhooks"][0]["clientConfig"]["caBundle"].take();
    let in_order = |what: &str, replicas: &[&Webhook], changed: &dyn Fn() -> bool| {
        let done = wait_for(SOON, || {
            let are_ready = replicas.iter().all(|replica| replica.ready().is_ok());
            (are_ready && secret()["data"]["ca.crt"] == published() && changed()).then_some(())
        });
        let logs: Vec<_> = replicas.iter().map(|replica| replica.log()).collect();
        done.unwrap_or_else(|error| panic!("{what}: {error}\n{}", logs.join("\n---\n")));
    };

    let replicas = [replica(), replica()];
    let replicas = replicas.each_ref();
    in_order("first start", &replicas, &|| true);
    let made = secret();
    assert_eq!(made["metadata"]["ownerReferences"][0]["name"], ACCOUNT);
    in_order("renewal", &replicas, &|| secret()["data"]["tls.crt"] != made["data"]["tls.crt"]);
    assert_eq!(secret()["metadata"]["uid"], made["metadata"]["uid"], "the Secret was recreated");

    let repairs = [
        ("emptied caBundle", CONFIGURATION, json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}])),
        (
            "overwritten certificate",
            SECRET,
            json!([{"op": "replace", "path": "/data/tls.crt", "value": "Z2FyYmFnZQ=="}]),
        ),
    ];
    for (what, path, patch) in repairs {
        Attempt::on(path, what, patch).send(&admin, "").unwrap();
        in_order(what, &replicas, &|| secret()["data"]["tls.crt"] != "Z2FyYmFnZQ==");
    }
    let uid = secret()["metadata"]["uid"].take();
    admin.request(Method::DELETE, SECRET, vec![]).unwrap();
    in_order("deleted Secret", &replicas, &|| {
        !secret()["metadata"]["uid"].is_null() && secret()["metadata"]["uid"] != uid
    });
    for replica in replicas {
        assert!(!replica.log().contains("ValidatingAdmissionPolicy"), "{}", replica.log());
    }
}

#[track_caller]
fn is_denied(client: &Client, attempt: &Attempt) {
    assert!(!is_denied_by_rbac(client, attempt), "{attempt:?}: RBAC denies it");
}

/// Returns whether RBAC denies the request. Otherwise the policy must.
#[track_caller]
fn is_denied_by_rbac(client: &Client, attempt: &Attempt) -> bool {
    let policy = format!("ValidatingAdmissionPolicy '{}'", attempt.policy());
    match attempt.send(client, "") {
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains(" cannot ") => true,
        Err(kube::Error::Api(status))
            if status.code == 403
                && status.message.contains(&policy)
                && status.message.contains("denied request: pullthrough may") =>
        {
            false
        }
        answer => panic!("{attempt:?}: not denied: {answer:?}"),
    }
}

/// Fails if a version of Kubernetes has a field that no attempt covers.
fn every_field_is_tried(cluster: &ControlPlane, attempts: &[Attempt]) {
    let schemas = cluster.client().get("/openapi/v3/apis/admissionregistration.k8s.io/v1").unwrap();
    let fields = |kind: &str| -> BTreeSet<String> {
        let name = format!("io.k8s.{kind}");
        schemas["components"]["schemas"][&name]["properties"].as_object().expect(&name).keys().cloned().collect()
    };
    let tried = |parent: &str| -> BTreeSet<String> {
        let paths = attempts.iter().filter(|attempt| attempt.path == CONFIGURATION).flat_map(Attempt::pointers);
        let fields = paths.filter_map(|path| path.strip_prefix(parent)?.split('/').next().map(str::to_owned));
        fields.filter(|field| !field.is_empty()).collect()
    };
    // Fields that the API server sets itself, or rejects.
    let of_the_server = [
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generateName",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    ];
    let webhooks = "api.admissionregistration.v1";
    let table = [
        (format!("{webhooks}.MutatingWebhook"), "/webhooks/0/", &["clientConfig"][..]),
        (format!("{webhooks}.WebhookClientConfig"), "/webhooks/0/clientConfig/", &["caBundle"]),
        (format!("{webhooks}.MutatingWebhookConfiguration"), "/", &["apiVersion", "kind", "metadata", "webhooks"]),
        ("apimachinery.pkg.apis.meta.v1.ObjectMeta".to_owned(), "/metadata/", &of_the_server),
    ];
    for (kind, parent, except) in table {
        let mut untried = &fields(&kind) - &tried(parent);
        untried.retain(|field| !except.contains(&field.as_str()));
        assert!(untried.is_empty(), "fields of {kind}: {untried:?}");
    }
}

fn what_is_needed_is_allowed(client: &Client) {
    let set = |path: &str, value: &str| json!([{"op": "add", "path": path, "value": value}]);
    let remove = |path: &str| json!([{"op": "remove", "path": path}]);
    let allowed = [
        Attempt::on(CONFIGURATION, "caBundle", set("/webhooks/0/clientConfig/caBundle", "cHVibGlzaGVk")),
        Attempt::on(CONFIGURATION, "nothing", json!([])),
        Attempt::on(SECRET, "data", set("/data/tls.crt", "eA==")),
        Attempt::on(SECRET, "own annotation", set("/metadata/annotations/pullthrough.dev~1revoke", "b")),
        Attempt::on(SECRET, "own annotation removed", remove("/metadata/annotations/pullthrough.dev~1revoke")),
        Attempt::on(SECRET, "own label", set("/metadata/labels/pullthrough.dev~1a", "b")),
    ];
    for attempt in allowed {
        attempt.send(client, "").unwrap_or_else(|error| panic!("{attempt:?}: {error}"));
    }
}

fn nobody_else_is_denied(cluster: &ControlPlane, attempts: &[Attempt]) {
    let client = cluster.client_of(cluster.dev());
    for attempt in attempts {
        match attempt.send(&client, "?dryRun=All") {
            Ok(_) => {}
            // The request passed admission.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("{attempt:?}: {error}"),
        }
    }
}

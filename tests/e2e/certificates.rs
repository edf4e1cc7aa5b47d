//! `serve --manage-certificates`: replicas that agree on certificates, and repair what somebody breaks.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::CLUSTER;
use crate::harness::{Webhook, wait_for};
use crate::installation::{ACCOUNT, Installation, SECRET, SOON};

#[test]
fn replicas_agree_and_repair() {
    let installation = Installation::new("certificates");
    let replicas = [installation.replica(&[]), installation.replica(&[]), installation.replica(&[])];
    let replicas = replicas.each_ref();
    for replica in replicas {
        let waits = wait_for(SOON, || replica.ready().err().filter(|why| why.contains("there is no")));
        waits.expect("nothing is registered, and each says so");
    }
    installation.register(&replicas);
    installation.wait_until_in_order(&replicas, || true);
    let secret = installation.secret().unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["name"]), (&json!("ServiceAccount"), &json!(ACCOUNT)));
    let generations = |replica: &Webhook| replica.log().matches("wrote the certificate").count();
    let made = || replicas.iter().map(|replica| generations(replica)).sum::<usize>();
    // Lines are written a moment after what they tell of.
    wait_for(SOON, || (made() > 0).then_some(())).expect("a line that tells of it");
    assert_eq!(made(), 1, "one made it for all");

    let namespace = ["--namespace", installation.namespace];
    let certificate = || installation.secret().map(|secret| secret["data"]["tls.crt"].clone());
    let garbage = json!({"data": {"ca.crt": "", "tls.crt": BASE64_STANDARD.encode("garbage")}}).to_string();
    let emptied = json!([{"op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": ""}]).to_string();
    let configuration = installation.configuration();
    // What is done to the cluster, and whether another certificate comes of it.
    let table: [(&[&str], bool); 3] = [
        (&["delete", "secret", SECRET, namespace[0], namespace[1]], true),
        (&["patch", "secret", SECRET, namespace[0], namespace[1], "--patch", &garbage], true),
        (&["patch", "mutatingwebhookconfiguration", &configuration, "--type=json", "--patch", &emptied], false),
    ];
    for (command, is_new) in table {
        let before = certificate();
        CLUSTER.kubectl(command).ok();
        installation.wait_until_in_order(&replicas, || (certificate() != before) == is_new);
    }
    // While the new certificates settled, the old ones were served and trusted: nobody was without. How many of the two
    // before were served still depends on how fast the Secret was broken again.
    let trusted = installation.published().unwrap().len();
    assert!((2..=3).contains(&trusted), "{trusted}");
}

#[test]
fn no_pod_is_refused_while_certificates_change() {
    let installation = Installation::new("certificates-change");
    let replicas = [installation.replica(&[]), installation.replica(&[])];
    let replicas = replicas.each_ref();
    installation.register(&replicas);
    installation.wait_until_in_order(&replicas, || true);
    let serving = || replicas.map(|replica| replica.log().matches("serving the certificate of the Secret").count());
    let data = || installation.secret().map(|secret| secret["data"].clone()).unwrap_or_default();
    let first = data();
    let delete = || {
        CLUSTER.kubectl(&["delete", "secret", SECRET, "--namespace", installation.namespace]).ok();
    };
    // As a backup that is restored, or a tool that has its own mind, would.
    let put_back = || installation.patch_secret(&json!({"data": first}));
    let table: [(&str, &dyn Fn()); 2] = [("deleted", &delete), ("put back", &put_back)];
    for (what, change) in table {
        let before = serving();
        change();
        let all_changed = wait_for(SOON, || {
            assert_eq!(installation.create().as_deref(), Ok("cache.example.com/k8s/app:1"), "{what}");
            (serving() == before.map(|count| count + 1)).then_some(())
        });
        all_changed.unwrap_or_else(|error| panic!("{what}: both serve another certificate: {error}"));
        installation.wait_until_in_order(&replicas, || true);
    }
    assert_eq!(data()["tls.crt"], first["tls.crt"]);
    assert_ne!(data()["ca.crt"], first["ca.crt"], "what was served until then is still trusted");
}

#[test]
fn what_cannot_be_renewed_is_served_on() {
    let installation = Installation::new("certificates-immutable");
    let replica = installation.replica(&[]);
    installation.register(&[&replica]);
    installation.wait_until_in_order(&[&replica], || true);
    installation.patch_secret(&json!({"immutable": true}));

    // The certificate of three months is valid for longer than it is to be.
    let other = installation.replica(&["--certificate-lifetime-secs=86400"]);
    installation.register(&[&replica, &other]);
    let failing = r#"pullthrough_last_reload_successful{what="certificate"}"#;
    installation.wait_until_in_order(&[&replica, &other], || other.metric(failing) == 0.0);
    other.wait_for_log("field is immutable when `immutable` is set");
}

#[test]
fn a_server_that_may_not_publish_serves_on() {
    let installation = Installation::new("certificates-forbidden");
    let replica = installation.replica(&[]);
    installation.register(&[&replica]);
    installation.wait_until_in_order(&[&replica], || true);

    installation.grant(&["get"]);
    let failing = r#"pullthrough_last_reload_successful{what="certificate"}"#;
    assert_eq!(replica.metric(failing), 1.0);
    let emptied = r#"[{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]"#;
    let patch = ["patch", "mutatingwebhookconfiguration", &installation.configuration(), "--type=json", "-p", emptied];
    CLUSTER.kubectl(&patch).ok();
    let not_ready = wait_for(SOON, || replica.ready().err()).expect("what is served is not what is published");
    assert!(not_ready.contains("does not accept the serving certificate: no trusted CA has signed it"), "{not_ready}");
    assert_eq!(replica.metric(failing), 0.0);
    replica.wait_for_log(r#"cannot update resource \"mutatingwebhookconfigurations\""#);

    installation.grant(&["get", "update"]);
    installation.wait_until_in_order(&[&replica], || replica.metric(failing) == 1.0);
}

//! `serve --manage-certificates`: replicas share one certificate, and repair damaged objects.

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
        let waits =
            wait_for(SOON, || replica.ready().err().filter(|why| why.contains("no certificate was issued yet")));
        waits.expect("no webhook is registered, so there is no certificate, and every replica reports it");
    }
    installation.register(&replicas);
    installation.wait_until_in_order(&replicas, || true);
    let secret = installation.secret().unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["name"]), (&json!("ServiceAccount"), &json!(ACCOUNT)));
    let generations = |replica: &Webhook| replica.log().matches("certificate and trusted CAs written").count();
    let made = || replicas.iter().map(|replica| generations(replica)).sum::<usize>();
    // A line of the log may appear after the event that it reports.
    wait_for(SOON, || (made() > 0).then_some(())).expect("a line that reports it");
    assert_eq!(made(), 1, "more than one replica issued a certificate");

    let namespace = ["--namespace", installation.namespace];
    let certificate = || installation.secret().map(|secret| secret["data"]["tls.crt"].clone());
    let garbage = json!({"data": {"ca.crt": "", "tls.crt": BASE64_STANDARD.encode("garbage")}}).to_string();
    let emptied = json!([{"op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": ""}]).to_string();
    let configuration = installation.configuration();
    // Changes to the cluster, and whether a new certificate is issued.
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
    // While the new certificates settled, the replicas served the old ones, which were trusted. So there was no gap. How many of
    // the two old ones were served depends on when the Secret was damaged again.
    let trusted = installation.published().unwrap().len();
    assert!((2..=3).contains(&trusted), "{trusted}");
}

#[test]
fn no_pod_is_denied_while_certificates_change() {
    let installation = Installation::new("certificates-change");
    let replicas = [installation.replica(&[]), installation.replica(&[])];
    let replicas = replicas.each_ref();
    installation.register(&replicas);
    installation.wait_until_in_order(&replicas, || true);
    let serving = || replicas.map(|replica| replica.log().matches("loaded the certificate of the Secret").count());
    let data = || installation.secret().map(|secret| secret["data"].clone()).unwrap_or_default();
    let first = data();
    let delete = || {
        CLUSTER.kubectl(&["delete", "secret", SECRET, "--namespace", installation.namespace]).ok();
    };
    // As after the restore of a backup, or with another tool that writes the Secret.
    let put_back = || installation.patch_secret(&json!({"data": first}));
    let table: [(&str, &dyn Fn()); 2] = [("deleted", &delete), ("put back", &put_back)];
    for (what, change) in table {
        let before = serving();
        change();
        let all_changed = wait_for(SOON, || {
            assert_eq!(installation.create().as_deref(), Ok("cache.example.com/k8s/app:1"), "{what}");
            (serving() == before.map(|count| count + 1)).then_some(())
        });
        all_changed.unwrap_or_else(|error| panic!("{what}: the replicas do not both serve a new certificate: {error}"));
        installation.wait_until_in_order(&replicas, || true);
    }
    assert_eq!(data()["tls.crt"], first["tls.crt"]);
    assert_ne!(data()["ca.crt"], first["ca.crt"], "a CA was removed while its certificate was served");
}

#[test]
fn what_cannot_be_renewed_is_served_on() {
    let installation = Installation::new("certificates-immutable");
    let replica = installation.replica(&[]);
    installation.register(&[&replica]);
    installation.wait_until_in_order(&[&replica], || true);
    installation.patch_secret(&json!({"immutable": true}));

    // The certificate is valid for three months, which is longer than configured.
    let other = installation.replica(&["--certificate-lifetime=24h"]);
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
    let not_ready = wait_for(SOON, || replica.ready().err()).expect("the replica is not ready");
    assert!(not_ready.contains("does not accept the serving certificate: no trusted CA has signed it"), "{not_ready}");
    assert_eq!(replica.metric(failing), 0.0);
    replica.wait_for_log(r#"cannot update resource \"mutatingwebhookconfigurations\""#);

    installation.grant(&["get", "update"]);
    installation.wait_until_in_order(&[&replica], || replica.metric(failing) == 1.0);
}

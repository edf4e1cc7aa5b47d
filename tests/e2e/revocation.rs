//! Revoked CAs: after the leak of a key, and CAs of others.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::CLUSTER;
use crate::harness::{Webhook, certificates, handshake};
use crate::installation::{IMAGE, Installation, MINUTE, SECRET, authority};
use crate::scene::{image, simple_pod};

/// Pods created without a pause, and handshakes with every replica that trust the published CAs.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Load {
    fn start(installation: &Installation, replicas: &[&Webhook]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (namespace, configuration) = (installation.namespace, installation.configuration());
        let replicas: Vec<SocketAddr> = replicas.iter().map(|replica| replica.address()).collect();
        let thread = thread::spawn(move || {
            let client = CLUSTER.client();
            let path = format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{configuration}");
            let (mut created, mut faults) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                match client.dry_run(namespace, &simple_pod("p", IMAGE)) {
                    Ok(pod) if image(&pod) == "cache.example.com/k8s/app:1" => created += 1,
                    Ok(pod) => faults.push(format!("not rewritten: {}", image(&pod))),
                    Err(error) => faults.push(error.to_string()),
                }
                let configuration = client.get(&path).expect("the configuration");
                let bundle = certificates(&configuration["webhooks"][1]["clientConfig"]["caBundle"]);
                let shown = replicas.iter().map(|&replica| handshake(replica, "127.0.0.1", &bundle));
                faults.extend(shown.filter_map(Result::err).map(|error| error.to_string()));
            }
            (created, faults)
        });
        Self { stop, thread }
    }

    #[track_caller]
    fn assert_nothing_lost(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (created, faults) = self.thread.join().expect("the load runs until it is stopped");
        assert!(created > 100, "{created}");
        assert_eq!(faults, [""; 0], "of {created}");
        println!("{created} Pods created, none denied");
    }
}

fn sha256(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn foreign_and_revoked_cas_are_trusted_no_more() {
    let installation = Installation::new("certificates-revoked");
    let mut replicas = [installation.replica(&[]), installation.replica(&[])];
    installation.register(&replicas.each_ref());
    installation.wait_until_in_order(&replicas.each_ref(), || true);
    let load = Load::start(&installation, &replicas.each_ref());
    let namespace = installation.namespace;
    let delete = || CLUSTER.kubectl(&["delete", "secret", SECRET, "--namespace", namespace]).ok();

    // A CA of others in the Secret and in caBundle. It does not survive a deletion of the Secret.
    let planted = authority();
    let of_both = |own: &Value| {
        let own = String::from_utf8(BASE64_STANDARD.decode(own.as_str().unwrap()).unwrap()).unwrap();
        BASE64_STANDARD.encode(format!("{planted}{own}"))
    };
    let ca = certificates(&json!(BASE64_STANDARD.encode(&planted))).remove(0);
    let secret = installation.secret().unwrap();
    installation.patch_secret(&json!({"data": {"ca.crt": of_both(&secret["data"]["ca.crt"])}}));
    let took = installation.wait_until_gone(&ca);
    println!("CA added to the Secret: removed after {took:?}");
    let [_, ours, _] = installation.bundles();
    let patch = json!([{"op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": of_both(&ours)}]);
    let configuration = installation.configuration();
    let before = installation.secret().map(|secret| secret["data"]["tls.crt"].clone());
    let patch = patch.to_string();
    CLUSTER.kubectl(&["patch", "mutatingwebhookconfiguration", &configuration, "--type=json", "--patch", &patch]).ok();
    delete();
    let took = installation.wait_until_gone(&ca);
    println!("CA added to caBundle: removed after {took:?}");
    let is_new = || installation.secret().map(|secret| secret["data"]["tls.crt"].clone()) != before;
    installation.wait_until_in_order(&replicas.each_ref(), is_new);
    assert!(!installation.published().unwrap().contains(&ca));

    // A key has leaked.
    let leaked = installation.ca();
    let revoke = format!("pullthrough.dev/revoke={}", sha256(&leaked));
    CLUSTER.kubectl(&["annotate", "secret", SECRET, "--namespace", namespace, &revoke]).ok();
    let took = installation.wait_until_gone(&leaked);
    println!("revoked CA: removed after {took:?}");
    installation.wait_until_in_order(&replicas.each_ref(), || true);

    // The same with kubectl: once renewed, once revoked.
    let before = installation.ca();
    let (code, text) = installation.rotate(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("still trusted {}", sha256(&before))), "{text}");
    assert!(installation.published().unwrap().contains(&before));
    installation.wait_until_in_order(&replicas.each_ref(), || true);
    let revoked = installation.published().unwrap();
    let (code, text) = installation.rotate(&["--revoke"]);
    assert_eq!(code, Some(0), "{text}");
    let published = installation.published().unwrap();
    for ca in &revoked {
        assert!(text.contains(&format!("not trusted   {}", sha256(ca))), "{text}");
        assert!(!published.contains(ca));
    }
    load.assert_nothing_lost();

    // A stopped replica does not delay the others.
    replicas[1].stop();
    let start = Instant::now();
    let (code, text) = installation.rotate(&["--revoke"]);
    assert_eq!(code, Some(0), "{text}");
    println!("revoked without one of the replicas: gone after {:?}", start.elapsed());
    assert!(start.elapsed() < MINUTE);
    assert_eq!(installation.published().unwrap().len(), 1);
}

#[test]
fn a_replica_that_starts_alone_adopts_no_ca() {
    let installation = Installation::new("certificates-alone");
    let mut replica = installation.replica(&[]);
    installation.register(&[&replica]);
    installation.wait_until_in_order(&[&replica], || true);
    replica.stop();
    CLUSTER.kubectl(&["delete", "secret", SECRET, "--namespace", installation.namespace]).ok();
    let planted = BASE64_STANDARD.encode(authority());
    let patch = json!([{"op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": planted}]).to_string();
    let configuration = installation.configuration();
    CLUSTER.kubectl(&["patch", "mutatingwebhookconfiguration", &configuration, "--type=json", "--patch", &patch]).ok();

    replica.resume().unwrap();
    let start = Instant::now();
    installation.wait_until_in_order(&[&replica], || true);
    assert!(
        start.elapsed() >= Duration::from_secs(9),
        "the replica did not wait for others, which may need the published CA"
    );
    assert_eq!(installation.published().unwrap().len(), 1);
}

#[test]
fn a_rotation_that_fails_is_reported() {
    let installation = Installation::new("certificates-rotate");
    let replica = installation.replica(&[]);
    installation.register(&[&replica]);
    installation.wait_until_in_order(&[&replica], || true);
    let annotate = |value: &str| {
        let annotation = format!("pullthrough.dev/revoke={value}");
        let annotate =
            ["annotate", "--overwrite", "secret", SECRET, "--namespace", installation.namespace, &annotation];
        CLUSTER.kubectl(&annotate).ok();
    };
    annotate("all");
    replica.wait_for_log(
        r#"the annotation pullthrough.dev/revoke has \"all\"; set it to the SHA-256 of a CA certificate"#,
    );
    annotate("");
    replica.wait_for_log("certificate renewal succeeded again");

    drop(replica);
    let table: [(&[&str], i32, &str); 3] = [
        (&["--timeout=1s"], 1, "not rotated within 1s; run `pullthrough doctor`, check that replicas run"),
        (&["--secret=other"], 2, "no permission to get secrets in namespace certificates-rotate"),
        (&["--timeout=0s"], 2, "write a duration from 1s to 1h"),
    ];
    for (arguments, expected, part) in table {
        let (code, text) = installation.rotate(arguments);
        assert_eq!(code, Some(expected), "{text}");
        assert!(text.contains(part), "{text}");
    }
    let admin = CLUSTER.kubeconfig();
    let admin = ["--kubeconfig", admin.to_str().unwrap()];
    let output = Command::new(env!("CARGO_BIN_EXE_pullthrough")).args(["certificates", "rotate"]).args(admin).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("there is no Secret pullthrough-tls in namespace pullthrough; set --secret and --namespace"),
        "{text}"
    );
}

//! Rules and certificates change while requests run without a pause.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, date_time_ymd};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::certificates::{Authority, Pair};
use crate::support::client::Client;
use crate::support::load::Load;
use crate::support::process::Server;
use crate::support::{review, until};

/// Returns rules that differ between versions.
fn rules(version: usize) -> String {
    format!(
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n  - name: v{version}\n    \
         from: [registry.k8s.io]\n    to: cache-{version}.example.com/v{version}\n"
    )
}

fn hash(rules: &str) -> String {
    Sha256::digest(rules)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Updates a mounted volume as the kubelet does: a new folder, and `..data` swapped to it.
fn swap_data(volume: &Path, name: &str, pair: &Pair) {
    let directory = volume.join(name);
    fs::create_dir(&directory).unwrap();
    pair.write(&directory);
    symlink(name, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

async fn until_served(server: &Server, pair: &Pair) {
    until("the new certificate", async || {
        let client = Client::http1(server.address, &server.trust).await.unwrap();
        client.certificate == pair.leaf_der()
    })
    .await;
}

async fn until_rules(server: &Server, text: &str) {
    let series = format!("pullthrough_rules_info{{hash=\"{}\"}}", hash(text));
    until("the new rules", async || server.metric(&series).await == Some(1.0)).await;
    let (_, metrics) = server.probe("/metrics").await;
    assert_eq!(metrics.matches("pullthrough_rules_info{").count(), 1, "more than one hash is exported");
    let name = text.rsplit_once("name: ").unwrap().1.split_whitespace().next().unwrap();
    let of_rules: Vec<&str> = metrics.lines().filter(|line| line.contains("rule=\"")).collect();
    let is_current = |line: &&str| line.contains(&format!("rule=\"{name}\""));
    assert!(!of_rules.is_empty() && of_rules.iter().all(is_current), "a removed rule still has series: {of_rules:#?}");
    let host = text.rsplit_once("to: ").unwrap().1.split('/').next().unwrap();
    let caches: Vec<_> = metrics.lines().filter(|line| line.starts_with("pullthrough_cache_info{")).collect();
    assert_eq!(
        caches,
        [format!("pullthrough_cache_info{{registry=\"{host}\"}} 1")],
        "a removed cache still has a series"
    );
    let mut client = Client::http1(server.address, &server.trust).await.unwrap();
    let answer: Value = serde_json::from_slice(&client.admit(review()).await.unwrap().body).unwrap();
    let patch = BASE64_STANDARD.decode(answer["response"]["patch"].as_str().unwrap()).unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    let target = text.rsplit_once("to: ").unwrap().1.trim_end();
    assert_eq!(patch[0]["value"], format!("{target}/pause:3.10"), "decisions must use the loaded rules");
}

fn reloads(what: &str, result: &str) -> String {
    format!("pullthrough_reloads_total{{result=\"{result}\",what=\"{what}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_certificates_and_twenty_rules_under_load() {
    let authority = Authority::new();
    let volume = tempfile::tempdir().unwrap();
    swap_data(volume.path(), "..1", &authority.issue());
    for file in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{file}"), volume.path().join(file)).unwrap();
    }
    let (certificate, key) = (volume.path().join("tls.crt"), volume.path().join("tls.key"));
    let rules_path = volume.path().join("rules.yaml");
    fs::write(&rules_path, rules(0)).unwrap();
    let args = [
        "--rules",
        rules_path.to_str().unwrap(),
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
        "--reload-interval",
        "25ms",
    ];
    let server = Server::start_with(&args, authority.trust()).await;
    let load = Load::start(server.address, &server.trust, 4);
    until("load", async || load.answered() > 50).await;

    for round in 1..=20 {
        let pair = authority.issue();
        match round {
            // As the kubelet does, as tools that replace files do, and as tools that write in place do.
            1..=10 => swap_data(volume.path(), &format!("..{}", round + 1), &pair),
            11..=15 => {
                replace(&certificate, &pair.chain);
                replace(&key, &pair.key);
            }
            _ => drop(pair.write(volume.path())),
        }
        if round % 5 == 0 {
            replace(&rules_path, "bad: [\n");
            let failures = f64::from(round) / 5.0;
            until("a failure", async || server.metric(&reloads("rules", "failure")).await == Some(failures)).await;
            // The last valid rules stay loaded.
            until_rules(&server, &rules(round as usize - 1)).await;
        }
        replace(&rules_path, &rules(round as usize));
        until_served(&server, &pair).await;
        until_rules(&server, &rules(round as usize)).await;
    }
    assert!(load.answered() > 100);
    assert_eq!(load.stop().await, Vec::<String>::new());
    server.wait_for_metric(&reloads("certificate", "success"), 20.0).await;
    server.wait_for_metric(&reloads("rules", "success"), 20.0).await;
}

#[tokio::test]
async fn a_bad_certificate_is_not_loaded_and_is_reported_once() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let (good, other) = (authority.issue(), authority.issue());
    let (certificate, key) = good.write(directory.path());
    let (certificate_arg, key_arg) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let args = ["--cache", "cache.example.com/k8s", "--tls-cert", certificate_arg, "--tls-key", key_arg];
    let mut args = args.to_vec();
    args.extend(["--reload-interval", "10ms"]);
    let server = Server::start_with(&args, authority.trust()).await;
    let failures = reloads("certificate", "failure");

    let mut expected = 0.0;
    for bad in [other.chain.as_str(), "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        replace(&certificate, bad);
        expected += 1.0;
        until("a failure", async || server.metric(&failures).await == Some(expected)).await;
        let client = Client::http1(server.address, &server.trust).await.unwrap();
        assert_eq!(client.certificate, good.leaf_der());
    }
    fs::remove_file(&certificate).unwrap();
    until("a failure", async || server.metric(&failures).await == Some(4.0)).await;
    // Ten further polls report nothing.
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    server.wait_for_metric(&failures, 4.0).await;
    until("a line for each", async || server.log().matches("reload failed").count() == 4).await;

    other.write(directory.path());
    until_served(&server, &other).await;
    server.wait_for_metric(&reloads("certificate", "success"), 1.0).await;
}

#[tokio::test]
async fn what_no_client_accepts_is_not_loaded() {
    type Change = fn(&mut CertificateParams);
    let table: [(Change, &str); 5] = [
        (|params| params.not_after = date_time_ymd(2001, 1, 1), "it expired at"),
        (|params| params.not_before = date_time_ymd(2990, 1, 1), "it is not valid before 2990-01-01T00:00:00Z"),
        (
            |params| {
                params.subject_alt_names.clear();
                params.distinguished_name.push(DnType::CommonName, "localhost");
            },
            "it has no subjectAltName",
        ),
        (|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth], "it is not for servers"),
        (
            |params| params.subject_alt_names[0] = rcgen::SanType::DnsName("other".try_into().unwrap()),
            "it is for other",
        ),
    ];
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let good = authority.issue();
    let (certificate, key) = good.write(directory.path());
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let args = ["--cache", "cache.example.com/k8s", "--tls-cert", certificate, "--tls-key", key];
    let args = [&args[..], &["--tls-name=localhost", "--reload-interval=10ms"]].concat();
    let server = Server::start_with(&args, authority.trust()).await;
    let is_good = async || {
        let client = Client::http1(server.address, &server.trust).await.unwrap();
        client.certificate == good.leaf_der() && server.probe("/readyz").await.0 == 200
    };

    // A new certificate with the old key is a failure too.
    let failures = async || server.metric(&reloads("certificate", "failure")).await.unwrap_or_default();
    for (change, expected) in table {
        let before = failures().await;
        authority.issue_with(change).write(directory.path());
        let line = server.wait_for_log(expected).await;
        until("a failure", async || failures().await > before).await;
        assert!(line.contains("reload failed; the last valid files stay loaded"), "{line}");
        assert!(is_good().await, "{expected}");
    }
    assert_eq!(server.metric(r#"pullthrough_last_reload_successful{what="certificate"}"#).await, Some(0.0));

    let soon = authority.issue_with(|params| params.not_before = (SystemTime::now() + Duration::from_secs(8)).into());
    let before = failures().await;
    soon.write(directory.path());
    until("a failure", async || failures().await > before).await;
    assert!(is_good().await);
    until_served(&server, &soon).await;
    assert_eq!(server.metric(&reloads("certificate", "success")).await, Some(1.0));
    assert_eq!(server.probe("/readyz").await.0, 200);
}

//! The port for probes and metrics.

use std::collections::{BTreeSet, HashSet};

use crate::support::certificates::Trust;
use crate::support::client::Client;
use crate::support::process::Server;
use crate::support::review;

/// A cache that is probed has metrics of its own, and so has a rule that is not rolled out.
const RULES: &str = "\
apiVersion: pullthrough.dev/v1alpha1
kind: Rules
caches: [{prefix: '127.0.0.1:1', health: {}}]
rules:
- {name: kubernetes, from: [registry.k8s.io], to: cache.example.com/k8s}
- {name: partial, from: [quay.io], to: cache.example.com/quay, rollout: 25%}
";

#[tokio::test]
async fn all_metrics_are_there_and_well_formed() {
    let folder = tempfile::tempdir().unwrap();
    let (rules, ca) = (folder.path().join("rules.yaml"), folder.path().join("ca.pem"));
    std::fs::write(&rules, RULES).unwrap();
    let arguments = ["--rules", rules.to_str().unwrap(), "--write-ca", ca.to_str().unwrap()];
    let trust = || Trust::pem(&std::fs::read_to_string(&ca).unwrap());
    let server = Server::start_reading(&arguments, trust).await;
    let mut client = Client::http1(server.address, &server.trust).await.unwrap();
    assert_eq!(client.admit(review()).await.unwrap().status, 200);
    assert_eq!(client.admit("{").await.unwrap().status, 400);
    let (status, text) = server.probe("/metrics").await;
    assert_eq!(status, 200);

    let series = [
        "pullthrough_image_rewrites_total{cache=\"cache.example.com/k8s\",dry_run=\"false\",rule=",
        "pullthrough_image_rewrites_total{cache=\"cache.example.com/k8s\",dry_run=\"true\",rule=",
        "pullthrough_images_not_rewritten_total{dry_run=\"false\",reason=\"no_rule\"}",
        "pullthrough_images_not_rewritten_total{dry_run=\"true\",reason=\"no_rule\"}",
        "pullthrough_admission_requests_total{dry_run=\"false\",operation=\"CREATE\",outcome=",
        "pullthrough_admission_requests_total{dry_run=\"false\",operation=\"unknown\",outcome=\"rejected_request\",resource=\"unknown\"} 1",
        "pullthrough_admission_duration_seconds_bucket{le=\"0.00001\"}",
        "pullthrough_admission_duration_seconds_bucket{le=\"1\"}",
        "pullthrough_admission_duration_seconds_count 2",
        "pullthrough_images_not_rolled_out_total{dry_run=\"false\",rule=\"partial\"} 0",
        "pullthrough_rollout_ratio{rule=\"partial\"} 0.25",
        "pullthrough_template_images_warned_total{dry_run=\"true\",rule=\"kubernetes\"} 0",
        "pullthrough_recreate_loops{state=\"looping\"} 0",
        "pullthrough_admissions_in_flight 0",
        "pullthrough_connections 1",
        "pullthrough_tls_handshake_errors_total 0",
        "pullthrough_log_lines_lost_total 0",
        "pullthrough_reloads_total{result=\"success\",what=\"rules\"} 0",
        "pullthrough_reloads_total{result=\"failure\",what=\"rules\"} 0",
        "pullthrough_reloads_total{result=\"success\",what=\"certificate\"} 0",
        "pullthrough_reloads_total{result=\"failure\",what=\"certificate\"} 0",
        "pullthrough_last_reload_success_timestamp_seconds{what=\"rules\"}",
        "pullthrough_last_reload_success_timestamp_seconds{what=\"certificate\"}",
        "pullthrough_rules_info{hash=\"",
        "pullthrough_cache_info{registry=\"",
        "pullthrough_certificate_not_after_timestamp_seconds ",
        "pullthrough_build_info{revision=\"",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "process_open_fds ",
    ];
    for series in series {
        assert!(text.lines().any(|line| line.starts_with(series)), "no {series} in\n{text}");
    }
    assert_well_formed(&text);

    // The page lists each metric and no others.
    let page = include_str!("../../docs/reference/metrics.md");
    let documented: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next()).collect();
    let families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(documented, families);
}

/// Asserts that every sample has a type, help and a number, and that labels are unique.
fn assert_well_formed(text: &str) {
    let mut families = HashSet::new();
    let mut seen = HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(rest.split(' ').next().unwrap().to_owned()), "{line}");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            assert!(seen.insert(series.to_owned()), "twice: {series}");
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            assert!(families.contains(name) || families.contains(family.unwrap_or(name)), "no type: {line}");
        }
    }
}

#[tokio::test]
async fn probes() {
    let server = Server::start(&[]).await;
    assert_eq!(server.probe("/livez").await, (200, "alive\n".to_owned()));
    assert_eq!(server.probe("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(server.probe("/mutate").await.0, 404);
}

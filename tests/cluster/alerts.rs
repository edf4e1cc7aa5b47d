//! The alerts and the dashboard of the chart.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{run_program, step};

const ALERTS: &str = "manifests/chart/files/alerts.yaml";
const DASHBOARD: &str = "manifests/chart/files/dashboard.json";
const TESTS: [&str; 2] = ["tests/monitoring/alerts.yaml", "tests/monitoring/alerts-over-days.yaml"];
const ALERTS_PAGE: &str = "docs/troubleshooting/alerts.md";
const METRICS: &str = "docs/reference/metrics.md";

/// Runs Prometheus' own tests of the alerts, with generated series.
pub fn fire_and_resolve() {
    are_documented();
    step("each alert fires and resolves", || {
        let file = |path| checkout(path).display().to_string();
        let promtool =
            |arguments: &[&str]| run_program(Path::new("promtool"), arguments).unwrap_or_else(|e| panic!("{e}"));
        promtool(&["check", "rules", "--lint=all", "--lint-fatal", &file(ALERTS)]);
        for tests in TESTS {
            promtool(&["test", "rules", &file(tests)]);
        }
    });

    let files = TESTS.map(yaml);
    let tests = files.iter().flat_map(|file| array(&file["tests"]));
    let steps: Vec<_> = tests.flat_map(|test| array(&test["alert_rule_test"])).collect();
    let seen = |fires: bool| -> BTreeSet<_> {
        let such = steps.iter().filter(|step| array(&step["exp_alerts"]).is_empty() != fires);
        such.map(|step| step["alertname"].as_str().unwrap()).collect()
    };
    let alerts = alerts();
    let names: BTreeSet<_> = alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    assert_eq!(seen(true), names, "alerts that fire in {TESTS:?}");
    assert_eq!(seen(false), names, "alerts that do not fire or have resolved in {TESTS:?}");
}

/// Checks that each alert links to its section of the documentation, and that its metrics exist.
fn are_documented() {
    let page_of_alerts = read(ALERTS_PAGE);
    let sections: BTreeSet<_> = page_of_alerts.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    for alert in alerts() {
        let url = alert["annotations"]["runbook_url"].as_str().unwrap();
        let (page, section) = url.split_once('#').unwrap();
        assert!(page.ends_with(ALERTS_PAGE), "{url}");
        assert!(sections.contains(section), "{ALERTS_PAGE} has no section {section}");
    }

    let documented = read(METRICS);
    let alerts: Vec<_> = alerts().iter().map(|alert| alert["expr"].as_str().unwrap().to_owned()).collect();
    for expression in alerts.iter().chain(&dashboard_expressions("pullthrough")) {
        for word in expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            let is_ours = name.starts_with("pullthrough_") || name.starts_with("process_");
            let is_known = documented.contains(&format!("`{name}`")) || documented.contains(&format!("`{name}{{"));
            assert!(!is_ours || is_known, "{METRICS} lacks {name} of {expression}");
        }
    }
}

/// Returns the expressions of the dashboard's panels, for a job with this name.
pub fn dashboard_expressions(job: &str) -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let targets = array(&dashboard["panels"]).iter().flat_map(|panel| array(&panel["targets"]));
    let expressions = targets.map(|target| {
        let expression = target["expr"].as_str().expect("an expression").replace("$job", job);
        // Grafana replaces these variables.
        expression.replace("$__rate_interval", "20s").replace("$__range", "1m")
    });
    let expressions: Vec<_> = expressions.collect();
    // `$1` is a group of `label_replace`.
    let is_variable = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || "_{".contains(c));
    let has_variable = |expression: &String| expression.split('$').skip(1).any(is_variable);
    assert!(expressions.len() > 20 && !expressions.iter().any(has_variable), "{expressions:#?}");
    expressions
}

/// Returns whether an expression has data only if caches are probed.
pub fn is_of_probes(expression: &str) -> bool {
    ["cache_up", "cache_probe", "cache_transitions"].iter().any(|name| expression.contains(name))
}

fn alerts() -> Vec<Value> {
    array(&yaml(ALERTS)["groups"]).iter().flat_map(|group| array(&group["rules"]).to_vec()).collect()
}

/// Returns the anchor of a heading on GitHub, for the characters in names of alerts.
fn anchor(heading: &str) -> String {
    heading.trim_start_matches('#').trim().trim_matches('`').to_lowercase().replace(' ', "-")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(path: &str) -> String {
    fs::read_to_string(checkout(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

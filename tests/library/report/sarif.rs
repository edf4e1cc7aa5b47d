//! SARIF for other programs.

use pullthrough::scan::report::sarif;
use pullthrough::scan::{Location, Report};
use serde_json::{Value, json};

use super::sample;
use crate::sarif_schema::{errors, valid_log};

fn log(report: &Report) -> Value {
    valid_log(&sarif::sarif(report).to_string())
}

fn results(log: &Value) -> &[Value] {
    log["runs"][0]["results"].as_array().expect("results")
}

#[test]
fn it_is_valid() {
    let [cluster, files, hostile, empty] =
        [sample::cluster(), sample::files(), sample::hostile(), sample::empty()].map(|report| log(&report));
    assert_eq!(results(&empty), [Value::Null; 0]);
    assert_eq!(empty["runs"][0]["invocations"][0]["executionSuccessful"], true);
    assert_eq!(files["runs"][0]["invocations"][0]["executionSuccessful"], false);
    assert!(!results(&cluster).is_empty() && !results(&hostile).is_empty());
    // The schema rejects wrong documents.
    let mut wrong = files.clone();
    wrong["runs"][0]["results"][0]["level"] = json!("fatal");
    assert_ne!(errors(&wrong), [""; 0]);
    let version = env!("CARGO_PKG_VERSION");
    let shown = serde_json::to_string_pretty(&files).expect("JSON").replace(version, "VERSION");
    insta::assert_snapshot!("sarif", shown);
}

#[test]
fn each_place_is_a_result_with_its_rule() {
    for report in [sample::cluster(), sample::files(), sample::hostile()] {
        let log = log(&report);
        let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().expect("rules");
        let mut fingerprints = std::collections::BTreeSet::new();
        for result in results(&log) {
            let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small")];
            assert_eq!(rule["id"], result["ruleId"]);
            assert_eq!(rule["defaultConfiguration"]["level"], result["level"]);
            assert!(fingerprints.insert(result["partialFingerprints"].to_string()), "{result}");
        }
    }
    let mut report = sample::files();
    let levels = |report: &Report| -> Vec<String> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let log = log(report);
        results(&log).iter().map(|result| format!("{} {}", text(&result["ruleId"]), text(&result["level"]))).collect()
    };
    let (forbidden, rewritable) = ("forbidden-registry error", "rewritable warning");
    let (observed, not_rewritten) = ("observed note", "not-rewritten note");
    assert_eq!(levels(&report), [forbidden, forbidden, forbidden, rewritable, rewritable, observed]);
    report.fail_on.clear();
    assert_eq!(levels(&report), [rewritable, rewritable, not_rewritten, rewritable, rewritable, observed]);
}

#[test]
fn a_fingerprint_stays_when_lines_move() {
    let report = |line: usize| {
        let mut report = sample::files();
        for place in report.entries.iter_mut().flat_map(|entry| &mut entry.places) {
            if let Location::File { line: at, column, .. } = place {
                (*at, *column) = (line, 1);
            }
        }
        log(&report)
    };
    let (before, after) = (report(3), report(700));
    assert_ne!(results(&before)[0]["locations"], results(&after)[0]["locations"]);
    for (before, after) in results(&before).iter().zip(results(&after)) {
        assert_eq!(before["partialFingerprints"], after["partialFingerprints"]);
    }
}

#[test]
fn files_are_named_by_relative_uris() {
    let log = log(&sample::files());
    let uris: Vec<&Value> = results(&log)
        .iter()
        .map(|result| &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
        .collect();
    let expected = [
        json!("deploy/web.yaml"),
        json!("deploy/search/web.yaml"),
        json!("deploy/jobs/every%20night.yaml"),
        json!("file:///srv/manifests/pause.yaml"),
        json!(null),
        json!("../shared/exporter.yaml"),
    ];
    assert_eq!(uris, expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_name_can_not_be_a_link_or_a_placeholder() {
    for result in results(&log(&sample::hostile())) {
        let text = result["message"]["text"].as_str().expect("text");
        assert!(!text.replace("\\[", "").contains('['), "{text}");
    }
}

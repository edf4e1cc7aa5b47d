//! `rollout` in the commands: `explain`, `test`, `scan`, `rewrite` and `check` agree on who is included.

use serde_json::Value;

use crate::program::{file, pullthrough};

const RULES: &str = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:
  - {name: hub, from: [docker.io], to: cache.example.com/hub, rollout: 25%}
  - {name: quay, from: [quay.io], to: cache.example.com/quay}\n";

/// In namespace `shop`, `web` is included from 16 % and `cart` from 88 %.
const MANIFESTS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{name: a, image: nginx}, {name: b, image: quay.io/b}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec: {template: {spec: {containers: [{name: a, image: nginx}]}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-5d4f8c7b9, namespace: shop}
spec: {template: {metadata: {labels: {pod-template-hash: 5d4f8c7b9}}, spec: {containers: [{name: a, image: nginx}]}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-5d4f8c7b9-abcde
  namespace: shop
  labels: {pod-template-hash: 5d4f8c7b9}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d4f8c7b9, controller: true}]
spec: {containers: [{name: a, image: nginx}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup, namespace: shop}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: nginx}]}}}}}
";

fn path(file: &tempfile::NamedTempFile) -> String {
    file.path().display().to_string()
}

/// Returns standard output and standard error.
fn run(arguments: &[&str], code: i32) -> (String, String) {
    let output = pullthrough(arguments);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    (stdout, stderr)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn explain_says_from_which_percentage_a_workload_is_included() {
    let rules = file("rules.yaml", RULES);
    for (workload, image, included_from, rollout, reason) in [
        (Some("Deployment/web"), "nginx", Some(16), Some(25), None),
        (Some("deploy/web"), "nginx", None, None, Some("as manifests have it")),
        (Some("deployments/cart"), "nginx", Some(88), Some(25), Some("not_rolled_out")),
        (None, "nginx", None, Some(25), Some("not_rolled_out")),
        (Some("Deployment/cart"), "quay.io/a", Some(88), Some(100), None),
        (Some("Deployment/cart"), "ghcr.io/a", Some(88), None, Some("no_rule")),
    ] {
        let of_rules = path(&rules);
        let mut arguments = vec!["explain", "--rules", &of_rules, "-n", "shop", "-o", "json", image];
        arguments.extend(workload.into_iter().flat_map(|workload| ["--workload", workload]));
        let is_wrong = reason.is_some_and(|reason| reason.contains(' '));
        let (stdout, stderr) = run(&arguments, if is_wrong { 2 } else { 0 });
        if is_wrong {
            assert!(stderr.contains(reason.unwrap_or_default()), "{stderr}");
            continue;
        }
        let line = &lines(&stdout)[0];
        let expected = (included_from.into(), rollout.into(), reason.into());
        assert_eq!(
            (line["included_from_percent"].clone(), line["rollout_percent"].clone(), line["reason"].clone()),
            expected,
            "{arguments:?}"
        );
    }
}

#[test]
fn scan_lists_who_is_included_and_rewrite_leaves_all_to_the_webhook() {
    let (rules, manifests) = (file("rules.yaml", RULES), file("manifests.yaml", MANIFESTS));
    let (rules, manifests) = (path(&rules), path(&manifests));
    let (stdout, _) = run(&["scan", "--rules", &rules, "-o", "json", &manifests], 0);
    let found: Vec<(String, Option<String>, Value, Value)> = lines(&stdout)
        .into_iter()
        .map(|line| {
            let object = format!(
                "{}/{} {}",
                line["kind"].as_str().unwrap(),
                line["name"].as_str().unwrap(),
                line["image"].as_str().unwrap()
            );
            let workload = line["workload"].as_str().map(str::to_owned);
            (object, workload, line["included_from_percent"].clone(), line["reason"].clone())
        })
        .collect();
    let expected = [
        ("Deployment/web nginx", Some("Deployment/web"), Some(16), None),
        ("Deployment/web quay.io/b", Some("Deployment/web"), Some(16), None),
        ("Deployment/cart nginx", Some("Deployment/cart"), Some(88), Some("not_rolled_out")),
        ("ReplicaSet/web-5d4f8c7b9 nginx", Some("Deployment/web"), Some(16), None),
        ("Pod/web-5d4f8c7b9-abcde nginx", Some("Deployment/web"), Some(16), None),
        ("CronJob/backup nginx", None, None, Some("not_rolled_out")),
    ];
    let expected = expected.map(|(object, workload, from, reason)| {
        (object.to_owned(), workload.map(str::to_owned), from.into(), reason.into())
    });
    assert_eq!(found, expected);
    for (format, part) in [
        ("table", "REWRITTEN IF ROLLED"),
        ("html", "rewritten if rolled out"),
        ("markdown", "`not_rolled_out`: would be"),
        ("sarif", "not-rolled-out"),
    ] {
        let (stdout, _) = run(&["scan", "--rules", &rules, "-o", format, &manifests], 0);
        assert!(stdout.contains(part), "{format}:\n{stdout}");
        // `web` and `cart`; the rule `quay` is at 100%.
        let counted = stdout.matches("rollout 25").count();
        assert_eq!(counted, usize::from(format != "sarif"), "{format}:\n{stdout}");
    }
    let (stdout, _) = run(&["scan", "--rules", &rules, "--summary", &manifests], 0);
    let line = "rule hub, rollout 25%: 1 of 2 workloads included; not known for 1 object (such as CronJobs)\n";
    assert!(stdout.contains(line), "{stdout}");
    let (stdout, stderr) = run(&["rewrite", "--rules", &rules, &manifests], 0);
    assert_eq!(stdout.matches("image: nginx").count(), 5, "{stdout}");
    assert!(stdout.contains("image: cache.example.com/quay/b"), "{stdout}");
    assert!(stderr.contains("not rewritten: 5 images of rules with `rollout` below 100%"), "{stderr}");
}

#[test]
fn cases_can_state_a_workload_and_check_names_the_rules() {
    let rules = file("rules.yaml", RULES);
    let tests = "apiVersion: pullthrough.dev/v1alpha1\nkind: Tests\ntests:
  - {image: nginx, namespace: shop, workload: Deployment/web, result: cache.example.com/hub/library/nginx}
  - {image: nginx, namespace: shop, workload: Deployment/cart, reason: not_rolled_out, rule: hub}
  - {image: nginx, namespace: shop, reason: not_rolled_out}\n";
    let good = file("tests.yaml", tests);
    run(&["test", "--rules", &path(&rules), &path(&good)], 0);
    let bad = file("tests.yaml", &tests.replace("Deployment/web", "Deployment/cart"));
    let (stdout, _) = run(&["test", "--rules", &path(&rules), &path(&bad)], 1);
    assert!(stdout.contains("nginx of Deployment/cart in namespace shop"), "{stdout}");
    assert!(stdout.contains("hub: 25% of workloads; Deployment/cart is included from 88%"), "{stdout}");
    let (_, stderr) = run(&["check", &path(&rules), "--allow", "placeholder"], 0);
    assert!(stderr.contains("2 rules (rollout: hub 25%), no problem found"), "{stderr}");
}

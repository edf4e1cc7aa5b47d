//! Twice the input takes about twice the time. No list is searched for each entry of another.

use pullthrough_engine::config::{self, Config};
use pullthrough_engine::{Context, Outcome, Policy, answer};
use serde_json::{Value, json};

use crate::file;
use crate::linear_time::{assert_linear, computed};
use crate::long_rules::{FILES, text};

fn config(text: &str) -> Config {
    config::parse("rules.yaml", text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn rules_files_are_read_and_checked_in_linear_time() {
    for (what, file) in FILES {
        assert_linear(what, |size| drop(Policy::from(config(&file(size)))), 50);
    }
}

#[test]
fn problems_of_rules_files_are_reported_in_linear_time() {
    let outside = |size: usize| {
        let list = |of: &str| (0..size).map(|at| format!("\n  - r{at}.example.{of}")).collect::<String>();
        format!(
            "{}- name: a\n  to: c.io\n  from:{}\n  except:{}\n",
            text(0, |_| String::new()),
            list("com"),
            list("org")
        )
    };
    let rules = |size: usize| text(size, |_| "from: [nginx], to: c.io".to_owned());
    for (what, file) in [("rules", &rules as &dyn Fn(usize) -> String), ("except", &outside)] {
        let read = |size| drop(config::parse("rules.yaml", &file(size)).expect_err("problems").to_string());
        assert_linear(what, read, 25);
    }
}

fn review(operation: &str, spec: &Value, old_spec: &Value) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "default",
            "operation": operation,
            "userInfo": {"username": "jane"},
            "object": {"spec": spec},
            "oldObject": if operation == "UPDATE" { json!({"spec": old_spec}) } else { Value::Null },
        },
    })
    .to_string()
}

/// Bodies that grow with the rules: one rule for each image, each with a pull secret of its own.
#[test]
fn answers_take_linear_time() {
    const RULES: usize = 400;
    let rules: String = (0..RULES)
        .map(|at| format!("  - {{name: r{at}, from: [r{at}.io], to: c.io/r{at}, imagePullSecrets: [s{at}], except: [r{at}.io/x]}}\n"))
        .collect();
    let policy = file(&format!("recordOriginals: true\nrules:\n{rules}"));
    let secrets = |size: usize| (0..size).map(|at| json!({"name": format!("s{}", 2 * at)})).collect::<Value>();
    let containers = |size: usize, image: &dyn Fn(usize) -> String| {
        (0..size).map(|at| json!({"name": format!("c{at}"), "image": image(at)})).collect::<Value>()
    };
    let volumes = |size: usize, host: &str| {
        let volume =
            |at| json!({"name": format!("v{at}"), "image": {"reference": format!("{host}{}.io/a", at % RULES)}});
        (0..size).map(volume).collect::<Value>()
    };
    let padding = |size: usize| {
        let text = "<".repeat(50 * size);
        json!({"a": text, "b": vec![json!({"x": "é\n"}); size]})
    };
    let spec = |size: usize| {
        json!({
            "imagePullSecrets": secrets(size),
            "containers": containers(size, &|at| format!("r{}.io/a", at % RULES)),
            "volumes": volumes(size, "r"),
            "affinity": padding(size),
        })
    };
    let long_hosts =
        |size: usize| json!({"containers": containers(4, &|_| format!("{}/a/b/c/d", "a.".repeat(10 * size)))});
    for (what, operation, spec) in [
        ("a creation", "CREATE", &spec as &dyn Fn(usize) -> Value),
        ("an update", "UPDATE", &spec),
        ("long hosts", "CREATE", &long_hosts),
    ] {
        let bodies =
            [200, 1600].map(|size| review(operation, &spec(size), &json!({"volumes": volumes(size, "c.io/r")})));
        let answered = |body: &String| drop(answer(Context::of(&policy), body.as_bytes()).expect("a response"));
        let [short, long] = bodies.each_ref().map(|body| computed(|| answered(body)));
        assert!(long < short * 20, "{what}: {short:?}, {long:?}");
    }
    let body = review("CREATE", &spec(400), &Value::Null);
    let answer = answer(Context::of(&policy), body.as_bytes()).expect("a response");
    assert_eq!(answer.summary.outcome, Outcome::Patched);
}

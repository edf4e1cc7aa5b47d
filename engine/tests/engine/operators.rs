//! Operators that compare images: which Pods are not rewritten because of them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use pullthrough_engine::{Answer, AnswerOptions, Context, CustomOwner, Facts, OnRecreateLoop, Policy, Reason, answer};
use serde_json::{Value, json};

use crate::file;

const IMAGE: &str = "quay.io/db:16";
const CNPG: &str = "system:serviceaccount:cnpg-system:cnpg-manager";
const SETS: &str = "system:serviceaccount:kube-system:statefulset-controller";

fn rules(operators: &str) -> Policy {
    file(&format!(
        "allowOptOut: true\noperators: {operators}\nrules:\n  - {{name: quay, from: [quay.io], to: c.io/quay}}\n"
    ))
}

fn pod(owner: (&str, &str), labels: Value) -> Value {
    let (api_version, kind) = owner;
    json!({
        "metadata": {"name": "db-1", "labels": labels, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n"},
            {"apiVersion": api_version, "kind": kind, "name": "db", "uid": "u", "controller": true},
        ]},
        "spec": {"containers": [{"name": "postgres", "image": IMAGE}]},
    })
}

fn cluster() -> Value {
    pod(("postgresql.cnpg.io/v1", "Cluster"), json!({"cnpg.io/cluster": "db"}))
}

fn spilo() -> Value {
    pod(("apps/v1", "StatefulSet"), json!({"application": "spilo"}))
}

fn review(operation: &str, user: &str, object: &Value, old: &Value) -> String {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": operation, "namespace": "shop", "userInfo": {"username": user},
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "object": object, "oldObject": old,
        },
    });
    review.to_string()
}

fn reason(answer: &Answer) -> Option<Reason> {
    answer.summary.images[0].decision.reason()
}

fn created(policy: &Policy, user: &str, object: &Value) -> Option<Reason> {
    let body = review("CREATE", user, object, &Value::Null);
    reason(&answer(Context::of(policy), body.as_bytes()).expect("an answer"))
}

const MANAGED: Option<Reason> = Some(Reason::OperatorManaged);

/// Owners and labels can be written by anybody. The user cannot.
#[test]
fn pods_that_a_skipped_operator_creates_are_not_rewritten() {
    let other = "{name: cloudnative-pg, operatorNamespaces: [databases]}";
    let only = "{name: cloudnative-pg, namespaces: {exclude: [shop]}}";
    let set = "{name: zalando-postgres-operator, namespaces: {include: [sh*]}}";
    let set_elsewhere = "{name: zalando-postgres-operator, namespaces: {include: [a]}}";
    let no_label = pod(("postgresql.cnpg.io/v1", "Cluster"), json!({}));
    let other_group = pod(("postgresql.example.com/v1", "Cluster"), json!({"cnpg.io/cluster": "db"}));
    for (skip, user, object, expected) in [
        ("known", CNPG, cluster(), MANAGED),
        ("[cloudnative-pg]", CNPG, cluster(), MANAGED),
        ("[cloudnative-pg]", "system:serviceaccount:cnpg-system:any", cluster(), MANAGED),
        ("[]", CNPG, cluster(), None),
        ("[olm]", CNPG, cluster(), None),
        ("known", "system:serviceaccount:shop:default", cluster(), None),
        ("known", "system:serviceaccount:cnpg-system", cluster(), None),
        ("known", "kubernetes-admin", cluster(), None),
        ("known", "cnpg-system:cnpg-manager", cluster(), None),
        ("known", CNPG, no_label, None),
        ("known", CNPG, other_group, None),
        (&format!("[{other}]"), CNPG, cluster(), None),
        (&format!("[{other}]"), "system:serviceaccount:databases:cnpg", cluster(), MANAGED),
        (&format!("[{only}]"), CNPG, cluster(), None),
        ("known", SETS, spilo(), None),
        (&format!("[{set}]"), SETS, spilo(), MANAGED),
        (&format!("[{set}]"), "system:kube-controller-manager", spilo(), MANAGED),
        (&format!("[{set}]"), "system:serviceaccount:shop:statefulset-controller", spilo(), None),
        (&format!("[{set_elsewhere}]"), SETS, spilo(), None),
    ] {
        assert_eq!(created(&rules(&format!("{{skip: {skip}}}")), user, &object), expected, "{skip} {user} {object}");
    }
}

#[test]
fn the_reason_is_given_in_its_order() {
    let policy = rules("{skip: known}");
    let mut opted_out = cluster();
    opted_out["metadata"]["labels"]["pullthrough.dev/rewrite"] = json!("disabled");
    assert_eq!(created(&policy, CNPG, &opted_out), Some(Reason::OptedOut));
    let mut placeholder = cluster();
    placeholder["spec"]["containers"][0]["image"] = json!("auto");
    assert_eq!(created(&policy, CNPG, &placeholder), MANAGED);
}

#[test]
fn people_hear_of_an_operator_whose_pod_is_rewritten() {
    let warnings = |policy: &Policy, user: &str| {
        let body = review("CREATE", user, &cluster(), &Value::Null);
        let answer = answer(Context::of(policy), body.as_bytes()).expect("an answer");
        let answered: Value = serde_json::from_slice(&answer.body).expect("JSON");
        answered["response"]["warnings"].as_array().cloned().unwrap_or_default()
    };
    let first = &warnings(&rules("{}"), "kubernetes-admin")[0];
    let first = first.as_str().expect("a string");
    assert!(first.contains("cloudnative-pg may recreate this Pod") && first.chars().count() <= 120, "{first}");
    assert!(warnings(&rules("{}"), CNPG).is_empty(), "controllers would log it for ever");
}

#[test]
fn a_workload_that_stands_down_is_not_rewritten() {
    let policy = rules("{onRecreateLoop: standDown}");
    assert_eq!(policy.settings().operators.on_recreate_loop, OnRecreateLoop::StandDown);
    let object = pod(("example.com/v1", "Widget"), json!({}));
    let owner = |namespace: &'static str, name: &'static str| CustomOwner {
        namespace: namespace.into(),
        group: "example.com".into(),
        kind: "Widget".into(),
        name: name.into(),
    };
    for (owner, expected) in [(owner("shop", "db"), MANAGED), (owner("shop", "other"), None), (owner("a", "db"), None)]
    {
        let facts = Facts::default().with_standing_down(BTreeSet::from([owner]));
        let context = Context { policy: &policy, facts: &facts, options: AnswerOptions::default() };
        let body = review("CREATE", "system:serviceaccount:a:b", &object, &Value::Null);
        let answered = answer(context, body.as_bytes()).expect("an answer");
        assert_eq!(reason(&answered), expected);
        assert_eq!(answered.summary.origin.owner.map(|owner| owner.name.into_owned()).as_deref(), Some("db"));
    }
}

fn any_image() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![IMAGE, "quay.io/db:17", "c.io/quay/db:16", "c.io/quay/db:17", "other.io/db", "auto", "?"])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Neither a change of the rules nor of facts restarts a container because of an operator.
    #[test]
    fn an_update_does_not_depend_on_operators(
        new in any_image(),
        old in any_image(),
        user in prop::sample::select(vec![CNPG, SETS, "kubernetes-admin"]),
        is_set in any::<bool>(),
    ) {
        let mut object = if is_set { spilo() } else { cluster() };
        let mut before = object.clone();
        object["spec"]["containers"][0]["image"] = json!(new);
        before["spec"]["containers"][0]["image"] = json!(old);
        let body = review("UPDATE", user, &object, &before);
        let body = body.as_bytes();
        let plain = rules("{}");
        let expected = answer(Context::of(&plain), body).expect("an answer").body;
        let skipping = rules(
            "{skip: [cloudnative-pg, {name: zalando-postgres-operator, namespaces: {include: ['*']}}], onRecreateLoop: standDown}",
        );
        let owner = CustomOwner {
            namespace: "shop".into(), group: "postgresql.cnpg.io".into(), kind: "Cluster".into(), name: "db".into(),
        };
        let facts = Facts::default().with_standing_down(BTreeSet::from([owner]));
        let context = Context { policy: &skipping, facts: &facts, options: AnswerOptions::default() };
        prop_assert_eq!(answer(context, body).expect("an answer").body, expected);
    }

    /// Whatever the owners and labels are, a Pod is understood as without them.
    #[test]
    fn odd_owners_and_labels_are_no_problem(
        references in prop::sample::select(vec![
            json!(null), json!(7), json!([]), json!([7]), json!([{"controller": true}]), json!([{"kind": 7, "controller": true}]),
        ]),
        labels in prop::sample::select(vec![json!(null), json!({}), json!({"cnpg.io/cluster": 7})]),
    ) {
        let mut object = cluster();
        object["metadata"]["ownerReferences"] = references;
        object["metadata"]["labels"] = labels;
        prop_assert_eq!(created(&rules("{skip: known}"), CNPG, &object), None);
    }
}

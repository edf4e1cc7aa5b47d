//! The size of a Pod does not change the decision: fields without images have no effect on images.

use std::sync::LazyLock;

use proptest::prelude::*;
use pullthrough_engine::{Context, Outcome, Policy, answer};
use serde_json::{Map, Value, json};

use crate::file;

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    file(
        "allowOptOut: true\nwhenNotUnderstood: deny\nrules:\n  \
         - {name: k8s, from: [registry.k8s.io], to: cache.example.com/k8s, imagePullSecrets: [ours]}\n  \
         - {name: hub, from: [docker.io], to: cache.example.com/hub}\n",
    )
});

/// Encodes JSON as Go does: `<`, `>` and `&` take six bytes each.
fn as_go_writes_it(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn review(resource: &str, operation: &str, object: &Value, old_object: &Value) -> String {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    as_go_writes_it(&json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "6865b445-bca3-4c70-af5c-369df42f5614",
            "resource": {"group": "", "version": "v1", "resource": resource},
            "subResource": subresource,
            "name": "p",
            "namespace": "default",
            "operation": operation,
            "userInfo": {"username": "jane"},
            "object": object,
            "oldObject": old_object,
            "dryRun": false,
        },
    }))
}

/// Returns the outcome, the decisions on the images, and the patch.
fn decided(body: &str) -> (Outcome, Vec<String>, Value) {
    let answer = answer(Context::of(&POLICY), body.as_bytes()).expect("a response");
    let response: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let images =
        answer.summary.images.iter().map(|image| format!("{} {} {:?}", image.place, image.image, image.decision));
    (answer.summary.outcome, images.collect(), response["response"]["patch"].clone())
}

fn pod(images: [&str; 4]) -> Value {
    let [init, app, debug, volume] = images;
    json!({
        "metadata": {"name": "p", "labels": {}, "annotations": {}},
        "spec": {
            "initContainers": [{"name": "init", "image": init}],
            "containers": [{"name": "app", "image": app, "env": [], "args": []}],
            "ephemeralContainers": [{"name": "debug", "image": debug}],
            "volumes": [{"name": "data", "image": {"reference": volume}}],
            "imagePullSecrets": [],
            "topologySpreadConstraints": [],
        },
        "status": {},
    })
}

/// A name, and a function that fills a field without images with `count` entries of a text.
type Padding = (&'static str, fn(&mut Value, usize, &str));

const PADDINGS: [Padding; 13] = [
    ("labels", |pod, count, text| fill(&mut pod["metadata"]["labels"], count, &json!(text))),
    ("annotations", |pod, count, text| fill(&mut pod["metadata"]["annotations"], count, &json!(text))),
    ("managedFields", |pod, count, text| {
        let mut fields = json!({});
        fill(&mut fields, count, &json!({"f:x": text}));
        pod["metadata"]["managedFields"] = json!([{"manager": text, "fieldsV1": fields}]);
    }),
    ("finalizers", |pod, count, text| pod["metadata"]["finalizers"] = json!(vec![text; count])),
    ("unknown field", |pod, count, text| fill(&mut pod["spec"]["future"], count, &json!([{"image": text}]))),
    ("unknown top field", |pod, count, text| fill(&mut pod["future"], count, &json!({"image": text}))),
    ("status", |pod, count, text| fill(&mut pod["status"], count, &json!({"image": text}))),
    ("nodeSelector", |pod, count, text| fill(&mut pod["spec"]["nodeSelector"], count, &json!(text))),
    ("selector", |pod, count, text| {
        let mut labels = json!({});
        fill(&mut labels, count, &json!(text));
        pod["spec"]["topologySpreadConstraints"] = json!([{"labelSelector": {"matchLabels": labels}}]);
    }),
    ("volumes", |pod, count, text| {
        // The image volume stays first, because JSON pointers count entries.
        let other = |at| json!({"name": format!("v{at}"), "emptyDir": {"medium": text}});
        pod["spec"]["volumes"].as_array_mut().expect("a list").extend((0..count).map(other));
    }),
    ("imagePullSecrets", |pod, count, text| {
        let secret = |at| json!({"name": format!("theirs-{at}"), "future": text});
        pod["spec"]["imagePullSecrets"] = (0..count).map(secret).collect();
    }),
    ("env", |pod, count, text| {
        let variable = |at| json!({"name": format!("V{at}"), "value": text});
        pod["spec"]["containers"][0]["env"] = (0..count).map(variable).collect();
    }),
    ("args", |pod, count, text| pod["spec"]["containers"][0]["args"] = json!(vec![text; count])),
];

fn fill(object: &mut Value, count: usize, value: &Value) {
    let entries: Map<String, Value> = (0..count).map(|at| (format!("example.com/k{at}"), value.clone())).collect();
    *object = Value::Object(entries);
}

fn images() -> impl Strategy<Value = [&'static str; 4]> {
    let image = || {
        prop::sample::select(vec![
            "registry.k8s.io/pause:3.9",
            "nginx",
            "quay.io/x",
            "cache.example.com/k8s/x",
            "auto",
            "",
        ])
    };
    [image(), image(), image(), image()]
}

/// Generates counts and texts, up to the limits of the API server.
fn size() -> impl Strategy<Value = (usize, String)> {
    prop_oneof![
        12 => (0..200_usize, "[a-z<>&\"\\\\é\n]{0,40}"),
        2 => (prop::sample::select(vec![8_193, 16_385, 65_537, 131_073]), "[<a]{0,3}"),
        1 => (1..3_usize, prop::sample::select(vec![1 << 20, 3 << 19]).prop_map(|bytes| "<".repeat(bytes))),
    ]
}

fn requests() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![("pods", "CREATE"), ("pods", "UPDATE"), ("pods/ephemeralcontainers", "UPDATE")])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn padding_changes_nothing_about_the_images(
        now in images(),
        before in images(),
        (resource, operation) in requests(),
        padding in prop::sample::select(PADDINGS.to_vec()),
        (count, text) in size(),
        old_too in any::<bool>(),
    ) {
        let (what, pad) = padding;
        let (object, old_object) = (pod(now), if operation == "UPDATE" { pod(before) } else { Value::Null });
        let plain = review(resource, operation, &object, &old_object);
        let (mut padded, mut old_padded) = (object, old_object);
        pad(&mut padded, count, &text);
        if old_too && !old_padded.is_null() {
            pad(&mut old_padded, count, &text);
        }
        let padded = review(resource, operation, &padded, &old_padded);
        prop_assert!(decided(&plain) == decided(&padded), "{} of {} in {}", count, text.len(), what);
    }
}

/// Only `managedFields` may be nested by the author of a Pod. Go's decoder accepts 10,000 levels.
#[test]
fn depth_changes_nothing_about_the_images() {
    let object = pod(["registry.k8s.io/a", "nginx", "quay.io/x", "registry.k8s.io/v"]);
    let plain = review("pods", "CREATE", &object, &Value::Null);
    let expected = decided(&plain);
    assert_eq!(expected.0, Outcome::Patched);
    for depth in [127, 128, 129, 9_990] {
        let deep = format!(r#"{}{{}}{}"#, r#"{"f:a":"#.repeat(depth), "}".repeat(depth));
        for (at, with) in [
            (r#""labels":{}"#, format!(r#""labels":{{}},"managedFields":[{{"fieldsV1":{deep}}}]"#)),
            (r#""status":{}"#, format!(r#""status":{deep}"#)),
            (r#""args":[]"#, format!(r#""args":{deep}"#)),
        ] {
            assert!(decided(&plain.replace(at, &with)) == expected, "{depth} levels in {at}");
        }
    }
}

/// Duplicate keys matter only on the path of a JSON pointer.
#[test]
fn duplicate_keys_elsewhere_change_nothing_about_the_images() {
    let plain = review("pods", "CREATE", &pod(["registry.k8s.io/a", "nginx", "x", "y"]), &Value::Null);
    for (at, with) in [
        (
            r#""labels":{}"#,
            r#""labels":{"a":"b","a":"c","pullthrough.dev/rewrite":"disabled","pullthrough.dev/rewrite":"no"}"#,
        ),
        (
            r#""annotations":{}"#,
            r#""annotations":{"a":"b","a":"c","pullthrough.dev/original-images":"","pullthrough.dev/original-images":""}"#,
        ),
        (r#""imagePullSecrets":[]"#, r#""imagePullSecrets":[{"name":"x","name":"y"}]"#),
        (r#""status":{}"#, r#""status":{"a":1,"a":2},"future":1,"future":2"#),
        (r#""env":[]"#, r#""env":[{"name":"a","name":"b"}],"future":1,"future":2"#),
    ] {
        assert!(plain.contains(at));
        assert!(decided(&plain.replace(at, with)) == decided(&plain), "{with}");
    }
}

//! Laws of responses to any object and any body.

use std::sync::LazyLock;

use proptest::prelude::*;
use pullthrough_engine::Policy;
use serde_json::{Value, json};

use super::{KUBERNETES, ask, ask_bytes, changes, create, pod, review};
use crate::{file, policy};

static POLICY: LazyLock<Policy> = LazyLock::new(|| policy(KUBERNETES));
static ADDING_POLICY: LazyLock<Policy> = LazyLock::new(|| {
    file(&format!("recordOriginals: true\nrules:\n{}", KUBERNETES.replace("}\n", ", imagePullSecrets: [s]}\n")))
});

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(json!("registry.k8s.io/pause:3.9")),
        ".{0,8}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        3 => prop::sample::select(vec!["image", "name", "reference", "containers", "spec", "metadata", "annotations", "labels", "imagePullSecrets", "volumes"])
            .prop_map(str::to_owned),
        1 => ".{0,6}",
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_containers() -> impl Strategy<Value = Vec<Value>> {
    let image = prop::sample::select(vec![
        "registry.k8s.io/a:1",
        "k8s.gcr.io/b",
        "nginx",
        "cache.example.com/k8s/x",
        "auto",
        "?",
    ]);
    let container = (image, "[a-z]{1,3}", any_json())
        .prop_map(|(image, name, extra)| json!({"image": image, "name": name, "future": extra}));
    prop::collection::vec(container, 0..4)
}

fn any_pod() -> impl Strategy<Value = Value> {
    (any_containers(), any_containers(), any_json(), any_json()).prop_map(|(containers, init, future, status)| {
        let mut object = pod(json!({"containers": containers, "initContainers": init, "futureField": future}));
        object["status"] = status;
        object
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_patch_applies_and_changes_image_strings_alone(object in any_pod()) {
        let answered = ask(&POLICY, &create(object.clone()));
        let mut found = Vec::new();
        changes(&object, &answered.apply(object.clone()), "", &mut found);
        prop_assert_eq!(found.len(), answered.patch().len());
        for pointer in found {
            prop_assert!(pointer.starts_with("/spec/") && pointer.ends_with("/image"), "{}", pointer);
        }
    }

    #[test]
    fn whatever_the_object_a_patch_applies(object in any_json(), old in any_json(), operation in "CREATE|UPDATE") {
        let answered = ask(&ADDING_POLICY, &review(&operation, object.clone(), old));
        answered.apply(object);
    }

    #[test]
    fn any_body_is_answered_or_rejected(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ask_bytes(&POLICY, &body);
    }
}

//! Reviews that can't be decided, and the response to them: `whenNotUnderstood`.

use pullthrough_engine::{Context, MAX_IMAGES, MAX_PATCH_BYTES, MAX_UID_BYTES, Outcome, Policy, answer};
use serde_json::Value;

use crate::file;

const RULES: &str = "rules:\n  - {name: k8s, from: [registry.k8s.io], to: cache.example.com/k8s}\n";

fn denying() -> Policy {
    file(&format!("whenNotUnderstood: deny\n{RULES}"))
}

/// Returns a review with these texts as its objects.
fn review(resource: &str, operation: &str, object: &str, old_object: &str) -> String {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","resource":{{"group":"",
        "version":"v1","resource":"{resource}"}},"subResource":"{subresource}","operation":"{operation}","namespace":"default",
        "userInfo":{{"username":"system:serviceaccount:a:b"}},"object":{object},"oldObject":{old_object}}}}}"#
    )
}

fn ask(policy: &Policy, body: &str) -> (Outcome, Value) {
    let answer = answer(Context::of(policy), body.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let review: Value = serde_json::from_slice(&answer.body).expect("JSON");
    (answer.summary.outcome, review["response"].clone())
}

/// Specs with a duplicate key, with and without another image.
const TWICE: &str = r#"{"containers":[{"name":"c","image":"registry.k8s.io/c","image":"x"}]}"#;

#[test]
fn only_pods_that_may_bring_an_image_are_denied() {
    use Outcome::{Denied, NotUnderstood, Unchanged};

    let pod = |metadata: &str, spec: &str| format!(r#"{{"metadata":{metadata},"spec":{spec}}}"#);
    let other = TWICE.replace("/c\"", "/d\"");
    let deleting = r#"{"deletionTimestamp":"2026-11-21T05:47:46Z","finalizers":["a"]}"#;
    let deleting_unclear = r#"{"labels":7,"deletionTimestamp":"2026-11-21T05:47:46Z"}"#;
    for (resource, operation, object, old_object, expected) in [
        ("pods", "CREATE", pod("{}", TWICE), "null".to_owned(), Denied),
        ("pods", "CREATE", "null".to_owned(), "null".to_owned(), Denied),
        ("pods", "CREATE", "[]".to_owned(), "null".to_owned(), Denied),
        ("pods", "CREATE", pod(r#"{"annotations":7}"#, "{}"), "null".to_owned(), Denied),
        ("pods", "UPDATE", pod("{}", TWICE), pod("{}", &other), Denied),
        ("pods", "UPDATE", pod("{}", TWICE), pod("{}", "{}"), Denied),
        ("pods", "UPDATE", pod("{}", TWICE), "null".to_owned(), Denied),
        ("pods", "UPDATE", pod("{}", TWICE), "[]".to_owned(), Denied),
        ("pods", "UPDATE", r#"{"spec":{},"spec":{}}"#.to_owned(), r#"{"spec":{},"spec":{}}"#.to_owned(), Denied),
        ("pods/ephemeralcontainers", "UPDATE", pod("{}", TWICE), pod("{}", &other), Denied),
        // The old object is not readable, and the new one is.
        ("pods", "UPDATE", pod("{}", "{}"), pod("{}", TWICE), Denied),
        // An update of a label, or the removal of a finalizer.
        ("pods", "UPDATE", pod("{}", TWICE), pod(r#"{"finalizers":["a"]}"#, TWICE), NotUnderstood),
        ("pods", "UPDATE", pod(r#"{"labels":7}"#, "{}"), pod("{}", "{}"), NotUnderstood),
        ("pods/ephemeralcontainers", "UPDATE", pod("{}", TWICE), pod("{}", TWICE), NotUnderstood),
        // A Pod that is being deleted, as far as it can be read.
        ("pods", "UPDATE", pod(deleting, TWICE), pod(deleting, &other), NotUnderstood),
        ("pods", "UPDATE", pod("{}", TWICE), pod(deleting, &other), NotUnderstood),
        ("pods", "UPDATE", pod(deleting_unclear, TWICE), pod("{}", &other), NotUnderstood),
        // No other request is denied.
        ("pods", "DELETE", "null".to_owned(), pod("{}", TWICE), Unchanged),
        ("pods/status", "UPDATE", pod("{}", TWICE), pod("{}", &other), Unchanged),
        ("pods/exec", "CONNECT", "7".to_owned(), "null".to_owned(), Unchanged),
        ("pods/ephemeralcontainers", "CREATE", pod("{}", TWICE), "null".to_owned(), Unchanged),
        ("deployments", "CREATE", pod("{}", TWICE), "null".to_owned(), NotUnderstood),
        ("deployments", "UPDATE", pod("{}", TWICE), pod("{}", &other), NotUnderstood),
    ] {
        let body = review(resource, operation, &object, &old_object);
        let (outcome, response) = ask(&denying(), &body);
        assert_eq!(outcome, expected, "{body}");
        assert_eq!(response["allowed"], expected != Denied, "{body}");
        assert_eq!(response.get("status").is_some(), expected == Denied, "{body}");
        let (lenient, response) = ask(&file(RULES), &body);
        assert_eq!(lenient, if expected == Denied { NotUnderstood } else { expected }, "{body}");
        assert_eq!(response["allowed"], true);
    }
}

#[test]
fn a_denial_says_why_and_by_which_setting() {
    let (_, response) = ask(&denying(), &review("pods", "CREATE", &format!(r#"{{"spec":{TWICE}}}"#), "null"));
    assert_eq!(response["status"]["code"], 403);
    let message = response["status"]["message"].as_str().expect("a message");
    assert!(
        message.starts_with(
            "pullthrough can't read this Pod, and the rules deny such Pods (whenNotUnderstood: deny): the Pod can't be read: \
             duplicate key `image`"
        ),
        "{message}"
    );
    assert!(message.len() < 512 && response.get("warnings").is_none());
}

/// No error quotes a text that may be long.
#[test]
fn problems_are_short_whatever_the_input() {
    let policy = denying();
    let long = format!("\"{}\"", "\\u001b".repeat(100_000));
    for object in [
        long.clone(),
        format!(r#"{{"spec":{long}}}"#),
        format!(r#"{{"spec":{{"containers":{long}}}}}"#),
        format!(r#"{{"spec":{{"containers":[{long}]}}}}"#),
        format!(r#"{{"spec":{{"volumes":[{{"image":{long}}}]}}}}"#),
        format!(r#"{{"metadata":{long}}}"#),
        format!(r#"{{"metadata":{{"labels":{long}}}}}"#),
        format!(r#"{{"metadata":{{"annotations":{long}}}}}"#),
    ] {
        let body = review("pods", "CREATE", &object, "null");
        let answer = answer(Context::of(&policy), body.as_bytes()).expect("a response");
        let problem = answer.summary.problem.expect("a problem");
        assert!(problem.len() < 200, "{problem}");
        assert!(answer.body.len() < 1000);
    }
    for body in [long.clone(), format!(r#"{{"request":{long}}}"#), format!(r#"{{"request":{{"userInfo":{long}}}}}"#)] {
        let error = answer(Context::of(&policy), body.as_bytes()).expect_err("no review").to_string();
        assert!(error.len() < 200, "{error}");
    }
}

#[test]
fn what_is_echoed_and_what_is_answered_has_a_bound() {
    let body = review("pods", "CREATE", "{}", "null");
    let with_uid = |bytes| body.replace(r#""uid":"u""#, &format!(r#""uid":"{}""#, "u".repeat(bytes)));
    assert_eq!(ask(&denying(), &with_uid(MAX_UID_BYTES)).0, Outcome::Unchanged);
    let longer = with_uid(MAX_UID_BYTES + 1);
    let error = answer(Context::of(&denying()), longer.as_bytes()).expect_err("too long").to_string();
    assert_eq!(error, "the AdmissionReview's `request.uid` has 257 bytes; the limit is 256");

    // Depth takes no memory: Go's decoder, and so the API server, accepts 10,000 levels.
    let deep = format!("{}{}", "[".repeat(600_000), "]".repeat(600_000));
    assert_eq!(ask(&denying(), &review("pods", "CREATE", &deep, "null")).0, Outcome::Denied);
    let body = review("pods", "CREATE", &format!(r#"{{"status":{deep}}}"#), "null");
    assert_eq!(ask(&denying(), &body).0, Outcome::Unchanged);

    let containers = |count: usize, image: &str| {
        let container = format!(r#"{{"image":"{image}"}}"#);
        format!(r#"{{"spec":{{"containers":[{}]}}}}"#, vec![container; count].join(","))
    };
    for (count, image, expected) in [
        (MAX_IMAGES, "nginx", Outcome::Unchanged),
        (MAX_IMAGES + 1, "nginx", Outcome::Denied),
        (50_000, "registry.k8s.io/a", Outcome::Patched),
        // The patch would be too large, or there are too many images.
        (60_000, "registry.k8s.io/a", Outcome::Denied),
        (10_000, &format!("quay.io/{}", "a".repeat(160)), Outcome::Denied),
    ] {
        let object = containers(count, image);
        let (outcome, response) = ask(&denying(), &review("pods", "CREATE", &object, "null"));
        assert_eq!(outcome, expected, "{count} of {image}: {}", response["status"]["message"]);
        let patch = response["patch"].as_str().unwrap_or_default();
        assert!(patch.len() <= MAX_PATCH_BYTES.div_ceil(3) * 4);
    }
}

/// A field that a patch adds to must be a list.
#[test]
fn a_list_of_pull_secrets_that_is_none_is_not_added_to() {
    let policy = file(&RULES.replace("k8s}", "k8s, imagePullSecrets: [s]}"));
    let pod = |image: &str, secrets: &str| {
        format!(r#"{{"spec":{{"containers":[{{"image":"{image}"}}],"imagePullSecrets":{secrets}}}}}"#)
    };
    for (image, secrets, expected) in [
        ("registry.k8s.io/a", "7", Outcome::NotUnderstood),
        ("registry.k8s.io/a", "[7]", Outcome::NotUnderstood),
        ("registry.k8s.io/a", "{}", Outcome::NotUnderstood),
        ("registry.k8s.io/a", "null", Outcome::Patched),
        // No patch adds to it.
        ("nginx", "7", Outcome::Unchanged),
    ] {
        let (outcome, _) = ask(&policy, &review("pods", "CREATE", &pod(image, secrets), "null"));
        assert_eq!(outcome, expected, "{image} {secrets}");
    }
}

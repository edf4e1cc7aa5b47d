//! The memory that an answer takes beside its body, compared with the limit of the engine. The memory of manifests, and of blobs.

mod blobs;
mod manifests;

use std::sync::{Mutex, MutexGuard, PoisonError};

use peak_alloc::PeakAlloc;
use pullthrough::config;
use pullthrough::engine::{Context, MAX_IMAGES, Policy, answer, memory_bytes, most_memory_bytes};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;
/// Tests run one after the other, because the allocator counts the whole process.
static TURN: Mutex<()> = Mutex::new(());

const RULES: &str = "
apiVersion: pullthrough.dev/v1alpha1
kind: Rules
recordOriginals: true
whenNotUnderstood: deny
rules:
  - {name: short, from: [a.io], to: c.io, imagePullSecrets: [one]}
  - {name: long, from: [b.io], to: LONG}
  - {name: observing, from: [o.io], to: LONG/o, mode: observe}
";

fn review(operation: &str, object: &str, old_object: &str) -> String {
    review_of("", "pods", operation, object, old_object)
}

fn review_of(group: &str, resource: &str, operation: &str, object: &str, old_object: &str) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","resource":{{"group":"{group}","version":"v1",
        "resource":"{resource}"}},"operation":"{operation}","userInfo":{{"username":"jane"}},"object":{object},"oldObject":{old_object}}}}}"#
    )
}

/// Returns texts of about `bytes` bytes that an object may have at any place.
fn objects(bytes: usize) -> Vec<String> {
    let list = |entry: &str| vec![entry; bytes / (entry.len() + 1) + 1].join(",");
    let some = |entry: &str| vec![entry; (bytes / (entry.len() + 1) + 1).min(MAX_IMAGES)].join(",");
    let escaped = format!("\"{}\"", "\\u0061".repeat(bytes / 6));
    let values = [
        escaped.clone(),
        format!("{{{escaped}:1}}"),
        format!("{{{}}}", list(r#""\u0061":1"#)),
        format!("{}{}", "[".repeat(bytes.min(9_000)), "]".repeat(bytes.min(9_000))),
        "[".repeat(bytes),
        format!("[{}]", list("{}")),
        format!("[{}]", some("{}")),
        format!("[{}]", some(r#"{"image":"a.io/a"}"#)),
        format!("[{}]", some(r#"{"image":"b.io/a","name":"n"}"#)),
        format!("[{}]", some(r#"{"image":"o.io/a","name":"n"}"#)),
        format!("[{}]", some(r#"{"image":"\u0062.io/a","name":"\u006e"}"#)),
        format!("[{}]", some(&format!(r#"{{"name":"{}"}}"#, "\\u0061".repeat(4_000)))),
        format!(r#"[{{"image":{escaped},"name":{escaped}}}]"#),
        format!(r#"[{{"image":"{}/a/b/c"}}]"#, "A.".repeat(bytes / 2)),
    ];
    let mut objects = Vec::new();
    for value in values {
        objects.push(value.clone());
        for (before, after) in [
            (r#"{"spec":"#, "}"),
            (r#"{"metadata":"#, "}"),
            (r#"{"metadata":{"name":"#, "}}"),
            (r#"{"metadata":{"labels":"#, "}}"),
            (r#"{"metadata":{"annotations":"#, r#"},"spec":{"containers":[{"image":"a.io/a"}]}}"#),
            (
                r#"{"metadata":{"annotations":{"pullthrough.dev/original-images":"#,
                r#"}},"spec":{"containers":[{"image":"a.io/a"}]}}"#,
            ),
            (r#"{"spec":{"containers":"#, "}}"),
            (r#"{"spec":{"volumes":"#, "}}"),
            (r#"{"spec":{"containers":[{"image":"a.io/a"}],"imagePullSecrets":"#, "}}"),
            (r#"{"spec":{"volumes":[{"image":"#, "}]}}"),
            (r#"{"future":"#, "}"),
        ] {
            objects.push(format!("{before}{value}{after}"));
        }
    }
    objects
}

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the most bytes that `work` holds at once, including its result.
fn most_held<T>(work: impl FnOnce() -> T) -> usize {
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    let result = work();
    let peak = ALLOCATED.peak_usage();
    drop(result);
    peak - before
}

#[test]
fn an_answer_holds_no_more_than_the_engine_says() {
    let _turn = turn();
    let rules = RULES.replace("LONG", &format!("c.io/{}", "a".repeat(240)));
    let policy = Policy::from(config::parse("rules.yaml", &rules).expect("valid rules"));
    for bytes in [1_000, 12_000, 300_000] {
        let mut most = (0, 0, String::new());
        for object in objects(bytes) {
            for body in [
                review("CREATE", &object, "null"),
                review("UPDATE", &object, "{}"),
                review("UPDATE", &object, &object),
                review("UPDATE", "{}", &object),
                review_of("apps", "deployments", "UPDATE", &object, &object),
                review_of("apps", "deployments", "CREATE", &format!(r#"{{"spec":{{"template":{object}}}}}"#), "null"),
                object.clone(),
            ] {
                let answer = || answer(Context::of(&policy), body.as_bytes());
                let (held, bound) = (most_held(answer), memory_bytes(body.as_bytes()));
                let start: String = body.chars().take(400).collect();
                assert!(held <= bound, "{held} of {bound} for {} bytes: {start}", body.len());
                assert!(bound <= most_memory_bytes(body.len()), "{bound} for {} bytes: {start}", body.len());
                if held > most.0 {
                    most = (held, bound, start);
                }
            }
        }
        println!("{bytes}: {} of {}: {}", most.0, most.1, most.2);
    }
}

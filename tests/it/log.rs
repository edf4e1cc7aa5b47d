//! A reader of the log that hangs or ends blocks nothing, and lost lines are counted.

use std::io::Read;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::support::certificates::Trust;
use crate::support::client::Client;
use crate::support::process::{Server, full_pipe};
use crate::support::{review, until};

/// More lines than the queue and a batch hold.
const ADMISSIONS: usize = 2000;

const LOST: &str = "pullthrough_log_lines_lost_total";

async fn admit(server: &Server) {
    let mut client = Client::http1(server.address, &server.trust).await.unwrap();
    for _ in 0..ADMISSIONS {
        let answer = timeout(Duration::from_secs(5), client.admit(review())).await.expect("a response in time");
        assert_eq!(answer.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_reader_that_hangs_holds_up_neither_admissions_nor_the_end() {
    for (signal, seconds) in [("TERM", 1), ("INT", 0)] {
        let (mut server, _reader) = Server::start_unread(&["--drain-delay", "1s", "--shutdown-timeout", "1s"]).await;
        admit(&server).await;
        assert!(server.metric(LOST).await > Some(0.0));
        let started = Instant::now();
        server.signal(signal);
        assert_eq!(server.exit_code().await, Some(0), "{signal}");
        // The time for the last requests and for the reader of standard error, plus some for a slow machine.
        let most = Duration::from_secs(seconds + 4);
        assert!(started.elapsed() < most, "{signal}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_start_that_fails_ends_although_nobody_reads_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_reader, writer) = full_pipe();
    let mut command = Server::command();
    command.args(["--cache", "cache.example.com/k8s", "--listen", &address, "--metrics-listen", "127.0.0.1:0"]);
    let mut child = command.stderr(writer).spawn().unwrap();
    let mut status = None;
    until("the process ends", async || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(2));
}

#[tokio::test]
async fn lost_lines_are_reported_when_the_reader_goes_on() {
    for format in ["text", "json"] {
        let (mut server, mut reader) = Server::start_unread(&["--log-format", format]).await;
        admit(&server).await;
        let lost = server.metric(LOST).await.unwrap();
        assert!(lost > 0.0);
        let reading = std::thread::spawn(move || {
            let mut log = String::new();
            reader.read_to_string(&mut log).unwrap();
            log
        });
        sleep(Duration::from_millis(200)).await;
        server.signal("INT");
        assert_eq!(server.exit_code().await, Some(0));
        let log = reading.join().unwrap();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("log lines lost")).collect();
        let [line] = lines[..] else { panic!("{lines:?}") };
        let number = if format == "text" { format!("lines={lost}") } else { format!("\"lines\":{lost}") };
        assert!(line.contains(&number), "{line}");
        assert_eq!(log.matches("images rewritten").count() as f64 + lost, ADMISSIONS as f64);
    }
}

/// The API server generates the names of a workload's Pods after it has called the webhook.
#[tokio::test]
async fn a_pod_without_a_name_is_logged_by_the_start_of_its_name() {
    let generated = r#"{"generateName":"web-5d4f-"}"#;
    for (metadata, expected, absent) in [
        (generated, "generate_name=\"web-5d4f-\" uid=\"f0a5ad2c-", " name="),
        (r#"{"generateName":"web-5d4f-","name":"web-5d4f-abcde"}"#, " name=\"web-5d4f-abcde\"", "generate_name"),
    ] {
        let server = Server::start(&[]).await;
        let mut client = Client::http1(server.address, &server.trust).await.unwrap();
        let mut review: serde_json::Value = serde_json::from_slice(&review()).unwrap();
        review["request"].as_object_mut().unwrap().remove("name");
        review["request"]["object"]["metadata"] = serde_json::from_str(metadata).unwrap();
        assert_eq!(client.admit(review.to_string()).await.unwrap().status, 200);
        let line = server.wait_for_log("images rewritten").await;
        assert!(line.contains(expected) && !line.contains(absent), "{line}");
    }
}

/// Rules that observe, and then enforce.
#[tokio::test]
async fn what_observing_rules_would_do_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    let (file, ca) = (directory.path().join("rules.yaml"), directory.path().join("ca.pem"));
    let rules = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n  \
        - {name: k8s, from: [registry.k8s.io], to: cache.corp.internal/k8s, mode: observe}\n";
    std::fs::write(&file, rules).unwrap();
    let args = ["--rules", file.to_str().unwrap(), "--write-ca", ca.to_str().unwrap(), "--reload-interval", "25ms"];
    let server = Server::start_reading(&args, || Trust::pem(&std::fs::read_to_string(&ca).unwrap())).await;
    server
        .wait_for_log("rules loaded; all observe, no image is rewritten; next: to enforce a rule in one namespace")
        .await;
    let mut client = Client::http1(server.address, &server.trust).await.unwrap();
    let answer = client.admit(review()).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(answer["response"].get("patch").is_none(), "{answer}");
    let warning = "pullthrough: 1 image would be pulled through cache.corp.internal/k8s (rule k8s)";
    assert_eq!(answer["response"]["warnings"], serde_json::json!([warning]));
    let line = server.wait_for_log("images not rewritten; their rules observe").await;
    let change = "registry.k8s.io/pause:3.10 -> cache.corp.internal/k8s/pause:3.10 (rule k8s)";
    assert!(line.contains("would_be=\"containers/") && line.contains(change), "{line}");
    assert!(!server.log().contains("images rewritten") && !server.log().contains("placeholder"));

    std::fs::write(&file, rules.replace("observe", "enforce").replace("corp.internal", "example.com")).unwrap();
    server.wait_for_log("enforcing=1 observing=0").await;
    server.wait_for_log("the cache is a placeholder").await;
    client.admit(review()).await.unwrap();
    let line = server.wait_for_log("images rewritten").await;
    assert!(line.contains("changes=\"containers/") && !line.contains("would_be"), "{line}");

    std::fs::write(&file, "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\n").unwrap();
    server.wait_for_log("the rules file has no rules: no image is rewritten; add a rule").await;
}

#[tokio::test]
async fn a_reader_that_is_gone_ends_nothing() {
    let (mut server, reader) = Server::start_unread(&[]).await;
    drop(reader);
    admit(&server).await;
    until("all lines are lost", async || server.metric(LOST).await >= Some(ADMISSIONS as f64)).await;
    server.signal("INT");
    assert_eq!(server.exit_code().await, Some(0));
}

/// The log of one request fills neither the memory nor a disk.
#[tokio::test]
async fn lines_have_a_bound() {
    let server = Server::start(&["--log-level", "debug"]).await;
    let mut client = Client::http1(server.address, &server.trust).await.unwrap();
    let long = "\u{1b}\"".repeat(50_000);
    let unknown = serde_json::json!({"apiVersion": long, "kind": long}).to_string();
    assert_eq!(client.admit(unknown).await.unwrap().status, 400);
    let mut named: serde_json::Value = serde_json::from_slice(&review()).unwrap();
    named["request"]["namespace"] = long.as_str().into();
    named["request"]["object"]["spec"]["containers"] = (0..2000)
        .map(|index| serde_json::json!({"name": format!("{index}{long:.300}"), "image": "registry.k8s.io/pause:3.10"}))
        .collect();
    assert_eq!(client.admit(named.to_string()).await.unwrap().status, 200);
    server.wait_for_log("images rewritten").await;
    let log = server.log();
    let longest = log.lines().map(str::len).max().unwrap();
    assert!((4096..=8 * 1024 + 3).contains(&longest), "{longest}");
    assert!(!log.contains('\u{1b}'));
    let changed = log.lines().find(|line| line.contains("images rewritten")).unwrap();
    assert!(!changed.ends_with("..."), "{changed}");
}

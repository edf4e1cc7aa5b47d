//! Log lines whose reader hangs or is gone hold up nothing, and are counted.

use std::io::Read;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::support::client::Client;
use crate::support::process::{Server, full_pipe};
use crate::support::{review, until};

/// More than wait in the queue and in a batch.
const ADMISSIONS: usize = 2000;

const LOST: &str = "pullthrough_log_lines_lost_total";

async fn admit(server: &Server) {
    let mut client = Client::http1(server.address, &server.trust).await.unwrap();
    for _ in 0..ADMISSIONS {
        let answer = timeout(Duration::from_secs(5), client.admit(review())).await.expect("an answer in time");
        assert_eq!(answer.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_reader_that_hangs_holds_up_neither_admissions_nor_the_end() {
    for (signal, seconds) in [("TERM", 1), ("INT", 0)] {
        let (mut server, _reader) =
            Server::start_unread(&["--drain-delay-secs", "1", "--shutdown-timeout-secs", "1"]).await;
        admit(&server).await;
        assert!(server.metric(LOST).await > Some(0.0));
        let started = Instant::now();
        server.signal(signal);
        assert_eq!(server.exit_code().await, Some(0), "{signal}");
        // The wait for last requests and for the reader of standard error, and a slow machine.
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

#[tokio::test]
async fn a_reader_that_is_gone_ends_nothing() {
    let (mut server, reader) = Server::start_unread(&[]).await;
    drop(reader);
    admit(&server).await;
    until("all lines are lost", async || server.metric(LOST).await >= Some(ADMISSIONS as f64)).await;
    server.signal("INT");
    assert_eq!(server.exit_code().await, Some(0));
}

/// Whoever may send requests can't fill the memory, or a disk, by what is logged of one.
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

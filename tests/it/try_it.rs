//! The command that the server prints at start.

use std::process::Command;

use crate::support::certificates::Authority;
use crate::support::process::Server;

async fn run_printed_line(server: &Server) {
    let line = server.wait_for_log("  curl ").await;
    let output = tokio::task::spawn_blocking(move || Command::new("sh").args(["-c", &line]).output().unwrap());
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["uid"], "try-it");
}

#[tokio::test]
async fn with_the_ca_in_a_file() {
    let server = Server::start(&[]).await;
    assert!(server.wait_for_log("  curl ").await.contains("--cacert"));
    run_printed_line(&server).await;
    assert!(server.log().contains("pullthrough export webhook --cache cache.example.com/k8s --url https://127.0.0.1:"));
}

#[tokio::test]
async fn with_a_pinned_key() {
    let nobody = Authority::new().trust();
    let server = Server::start_with(&["--cache", "cache.example.com/k8s"], nobody).await;
    assert!(server.wait_for_log("  curl ").await.contains("--pinnedpubkey 'sha256//"));
    run_printed_line(&server).await;
}

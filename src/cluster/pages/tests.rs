use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const PODS: Target = Target { api: "api/v1", resource: "pods", namespace: None, name: None };

/// Starts a server that sends these statuses and bodies in order, and records the paths of requests.
async fn server(answers: Vec<(u16, String)>) -> (Api, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&asked);
    tokio::spawn(async move {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let len = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..len]);
            recorded.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            // The client closes the connection once the body is too large.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let api = Api::new(Config::new(url.parse().unwrap()), Duration::from_secs(5)).await.unwrap();
    (api, asked)
}

fn page(items: &[u32], next: &str) -> (u16, String) {
    (200, format!(r#"{{"metadata": {{"continue": "{next}"}}, "items": {items:?}}}"#))
}

fn status(code: u16, metadata: &str) -> (u16, String) {
    (code, format!(r#"{{"kind": "Status", "message": "status {code}", "metadata": {{{metadata}}}}}"#))
}

/// Returns the objects of a list up to its end or its failure, and the queries that were sent.
async fn read(answers: Vec<(u16, String)>) -> (Vec<String>, Result<(), Failure>, Vec<String>) {
    let (api, asked) = server(answers).await;
    let mut pages = Pages::of(&api, PODS);
    let mut items = Vec::new();
    let end = loop {
        match pages.next().await {
            Ok(Some(page)) => items.extend(page.items().map(str::to_owned)),
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    let asked =
        asked.lock().unwrap().iter().map(|path| path.strip_prefix("/api/v1/pods?&").unwrap().to_owned()).collect();
    (items, end, asked)
}

#[tokio::test]
async fn a_list_is_read_to_its_end() {
    let (items, end, asked) = read(vec![page(&[1, 2], "a/b="), page(&[3], "")]).await;
    assert_eq!((items.join(" "), end), ("1 2 3".to_owned(), Ok(())));
    assert_eq!(asked, ["limit=500", "limit=500&continue=a%2Fb%3D"]);
}

#[tokio::test]
async fn an_expired_list_is_continued() {
    let gone = status(410, r#""continue": "newer""#);
    let (items, end, asked) = read(vec![page(&[1], "older"), gone, page(&[2], "")]).await;
    assert_eq!((items.join(" "), end), ("1 2".to_owned(), Ok(())));
    assert_eq!(asked[1..], ["limit=500&continue=older", "limit=500&continue=newer"]);

    // Without a token, the list can't be continued.
    let (items, end, _) = read(vec![page(&[1], "older"), status(410, "")]).await;
    let expired = Failure::Expired { message: "status 410".to_owned(), next: None };
    assert_eq!((items.join(" "), end), ("1".to_owned(), Err(expired)));
}

#[tokio::test]
async fn temporary_failures_are_retried() {
    let (items, end, asked) = read(vec![page(&[1], "a"), status(503, ""), page(&[2], "")]).await;
    assert_eq!((items.join(" "), end, asked.len()), ("1 2".to_owned(), Ok(()), 3));
    let (items, end, asked) = read(vec![page(&[1], "a"), status(400, "")]).await;
    let rejected = Failure::Rejected { code: 400, message: "status 400".to_owned() };
    assert_eq!((items.join(" "), end, asked.len()), ("1".to_owned(), Err(rejected), 2));
}

#[tokio::test]
async fn a_page_that_is_too_large_is_requested_in_parts() {
    let large = (200, "x".repeat(MAX_PAGE_BYTES + 1));
    let (items, end, asked) = read(vec![large, page(&[1], "a"), page(&[2], "")]).await;
    assert_eq!((items.join(" "), end), ("1 2".to_owned(), Ok(())));
    assert_eq!(asked, ["limit=500", "limit=125", "limit=125&continue=a"]);
}

#[tokio::test]
async fn tokens_are_encoded() {
    let (_, end, asked) = read(vec![page(&[1], "aZ0-_. +/&?=#%é"), page(&[2], "")]).await;
    assert_eq!((end, asked[1].as_str()), (Ok(()), "limit=500&continue=aZ0-_.+%2B%2F%26%3F%3D%23%25%C3%A9"));
}

#[test]
fn objects_of_a_page_are_unchanged() {
    let text =
        br#" {"kind": "PodList", "metadata": {"continue": "", "remainingItemCount": 7}, "items": [ {"a": 1 }, 2]}"#;
    let page = Page::read(text.to_vec(), 500).unwrap();
    assert_eq!(page.items().collect::<Vec<_>>(), [r#"{"a": 1 }"#, "2"]);
    assert_eq!((page.next.as_deref(), page.remaining()), (None, Some(0)));
    let page = Page::read(br#"{"metadata": {"continue": "x"}, "items": null}"#.to_vec(), 500).unwrap();
    assert_eq!((page.items().count(), page.next.as_deref(), page.remaining()), (0, Some("x"), None));
    assert!(Page::read(b"<html>".to_vec(), 500).is_err());
}

use pullthrough::registry::{Credentials, Digest, Invalid, List, Outcome};

use super::content::Store;
use super::server::{Server, answer, client, error, name};

/// Answers with pages of two tags out of `count`.
fn pages(count: usize) -> impl Fn(&super::server::Seen) -> super::server::Answer {
    move |seen| {
        let first: usize = seen.path.split_once("last=").map_or(0, |(_, last)| last.parse().unwrap());
        let tags: Vec<String> = (first..count.min(first + 2)).map(|tag| format!("t{tag}")).collect();
        let link = format!("</v2/app/tags/list?last={}>; rel=\"next\"", first + 2);
        let body = serde_json::json!({"name": "app", "tags": tags}).to_string();
        answer(200, if first + 2 < count { vec![("link", &*link)] } else { vec![] }.as_slice(), body)
    }
}

#[tokio::test]
async fn tags_are_read_page_by_page_up_to_a_limit() {
    for (count, limit, found, requests) in
        [(5, 100, 5, 3), (5, 5, 5, 3), (1_000_000, 7, 8, 4), (0, 5, 0, 1), (2, 5, 2, 1)]
    {
        let server = Server::plain(pages(count)).await;
        let (repository, _) = name(&format!("{}/app", server.host()));
        let answer = client(Credentials::Anonymous).tags(&repository, limit).await;
        let list = answer.served().unwrap();
        let names: Vec<String> = (0..found).map(|tag| format!("t{tag}")).collect();
        assert_eq!((&list.names, list.is_complete), (&names, found == count), "{count} {limit}");
        assert_eq!(server.seen().len(), requests);
    }
}

#[tokio::test]
async fn a_list_does_not_lead_elsewhere_or_on_for_ever() {
    for (link, body, requests) in [
        ("<https://evil.example/v2/x>; rel=\"next\"", r#"{"repositories":["a"]}"#, 1),
        ("</v2/_catalog>; rel=\"next\"", r#"{"repositories":["a"]}"#, 1),
        ("</v2/_catalog?n=1>; rel=\"next\"", r#"{"repositories":["a"]}"#, 2),
        ("</v2/_catalog?n=1>; rel=\"next\"", r#"{"repositories":[]}"#, 1),
        ("nonsense", r#"{"repositories":["a"]}"#, 1),
    ] {
        let server = Server::plain(move |_| answer(200, &[("link", link)], body)).await;
        let (repository, _) = name(&format!("{}/app", server.host()));
        let answer = client(Credentials::Anonymous).repositories(&repository, 1000).await;
        assert_eq!(answer.served().map(|list| list.is_complete), Some(link == "nonsense"), "{link}");
        assert_eq!(server.seen().len(), requests, "{link}");
    }
    for (status, body, expected) in [
        (401, "", None),
        (404, "", Some(Outcome::<List>::Missing)),
        (
            200,
            "<html>",
            Some(Outcome::Invalid(Invalid::List {
                reason: "invalid JSON, or a value of the wrong type, at line 1".to_owned(),
            })),
        ),
        (200, r#"{"name":"app","tags":null}"#, Some(Outcome::Served(List { names: Vec::new(), is_complete: true }))),
    ] {
        let server = Server::plain(move |_| answer(status, &[], body)).await;
        let (repository, _) = name(&format!("{}/app", server.host()));
        let outcome = client(Credentials::Anonymous).tags(&repository, 10).await.outcome;
        assert!(
            expected.map_or(matches!(outcome, Outcome::Denied(_)), |expected| outcome == expected),
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn referrers_are_an_index() {
    let store = Store::new();
    let subject = store.index.clone().unwrap();
    let path = format!("/v2/app/referrers/{subject}");
    let server = Server::plain(move |seen| match &*seen.path {
        // Any index will do.
        _ if seen.path == path => {
            store.answer(&super::server::Seen { path: "/v2/app/manifests/1".to_owned(), ..seen.clone() })
        }
        _ => error(404, "NAME_UNKNOWN", "no"),
    })
    .await;
    let (repository, _) = name(&format!("{}/app", server.host()));
    let client = client(Credentials::Anonymous);
    assert_eq!(client.referrers(&repository, &subject).await.served().unwrap().len(), 3);
    assert_eq!(client.referrers(&repository, &Digest::of(b"")).await.outcome, Outcome::Missing);
}

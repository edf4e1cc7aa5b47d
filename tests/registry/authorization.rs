use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pullthrough::registry::{
    Client, Credentials, Denied, DockerConfig, Invalid, Manifest, Outcome, Settings, TokenServerFault,
};

use super::content::Store;
use super::proxy::ProxyKind;
use super::server::{Answer, Ca, Seen, Server, answer, client, error, logins, name, proxy, settings, trusting};

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Starts a token server that gives the tokens `TOKEN-1`, `TOKEN-2` … to a user with a password, or to all.
async fn token_server(login: Option<(&'static str, &'static str)>, answer_of: fn(usize) -> String) -> Server {
    let count = AtomicUsize::new(0);
    Server::plain(move |seen| {
        let expected = login.map(|(user, password)| basic(user, password));
        if seen.authorization != expected {
            return error(401, "UNAUTHORIZED", "who are you?");
        }
        answer(200, &[], answer_of(count.fetch_add(1, Ordering::Relaxed) + 1))
    })
    .await
}

/// Answers with a challenge unless the request has one of the tokens.
fn with_bearer(realm: String) -> impl Fn(&Seen) -> Answer {
    let store = Store::new();
    move |seen| match &seen.authorization {
        Some(value) if value.starts_with("Bearer TOKEN-") => store.answer(seen),
        _ => {
            let repository = seen.path.trim_start_matches("/v2/").split("/manifests/").next().unwrap_or_default();
            let challenge = format!(
                "Bearer realm=\"http://{realm}/token?a=b\",service=\"the registry\",scope=\"repository:{repository}:pull\""
            );
            answer(401, &[("www-authenticate", &challenge)], "")
        }
    }
}

#[tokio::test]
async fn a_token_is_kept_for_its_scope() {
    for (login, credentials) in [(None, None), (Some(("jane", "hunter2")), Some("hunter2"))] {
        let tokens = token_server(login, |count| format!(r#"{{"token":"TOKEN-{count}","expires_in":300}}"#)).await;
        let server = Server::plain(with_bearer(tokens.host())).await;
        let credentials =
            credentials.map_or(Credentials::Anonymous, |password| logins(&[(&server.host(), "jane", password)]));
        let client = client(credentials);
        for image in ["one/app:1", "one/app:1", "one/app:2", "two/app:1"] {
            let (repository, tag) = name(&format!("{}/{image}", server.host()));
            let answer = client.manifest(&repository, &tag).await;
            assert!(answer.served().is_some(), "{answer:?}");
            let source = login.map(|_| format!("pull credentials, key {}", server.host()));
            assert_eq!(answer.trace.credential, source);
        }
        let scopes = ["one", "two"]
            .map(|one| format!("GET /token?a=b&scope=repository%3A{one}%2Fapp%3Apull&service=the%20registry"));
        assert_eq!(tokens.lines(), scopes);
        // Two challenges, and no password for the registry.
        let seen = server.seen();
        assert_eq!(seen.iter().filter(|seen| seen.authorization.is_none()).count(), 2);
        assert_eq!(seen.len(), 6);
        assert!(
            seen.iter().filter_map(|seen| seen.authorization.as_ref()).all(|value| value.starts_with("Bearer TOKEN-"))
        );
    }
}

#[tokio::test]
async fn an_expired_or_rejected_token_is_fetched_again() {
    let tokens = token_server(None, |count| format!(r#"{{"access_token":"TOKEN-{count}","expires_in":0}}"#)).await;
    let server = Server::plain(with_bearer(tokens.host())).await;
    let one = client(Credentials::Anonymous);
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    for _ in 0..2 {
        assert!(one.manifest(&repository, &tag).await.served().is_some());
    }
    assert_eq!(tokens.seen().len(), 2);

    let tokens = token_server(None, |count| format!(r#"{{"token":"TOKEN-{count}"}}"#)).await;
    let store = Store::new();
    let (challenge, count) = (format!("Bearer realm=\"http://{}/\"", tokens.host()), AtomicUsize::new(0));
    // The registry has forgotten the first token at the second request with it.
    let server = Server::plain(move |seen| match seen.authorization.as_deref() {
        Some("Bearer TOKEN-1") if count.fetch_add(1, Ordering::Relaxed) == 0 => store.answer(seen),
        Some("Bearer TOKEN-2") => store.answer(seen),
        _ => answer(401, &[("www-authenticate", &challenge)], ""),
    })
    .await;
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    for _ in 0..2 {
        assert!(one.manifest(&repository, &tag).await.served().is_some());
    }
    assert_eq!(tokens.seen().len(), 2);
}

#[tokio::test]
async fn requests_at_the_same_time_share_a_token() {
    let tokens = token_server(None, |count| format!(r#"{{"token":"TOKEN-{count}"}}"#)).await;
    let server = Server::plain(with_bearer(tokens.host())).await;
    let client = client(Credentials::Anonymous);
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let asks: Vec<_> = (0..20)
        .map(|_| {
            let (client, repository, tag) = (client.clone(), repository.clone(), tag.clone());
            tokio::spawn(async move { client.manifest(&repository, &tag).await.served().is_some() })
        })
        .collect();
    for ask in asks {
        assert!(ask.await.unwrap());
    }
    assert_eq!(tokens.seen().len(), 1);
}

#[tokio::test]
async fn basic_credentials_are_sent_after_a_challenge_and_then_at_once() {
    let store = Store::new();
    let server = Server::plain(move |seen| {
        if seen.authorization.as_deref() == Some(&*basic("jane", "hunter2")) {
            return store.answer(seen);
        }
        answer(
            401,
            &[("www-authenticate", "Basic realm=\"x\"")],
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#,
        )
    })
    .await;
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let right = client(logins(&[(&server.host(), "jane", "hunter2")]));
    for _ in 0..2 {
        assert!(right.manifest(&repository, &tag).await.served().is_some());
    }
    assert_eq!(server.seen().iter().map(|seen| seen.authorization.is_some()).collect::<Vec<_>>(), [false, true, true]);

    // A wrong password is sent once for each question: an account can be locked after a few.
    let wrong = client(logins(&[(&server.host(), "jane", "wrong")]));
    for _ in 0..2 {
        let answer = wrong.manifest(&repository, &tag).await;
        assert_eq!(answer.outcome, Outcome::Denied(Denied::Registry));
        assert_eq!(answer.trace.errors[0].code, "UNAUTHORIZED");
    }
    let sent = server.seen().iter().filter(|seen| seen.authorization == Some(basic("jane", "wrong"))).count();
    assert_eq!(sent, 2);

    let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
    assert_eq!((answer.outcome, answer.trace.credential), (Outcome::Denied(Denied::Registry), None));
}

#[tokio::test]
async fn credentials_are_tried_in_order_while_they_are_denied() {
    let store = Store::new();
    let server = Server::plain(move |seen| match seen.authorization.as_deref() {
        Some(value) if value == basic("second", "b") => store.answer(seen),
        Some(_) => error(403, "DENIED", "no rights"),
        None => answer(401, &[("www-authenticate", "Basic")], ""),
    })
    .await;
    let (repository, tag) = name(&format!("{}/team/app:1", server.host()));
    let (long, short) = (format!("{}/team", server.host()), server.host());
    let answer = client(logins(&[(&short, "second", "b"), (&long, "first", "a")])).manifest(&repository, &tag).await;
    assert!(answer.served().is_some(), "{answer:?}");
    assert_eq!(answer.trace.credential, Some(format!("pull credentials, key {short}")));

    let answer = client(logins(&[(&short, "third", "b"), (&long, "first", "a")])).manifest(&repository, &tag).await;
    assert_eq!(answer.outcome, Outcome::Denied(Denied::Registry));
    assert_eq!((answer.trace.status, &*answer.trace.errors[0].code), (Some(403), "DENIED"));
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post() {
    let tokens = Server::plain(|seen| {
        let expected =
            "scope=repository%3Aapp%3Apull&client_id=pullthrough&grant_type=refresh_token&refresh_token=hunter2%2B%2F";
        match (seen.method.as_str(), &*seen.body) {
            ("POST", body) if body == expected => answer(200, &[], r#"{"access_token":"TOKEN-1","expires_in":300}"#),
            _ => error(401, "UNAUTHORIZED", "no"),
        }
    })
    .await;
    let challenge = format!("Bearer realm=\"http://{}/oauth2/token\"", tokens.host());
    let store = Store::new();
    let server = Server::plain(move |seen| match seen.authorization.as_deref() {
        Some("Bearer TOKEN-1") => store.answer(seen),
        _ => answer(401, &[("www-authenticate", &challenge)], ""),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let file = serde_json::json!({"auths": {server.host(): {"auth": "", "identitytoken": "hunter2+/"}}});
    std::fs::write(&path, file.to_string()).unwrap();
    let client = client(Credentials::Workstation(DockerConfig::read(&path).unwrap()));
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let answer = client.manifest(&repository, &tag).await;
    assert!(answer.served().is_some(), "{answer:?} {:?}", tokens.seen());
}

#[tokio::test]
async fn token_servers_that_fail_are_named() {
    let denied = |host: &str| Outcome::Denied(Denied::TokenServer { host: host.to_owned() });
    let no_token = |host: &str| Outcome::Invalid(Invalid::TokenServer(TokenServerFault::NoToken(host.to_owned())));
    type Expected<'e> = &'e dyn Fn(&str) -> Outcome<Manifest>;
    let cases: [(u16, &str, Expected<'_>); 10] = [
        (401, "", &denied),
        (403, "", &denied),
        (429, "", &|_| Outcome::RateLimited),
        (404, "", &|_| Outcome::Other),
        (502, "", &|_| Outcome::Other),
        (302, "", &|_| Outcome::Other),
        (200, "{}", &no_token),
        (200, "<html>", &no_token),
        (200, "{\"token\":\"\"}", &no_token),
        (200, "{\"token\":\"a\\nb\"}", &no_token),
    ];
    for (status, body, expected) in cases {
        let tokens = Server::plain(move |_| answer(status, &[("location", "/other")], body)).await;
        let server = Server::plain(with_bearer(tokens.host())).await;
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let answer = client(logins(&[(&server.host(), "jane", "hunter2")])).manifest(&repository, &tag).await;
        assert_eq!(answer.outcome, expected(&tokens.host()), "{status} {body}");
        assert_eq!((answer.trace.status, answer.trace.host), (Some(status), Some(tokens.host())));
        let attempts = if matches!(status, 429 | 502) { 3 } else { 1 };
        assert_eq!(tokens.lines().len(), attempts, "{status}");
        assert!(tokens.lines().iter().all(|line| line.starts_with("GET /token")));
    }
}

#[tokio::test]
async fn no_credentials_are_sent_to_a_token_server_elsewhere() {
    let ca = Ca::new();
    let names = ["registry.example.com", "auth.example.com", "auth.example.org"];
    let tokens = Server::tls(ca.acceptor(&names), |_| answer(200, &[], r#"{"token":"TOKEN-1"}"#)).await;
    let proxy = proxy(ProxyKind::Http, None);
    for (host, login, allowed, is_sent) in [
        ("auth.example.com", true, false, true),
        ("auth.example.org", true, false, false),
        ("auth.example.org", true, true, true),
        ("auth.example.org", false, false, true),
    ] {
        let host = tokens.at(host);
        let challenge = format!("Bearer realm=\"https://{host}/token\"");
        let store = Store::new();
        let server = Server::tls(ca.acceptor(&names), move |seen| match seen.authorization.as_deref() {
            Some("Bearer TOKEN-1") => store.answer(seen),
            _ => answer(401, &[("www-authenticate", &challenge)], ""),
        })
        .await;
        let registry = server.at("registry.example.com");
        let settings = Settings {
            hosts: [(registry.clone(), trusting(&ca))].into(),
            token_servers: if allowed { vec![host.clone()] } else { Vec::new() },
            proxies: [("HTTPS_PROXY", &*proxy.url(""))].into(),
            ..settings()
        };
        let credentials = if login { logins(&[(&registry, "jane", "hunter2")]) } else { Credentials::Anonymous };
        let (repository, tag) = name(&format!("{registry}/app:1"));
        let before = tokens.seen().len();
        let answer = Client::new(settings, credentials).unwrap().manifest(&repository, &tag).await;
        if is_sent {
            assert!(answer.served().is_some(), "{answer:?}");
            let seen = tokens.seen().pop().unwrap();
            assert_eq!(seen.authorization, login.then(|| basic("jane", "hunter2")));
        } else {
            assert_eq!(answer.outcome, Outcome::Invalid(Invalid::TokenServer(TokenServerFault::Elsewhere(host))));
            assert_eq!(tokens.seen().len(), before);
        }
    }
}

#[tokio::test]
async fn unusable_challenges_are_named() {
    let plain = TokenServerFault::PlainHttp("auth.example.org".to_owned());
    for (challenge, fault) in [
        ("Bearer", Some(TokenServerFault::NoRealm)),
        ("Bearer realm=\"\"", Some(TokenServerFault::NoRealm)),
        ("Bearer realm=\"/token\"", Some(TokenServerFault::NoRealm)),
        ("Bearer realm=\"file:///etc/passwd\"", Some(TokenServerFault::NoRealm)),
        ("Bearer realm=\"http://auth.example.org/token\"", Some(plain)),
        ("Negotiate", None),
    ] {
        let server = Server::plain(move |_| answer(401, &[("www-authenticate", challenge)], "")).await;
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
        let expected = match fault {
            Some(fault) => Outcome::Invalid(Invalid::TokenServer(fault)),
            None => Outcome::Denied(Denied::Registry),
        };
        assert_eq!(answer.outcome, expected, "{challenge}");
    }
}

#[tokio::test]
async fn a_registry_that_repeats_secrets_does_not_bring_them_into_the_trace() {
    let tokens = token_server(Some(("jane", "hunter2")), |_| r#"{"token":"TOKEN-s3cret"}"#.to_owned()).await;
    let challenge = Arc::new(format!("Bearer realm=\"http://{}/\"", tokens.host()));
    let server = Server::plain(move |seen| match &seen.authorization {
        None => answer(401, &[("www-authenticate", &challenge)], ""),
        Some(value) => {
            let text = format!("{value} {} hunter2", basic("jane", "hunter2"));
            let body = serde_json::json!({"errors": [{"code": "DENIED", "message": text}]}).to_string();
            answer(403, &[("warning", &format!("299 - \"{text}\""))], body)
        }
    })
    .await;
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let client = client(logins(&[(&server.host(), "jane", "hunter2")]));
    let answer = client.manifest(&repository, &tag).await;
    assert_eq!(answer.trace.errors[0].message, "Bearer (secret) Basic (secret) (secret)");
    let text = format!("{answer:?} {client:?}");
    assert!(
        !["hunter2", "s3cret", &BASE64_STANDARD.encode("jane:hunter2")].iter().any(|one| text.contains(one)),
        "{text}"
    );
}

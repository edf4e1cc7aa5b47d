use pullthrough::registry::{Client, Credentials, Digest, Invalid, Outcome, RedirectFault, Settings, Unreachable};

use super::content::{Store, descriptor};
use super::proxy::ProxyKind;
use super::server::{Ca, Server, answer, client, client_of, logins, name, proxy, settings, trusting};

#[tokio::test]
async fn a_blob_elsewhere_is_read_without_credentials() {
    let body = "a layer";
    let storage = Server::plain(move |_| answer(200, &[], body)).await;
    let location = format!("http://{}/bucket/layer?signature=s3cret", storage.at("localhost"));
    let server = Server::plain(move |seen| match &seen.authorization {
        Some(_) => answer(307, &[("location", &location)], "<a href>"),
        None => answer(401, &[("www-authenticate", "Basic")], ""),
    })
    .await;
    let client = client(logins(&[("127.0.0.1", "jane", "x"), (&server.host(), "jane", "hunter2")]));
    let (repository, _) = name(&format!("{}/app", server.host()));
    for _ in 0..2 {
        let blob = client.blob(&repository, &descriptor(&Digest::of(body.as_bytes()), 7), &|_| {}).await;
        assert_eq!(blob.served().map(|blob| blob.size_bytes), Some(7), "{blob:?}");
        assert_eq!(blob.trace.redirects, [storage.at("localhost")]);
        assert!(!format!("{blob:?}").contains("s3cret"));
    }
    let seen = storage.seen();
    assert_eq!((seen.len(), &*seen[0].path), (2, "/bucket/layer?signature=s3cret"));
    assert!(seen.iter().all(|seen| seen.authorization.is_none()), "{seen:?}");
    // One connection tried TLS; redirects close none.
    assert_eq!((server.connections(), storage.connections()), (2, 1));
}

#[tokio::test]
async fn a_redirect_on_the_same_host_keeps_the_credentials() {
    let store = Store::new();
    let server = Server::plain(move |seen| match &*seen.path {
        _ if seen.authorization.is_none() => answer(401, &[("www-authenticate", "Basic")], ""),
        "/v2/app/manifests/1" => answer(301, &[("location", "/v2/library/app/manifests/1")], ""),
        _ => store.answer(seen),
    })
    .await;
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let answer = client(logins(&[(&server.host(), "jane", "hunter2")])).manifest(&repository, &tag).await;
    assert!(answer.served().is_some(), "{answer:?}");
    assert_eq!(answer.trace.requests, 4);
}

#[tokio::test]
async fn redirects_are_bounded() {
    let too_many = || Invalid::Redirect(RedirectFault::TooMany(5));
    let circle = |host: &Server| Invalid::Redirect(RedirectFault::Circle(host.host()));
    let nowhere = || Invalid::Redirect(RedirectFault::NoLocation);
    type Expected<'e> = &'e dyn Fn(&Server) -> Invalid;
    let cases: [(&str, Expected<'_>); 6] = [
        ("?", &|_| too_many()),
        ("/v2/app/manifests/1", &circle),
        ("", &|_| nowhere()),
        ("ftp://127.0.0.1/", &|_| nowhere()),
        ("http://user:password@127.0.0.1/", &|_| nowhere()),
        ("http://registry.example.com/", &|_| {
            Invalid::Redirect(RedirectFault::PlainHttp("registry.example.com".to_owned()))
        }),
    ];
    for (location, expected) in cases {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let server = Server::plain(move |_| {
            let next = format!("/{}", count.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            match location {
                "" => answer(302, &[], ""),
                "?" => answer(302, &[("location", &next)], ""),
                other => answer(302, &[("location", other)], ""),
            }
        })
        .await;
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
        assert_eq!(answer.outcome, Outcome::Invalid(expected(&server)), "{location}");
        assert!(server.seen().len() <= 6, "{location}");
    }
}

#[tokio::test]
async fn a_circle_through_two_hosts_ends() {
    let (other_sender, other) = std::sync::mpsc::channel::<String>();
    let target = std::sync::Mutex::new(None::<String>);
    let other = std::sync::Mutex::new(other);
    let one = Server::plain(move |_| {
        let mut target = target.lock().unwrap();
        let target = target.get_or_insert_with(|| other.lock().unwrap().recv().unwrap());
        answer(302, &[("location", target)], "")
    })
    .await;
    let back = format!("http://{}/v2/app/manifests/1", one.host());
    let two = Server::plain(move |_| answer(302, &[("location", &back)], "")).await;
    other_sender.send(format!("http://{}/x", two.host())).unwrap();
    let (repository, tag) = name(&format!("{}/app:1", one.host()));
    let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
    assert_eq!(answer.outcome, Outcome::Invalid(Invalid::Redirect(RedirectFault::Circle(one.host()))));
    assert_eq!((one.seen().len(), two.seen().len()), (1, 1));
}

#[tokio::test]
async fn https_never_leads_to_plain_http() {
    let storage = Server::plain(|_| answer(200, &[], "")).await;
    let location = format!("http://{}/", storage.host());
    let ca = Ca::new();
    let server = Server::tls(ca.acceptor(&["127.0.0.1"]), move |_| answer(302, &[("location", &location)], "")).await;
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let client = client_of(&server.host(), trusting(&ca), Credentials::Anonymous);
    let answer = client.manifest(&repository, &tag).await;
    assert_eq!(answer.outcome, Outcome::Invalid(Invalid::Redirect(RedirectFault::PlainHttp(storage.host()))));
    assert_eq!(storage.connections(), 0);
}

/// A registry on loopback, and one whose name is not loopback's, whose requests go through a proxy.
#[tokio::test]
async fn redirects_do_not_reach_metadata_addresses() {
    let ca = Ca::new();
    let proxy = proxy(ProxyKind::Http, None);
    for (location, is_allowed_from_loopback) in [
        ("https://169.254.169.254/latest/meta-data/", false),
        ("https://[fe80::1]/", false),
        ("https://[::ffff:169.254.169.254]/", false),
        ("https://[fd00:ec2::254]/", false),
        ("https://100.100.100.200/", false),
        ("https://127.0.0.1:1/", true),
        ("https://0.0.0.0:1/", true),
        ("https://localhost:1/", true),
    ] {
        let of_name = Server::tls(ca.acceptor(&["registry.example.com", "127.0.0.1"]), move |_| {
            answer(302, &[("location", location)], "")
        })
        .await;
        let registry = of_name.at("registry.example.com");
        let settings = Settings {
            hosts: [(registry.clone(), trusting(&ca)), (of_name.host(), trusting(&ca))].into(),
            // Redirects are not for the proxy, so that addresses are checked where a name is resolved.
            proxies: [("HTTPS_PROXY", &*proxy.url("")), ("NO_PROXY", "0.0.0.0/0,::/0")].into(),
            ..settings()
        };
        let client = Client::new(settings, Credentials::Anonymous).unwrap();
        for (host, is_allowed) in [(&registry, false), (&of_name.host(), is_allowed_from_loopback)] {
            let (repository, tag) = name(&format!("{host}/app:1"));
            let answer = client.manifest(&repository, &tag).await;
            let is_refused = matches!(answer.outcome, Outcome::Unreachable(Unreachable::NotAllowed { .. }));
            assert_eq!(is_refused, !is_allowed, "{host} to {location}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_proxy_is_not_asked_for_metadata() {
    let ca = Ca::new();
    let proxy = proxy(ProxyKind::Http, None);
    for location in ["https://169.254.169.254/", "https://metadata.google.internal/computeMetadata/v1/"] {
        let server =
            Server::tls(ca.acceptor(&["registry.example.com"]), move |_| answer(302, &[("location", location)], ""))
                .await;
        let registry = server.at("registry.example.com");
        let settings = Settings {
            hosts: [(registry.clone(), trusting(&ca))].into(),
            proxies: [("HTTPS_PROXY", &*proxy.url(""))].into(),
            ..settings()
        };
        let before = proxy.tunnels();
        let (repository, tag) = name(&format!("{registry}/app:1"));
        let answer = Client::new(settings, Credentials::Anonymous).unwrap().manifest(&repository, &tag).await;
        assert!(matches!(answer.outcome, Outcome::Unreachable(Unreachable::NotAllowed { .. })), "{answer:?}");
        assert_eq!(proxy.tunnels() - before, 1);
    }
}

#[tokio::test]
async fn an_image_at_a_metadata_address_is_not_asked_for() {
    for host in ["169.254.169.254", "[fe80::1]:5000"] {
        let (repository, tag) = name(&format!("{host}/app:1"));
        let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
        assert!(matches!(answer.outcome, Outcome::Unreachable(Unreachable::NotAllowed { .. })), "{answer:?}");
    }
}

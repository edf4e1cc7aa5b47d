//! What is reported of images that are not fetched.

use super::server::{Server, answer, error};
use super::store::Store;
use super::{PREFIX, Scene};

fn store() -> (Store, String) {
    let mut store = Store::default();
    let digest = store.index("app", "1", &["base"]);
    (store, digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_upstream_lacks_is_reported() {
    let (mut store, _) = store();
    let scene = Scene::of("distribution", &store).await;
    let ran = scene.warm(&["app:2", "app:1"], &[]).await;
    assert_eq!(ran.code, Some(1));
    let absent = ran.entries.iter().find(|entry| entry["status"] == "absent").unwrap();
    let fault = &absent["faults"][0];
    assert_eq!((&fault["part"], &fault["causes"][0]["cause"]), (&"tag 2".into(), &"absent".into()));
    assert_eq!(fault["causes"].as_array().map(Vec::len), Some(1));
    assert_eq!((&fault["answer"], &fault["upstream_answer"]), (&"404".into(), &"404".into()));
    assert!(ran.entries.iter().any(|entry| entry["status"] == "fetched"), "{ran:?}");
    assert!(ran.stderr.contains("fetched 1 of 2 images: ") && ran.stderr.contains("1 image absent"), "{}", ran.stderr);
    let dry = scene.warm(&["app:2"], &["--dry-run"]).await;
    assert_eq!((dry.code, dry.status()), (Some(1), "absent"));

    // A layer and a child that are gone.
    let layer = store.paths("").into_iter().find(|path| store.named(path).ends_with("base of arm64")).unwrap();
    store.remove(&layer);
    let scene = Scene::of("distribution", &store).await;
    let ran = scene.warm(&["app:1"], &["--resume", "resume"]).await;
    assert_eq!((ran.code, ran.status()), (Some(1), "absent"));
    assert!(ran.fault().starts_with(&format!("blob {}: ", layer.rsplit('/').next().unwrap())), "{}", ran.fault());
    // An image with faults is not recorded as done.
    let ran = scene.warm(&["app:1"], &["--resume", "resume"]).await;
    assert_eq!((ran.code, ran.status()), (Some(1), "absent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_cache_lacks_has_other_causes() {
    let (store, _) = store();
    let upstream = Server::plain(move |seen| store.answer("", seen)).await;
    let cache = Server::plain(|_| error(404, "NAME_UNKNOWN", "no such project")).await;
    let scene = Scene::new("harbor", upstream, cache).await;
    let ran = scene.warm(&["app:1"], &[]).await;
    assert_eq!((ran.code, ran.status()), (Some(1), "missing"));
    assert_eq!(ran.fault(), "tag 1: path, upstream_login, upstream_failure, upstream_limit; 404; 200");
    // An image that names the cache has no known upstream.
    let list = format!("{}/up/app:1\n", scene.cache.host());
    let command = || {
        let mut command = scene.command(&[], &[]);
        std::fs::write(scene.folder.path().join("images.txt"), &list).unwrap();
        command.env("NO_COLOR", "1");
        command
    };
    let output = command().output().await.unwrap();
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &line["status"]), (Some(1), &"unknown".into()));
    let output = command().arg("--dry-run").output().await.unwrap();
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(line["faults"][0]["causes"][0]["text"].as_str().unwrap().contains("its upstream is not known"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_failures_have_their_cause_and_fix() {
    let (store, _) = store();
    let digest = "sha256:".to_owned() + &"0".repeat(64);
    for (status, body, expected, fault) in [
        (
            401,
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}"#,
            "denied",
            "no_credentials; 401, the registry denied the request, UNAUTHORIZED: log in, without credentials; not asked",
        ),
        (
            403,
            r#"{"errors":[{"code":"DENIED","message":"no right"}]}"#,
            "denied",
            "rights, no_credentials; 403, the registry denied the request, DENIED: no right, without credentials; not asked",
        ),
        (
            500,
            "oops",
            "unknown",
            "not_a_registry, cache_failure, upstream_login, upstream_limit, upstream_failure; 500, a page: oops; not asked",
        ),
        (200, "{}", "unknown", "damaged; the content has the digest"),
    ] {
        let of_upstream = store.clone();
        let upstream = Server::plain(move |seen| of_upstream.answer("", seen)).await;
        let cache = Server::plain(move |_| answer(status, &[("content-type", "application/json")], body)).await;
        let scene = Scene::new("generic", upstream, cache).await;
        let ran = scene.warm(&[&format!("app@{digest}")], &[]).await;
        assert_eq!((ran.code, ran.status()), (Some(1), expected), "{status}");
        let found = ran.fault();
        assert!(found.starts_with(&format!("manifest {digest}: {fault}")), "{status}: {found}");
        assert_eq!(scene.cache.lines().len(), if status == 500 { 3 } else { 1 }, "{status}");
    }
}

/// A cache that is down is not asked for each of many images.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_cache_ends_the_run() {
    let (store, _) = store();
    let scene = Scene::of("generic", &store).await;
    // A port that is bound refuses connections, and no other test gets it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let host = socket.local_addr().unwrap().to_string();
    let rules = scene.folder.path().join("rules.yaml");
    let text = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, text.replace(&scene.cache.host(), &host)).unwrap();
    let images: Vec<String> = (0..20).map(|number| format!("app{number}:1")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let ran = scene.warm(&images, &["--concurrency", "1"]).await;
    let count = |status: &str| ran.entries.iter().filter(|entry| entry["status"] == status).count();
    assert_eq!((ran.code, count("unreachable"), count("stopped")), (Some(1), 5, 15), "{ran:?}");
    let stopped = ran.entries.iter().find(|entry| entry["status"] == "stopped").unwrap();
    assert_eq!(stopped["faults"][0]["causes"][0]["text"], format!("{host} was unreachable 5 times in a row"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_platform_is_reported_and_the_others_are_fetched() {
    let (store, _) = store();
    let scene = Scene::of("distribution", &store).await;
    let ran = scene.warm(&["app:1"], &["--platform", "linux/amd64", "--platform", "linux/s390x"]).await;
    assert_eq!((ran.code, ran.status()), (Some(1), "platform_missing"));
    assert!(ran.fault().starts_with("platform linux/s390x: platform_absent; "), "{}", ran.fault());
    assert!(scene.requests(&store).contains(&"GET app/blobs/base of amd64".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_read_and_observed_rules_count() {
    let (store, _) = store();
    let scene = Scene::of("distribution", &store).await;
    let path = |name: &str| scene.folder.path().join(name);
    let pod = |image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: a, image: '{image}'}}]}}\n"
        )
    };
    std::fs::write(path("pod.yaml"), pod(&format!("{}/app:1", scene.upstream.host()))).unwrap();
    std::fs::write(path("other.yaml"), pod("example.com/app:1")).unwrap();
    let rules = std::fs::read_to_string(path("rules.yaml")).unwrap();
    std::fs::write(path("rules.yaml"), rules.replace("/up'}", "/up', mode: observe}")).unwrap();
    let run = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args(["warm", "--rules", "rules.yaml", "--anonymous"]).args(arguments);
        let output = command.current_dir(scene.folder.path()).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, stdout, _) = run(&["pod.yaml", "other.yaml"]).await;
    assert_eq!(code, Some(0), "{stdout}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("STATUS ") && lines[1].starts_with("fetched "), "{stdout}");
    assert!(lines[1].ends_with(&format!("{}/app:1", scene.upstream.host())), "{stdout}");
    let (code, stdout, stderr) = run(&["other.yaml"]).await;
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
    assert!(stderr.contains("nothing to fetch: the rules rewrite none of the images"), "{stderr}");
    let (code, _, stderr) = run(&["pod.yaml", "absent.yaml"]).await;
    assert_eq!(code, Some(2), "{stderr}");
    assert!(scene.cache.lines().iter().any(|line| line.contains(&format!("/v2/{PREFIX}"))));
}

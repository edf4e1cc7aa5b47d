//! Which requests are sent, and in which order.

use super::store::Store;
use super::{PREFIX, Scene};

const ONE: &[&str] = &["--concurrency", "1"];
const PLATFORM: &[&str] = &["--concurrency", "1", "--platform", "linux/arm64"];

fn blobs(of: &[&str]) -> Vec<String> {
    let one = |platform: &&str| {
        let layer = if *platform == "unknown" { "attestation" } else { "base" };
        [format!("GET appblobs/config of {platform}"), format!("GET appblobs/{layer} of {platform}")]
    };
    of.iter().flat_map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_product_is_asked_in_its_order() {
    let mut store = Store::default();
    let digest = store.index("app", "1", &["base"]);
    let by_digest = format!("app@{digest}");
    let both = format!("app:1@{digest}");
    let all = ["amd64", "arm64", "unknown"];
    for (product, image, arguments, manifests, of_blobs) in [
        ("generic", "app:1", ONE, "HEAD 1, GET index, GET amd64, GET arm64, GET unknown", &all[..]),
        ("distribution", "app:1", PLATFORM, "HEAD 1, GET index, GET arm64", &["arm64"]),
        ("distribution", &by_digest, PLATFORM, "GET index, GET arm64", &["arm64"]),
        ("harbor", "app:1", PLATFORM, "HEAD 1, GET index, GET amd64, GET arm64, GET unknown", &[]),
        ("zot", "app:1", PLATFORM, "GET 1", &[]),
        ("ecr", "app:1", PLATFORM, "GET 1, GET index, GET arm64", &["arm64"]),
        ("ecr", &both, PLATFORM, "GET 1, GET index, GET arm64", &["arm64"]),
        ("acr", &both, PLATFORM, "GET index, GET arm64", &["arm64"]),
    ] {
        let scene = Scene::of(product, &store).await;
        let ran = scene.warm(&[image], arguments).await;
        assert_eq!(ran.code, Some(0), "{product}: {ran:?}");
        let manifests = manifests.split(", ").map(|line| line.replacen(' ', " app/", 1));
        let mut blobs = blobs(of_blobs);
        if product == "distribution" {
            blobs = blobs.into_iter().flat_map(|line| [line.clone(), line.replace("GET", "HEAD")]).collect();
        }
        let expected: Vec<String> =
            manifests.chain(blobs.into_iter().map(|line| line.replace("appblobs", "app/blobs"))).collect();
        assert_eq!(scene.requests(&store), expected, "{product} {image}");
        assert_eq!(ran.sum("requests"), expected.len() as u64, "{product} {image}");
        assert!(ran.stderr.contains(&format!("({product}) is asked for 1 image: ")), "{}", ran.stderr);
        assert!(scene.upstream.lines().is_empty(), "{product}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_what_is_then_sent() {
    let mut store = Store::default();
    store.index("app", "1", &["base", "more"]);
    store.index("other", "1", &["base"]);
    let images = ["app:1", "app:1", "other:1"];
    for (product, arguments) in [
        ("generic", &[][..]),
        ("distribution", &["--platform", "linux/amd64"]),
        ("harbor", &["--platform", "linux/amd64"]),
        ("zot", &[]),
        ("ecr", &["--platform", "linux/amd64"]),
    ] {
        let scene = Scene::of(product, &store).await;
        let dry = scene.warm(&images, &[arguments, &["--dry-run", "--resume", "resume"]].concat()).await;
        assert!(scene.cache.lines().is_empty() && !scene.folder.path().join("resume").exists(), "{product}");
        assert!(dry.entries.iter().all(|entry| entry["status"] == "would_fetch"), "{dry:?}");
        assert_eq!(dry.entries.len(), 2);
        assert!(!scene.upstream.lines().iter().any(|line| line.contains("/blobs/")), "{product}");
        let real = scene.warm(&images, arguments).await;
        assert_eq!((dry.code, real.code), (Some(0), Some(0)));
        for key in ["requests", "bytes"] {
            assert_eq!(dry.sum(key), real.sum(key), "{product} {key}");
        }
        assert_eq!(real.sum("requests"), scene.cache.lines().len() as u64, "{product}");
        if product == "generic" {
            assert_eq!(real.sum("bytes"), store.bytes() as u64);
        }
    }
}

/// Content that two tags of a repository share is fetched once; other repositories of the cache have to get it themselves.
#[tokio::test(flavor = "multi_thread")]
async fn shared_content_is_fetched_once() {
    let mut store = Store::default();
    store.index("app", "1", &["base", "one"]);
    store.index("app", "2", &["base", "two"]);
    store.index("other", "1", &["base"]);
    let scene = Scene::of("distribution", &store).await;
    let ran = scene.warm(&["app:1", "app:2", "other:1"], &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut sent: Vec<String> = scene.cache.lines();
    sent.retain(|line| line.starts_with("GET"));
    sent.sort();
    let mut expected: Vec<String> = store.paths(PREFIX).iter().map(|path| format!("GET {path}")).collect();
    expected.sort();
    assert_eq!(sent, expected);
    assert!(ran.stderr.contains("fetched before"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_fetched_on_request() {
    let mut store = Store::default();
    let digest = store.index("app", "1", &["base"]);
    store.signature("app", &digest);
    let scene = Scene::of("zot", &store).await;
    let ran = scene.warm(&["app:1"], &["--referrers", "--concurrency", "1"]).await;
    assert_eq!((ran.code, ran.status()), (Some(0), "fetched"), "{ran:?}");
    let tag = digest.replace(':', "-");
    let expected = [
        "GET app/1".to_owned(),
        format!("GET app/referrers/{digest}"),
        format!("HEAD app/{tag}.sig"),
        format!("HEAD app/{tag}.att"),
        format!("HEAD app/{tag}.sbom"),
        format!("HEAD app/{tag}"),
        "GET app/unknown".to_owned(),
    ];
    let sent: Vec<String> = scene.requests(&store);
    let sent: Vec<String> =
        sent.iter().map(|line| line.replace("referrers/index", &format!("referrers/{digest}"))).collect();
    assert_eq!(sent, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn referrers_are_fetched_on_request() {
    let mut store = Store::default();
    let digest = store.index("app", "1", &["base"]);
    store.referrer("app", &digest);
    for (product, signature) in [
        ("harbor", &["GET app/unknown"][..]),
        ("generic", &["GET app/unknown", "GET app/blobs/config of unknown", "GET app/blobs/signature of unknown"]),
    ] {
        let scene = Scene::of(product, &store).await;
        let ran = scene.warm(&["app:1"], ONE).await;
        assert_eq!((ran.code, ran.status()), (Some(0), "fetched"), "{ran:?}");
        let without = scene.requests(&store);
        assert!(!without.iter().any(|line| line.contains("referrers") || line.contains("signature")), "{without:?}");
        let ran = scene.warm(&["app:1"], &[ONE, &["--referrers"]].concat()).await;
        assert_eq!((ran.code, ran.status()), (Some(0), "fetched"), "{ran:?}");
        let with = scene.requests(&store).split_off(without.len());
        assert!(with.contains(&"GET app/referrers/index".to_owned()), "{product}: {with:?}");
        for line in signature {
            assert!(with.iter().filter(|one| one == line).count() > 0, "{product} {line}: {with:?}");
        }
        assert!(with.len() > without.len() + signature.len(), "{product}: {with:?}");
    }
}

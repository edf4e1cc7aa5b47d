//! Stand-ins that fill as the sources of each product say. After a run they hold whole images, though `warm` was asked for one
//! platform or the product has an order of its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::server::{Server, error};
use super::store::Store;
use super::{PREFIX, Scene};

const PLATFORM: &[&str] = &["--platform", "linux/arm64"];

/// What makes a product hold content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    /// A request for it.
    Request,
    /// A request for a manifest, for all of the image, before the answer.
    Image,
    /// GET of the tag, for all of the image. Other content is not served before.
    Tag,
    /// GET of a manifest, for it and its blobs. An index is stored without the children that were not requested after it.
    Harbor,
}

type Held = Arc<Mutex<BTreeSet<String>>>;

async fn scene(product: &str, fill: Fill, store: &Store) -> (Scene, Held) {
    let (held, of_cache, of_upstream) = (Held::default(), store.clone(), store.clone());
    let of_server = Arc::clone(&held);
    let cache = Server::plain(move |seen| {
        let path = seen.path.replacen(&format!("/v2/{PREFIX}"), "/v2/", 1);
        let mut held = of_server.lock().unwrap();
        let Some(found) = of_cache.by_digest(&path) else { return of_cache.answer(PREFIX, seen) };
        let is_get = seen.method == "GET";
        let repository = path.split("/manifests/").next().unwrap_or_default();
        let all = of_cache.paths("").into_iter().filter(|one| one.starts_with(&format!("{repository}/")));
        match fill {
            Fill::Request if is_get => drop(held.insert(found)),
            Fill::Image if path.contains("/manifests/") && !held.contains(&found) => {
                std::thread::sleep(Duration::from_millis(1500));
                held.extend(all);
            }
            Fill::Tag if is_get && found != path => held.extend(all),
            Fill::Tag if !held.contains(&found) => return error(404, "MANIFEST_UNKNOWN", "Requested image not found"),
            Fill::Harbor if is_get && path.contains("/manifests/") => {
                // The index is pushed later, with the children that are there.
                let parts = of_cache.parts(&found);
                if parts.iter().any(|part| part.contains("/manifests/")) {
                    held.retain(|one| !parts.contains(one));
                } else {
                    held.extend(parts);
                }
                held.insert(found);
            }
            Fill::Request | Fill::Image | Fill::Tag | Fill::Harbor => {}
        }
        of_cache.answer(PREFIX, seen)
    })
    .await;
    let upstream = Server::plain(move |seen| of_upstream.answer("", seen)).await;
    (Scene::new(product, upstream, cache).await, held)
}

fn store() -> (Store, String) {
    let mut store = Store::default();
    let digest = store.index("app", "1", &["base", "own"]);
    (store, digest)
}

#[track_caller]
fn holds_all(held: &Held, store: &Store) {
    let all: BTreeSet<String> = store.paths("").into_iter().collect();
    let held = held.lock().unwrap();
    let missing: Vec<String> = all.difference(&held).map(|path| store.named(path)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Harbor pushes an index some time after it was requested, with the children that it holds then.
/// Source: <https://github.com/goharbor/harbor/blob/main/src/controller/proxy/manifestcache.go>
#[tokio::test(flavor = "multi_thread")]
async fn harbor_gets_every_child_of_an_index_attestations_too() {
    let (store, digest) = store();
    for image in ["app:1", &format!("app@{digest}")] {
        let (scene, held) = scene("harbor", Fill::Harbor, &store).await;
        let ran = scene.warm(&[image], PLATFORM).await;
        assert_eq!((ran.code, ran.status()), (Some(0), "fetched"), "{ran:?}");
        assert!(scene.cache.lines().iter().all(|line| !line.contains("/blobs/")), "Harbor fetches them itself");
        holds_all(&held, &store);
    }
}

/// As above. What was requested before the index does not count, if its window has ended meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn harbor_gets_every_child_again_after_an_interruption() {
    let (store, _) = store();
    let (scene, held) = scene("harbor", Fill::Harbor, &store).await;
    let resume: &[&str] = &["--resume", "resume"];
    let ran = scene.warm(&["app:1"], &[resume, &["--max-requests", "4"]].concat()).await;
    assert_eq!((ran.code, ran.status()), (Some(1), "stopped"), "{ran:?}");
    let ran = scene.warm(&["app:1"], resume).await;
    assert_eq!((ran.code, ran.sum("requests")), (Some(0), 5), "the tag, the index and its children: {ran:?}");
    holds_all(&held, &store);
    let ran = scene.warm(&["app:1"], resume).await;
    assert_eq!((ran.code, ran.sum("requests")), (Some(0), 1), "{ran:?}");
}

/// zot imports an image before it answers, with every platform, and a client waits.
/// Source: <https://github.com/project-zot/zot/issues/4184>
#[tokio::test(flavor = "multi_thread")]
async fn zot_imports_all_of_an_image_by_one_slow_request() {
    let (store, digest) = store();
    for image in ["app:1", &format!("app@{digest}")] {
        let (scene, held) = scene("zot", Fill::Image, &store).await;
        let ran = scene.warm(&[image], PLATFORM).await;
        assert_eq!((ran.code, ran.status(), ran.sum("requests")), (Some(0), "fetched", 1), "{ran:?}");
        holds_all(&held, &store);
    }
    let (scene, _) = scene("zot", Fill::Image, &store).await;
    let ran = scene.warm(&["app:1"], &["--timeout", "1s"]).await;
    assert_eq!((ran.code, ran.status()), (Some(1), "unreachable"), "{ran:?}");
    assert!(ran.fault().starts_with("tag 1: timeout; "), "{}", ran.fault());
}

/// A first pull from ECR by digest can fail, and one by tag imports the image.
/// Source: <https://github.com/aws/containers-roadmap/issues/2837>
#[tokio::test(flavor = "multi_thread")]
async fn ecr_is_asked_for_the_tag_before_its_digest() {
    let (store, digest) = store();
    for image in ["app:1", &format!("app:1@{digest}")] {
        let (scene, held) = scene("ecr", Fill::Tag, &store).await;
        let ran = scene.warm(&[image], PLATFORM).await;
        assert_eq!((ran.code, ran.status()), (Some(0), "fetched"), "{ran:?}");
        assert_eq!(scene.cache.lines()[..2], ["1", &digest].map(|name| format!("GET /v2/up/app/manifests/{name}")));
        holds_all(&held, &store);
    }
    // Without a tag, it can't be imported, and the report says so.
    let (scene, _) = scene("ecr", Fill::Tag, &store).await;
    let ran = scene.warm(&[&format!("app@{digest}")], PLATFORM).await;
    assert_eq!((ran.code, ran.status()), (Some(1), "missing"), "{ran:?}");
    assert!(ran.fault().starts_with(&format!("manifest {digest}: not_cached, ")), "{}", ran.fault());
}

/// No source says that these fetch a blob before it is requested, so each is requested.
/// Sources: <https://learn.microsoft.com/azure/container-registry/tutorial-registry-cache> (a complete pull),
/// <https://cloud.google.com/artifact-registry/docs/repositories/remote-overview>,
/// <https://help.sonatype.com/en/proxy-repository-for-docker.html>, and of Artifactory
/// <https://jfrog.com/help/r/artifactory-analysis-of-artifactory-resolution-behavior-based-on-upstream-availability-states>
#[tokio::test(flavor = "multi_thread")]
async fn caches_with_lazy_blobs_are_asked_for_each_of_them() {
    let (store, digest) = store();
    for product in ["acr", "artifact-registry", "nexus", "artifactory", "generic"] {
        for image in ["app:1", &format!("app@{digest}")] {
            let (scene, held) = scene(product, Fill::Request, &store).await;
            let ran = scene.warm(&[image], &[]).await;
            assert_eq!((ran.code, ran.status()), (Some(0), "fetched"), "{product}: {ran:?}");
            holds_all(&held, &store);
        }
    }
}

/// distribution stores a blob after it was served, and only for one of the repositories that are asked for it at once.
/// Source: <https://github.com/distribution/distribution/blob/main/registry/proxy/proxyblobstore.go>
#[tokio::test(flavor = "multi_thread")]
async fn distribution_is_asked_until_it_has_stored_each_blob() {
    let (store, _) = store();
    // It stores nothing.
    let (of_cache, of_upstream) = (store.clone(), store.clone());
    let cache = Server::plain(move |seen| of_cache.answer(PREFIX, seen)).await;
    let upstream = Server::plain(move |seen| of_upstream.answer("", seen)).await;
    let scene = Scene::new("distribution", upstream, cache).await;
    let ran = scene.warm(&["app:1"], &["--platform", "linux/amd64", "--resume", "resume", "--concurrency", "1"]).await;
    assert_eq!((ran.code, ran.status()), (Some(1), "not_stored"), "{ran:?}");
    let faults = ran.entry()["faults"].as_array().unwrap();
    assert!(faults.len() == 3 && faults.iter().all(|fault| fault["causes"][0]["cause"] == "not_stored"), "{ran:?}");
    // The first blob was waited for, and the others were not.
    let heads = scene.cache.lines().iter().filter(|line| line.starts_with("HEAD /v2/up/app/blobs/")).count();
    assert_eq!(heads, 10 + 1 + 1);
    // Nothing was recorded.
    let resume = std::fs::read_to_string(scene.folder.path().join("resume")).unwrap();
    assert!(!resume.contains(r#""content":"blob""#), "{resume}");

    let scene = Scene::of("distribution", &store).await;
    let ran = scene.warm(&["app:1"], &[]).await;
    assert_eq!((ran.code, ran.status()), (Some(0), "fetched"), "{ran:?}");
    // What it has stored is not asked for twice.
    let before = scene.cache.lines().len();
    let ran = scene.warm(&["app:1"], &[]).await;
    assert_eq!((ran.code, ran.status()), (Some(0), "fetched"), "{ran:?}");
    assert!(scene.cache.lines()[before..].iter().all(|line| !line.starts_with("HEAD /v2/up/app/blobs/")));
}

//! A stand-in for Harbor with a proxy cache project whose upstream is healthy (src/server).

use serde_json::json;

use super::*;

const API: &str = "/api/v2.0/projects/hub";
/// Basic, of `robot$drill:not-shown`.
const LOGIN: &str = "Basic cm9ib3QkZHJpbGw6bm90LXNob3du";

/// Answers as Harbor does. `None` if it would ask its upstream.
pub fn answer(cache: &Cache, seen: &Seen) -> Option<Answer> {
    let Cache { image, tags, listed, pulled, .. } = cache;
    let path = seen.path.split('?').next().unwrap();
    if path.starts_with("/api/") {
        // The API sends no challenge.
        if seen.authorization.as_deref() != Some(LOGIN) {
            return Some(error(401, "UNAUTHORIZED", "unauthorized"));
        }
        if path == API {
            let retention = pulled.as_ref().map(|_| "7");
            return Some(super::answer(
                200,
                &[],
                json!({"metadata": {"public": "false", "retention_id": retention}}).to_string(),
            ));
        }
        let reference = after(path, "/repositories/library%252Fapp/artifacts/");
        let digest = reference.and_then(|reference| Digest::parse(reference).or_else(|| tags.get(reference).cloned()));
        let Some(digest) = digest.filter(|digest| listed.contains(digest)) else {
            return Some(error(404, "NOT_FOUND", "artifact not found"));
        };
        let pulled = pulled.as_deref().unwrap_or("0001-01-01T00:00:00.000Z");
        let artifact = json!({"digest": digest.as_str(), "push_time": "2020-01-01T00:00:00.000Z", "pull_time": pulled, "references": null});
        return Some(super::answer(200, &[], artifact.to_string()));
    }
    if seen.authorization.is_none() {
        let challenge = "Basic realm=\"harbor\"";
        return Some(super::answer(401, &[("www-authenticate", challenge)], r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#));
    }
    if let Some(digest) = after(path, "/manifests/") {
        // `UseLocalManifest`: local only by the digest of an artifact in the database.
        let digest = Digest::parse(digest).filter(|digest| listed.contains(digest))?;
        let Some(body) = image.manifests.get(&digest) else {
            return Some(error(404, "MANIFEST_UNKNOWN", "manifest unknown"));
        };
        return Some(content(seen, if digest == image.index { INDEX } else { MANIFEST }, body));
    }
    let digest = Digest::parse(after(path, "/blobs/")?)?;
    match image.blobs.get(&digest) {
        Some(body) => Some(content(seen, "application/octet-stream", body)),
        // src/server/registry/route.go: HEAD has no proxy middleware, and GET has one.
        None if seen.method == Method::HEAD => Some(error(404, "NOT_FOUND", "blob not found")),
        None => None,
    }
}

#[tokio::test]
async fn an_image_of_which_harbor_holds_every_part_is_safe_without_its_upstream() {
    let cache = Cache::new();
    let index = cache.image.index.clone();
    let stand = Stand::start("harbor", cache).await;
    for image in ["app:1".to_owned(), format!("app@{index}"), format!("app:other@{index}")] {
        for platforms in [&AMD64[..], &[]] {
            let said = stand.drill(&format!("hub/library/{image}"), platforms).await;
            let (verdict, evidence) = stand.verdict(&said);
            assert!(verdict == "yes" && evidence.contains("has every part of it"), "{image}: {evidence}");
            assert!(said.stderr.contains("each manifest that is read counts as a pull"), "{said:?}");
        }
    }
    // The slash of a repository's name is encoded twice.
    let lines = stand.server.lines();
    assert!(lines.contains(&format!("GET {API}/repositories/library%252Fapp/artifacts/1")), "{lines:?}");
}

#[tokio::test]
async fn an_image_is_not_safe_without_a_part_in_harbor() {
    table(
        "harbor",
        vec![
            ("tag", |cache| cache.tags.clear(), "no", "tag 1: not in Harbor's database"),
            (
                "index",
                |cache| assert!(cache.listed.remove(&cache.image.index)),
                "no",
                "tag 1: not in Harbor's database",
            ),
            // `updateManifestList`, src/controller/proxy/manifestcache.go: an index can be without some children.
            (
                "child",
                |cache| assert!(cache.listed.remove(&cache.image.amd64[0])),
                "no",
                "linux/amd64 manifest sha256:",
            ),
            (
                "configuration",
                |cache| drop(cache.image.blobs.remove(&cache.image.amd64[1].clone())),
                "no",
                "configuration sha256:",
            ),
            ("layer", |cache| drop(cache.image.blobs.remove(&cache.image.amd64[2].clone())), "no", "layer sha256:"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_image_of_which_harbor_says_too_little_is_unknown() {
    table(
        "harbor",
        vec![
            (
                "no right",
                |cache| {
                    cache.instead.push((
                        "/artifacts/",
                        403,
                        "application/json",
                        r#"{"errors":[{"code":"FORBIDDEN","message":"forbidden"}]}"#.to_owned(),
                    ))
                },
                "unknown",
                "the answer is 403",
            ),
            (
                "page of a proxy",
                |cache| cache.instead.push(("/artifacts/", 404, "text/html", "<html>".to_owned())),
                "unknown",
                "the answer is 404, a page: <html>",
            ),
            (
                "HTML as artifact",
                |cache| cache.instead.push(("/artifacts/", 200, "text/html", "<html>".to_owned())),
                "unknown",
                "not a document of the product's API",
            ),
            (
                "hostile artifact",
                |cache| cache.instead.push(("/artifacts/", 200, "application/json", "x".repeat(5 << 20))),
                "unknown",
                "the body has more than 4194304 bytes",
            ),
            (
                "unusable digest",
                |cache| {
                    cache.instead.push(("/artifacts/", 200, "application/json", r#"{"digest":"md5:1"}"#.to_owned()))
                },
                "unknown",
                "no usable digest",
            ),
            // src/server/middleware/vulnerable: a policy of the project prevents the pull.
            (
                "pull prevented",
                |cache| {
                    cache.instead.push((
                        "/manifests/",
                        412,
                        "application/json",
                        r#"{"errors":[{"code":"PROJECTPOLICYVIOLATION","message":"1 vulnerability"}]}"#.to_owned(),
                    ))
                },
                "unknown",
                "412, PROJECTPOLICYVIOLATION: 1 vulnerability",
            ),
            (
                "storage lost it",
                |cache| drop(cache.image.manifests.remove(&cache.image.index.clone())),
                "unknown",
                "404, MANIFEST_UNKNOWN",
            ),
            (
                "damaged manifest",
                |cache| drop(cache.image.manifests.insert(cache.image.index.clone(), "{}".to_owned())),
                "unknown",
                "was promised",
            ),
        ],
    )
    .await;
}

/// src/server/v2.0/handler/project.go: a new proxy cache removes images 7 days after their last pull.
#[tokio::test]
async fn what_the_retention_policy_removes_during_the_outage_is_not_safe() {
    for (pulled, expected) in [("2020-02-01T00:00:00.000Z", "unknown"), ("2100-01-01T00:00:00.000Z", "yes")] {
        let stand = Stand::start("harbor", Cache { pulled: Some(pulled.to_owned()), ..Cache::new() }).await;
        let said = stand.drill("hub/library/app:1", &AMD64).await;
        assert_eq!(stand.verdict(&said).0, expected, "{said:?}");
        assert!(said.stderr.contains("7 days after the last pull"), "{said:?}");
    }
    let mut cache = Cache::new();
    let stand = Stand::start("harbor", cache.clone()).await;
    let said = stand.drill("hub/library/app:1", &AMD64).await;
    assert!(!said.stderr.contains("retention"), "{said:?}");
    // Its settings are unreadable. The image was pushed in 2020.
    cache.instead.push(("/projects/hub", 403, "application/json", String::new()));
    let stand = Stand::start("harbor", cache).await;
    let said = stand.drill("hub/library/app:1", &AMD64).await;
    assert_eq!(stand.verdict(&said).0, "unknown", "{said:?}");
    assert!(said.stderr.contains("or its settings are unreadable"), "{said:?}");
}

/// `defaultLibrary`, src/server/middleware/repoproxy/proxy.go: for Docker Hub, Harbor redirects names without `library/`.
#[tokio::test]
async fn a_name_that_harbor_may_redirect_is_unknown() {
    let stand = Stand::start("harbor", Cache::new()).await;
    let said = stand.drill("hub/app:1", &AMD64).await;
    let (verdict, evidence) = stand.verdict(&said);
    assert!(
        verdict == "unknown" && evidence.contains("Harbor serves hub/library/app instead"),
        "{verdict}: {evidence}"
    );
}

//! A stand-in for zot with on-demand sync (pkg/api/routes.go).

use serde_json::json;

use super::*;

/// Answers as zot does. `None` if it would ask its upstream.
pub fn answer(cache: &Cache, seen: &Seen) -> Option<Answer> {
    let Cache { image, tags, listed, is_searched, has_media_types, .. } = cache;
    let path = seen.path.split('?').next().unwrap();
    if path == "/v2/_zot/ext/search" {
        let query = percent_encoding::percent_decode_str(&seen.path).decode_utf8().unwrap().into_owned();
        let is_page = query.contains("ImageList(repo:\"hub/library/app\",requestedPage:{limit:500,offset:0,");
        let children: Vec<_> =
            image.manifests.keys().filter(|one| **one != image.index && listed.contains(*one)).collect();
        let children: Vec<_> = children.iter().map(|digest| json!({"Digest": digest.as_str()})).collect();
        let one = |(tag, digest): (&String, &Digest)| json!({"RepoName": "hub/library/app", "Tag": tag, "Digest": digest.as_str(), "Manifests": children});
        let results: Vec<_> = tags.iter().filter(|_| *is_searched && is_page).map(one).collect();
        return Some(super::answer(200, &[], json!({"data": {"ImageList": {"Results": results}}}).to_string()));
    }
    if !path.starts_with("/v2/hub/library/app/") {
        return Some(error(404, "NAME_UNKNOWN", "repository name not known to registry"));
    }
    if path.ends_with("/tags/list") {
        return Some(super::answer(
            200,
            &[],
            json!({"name": "a", "tags": tags.keys().collect::<Vec<_>>()}).to_string(),
        ));
    }
    let digest = Digest::parse(after(path, "/blobs/")?)?;
    let manifest = image.manifests.get(&digest);
    // The storage is an OCI image layout: manifests are blobs (`GetImageManifest`, pkg/storage/imagestore/imagestore.go).
    let Some(body) = image.blobs.get(&digest).or(manifest) else {
        return Some(error(404, "BLOB_UNKNOWN", "blob unknown to registry"));
    };
    // `resolveBlobResponseMediaType`; earlier releases repeat `Accept`.
    let kind = match manifest {
        Some(text) if *has_media_types && listed.contains(&digest) => {
            if text.contains("\"manifests\"") {
                INDEX
            } else {
                MANIFEST
            }
        }
        _ if *has_media_types => "application/octet-stream",
        _ => seen.headers["accept"].to_str().unwrap(),
    };
    Some(content(seen, kind, body))
}

/// By tag, by the digest of the index and by that of a child; with and without media types of blobs.
#[tokio::test]
async fn an_image_of_which_zot_holds_every_part_is_safe_without_a_request_for_its_manifest() {
    for has_media_types in [false, true] {
        let cache = Cache { has_media_types, ..Cache::new() };
        let Image { index, amd64, .. } = cache.image.clone();
        let stand = Stand::start("zot", cache).await;
        for image in ["app:1".to_owned(), format!("app@{index}"), format!("app@{}", amd64[0])] {
            for platforms in [&AMD64[..], &[]] {
                let said = stand.drill(&format!("hub/library/{image}"), platforms).await;
                let (verdict, evidence) = stand.verdict(&said);
                assert!(verdict == "yes" && evidence.contains("has every part of it"), "{image}: {evidence}");
                assert!(
                    said.stderr.contains("(zot) is asked for what it holds: its upstream is not asked"),
                    "{said:?}"
                );
            }
        }
        let lines = stand.server.lines();
        assert!(!lines.iter().any(|line| line.contains("/manifests/") || line.starts_with("POST")), "{lines:?}");
    }
}

#[tokio::test]
async fn an_image_is_not_safe_without_a_part_in_zot() {
    table(
        "zot",
        vec![
            ("tag", |cache| cache.tags.clear(), "no", "tag 1: `tags/list` does not have it"),
            (
                "repository",
                |cache| {
                    cache.instead.push((
                        "/tags/list",
                        404,
                        "application/json",
                        r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#.to_owned(),
                    ))
                },
                "no",
                "tag 1: `tags/list` does not have it",
            ),
            ("index", |cache| drop(cache.image.manifests.remove(&cache.image.index.clone())), "no", "manifest sha256:"),
            (
                "child",
                |cache| drop(cache.image.manifests.remove(&cache.image.amd64[0].clone())),
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
            (
                "truncated layer",
                |cache| drop(cache.image.blobs.insert(cache.image.amd64[2].clone(), "x".to_owned())),
                "unknown",
                "was promised",
            ),
        ],
    )
    .await;
}

/// What zot's answers do not prove.
#[tokio::test]
async fn an_image_of_which_zot_says_too_little_is_unknown() {
    table(
        "zot",
        vec![
            // pkg/extensions/extension_search.go: no route without `extensions.search`.
            (
                "search disabled",
                |cache| cache.instead.push(("/search", 404, "text/plain", "404 page not found".to_owned())),
                "unknown",
                "the search of zot is disabled; enable `extensions.search`",
            ),
            // `RepoIsUserAvailable`, pkg/extensions/search/resolver.go: an empty answer, without an error.
            ("no right to search", |cache| cache.is_searched = false, "unknown", "the search does not have its digest"),
            (
                "error of the search",
                |cache| {
                    cache.instead.push((
                        "/search",
                        200,
                        "application/json",
                        r#"{"errors":[{"message":"repo metadata not found"}],"data":null}"#.to_owned(),
                    ))
                },
                "unknown",
                "the search failed: repo metadata not found",
            ),
            (
                "search denied",
                |cache| cache.instead.push(("/search", 403, "application/json", String::new())),
                "unknown",
                "the search failed: the answer is 403",
            ),
            (
                "page of a proxy",
                |cache| cache.instead.push(("/tags/list", 404, "text/html", "<html>".to_owned())),
                "unknown",
                "the answer is 404, a page: <html>",
            ),
            (
                "blob denied",
                |cache| cache.instead.push(("/blobs/", 401, "application/json", String::new())),
                "unknown",
                "the answer is 401",
            ),
            (
                "hostile search",
                |cache| cache.instead.push(("/search", 200, "application/json", "x".repeat(5 << 20))),
                "unknown",
                "the body has more than 4194304 bytes",
            ),
            (
                "HTML as search",
                |cache| cache.instead.push(("/search", 200, "text/html", "<html>".to_owned())),
                "unknown",
                "not a document of the product's API",
            ),
            // The garbage collector has removed its entry, and not yet its blob: a node's request imports it.
            (
                "child without entry",
                |cache| assert!(cache.listed.remove(&cache.image.amd64[0])),
                "unknown",
                "stored, but not as an image of a tag",
            ),
        ],
    )
    .await;
}

/// Only the media type of its blob shows that zot serves a manifest without a tag.
#[tokio::test]
async fn an_untagged_digest_is_safe_if_its_blob_has_the_media_type() {
    for (has_media_types, expected) in [(true, "yes"), (false, "unknown")] {
        let mut cache = Cache { has_media_types, ..Cache::new() };
        cache.tags.clear();
        let index = cache.image.index.clone();
        let stand = Stand::start("zot", cache).await;
        let said = stand.drill(&format!("hub/library/app@{index}"), &AMD64).await;
        assert_eq!(stand.verdict(&said).0, expected, "{said:?}");
    }
}

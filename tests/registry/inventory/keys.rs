//! A stand-in for a pull-through cache of distribution with an object storage (registry/proxy, registry/storage/paths.go).

use super::*;

/// Answers as distribution does. `None` if it would ask its upstream: for a tag, and for what it does not hold.
pub fn answer(cache: &Cache, seen: &Seen) -> Option<Answer> {
    let held = |digest: &Digest, texts: &BTreeMap<Digest, String>| texts.get(digest).cloned();
    if let Some(digest) = after(&seen.path, "/manifests/") {
        let digest = Digest::parse(digest).filter(|digest| cache.listed.contains(digest))?;
        let kind = if digest == cache.image.index { INDEX } else { MANIFEST };
        return Some(content(seen, kind, &held(&digest, &cache.image.manifests)?));
    }
    let digest = Digest::parse(after(&seen.path, "/blobs/")?)?;
    Some(content(seen, "application/octet-stream", &held(&digest, &cache.image.blobs)?))
}

const REPOSITORY: &str = "docker/registry/v2/repositories/hub/library/app";

fn path(digest: &Digest) -> String {
    digest.as_str().replace(':', "/")
}

/// Lists the objects as `aws s3 ls --recursive` does.
fn listing(image: &Image) -> Vec<String> {
    let line = |size: usize, key: String| format!("2026-01-02 03:04:05 {size:>10} {key}");
    let mut lines = vec![
        line(71, format!("{REPOSITORY}/_manifests/tags/1/current/link")),
        line(71, format!("{REPOSITORY}/_manifests/tags/1/index/{}/link", path(&image.index))),
    ];
    for (texts, folder) in [(&image.manifests, "_manifests/revisions"), (&image.blobs, "_layers")] {
        for (digest, text) in texts {
            let hex = digest.as_str().split_once(':').unwrap().1;
            lines.push(line(71, format!("{REPOSITORY}/{folder}/{}/link", path(digest))));
            lines.push(line(text.len(), format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])));
        }
    }
    lines
}

/// Drills with a listing and the state of the scheduler; the latter is not given if it is empty.
async fn drill(image: &str, listing: &[String], state: &str) -> (String, String) {
    let stand = Stand::start("distribution", Cache::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("keys"), listing.join("\n")).unwrap();
    std::fs::write(path("state"), state).unwrap();
    let host = stand.server.host();
    let [keys, state_file] = ["keys", "state"].map(|name| format!("{host}={}", path(name)));
    let mut inventory = vec!["--keys", &keys];
    if !state.is_empty() {
        inventory.extend(["--scheduler-state", &state_file]);
    }
    let said = stand.drill_by(&inventory, image, &AMD64).await;
    stand.verdict(&said)
}

#[tokio::test]
async fn an_image_is_safe_if_its_keys_and_its_manifests_show_every_part() {
    let image = Image::new();
    let names = ["app:1".to_owned(), format!("app@{}", image.index), format!("app@{}", image.amd64[0])];
    for name in names {
        let (verdict, evidence) = drill(&format!("hub/library/{name}"), &listing(&image), "{}").await;
        assert!(verdict == "yes" && evidence.contains("has every part of it"), "{name}: {verdict}: {evidence}");
    }
    // Without the state of the scheduler, a part may be removed at any time.
    let (verdict, evidence) = drill("hub/library/app:1", &listing(&image), "").await;
    assert!(verdict == "unknown" && evidence.contains("set --scheduler-state"), "{verdict}: {evidence}");
    let key = format!("hub/library/app@{}", image.amd64[2]);
    let state = json!({&key: {"Key": key, "ExpiryData": "2020-01-01T00:00:00Z", "EntryType": 0}}).to_string();
    let (verdict, evidence) = drill("hub/library/app:1", &listing(&image), &state).await;
    assert!(verdict == "unknown" && evidence.contains("removes a part of it"), "{verdict}: {evidence}");
}

/// The cache is not asked for what the listing does not have.
#[tokio::test]
async fn an_image_is_not_safe_without_a_key() {
    let image = Image::new();
    let [manifest, config, layer] = &image.amd64;
    let hex = |digest: &Digest| digest.as_str()["sha256:".len()..].to_owned();
    for (key, expected, part) in [
        ("tags/1/current/link".to_owned(), "no", "tag 1: not stored"),
        ("tags/1/index".to_owned(), "unknown", "tag 1: the listing has no digest of it"),
        (format!("revisions/{}/link", path(&image.index)), "no", "the repository does not link it"),
        (format!("{}/data", hex(&image.index)), "no", "its data are not stored"),
        (format!("{}/data", hex(manifest)), "no", "linux/amd64 manifest sha256:"),
        (format!("_layers/{}/link", path(config)), "no", "configuration sha256:"),
        (format!("{}/data", hex(layer)), "no", "layer sha256:"),
    ] {
        let mut listing = listing(&image);
        listing.retain(|line| !line.contains(&key));
        let (verdict, evidence) = drill("hub/library/app:1", &listing, "{}").await;
        assert!(verdict == expected && evidence.contains(part), "{key}: {verdict}: {evidence}");
    }
    let mut truncated = listing(&image);
    for line in truncated.iter_mut().filter(|line| line.ends_with(&format!("{}/data", hex(layer)))) {
        *line = format!("2026-01-02 03:04:05 1 {}", line.split(' ').next_back().unwrap());
    }
    let (verdict, evidence) = drill("hub/library/app:1", &truncated, "{}").await;
    assert!(verdict == "no" && evidence.contains("its data have 1 bytes instead of"), "{verdict}: {evidence}");
}

/// registry/storage/tagstore.go: the link in the index is written each time, so the newest is the tag's.
#[tokio::test]
async fn a_tag_that_moved_has_its_newest_digest() {
    let image = Image::new();
    let other = Digest::of(b"an older image");
    for (time, expected) in
        [("2026-01-02 03:04:04", "yes"), ("2026-01-02 03:04:05", "unknown"), ("2026-01-02 03:04:06", "no")]
    {
        let mut listing = listing(&image);
        listing.push(format!("{time} 71 {REPOSITORY}/_manifests/tags/1/index/{}/link", path(&other)));
        let (verdict, evidence) = drill("hub/library/app:1", &listing, "{}").await;
        assert_eq!(verdict, expected, "{time}: {evidence}");
    }
}

#[tokio::test]
async fn wrong_listings_are_errors() {
    let stand = Stand::start("distribution", Cache::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let keys = format!("{}={}", stand.server.host(), file.display());
    for (text, part) in [
        ("", "is not a listing: it has no key below docker/registry/v2/blobs/; list the whole storage"),
        ("{\"Contents\":[],\"NextToken\":\"x\"}", "it is a page, and there are more; list without a limit"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = stand.drill_by(&["--keys", &keys], "hub/library/app:1", &[]).await;
        assert!(said.code == 2 && said.stderr.contains(part), "{said:?}");
    }
    let stdin = format!("{}=-", stand.server.host());
    for (inventory, part) in [
        (vec!["--keys", &*stdin], "standard input is both a listing and the images; write one to a file"),
        (vec!["--anonymous"], "required arguments were not provided"),
        (vec!["--keys", "other.example.com=x"], "the product of this cache is generic"),
        (
            vec!["--keys", &*keys, "--scheduler-state", "other.example.com=x"],
            "--scheduler-state other.example.com: x is unreadable; fix the path",
        ),
    ] {
        let said = stand.drill_by(&inventory, "hub/library/app:1", &[]).await;
        assert!(said.code == 2 && said.stderr.contains(part), "{said:?}");
    }
}

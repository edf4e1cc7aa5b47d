//! The reports of `pullthrough verify` that people and other programs read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::content::{changed, is_amd64};
use super::sarif_schema::valid_log;
use super::server::{Server, error};
use super::verify::{Scene, upstream, verify};

/// Texts that try to be markup, a placeholder, a mention or a command.
const HOSTILE: &str = "<img src=x> | `a` [x](https://attacker.example) {0} @jane \u{202e}\u{1b}[31m";

/// Starts a cache that serves a trimmed index of each image, except of those below `bad/`, and warns.
async fn cache() -> Server {
    Server::plain(|seen| {
        let mut answer = if seen.path.contains("/bad/") {
            error(404, "MANIFEST_UNKNOWN", HOSTILE)
        } else {
            changed(is_amd64, "").answer(seen)
        };
        answer.headers_mut().insert("warning", "299 - \"pay <b>now</b> @jane\"".parse().unwrap());
        answer
    })
    .await
}

fn deployment(name: &str, images: &[String]) -> String {
    let container = |(index, image)| json!({"name": format!("c{index}"), "image": image});
    let containers: Vec<Value> = images.iter().enumerate().map(container).collect();
    let spec = json!({"template": {"spec": {"containers": containers}}});
    let document = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    serde_json::to_string_pretty(&document).unwrap()
}

/// Texts of a registry are no markup, and no control characters.
#[tokio::test]
async fn reports_for_people_have_the_findings() {
    let (upstream, cache) = (upstream().await, cache().await);
    let scene = Scene::of(&upstream, &cache, "harbor");
    for (format, expected) in [
        (
            "markdown",
            vec![
                "\n| missing | 1 |\n",
                "\n### Missing\n",
                "one of:<br>the upstream rejects the cache's credentials, or requires some; fix: test the connection",
                "secret (<https://goharbor.io/docs/latest/administration/configuring-replication/create-replication-endpoints/>)",
                "\n### Digests\n",
                "| pay &#60;b&#62;now&#60;/b&#62; &#64;<!-- -->jane |\n",
            ],
        ),
        (
            "table",
            vec![
                "  product   Harbor does not hold the image",
                "\nmissing 1 image at 127.0.0.1",
                "  one of    the upstream rejects the cache's credentials, or requires some\n",
                "    source  https://goharbor.io/docs/latest/administration/configuring-replication/create-replication-endpoints/\n",
                "trimmed 127.0.0.1",
                "warning 2 images at 127.0.0.1",
            ],
        ),
    ] {
        let said = scene.ask(&["bad/x:1", "app/y:1"], &["--digest-proof", "-o", format]).await;
        assert!(!said.stdout.contains(['\u{202e}', '\u{1b}']), "{said:?}");
        assert!(format == "table" || !said.stdout.contains("<img") && !said.stdout.contains("@jane"), "{said:?}");
        for text in expected {
            assert!(said.stdout.contains(text), "{text}: {}", said.stdout);
        }
    }
}

/// Each place of an image that is not served, or differs from the upstream's, is a result.
#[tokio::test]
async fn sarif_has_a_result_for_each_place() {
    let (upstream, cache) = (upstream().await, cache().await);
    let scene = Scene::of(&upstream, &cache, "harbor");
    let image = |path: &str| format!("{}/{path}", upstream.host());
    let manifests = scene.folder.path().join("every night");
    std::fs::create_dir(&manifests).unwrap();
    let write = |name: &str, text: &str| std::fs::write(manifests.join(name), text).unwrap();
    write("a.yaml", &deployment("web", &[image("bad/x:1"), image("app/y:1")]));
    write("b.yaml", &deployment("job", &[format!("{}/hub/bad/x:1", cache.host())]));
    write("c.yaml", "a: {");
    write("d.yaml", "apiVersion: example.com/v1\nkind: Widget\nspec: {image: a.io/b:1}\n");
    let rules = scene.folder.path().join("rules.yaml").display().to_string();
    let folder = manifests.display().to_string();
    let said = verify(&["--rules", &rules, "--digest-proof", "-o", "sarif", &folder], "").await;
    assert_eq!(said.code, 0, "{said:?}");
    let log = valid_log(&said.stdout);
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    let found: Vec<_> = results
        .iter()
        .map(|result| {
            let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!((&rule["id"], &rule["defaultConfiguration"]["level"]), (&result["ruleId"], &result["level"]));
            let location = &result["locations"][0];
            let physical = &location["physicalLocation"];
            let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
            let file = uri.rsplit_once("/every%20night/").unwrap().1;
            let object = location["logicalLocations"][0]["fullyQualifiedName"].as_str().unwrap();
            (result["ruleId"].as_str().unwrap(), file, physical["region"]["startLine"].as_u64().unwrap(), object)
        })
        .collect();
    let lines = |name: &str, image: &str| {
        let text = std::fs::read_to_string(manifests.join(name)).unwrap();
        u64::try_from(text.lines().position(|line| line.contains(image)).unwrap() + 1).unwrap()
    };
    assert_eq!(
        found,
        [
            ("missing", "a.yaml", lines("a.yaml", "bad/x:1"), "apps/v1/Deployment/shop/web/containers/c0"),
            ("missing", "b.yaml", lines("b.yaml", "bad/x:1"), "apps/v1/Deployment/shop/job/containers/c0"),
            ("trimmed", "a.yaml", lines("a.yaml", "app/y:1"), "apps/v1/Deployment/shop/web/containers/c1"),
        ]
    );
    let fingerprints: BTreeSet<String> =
        results.iter().map(|result| result["partialFingerprints"].to_string()).collect();
    assert_eq!(fingerprints.len(), results.len());
    let text = results[0]["message"]["text"].as_str().unwrap();
    let expected = format!(
        "{}/hub/bad/x:1 for {} in containers/c0 of Deployment shop/web is not served (missing): one of: ",
        cache.host(),
        image("bad/x:1")
    );
    assert!(text.starts_with(&expected), "{text}");
    for part in [
        "the upstream rejects the cache's credentials, or requires some; fix: ",
        "; or the upstream is unavailable to the cache; fix: ",
        "; the cache answers: 404, MANIFEST_UNKNOWN: <img src=x>",
        "\\[x\\](https://attacker.example) {{0}}",
        "; the upstream answers: 200",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let properties = &results[0]["properties"];
    assert_eq!((&properties["http_status"], &properties["upstream_http_status"]), (&json!(404), &json!(200)));
    assert_eq!((&properties["place"], &properties["status"]), (&Value::Null, &json!("missing")));
    let text = results[2]["message"]["text"].as_str().unwrap();
    assert!(text.contains("without some of its children; fix: delete the image in the cache"), "{text}");
    // What is skipped or not understood is named.
    let notifications = run["invocations"][0]["toolExecutionNotifications"].as_array().unwrap();
    let told: Vec<_> = notifications.iter().map(|one| one["descriptor"]["id"].as_str().unwrap()).collect();
    assert_eq!((told, &run["invocations"][0]["executionSuccessful"]), (vec!["skipped", "unknown-kind"], &json!(false)));
}

/// A list has lines, and no objects.
#[tokio::test]
async fn sarif_has_the_lines_of_a_list() {
    let (upstream, cache) = (upstream().await, cache().await);
    let scene = Scene::of(&upstream, &cache, "harbor");
    let rules = scene.folder.path().join("rules.yaml").display().to_string();
    let images = scene.file("images.txt", &format!("quay.io/a:1\n{}/bad/x:1\n", upstream.host()));
    let said = verify(&["--rules", &rules, "--images", &images, "-o", "sarif", "--fail-on", "missing"], "").await;
    assert_eq!(said.code, 1, "{said:?}");
    let log = valid_log(&said.stdout);
    let [result] = &log["runs"][0]["results"].as_array().unwrap()[..] else { panic!("{log:#}") };
    let location = &result["locations"][0];
    assert_eq!(location["physicalLocation"]["region"], json!({"startLine": 2, "startColumn": 1}));
    assert_eq!(location["logicalLocations"], Value::Null);
    let text = result["message"]["text"].as_str().unwrap();
    assert!(text.contains("images.txt:2 is not served (missing)"), "{text}");
}

/// The page loads nothing, and names of users and texts of registries are no markup.
#[tokio::test]
async fn the_page_has_what_needs_attention_first() {
    let (upstream, cache) = (upstream().await, cache().await);
    let scene = Scene::of(&upstream, &cache, "harbor");
    let rules = scene.folder.path().join("rules.yaml").display().to_string();
    let image = |path: &str| format!("{}/{path}", upstream.host());
    let pods = deployment("<script>alert(1)</script>", &[image("app/y:1"), image("bad/x:1")]);
    let strange = "apiVersion: example.com/v1\nkind: <i>Widget</i>\nspec: {image: a.io/b:1}\n";
    let manifests = format!("{strange}---\n{pods}\n");
    let said = verify(&["--rules", &rules, "--digest-proof", "-o", "html", "-"], &manifests).await;
    let page = &said.stdout;
    assert!(page.starts_with("<!DOCTYPE html>"), "{said:?}");
    for markup in ["<img", "<b>", "<i>", "<script>alert", "\u{202e}", "\u{1b}", "http://", "src=\"", "@import", "url("]
    {
        assert!(!page.contains(markup), "{markup}: {page}");
    }
    assert_eq!(page.matches("href=").count(), page.matches("href=\"#").count(), "a link leaves the page");
    let mut rest = page.as_str();
    for part in [
        "1 image of 2 not served.",
        "1 image served, but with a digest that differs or was not compared.",
        "<option value=\"missing\">missing</option><option value=\"trimmed\">trimmed</option>",
        "data-bucket=\"missing\"",
        &format!("<code>{}/hub/bad/x:1</code>", cache.host()),
        "the upstream rejects the cache's credentials, or requires some",
        "test the connection of the endpoint under Administration, Registries",
        "<code>https://goharbor.io/docs/latest/administration/configuring-replication/create-replication-endpoints/</code>",
        "cache: 404, MANIFEST_UNKNOWN: &lt;img src=x&gt;",
        "upstream: 200",
        "warning: pay &lt;b&gt;now&lt;/b&gt; @jane",
        "data-bucket=\"trimmed\"",
        "delete the image in the cache, and pull every platform at once",
        "upstream digest: <code>sha256:",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part} is missing, or not in this order: {page}"));
        rest = &rest[at + part.len()..];
    }
}

//! Codes of products that the tests do not run, by stand-ins that answer as the source of each test says: what `verify` makes of
//! them, with what the upstream answers to the same question.

use serde_json::{Value, json};

use super::content::Store;
use super::program::run;
use super::server::{Answer, Seen, Server, answer, error};

/// A login of the cache that is right.
const LOGIN: &str = "Basic amFuZTpodW50ZXIy";

/// A tag of the upstream's image.
const TAG: &str = ":1";

/// Asks a cache for an image of the upstream, and returns its status and the causes.
async fn verify(
    product: &str,
    reference: &str,
    cache: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    upstream: Server,
) -> (String, Vec<String>) {
    let cache = Server::plain(cache).await;
    let (host, folder) = (cache.host(), tempfile::tempdir().unwrap());
    let file = |name: &str, content: Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        path.display().to_string()
    };
    let rules = json!({
        "apiVersion": "pullthrough.dev/v1alpha1", "kind": "Rules", "caches": [{"prefix": host, "product": product}],
        "rules": [{"name": "hub", "from": [upstream.host()], "to": format!("{host}/hub")}],
    });
    let secret = json!({"auths": {&host: {"username": "jane", "password": "hunter2"}}});
    let (rules, secret) = (file("rules.yaml", rules), file("secret.json", secret));
    let arguments = ["verify", "-o", "json", "--rules", &rules, "--images", "-", "--pull-secret", &secret];
    let said = run(&arguments, &[], &format!("{}/app{reference}\n", upstream.host())).await;
    let line = said.line();
    let causes = line["causes"].as_array().unwrap().iter().map(|cause| cause["cause"].as_str().unwrap().to_owned());
    (line["status"].as_str().unwrap().to_owned(), causes.collect())
}

/// Answers as a cache that requires a login, and denies or misses the image to those who have it.
fn behind_login(status: u16, code: &'static str, message: &'static str) -> impl Fn(&Seen) -> Answer {
    move |seen| match (&*seen.path, &seen.authorization) {
        (_, None) => {
            let mut denied = error(401, "UNAUTHORIZED", "authentication required");
            denied.headers_mut().insert("www-authenticate", "Basic realm=\"cache\"".parse().unwrap());
            denied
        }
        ("/v2/", Some(login)) if login == LOGIN => answer(200, &[], "{}"),
        _ => error(status, code, message),
    }
}

async fn serving() -> Server {
    let store = Store::new();
    Server::plain(move |seen| store.answer(seen)).await
}

async fn of_status(status: u16) -> Server {
    Server::plain(move |_| answer(status, &[], "")).await
}

fn is(status: &str, causes: &[&str]) -> (String, Vec<String>) {
    (status.to_owned(), causes.iter().map(ToString::to_string).collect())
}

/// <https://github.com/Azure/acr/issues/599>
#[tokio::test]
async fn acr_passes_on_that_its_upstream_requires_a_login() {
    let cache = behind_login(401, "UNAUTHORIZED", "authentication required with source registry for cache rule 'hub'");
    assert_eq!(verify("acr", TAG, cache, serving().await).await, is("denied", &["login", "upstream_login"]));
}

/// <https://github.com/Azure/acr/issues/765>
#[tokio::test]
async fn acr_does_not_fetch_again_what_was_deleted() {
    let cache = behind_login(404, "MANIFEST_UNKNOWN", "manifest tagged by \"1\" is not found");
    let causes = ["not_cached", "path", "upstream_login", "upstream_limit", "upstream_failure"];
    assert_eq!(verify("acr", TAG, cache, serving().await).await, is("missing", &causes));
}

/// <https://github.com/Azure/acr/issues/892>
#[tokio::test]
async fn acr_answers_424_if_the_request_to_its_upstream_failed() {
    let cache = behind_login(424, "UNKNOWN", "request to pull from source 'hub' for cache rule 'hub' has failed");
    assert_eq!(
        verify("acr", TAG, cache, serving().await).await,
        is("unknown", &["upstream_failure", "upstream_login"])
    );
}

/// <https://github.com/Azure/acr/issues/754>
#[tokio::test]
async fn acr_passes_on_the_rate_limit_of_its_upstream() {
    let cache = behind_login(429, "TOOMANYREQUESTS", "too many requests to source registry for cache rule 'hub'");
    assert_eq!(
        verify("acr", TAG, cache, serving().await).await,
        is("rate_limited", &["upstream_limit", "cache_limit"])
    );
}

/// <https://github.com/argoproj/argo-cd/issues/26260>
#[tokio::test]
async fn artifact_registry_denies_what_does_not_exist() {
    let cache = || behind_login(403, "DENIED", "Permission denied on resource (or it may not exist).");
    let found = verify("artifact-registry", TAG, cache(), serving().await).await;
    assert_eq!(found, is("denied", &["rights", "path", "login"]));
    let found = verify("artifact-registry", TAG, cache(), of_status(404).await).await;
    assert_eq!(found, is("denied", &["absent", "rights", "path", "login"]));
}

/// <https://cloud.google.com/artifact-registry/docs/troubleshoot-remote>, "404 error"
#[tokio::test]
async fn artifact_registry_answers_404_if_the_upstream_does_not_have_the_image() {
    let cache = behind_login(404, "MANIFEST_UNKNOWN", "Received invalid response from external repository");
    assert_eq!(verify("artifact-registry", TAG, cache, of_status(404).await).await, is("missing", &["absent"]));
}

/// <https://cloud.google.com/artifact-registry/docs/troubleshoot-remote>, "429 error"
#[tokio::test]
async fn artifact_registry_answers_429_for_the_limit_of_its_upstream() {
    let cache = behind_login(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).");
    let found = verify("artifact-registry", TAG, cache, serving().await).await;
    assert_eq!(found, is("rate_limited", &["upstream_limit", "cache_limit"]));
}

/// <https://cloud.google.com/artifact-registry/docs/troubleshoot-remote>, "502 (bad gateway) error"
#[tokio::test]
async fn artifact_registry_answers_502_for_a_failure_of_its_upstream() {
    let cache = || behind_login(502, "UNKNOWN", "Received invalid http status code 401 from external repository");
    let found = verify("artifact-registry", TAG, cache(), serving().await).await;
    assert_eq!(found, is("unknown", &["upstream_failure", "upstream_login"]));
    let found = verify("artifact-registry", TAG, cache(), of_status(401).await).await;
    assert_eq!(found, is("unknown", &["upstream_login", "upstream_failure"]));
}

/// <https://issues.sonatype.org/browse/NEXUS-27623>
#[tokio::test]
async fn nexus_passes_on_a_403_of_its_upstream() {
    let denied = || error(403, "UNAUTHORIZED", "access to the requested resource is not authorized");
    let open = move |seen: &Seen| if seen.path == "/v2/" { answer(200, &[], "{}") } else { denied() };
    assert_eq!(verify("nexus", TAG, open, serving().await).await, is("denied", &["upstream_login"]));
    let cache = behind_login(403, "UNAUTHORIZED", "access to the requested resource is not authorized");
    assert_eq!(verify("nexus", TAG, cache, serving().await).await, is("denied", &["rights", "upstream_login"]));
}

/// <https://support.sonatype.com/hc/en-us/articles/33993902899731-Handling-request-rate-limiting-from-Docker-Hub>
#[tokio::test]
async fn nexus_answers_404_for_the_rate_limit_of_its_upstream() {
    let cache = behind_login(404, "MANIFEST_UNKNOWN", "manifest unknown");
    let causes = ["upstream_limit", "absent", "remembered", "path", "upstream_login", "upstream_failure"];
    assert_eq!(verify("nexus", TAG, cache, of_status(429).await).await, is("unknown", &causes));
}

/// <https://github.com/sonatype/nexus-public/issues/639>
#[tokio::test]
async fn nexus_remembers_a_miss() {
    let cache = behind_login(404, "MANIFEST_UNKNOWN", "manifest unknown");
    let causes = ["remembered", "path", "upstream_login", "upstream_limit", "upstream_failure"];
    assert_eq!(verify("nexus", TAG, cache, serving().await).await, is("missing", &causes));
}

/// <https://github.com/sigstore/cosign/issues/2973>
#[tokio::test]
async fn artifactory_denies_a_tag_that_does_not_exist() {
    let cache = || behind_login(403, "UNAUTHORIZED", "The client does not have permission for manifest");
    let found = verify("artifactory", TAG, cache(), of_status(404).await).await;
    assert_eq!(found, is("denied", &["absent", "rights", "login"]));
    assert_eq!(verify("artifactory", TAG, cache(), serving().await).await, is("denied", &["rights", "login"]));
}

/// <https://jfrog.com/help/r/artifactory-analysis-of-artifactory-resolution-behavior-based-on-upstream-availability-states>
#[tokio::test]
async fn artifactory_has_only_what_it_holds_while_its_upstream_counts_as_offline() {
    let cache = behind_login(404, "MANIFEST_UNKNOWN", "The named manifest is not known to the registry.");
    let causes = ["upstream_failure", "absent", "remembered", "path", "upstream_login", "upstream_limit"];
    assert_eq!(verify("artifactory", TAG, cache, of_status(500).await).await, is("unknown", &causes));
}

/// <https://github.com/goharbor/harbor/issues/23750>
#[tokio::test]
async fn harbor_answers_404_if_the_login_at_its_upstream_is_limited() {
    let cache = behind_login(404, "NOT_FOUND", "artifact hub/app:1 not found");
    let causes = ["upstream_limit", "absent", "path", "upstream_login", "upstream_failure"];
    assert_eq!(verify("harbor", TAG, cache, of_status(429).await).await, is("unknown", &causes));
}

/// `getImageManifest` in <https://github.com/project-zot/zot/blob/main/pkg/api/routes.go>
#[tokio::test]
async fn zot_answers_404_for_any_failure_of_an_import() {
    let cache = behind_login(404, "MANIFEST_UNKNOWN", "manifest unknown");
    let causes = ["path", "upstream_login", "upstream_limit", "upstream_failure"];
    assert_eq!(verify("zot", TAG, cache, serving().await).await, is("missing", &causes));
}

/// <https://github.com/aws/containers-roadmap/issues/2837>
#[tokio::test]
async fn ecr_misses_a_digest_whose_tag_was_not_pulled() {
    let cache = behind_login(404, "MANIFEST_UNKNOWN", "Requested image not found");
    let digest = format!("@{}", Store::new().index.unwrap());
    let causes = ["not_cached", "path", "upstream_login", "upstream_limit", "upstream_failure"];
    assert_eq!(verify("ecr", &digest, cache, serving().await).await, is("missing", &causes));
}

/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html>, "Required IAM permissions"
#[tokio::test]
async fn ecr_denies_an_import_without_the_rights_to_it() {
    let cache = behind_login(403, "DENIED", "User is not authorized to perform: ecr:BatchImportUpstreamImage");
    assert_eq!(verify("ecr", TAG, cache, serving().await).await, is("denied", &["rights", "login"]));
}

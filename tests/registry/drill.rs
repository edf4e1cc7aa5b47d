//! `pullthrough drill`, through the binary, with a storage folder as distribution writes it (registry/storage/paths.go).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pullthrough::registry::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CACHE: &str = "cache.example.com";
const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const REPOSITORY: &str = "hub/app";

/// The output of the command.
#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    #[track_caller]
    fn line(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// The storage of a pull-through cache that holds one image: `hub/app:1`, an index with two platforms and an attestation.
struct Scene {
    folder: TempDir,
    index: Digest,
    /// Manifest, configuration and layer of linux/amd64.
    amd64: [Digest; 3],
    arm64: [Digest; 3],
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = json!({
            "apiVersion": "pullthrough.dev/v1alpha1", "kind": "Rules",
            "caches": [{"prefix": CACHE, "product": "distribution"}, {"prefix": "other.example.com"},
                       {"prefix": ECR, "product": "ecr"}],
            "rules": [
                {"name": "ecr", "from": ["ghcr.io"], "to": format!("{ECR}/hub")},
                {"name": "hub", "from": ["up.example.com"], "to": "cache.example.com/hub", "except": ["up.example.com/not"]},
                {"name": "other", "from": ["quay.io"], "to": "other.example.com/quay"},
            ],
        });
        fs::write(folder.path().join("rules.yaml"), rules.to_string()).unwrap();
        let digest = Digest::of(b"");
        let [amd64, arm64] = [0, 1].map(|_| [digest.clone(), digest.clone(), digest.clone()]);
        let mut scene = Self { folder, index: digest, amd64, arm64 };
        scene.amd64 = scene.image("amd64");
        scene.arm64 = scene.image("arm64");
        let mut children = Vec::new();
        for (architecture, [digest, ..]) in [("amd64", &scene.amd64), ("arm64", &scene.arm64)] {
            let platform = json!({"os": "linux", "architecture": architecture});
            children.push(json!({"mediaType": IMAGE, "digest": digest.as_str(), "size": 1, "platform": platform}));
        }
        // BuildKit's attestation, which no node pulls.
        children.push(json!({
            "mediaType": IMAGE, "digest": Digest::of(b"attestation").as_str(), "size": 1,
            "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        }));
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string();
        scene.index = scene.add("_manifests/revisions", index.as_bytes());
        scene.link("_manifests/tags/1/current/link", &scene.index);
        scene
    }

    fn storage(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    fn version(&self) -> PathBuf {
        self.storage().join("docker/registry/v2")
    }

    fn link(&self, path: &str, digest: &Digest) {
        write(&self.version().join("repositories").join(REPOSITORY).join(path), digest.as_str().as_bytes());
    }

    fn data(&self, digest: &Digest) -> PathBuf {
        let hex = &digest.as_str()["sha256:".len()..];
        self.version().join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    fn add(&self, links: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        write(&self.data(&digest), bytes);
        self.link(&format!("{links}/{}/link", digest.as_str().replace(':', "/")), &digest);
        digest
    }

    fn image(&self, architecture: &str) -> [Digest; 3] {
        let config = json!({"os": "linux", "architecture": architecture}).to_string();
        let layer = format!("layer of {architecture}");
        let [config_digest, layer_digest] = [&config, &layer].map(|text| self.add("_layers", text.as_bytes()));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": IMAGE,
            "config": {"mediaType": "c", "digest": config_digest.as_str(), "size": config.len()},
            "layers": [{"mediaType": "l", "digest": layer_digest.as_str(), "size": layer.len()}],
        });
        [self.add("_manifests/revisions", manifest.to_string().as_bytes()), config_digest, layer_digest]
    }

    /// Writes when parts expire, as registry/proxy/scheduler does.
    fn expire(&self, kind: u8, repository: &str, digest: &Digest, at: &str) {
        let key = format!("{repository}@{digest}");
        let state = json!({&key: {"Key": key, "ExpiryData": at, "EntryType": kind}});
        fs::write(self.storage().join("scheduler-state.json"), state.to_string()).unwrap();
    }

    fn drill(&self, stdin: &str, arguments: &[&str]) -> Said {
        let rules = self.folder.path().join("rules.yaml");
        let storage = format!("{CACHE}={}", self.storage().display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.arg("drill").arg("--rules").arg(rules).arg("--storage").arg(storage).args(arguments);
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Drills one image of a list, and returns the verdict and the evidence.
    #[track_caller]
    fn verdict(&self, image: &str, platforms: &str) -> (String, String) {
        let arguments = ["--images", "-", "-o", "json", "--platform", platforms];
        let count = if platforms.is_empty() { 4 } else { 6 };
        let said = self.drill(&format!("{image}\n"), &arguments[..count]);
        assert_eq!(said.code, 0, "{said:?}");
        let line = said.line();
        let evidence = line["evidence"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap());
        (line["verdict"].as_str().unwrap().to_owned(), evidence.collect::<Vec<_>>().join("; "))
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[track_caller]
fn assert_verdict((verdict, evidence): (String, String), expected: &str, part: &str) {
    assert!(verdict == expected && evidence.contains(part), "{verdict}: {evidence}");
}

#[test]
fn an_image_of_which_every_part_is_stored_is_safe() {
    let scene = Scene::new();
    let by_digest = format!("up.example.com/app@{}", scene.index);
    let by_both = format!("up.example.com/app:absent@{}", scene.index);
    for image in ["up.example.com/app:1", "cache.example.com/hub/app:1", &by_digest, &by_both] {
        for platforms in ["", "linux/amd64", "linux/amd64,linux/arm64/v8"] {
            assert_verdict(scene.verdict(image, platforms), "yes", "has every part of it");
        }
    }
    let said = scene.drill("up.example.com/app:1\n", &["--images", "-", "-o", "json"]);
    let (line, page) = (said.line(), fs::read_to_string("docs/reference/drill.md").unwrap());
    let keys = line.as_object().unwrap().keys().filter(|key| !page.contains(&format!("`{key}`")));
    assert_eq!(keys.count(), 0, "{line}");
    assert_eq!(
        (&line["result"], &line["digest"]),
        (&json!("cache.example.com/hub/app:1"), &json!(scene.index.as_str()))
    );
}

/// Each part is removed from an otherwise complete image.
#[test]
fn an_image_of_which_a_part_is_missing_is_not_safe() {
    let tag = "up.example.com/app:1";
    let remove = |change: &dyn Fn(&Scene) -> PathBuf, part: &str| {
        let scene = Scene::new();
        let path = change(&scene);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap()
        } else {
            fs::remove_file(&path).unwrap()
        }
        assert_verdict(scene.verdict(tag, "linux/amd64"), "no", part);
    };
    let linked = |scene: &Scene, folder: &str, digest: &Digest| {
        let link = format!("{folder}/{}/link", digest.as_str().replace(':', "/"));
        scene.version().join("repositories").join(REPOSITORY).join(link)
    };
    remove(&|scene| scene.data(&scene.index), "manifest sha256:");
    remove(&|scene| linked(scene, "_manifests/revisions", &scene.index), "manifest sha256:");
    remove(&|scene| scene.version().join("repositories/hub/app/_manifests/tags/1"), "tag 1: not stored");
    remove(&|scene| scene.version().join("repositories"), "tag 1: not stored");
    remove(&|scene| scene.version().join("blobs"), "manifest sha256:");
    remove(&|scene| linked(scene, "_manifests/revisions", &scene.amd64[0]), "linux/amd64 manifest sha256:");
    remove(&|scene| scene.data(&scene.amd64[1]), "configuration sha256:");
    remove(&|scene| scene.data(&scene.amd64[2]), "layer sha256:");
    // Another repository of the cache has the layer.
    remove(&|scene| linked(scene, "_layers", &scene.amd64[2]), "layer sha256:");

    // The other platform is whole.
    let scene = Scene::new();
    fs::remove_file(scene.data(&scene.amd64[2])).unwrap();
    assert_verdict(scene.verdict(tag, "linux/arm64"), "yes", "every part");
    assert_verdict(scene.verdict(tag, "linux/amd64,linux/arm64"), "unknown", "layer sha256:");
    assert_verdict(scene.verdict(tag, ""), "unknown", "layer sha256:");
    assert_verdict(scene.verdict(tag, "linux/s390x"), "no", "linux/s390x: the index has only linux/amd64, linux/arm64");
}

#[test]
fn damaged_content_is_not_safe() {
    let tag = "up.example.com/app:1";
    for (choose, part) in [(0, "its data have another digest"), (2, "its data have 1 bytes instead of 14")] {
        let scene = Scene::new();
        fs::write(scene.data(&scene.amd64[choose]), "x").unwrap();
        assert_verdict(scene.verdict(tag, "linux/amd64"), "no", part);
    }
    // Of the right size.
    for (choose, part) in [(1, "configuration sha256:"), (2, "layer sha256:")] {
        let scene = Scene::new();
        let data = scene.data(&scene.amd64[choose]);
        let length = fs::read(&data).unwrap().len();
        fs::write(data, "x".repeat(length)).unwrap();
        assert_verdict(scene.verdict(tag, "linux/amd64"), "no", part);
        assert_verdict(scene.verdict(tag, "linux/amd64"), "no", "its data have another digest");
        let arguments = ["--images", "-", "-o", "json", "--platform", "linux/amd64", "--trust-sizes"];
        let trusted = scene.drill(&format!("{tag}\n"), &arguments[..]).line();
        // The platform is in the configuration only for an image without an index.
        assert_eq!(trusted["verdict"], "yes", "{trusted}");
    }
}

/// registry/proxy/proxyregistry.go: `OnBlobExpire` removes the data of a blob for all repositories, `OnManifestExpire` the link of
/// one repository.
#[test]
fn what_expires_during_the_outage_is_not_safe() {
    let scene = Scene::new();
    let tag = "up.example.com/app:1";
    let (past, far) = ("2020-01-01T00:00:00.5Z", "2100-01-01T01:00:00+01:00");
    for (kind, repository, digest, at, expected) in [
        (0, REPOSITORY, &scene.amd64[2], past, "unknown"),
        (0, REPOSITORY, &scene.amd64[2], far, "yes"),
        (0, "hub/other", &scene.amd64[1], past, "unknown"),
        (1, REPOSITORY, &scene.index, past, "unknown"),
        (1, REPOSITORY, &scene.amd64[0], past, "unknown"),
        (1, "hub/other", &scene.amd64[0], past, "yes"),
        // A part that the platform does not need.
        (0, REPOSITORY, &scene.arm64[2], past, "yes"),
    ] {
        scene.expire(kind, repository, digest, at);
        assert_verdict(scene.verdict(tag, "linux/amd64"), expected, "");
    }
    scene.expire(0, REPOSITORY, &scene.amd64[2], far);
    assert_verdict(scene.verdict(tag, "linux/amd64"), "yes", "until 2100-01-01T00:00:00Z");
    for text in ["{", r#"{"a@b": {"Key": "a@b", "ExpiryData": "soon", "EntryType": 0}}"#] {
        fs::write(scene.storage().join("scheduler-state.json"), text).unwrap();
        assert_verdict(scene.verdict(tag, "linux/amd64"), "unknown", "scheduler-state.json is unreadable");
    }
}

#[test]
fn images_without_an_inventory_are_never_safe() {
    let scene = Scene::new();
    for (image, expected, part) in [
        ("up.example.com/not:1", "no", "it is pulled from its upstream: the image is in the rule's `except`"),
        ("docker.io/library/nginx:1", "no", "no rule"),
        ("registry.mycorp.example/app:1", "unknown", "from a registry that may or may not be an upstream"),
        ("quay.io/app:1", "unknown", "there is no inventory of the cache other.example.com"),
        ("up.example.com/absent:1", "no", "tag 1: not stored"),
        ("Not An Image", "unknown", "not an image reference"),
    ] {
        let (verdict, evidence) = scene.verdict(image, "");
        assert_eq!(verdict, expected, "{image}: {evidence}");
        assert!(evidence.contains(part) || part.contains("except"), "{image}: {evidence}");
    }
}

#[test]
fn a_gate_fails_on_verdicts() {
    let scene = Scene::new();
    for (list, word, code) in [
        ("up.example.com/app:1\n", "no,unknown", 0),
        ("up.example.com/app:1\nup.example.com/absent:1\n", "no", 1),
        ("up.example.com/absent:1\n", "unknown", 0),
        ("quay.io/app:1\n", "unknown", 1),
        ("", "no", 2),
    ] {
        let said = scene.drill(list, &["--images", "-", "--fail-on", word]);
        assert_eq!(said.code, code, "{list}: {said:?}");
    }
}

/// Workloads at risk are first.
#[test]
fn workloads_have_the_worst_verdict_of_their_images() {
    let scene = Scene::new();
    let deployment = |name: &str, images: &[&str]| {
        let containers: Vec<Value> = images
            .iter()
            .enumerate()
            .map(|(index, image)| json!({"name": format!("c{index}"), "image": image}))
            .collect();
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"template": {"spec": {"containers": containers}}},
        })
        .to_string()
    };
    let safe = deployment("safe", &["up.example.com/app:1"]);
    let maybe = deployment("maybe", &["up.example.com/app:1", "quay.io/app:1"]);
    let broken = deployment("broken", &["up.example.com/absent:1", "up.example.com/app:1"]);
    let text = [safe, maybe, broken].join("\n---\n");
    let said = scene.drill(&text, &["-"]);
    assert_eq!(said.code, 0, "{said:?}");
    let expected = "\
Workloads of standard input without their upstreams, using RULES

no Deployment shop/broken
  no        cache.example.com/hub/absent:1
    for       up.example.com/absent:1
    inventory the storage FOLDER/registry does not have all of it: tag 1: not stored
    fix       have the cache fetch it: `pullthrough warm`

unknown Deployment shop/maybe
  unknown   other.example.com/quay/app:1
    for       quay.io/app:1
    inventory there is no inventory of the cache other.example.com
    fix       set the `product` of other.example.com in `caches` of the rules file

1 of 3 workloads would start without the upstreams; no: 1, unknown: 1
";
    let folder = scene.folder.path().display().to_string();
    let found = said.stdout.replace(&format!("{folder}/rules.yaml"), "RULES").replace(&folder, "FOLDER");
    assert_eq!(found, expected, "{}", said.stderr);
}

/// docs.aws.amazon.com/AmazonECR/latest/APIReference: API_BatchGetImage, API_BatchCheckLayerAvailability.
#[test]
fn outputs_of_the_aws_cli_are_an_inventory() {
    let scene = Scene::new();
    let text = |digest: &Digest| fs::read_to_string(scene.data(digest)).unwrap();
    let id = |tag: Option<&str>, digest: &Digest| match tag {
        Some(tag) => json!({"imageTag": tag, "imageDigest": digest.as_str()}),
        None => json!({"imageDigest": digest.as_str()}),
    };
    let image = |tag: Option<&str>, digest: &Digest| json!({"registryId": "123456789012", "repositoryName": "hub/app", "imageId": id(tag, digest), "imageManifest": text(digest)});
    let failure = |id: Value| json!({"imageId": id, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"});
    let index = json!({"images": [image(Some("1"), &scene.index)], "failures": [failure(json!({"imageTag": "2"}))]});
    let child = json!({"images": [image(None, &scene.amd64[0])], "failures": []});
    let layer = |digest: &Digest, availability: &str| json!({"layerDigest": digest.as_str(), "layerAvailability": availability});
    let [_, config, blob] = &scene.amd64;
    let layers =
        |availability| json!({"layers": [layer(config, "AVAILABLE"), layer(blob, availability)], "failures": []});
    let name = format!("{ECR}/hub/app");
    let details = json!({"imageDetails": [{"repositoryName": "hub/app", "imageDigest": scene.index.as_str(), "imageTags": ["4"], "imagePushedAt": 1.7e9}]});
    let by_digest = json!({"images": [image(None, &scene.index)]});
    let denied = json!({"images": [], "failures": [{"imageId": {"imageTag": "5"}, "failureCode": "UpstreamAccessDenied", "failureReason": "denied"}]});
    for (tag, outputs, expected) in [
        // The digest of a tag is also in the output of `aws ecr describe-images`.
        ("4", vec![&details, &by_digest, &child, &layers("AVAILABLE")], "yes"),
        ("4", vec![&details], "unknown"),
        ("3", vec![&details], "unknown"),
        ("5", vec![&denied], "unknown"),
        ("1", vec![&index, &child, &layers("AVAILABLE")], "yes"),
        ("1", vec![&index, &child, &layers("UNAVAILABLE")], "no"),
        ("1", vec![&index, &child], "unknown"),
        ("1", vec![&index, &layers("AVAILABLE")], "unknown"),
        ("1", vec![&index, &json!({"images": [], "failures": [failure(id(None, &scene.amd64[0]))]})], "no"),
        ("2", vec![&index], "no"),
        ("3", vec![&index], "unknown"),
    ] {
        let file = scene.folder.path().join("outputs.json");
        fs::write(&file, outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")).unwrap();
        let ecr = format!("{name}={}", file.display());
        let arguments = ["--images", "-", "-o", "json", "--platform", "linux/amd64", "--ecr", &ecr];
        let said = scene.drill(&format!("{name}:{tag}\n"), &arguments);
        assert_eq!(said.line()["verdict"], expected, "{tag} {outputs:?}: {said:?}");
        assert_eq!(said.stdout.contains("ECR answered UpstreamAccessDenied: denied"), tag == "5", "{said:?}");
    }
    for (text, part) in [
        ("", "it is empty"),
        ("{}", "none of `images`, `layers`, `imageDetails`, but nothing; remove it"),
        (r#"{"repositories": []}"#, "none of `images`, `layers`, `imageDetails`, but repositories; remove it"),
        ("[]", "an output is not an object; write it without `--query`"),
        ("not JSON", "write the outputs as JSON (`--output json`)"),
        (r#"{"imageDetails": [{"imageDigest": "md5:1"}]}"#, "`md5:1` is not a usable `imageDigest`; remove this image"),
        (r#"{"images": [{"imageId": {"imageTag": "1"}, "imageManifest": "{}"}]}"#, "`` is not a usable `imageDigest`"),
    ] {
        let file = scene.folder.path().join("outputs.json");
        fs::write(&file, text).unwrap();
        let said = scene.drill("", &["--images", "-", "--ecr", &format!("{name}={}", file.display())]);
        assert!(said.code == 2 && said.stderr.contains("is not an output of the AWS CLI"), "{said:?}");
        assert!(said.stderr.contains(part), "{said:?}");
    }
}

#[test]
fn the_page_names_workloads_at_risk_first() {
    let scene = Scene::new();
    let said =
        scene.drill("up.example.com/app:1\nquay.io/<b>:1\nup.example.com/absent:1\n", &["--images", "-", "-o", "html"]);
    let position = |text: &str| said.stdout.find(text).unwrap_or_else(|| panic!("{text}: {said:?}"));
    assert!(position("hub/absent:1") < position("hub/app:1"));
    assert!(position("1 of 3 workloads would start") < position("hub/absent:1"));
    assert!(!said.stdout.contains("<b>"), "{said:?}");
}

#[test]
fn images_that_are_not_judged_are_named() {
    let scene = Scene::new();
    let containers = json!([{"name": "a", "image": "auto"}, {"name": "b", "image": "up.example.com/app:1"}]);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": containers, "ephemeralContainers": [{"name": "c", "image": "up.example.com/debug:1"}]},
    });
    let said = scene.drill(&pod.to_string(), &["-", "-o", "html"]);
    for line in [
        "1 image not judged, of ephemeral containers: up.example.com/debug:1",
        "1 image not judged, placeholders: auto",
    ] {
        assert!(said.stderr.contains(line), "{said:?}");
    }
    assert!(said.stdout.contains("Not judged") && said.stdout.contains("up.example.com/debug:1"), "{said:?}");
}

#[test]
fn a_record_of_warm_is_no_evidence() {
    let scene = Scene::new();
    let file = scene.folder.path().join("warm.resume");
    let entry = |content: &str| {
        json!({"cache": "other.example.com/quay/app", "digest": scene.index.as_str(), "content": content, "at_secs": 1})
            .to_string()
            + "\n"
    };
    let by_digest = format!("quay.io/app@{}", scene.index);
    let arguments = ["--images", "-", "-o", "json", "--warmed", file.to_str().unwrap()];
    for (text, image, part) in [
        (entry("linux/amd64"), "quay.io/app:1", "fetched images of this repository, the last"),
        (entry("linux/amd64") + "{\"cache\":", &by_digest, "fetched it"),
        (entry("blob"), &by_digest, "there is no inventory"),
    ] {
        fs::write(&file, text).unwrap();
        let line = scene.drill(&format!("{image}\n"), &arguments).line();
        let last = line["evidence"].as_array().unwrap().last().unwrap()["text"].as_str().unwrap();
        assert!(line["verdict"] == "unknown" && last.contains(part), "{line}");
    }
    fs::write(&file, "{}\n").unwrap();
    let said = scene.drill("", &arguments);
    assert!(said.code == 2 && said.stderr.contains("line 1 is not an entry"), "{said:?}");
}

#[test]
fn wrong_inventories_are_errors() {
    let scene = Scene::new();
    for (storage, part) in [
        ("other.example.com=/tmp", "the product of this cache is generic"),
        ("cache.example.com=/absent", "has several inventories"),
    ] {
        let said = scene.drill("", &["--images", "-", "--storage", storage]);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains(part) || said.stderr.contains("/absent"), "{said:?}");
    }
    fs::remove_dir_all(scene.storage()).unwrap();
    let said = scene.drill("", &["--images", "-"]);
    assert!(said.code == 2 && said.stderr.contains("name the `rootdirectory`"), "{said:?}");
}

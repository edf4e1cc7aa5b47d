//! The scripts of `--setup`, read by ShellCheck, and run with stand-ins for the programs that they call.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use pullthrough::init::Product;
use serde_json::Value;

use super::layouts::layout;
use crate::needs;

/// Bash parses every script, for one registry and for all, and ShellCheck finds nothing.
#[test]
fn the_scripts_are_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut scripts = Vec::new();
    for product in Product::ALL {
        for (name, upstreams) in [("all", product.upstreams()), ("one", &product.upstreams()[..1])] {
            let script = layout(product, upstreams).setup();
            let placeholders =
                script.split('@').filter(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase()));
            assert_eq!(placeholders.count(), 0, "{script}");
            assert!(
                script.starts_with("#!/usr/bin/env bash\n") && script.contains("\nset -euo pipefail\n"),
                "{script}"
            );
            for upstream in upstreams {
                let names = [upstream.endpoint(), upstream.host(), "DOCKER-HUB", "hub.docker.com"];
                assert!(names.iter().any(|name| script.contains(name)), "{script}");
            }
            let file = folder.path().join(format!("{}-{name}.sh", product.as_str()));
            std::fs::write(&file, script).expect("a file");
            scripts.push(file);
        }
    }
    for script in &scripts {
        let status = Command::new("bash").arg("-n").arg(script).status().expect("bash");
        assert!(status.success(), "{}", script.display());
    }
    let output = Command::new("shellcheck").args(&scripts).output().expect("shellcheck");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Logs its arguments, and standard input if an argument says to read it. An object does not exist before it was created.
///
/// The programs of a pipeline run at the same time, so a line of the log is one write.
const STAND_IN: &str = r#"#!/usr/bin/env bash
printf -v arguments ' [%s]' "$@"
printf '%s%s\n' "${0##*/}" "$arguments" >>"$LOG"
case "$*" in
  *'--data @-'* | *file:///dev/stdin*) cat >>"$LOG.bodies" ;;
esac
case "$*" in
  *'api/v2.0/registries --data @-'*) touch "$LOG.made" ;;
  *' --head '*) exit 22 ;;
  *' --get '*api/v2.0/registries*)
    if [[ -e $LOG.made ]]; then rm "$LOG.made"; sed -n 's/.*q=name=\(.*\)\]$/[{"name": "\1", "id": 7}]/p' "$LOG" | tail -1; else echo '[]'; fi ;;
  *describe-registry*) echo 0 ;;
  *security/realms/active*) echo '["NexusAuthenticatingRealm"]' ;;
  *describe* | *'cache show'* | *'credential-set show'*--name*) [[ $* == *principalId* ]] && echo principal || exit 1 ;;
  *'keyvault show'*) echo https://vault.example.com/ ;;
  *create-secret*) echo arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/x ;;
  *'--output /dev/null'*) exit 22 ;;
esac
"#;

/// Returns the output, and the log of the stand-ins.
fn run(folder: &Path, product: Product, variables: &[(&str, &str)]) -> (Output, String) {
    for program in ["aws", "az", "curl", "docker", "gcloud"] {
        let file = folder.join(program);
        std::fs::write(&file, STAND_IN).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let log = folder.join("log");
    let _ = std::fs::remove_file(&log);
    let output = Command::new("bash")
        .args(["-c", &layout(product, &[]).setup()])
        .current_dir(folder)
        .env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default()))
        .env("LOG", &log)
        .env("FOLDER", folder)
        .envs(variables.iter().copied())
        .output()
        .expect("bash");
    (output, std::fs::read_to_string(&log).unwrap_or_default())
}

/// Each script creates every cache, and sends valid JSON.
#[test]
fn the_scripts_create_every_cache() {
    needs("jq");
    let logins = [
        ("DOCKER_HUB_USERNAME", "user"),
        ("DOCKER_HUB_TOKEN", "hub-t0ken"),
        ("GHCR_USERNAME", "user"),
        ("GHCR_TOKEN", "t"),
        ("GITLAB_USERNAME", "user"),
        ("GITLAB_TOKEN", "t"),
    ];
    for (product, variables, creates) in [
        (
            Product::Ecr,
            &[("NODE_ROLE", "nodes"), ("REPLICATE_TO", "eu-central-1")][..],
            "create-pull-through-cache-rule",
        ),
        (Product::Harbor, &[("HARBOR_PASSWORD", "p")], "[POST] [https://harbor.example.com/api/v2.0/projects]"),
        (Product::ArtifactRegistry, &[("NODE_SERVICE_ACCOUNT", "n@example.com")], "[--mode=remote-repository]"),
        (Product::Acr, &[("KEY_VAULT", "vault")], "[acr] [cache] [create]"),
        (
            Product::Artifactory,
            &[("ARTIFACTORY_TOKEN", "t")],
            "[PUT] [https://acme.jfrog.io/artifactory/api/repositories/",
        ),
        (
            Product::Nexus,
            &[("NEXUS_PASSWORD", "p")],
            "[POST] [https://nexus.example.com/service/rest/v1/repositories/docker/proxy]",
        ),
        (Product::Registry, &[], "docker [run]"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (output, calls) = run(folder.path(), product, &[variables, &logins].concat());
        let name = product.as_str();
        assert!(output.status.success(), "{name}: {}\n{calls}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(calls.matches(creates).count(), product.upstreams().len(), "{name}:\n{calls}");
        let bodies = std::fs::read_to_string(folder.path().join("log.bodies")).unwrap_or_default();
        let bodies: Vec<Value> =
            serde_json::Deserializer::from_str(&bodies).into_iter().map(|body| body.expect("JSON")).collect();
        if matches!(product, Product::Harbor | Product::Artifactory | Product::Nexus) {
            assert!(bodies.len() >= product.upstreams().len(), "{name}: {bodies:?}");
            let logins = bodies.iter().filter(|body| body.to_string().contains("\"hub-t0ken\""));
            assert_eq!(logins.count(), 1, "{name}: {bodies:?}");
        }
    }
}

#[test]
fn what_a_script_lacks_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    for (product, variables, expected) in [
        (Product::Ecr, &[][..], "set it to the name of the IAM role that the nodes have"),
        (Product::Ecr, &[("NODE_ROLE", "nodes")], "set DOCKER_HUB_USERNAME and DOCKER_HUB_TOKEN"),
        (Product::Harbor, &[], "set it to the password of admin"),
        (Product::ArtifactRegistry, &[], "the service account of the nodes"),
        (Product::Acr, &[], "the key vault with the credentials"),
        (Product::Artifactory, &[], "an access token of an administrator"),
        (Product::Nexus, &[], "set it to the password of admin"),
    ] {
        let (output, _) = run(folder.path(), product, variables);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(expected), "{}: {error}", product.as_str());
    }
}

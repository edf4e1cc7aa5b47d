//! The rules of `init`, for every product and every upstream registry.

#[path = "../harness/layouts.rs"]
mod layouts;

use std::collections::BTreeSet;
use std::process::Command;

use pullthrough::init::{Layout, Product, Unsuitable};
use pullthrough::registries::Upstream;

use self::layouts::{cache, layout, policy, rewritten};

/// An image of each registry as Pods name it, and its path there.
const IMAGES: [(Upstream, &str, &str); 10] = [
    (Upstream::Kubernetes, "registry.k8s.io/ingress-nginx/controller:v1.13.3", "ingress-nginx/controller:v1.13.3"),
    (Upstream::Kubernetes, "k8s.gcr.io/pause:3.9", "pause:3.9"),
    (Upstream::DockerHub, "nginx:1.29", "library/nginx:1.29"),
    (Upstream::Ghcr, "ghcr.io/fluxcd/source-controller:v1.7.0", "fluxcd/source-controller:v1.7.0"),
    (Upstream::Quay, "quay.io/prometheus/node-exporter:v1.9.1", "prometheus/node-exporter:v1.9.1"),
    (
        Upstream::GitLab,
        "registry.gitlab.com/gitlab-org/gitlab-runner:alpine-v18.4.0",
        "gitlab-org/gitlab-runner:alpine-v18.4.0",
    ),
    (
        Upstream::EcrPublic,
        "public.ecr.aws/eks/aws-load-balancer-controller:v2.13.4",
        "eks/aws-load-balancer-controller:v2.13.4",
    ),
    (Upstream::Mcr, "mcr.microsoft.com/oss/kubernetes/pause:3.9", "oss/kubernetes/pause:3.9"),
    (Upstream::Nvcr, "nvcr.io/nvidia/cuda:13.0.0-base-ubuntu24.04", "nvidia/cuda:13.0.0-base-ubuntu24.04"),
    (Upstream::Gcr, "gcr.io/distroless/static-debian12:nonroot", "distroless/static-debian12:nonroot"),
];

/// The path of an image that each product documents, and the source. Docker Hub's official images are the critical ones.
const DOCUMENTED: [(Product, &str, &str, &str); 16] = [
    // docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-working-pulling.html:
    // ACCOUNT.dkr.ecr.REGION.amazonaws.com/PREFIX/library/IMAGE:TAG, and PREFIX/UPSTREAM-REPOSITORY/IMAGE:TAG for others.
    (Product::Ecr, "nginx:1.29", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/docker-hub/library/nginx:1.29", "AWS"),
    (Product::Ecr, "quay.io/a/b", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/quay/a/b", "AWS"),
    // goharbor.io/docs/2.12.0/administration/configure-proxy-cache: HARBOR/PROXY_PROJECT/library/hello-world:latest.
    (Product::Harbor, "hello-world:latest", "harbor.example.com/docker-hub/library/hello-world:latest", "Harbor"),
    (Product::Harbor, "goharbor/harbor-core:dev", "harbor.example.com/docker-hub/goharbor/harbor-core:dev", "Harbor"),
    // cloud.google.com/artifact-registry/docs/repositories/remote-repo: LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE, where
    // the image has the upstream's path.
    (Product::ArtifactRegistry, "alpine", "europe-west1-docker.pkg.dev/acme/docker-hub/library/alpine", "Google"),
    (Product::ArtifactRegistry, "ghcr.io/a/b:1", "europe-west1-docker.pkg.dev/acme/ghcr/a/b:1", "Google"),
    // learn.microsoft.com/azure/container-registry/wildcards-artifact-cache: contoso.azurecr.io/TARGET/* => SOURCE/*.
    (Product::Acr, "docker.io/library/python:3.13", "acmecache.azurecr.io/docker-hub/library/python:3.13", "Azure"),
    (Product::Acr, "mcr.microsoft.com/dotnet/sdk:9.0", "acmecache.azurecr.io/mcr/dotnet/sdk:9.0", "Azure"),
    // jfrog.com/help: docker pull SERVER/REPOSITORY/library/IMAGE:TAG, with the repository path method.
    (Product::Artifactory, "busybox:1.37", "acme.jfrog.io/docker-hub/library/busybox:1.37", "JFrog"),
    (Product::Artifactory, "nvcr.io/nvidia/cuda:1", "acme.jfrog.io/nvcr/nvidia/cuda:1", "JFrog"),
    // help.sonatype.com/en/docker-registry.html, path-based routing: the repository's name in the image's namespace.
    (Product::Nexus, "hello-world", "nexus.example.com/docker-hub/library/hello-world", "Sonatype"),
    (Product::Nexus, "gcr.io/a/b", "nexus.example.com/gcr/a/b", "Sonatype"),
    // zotregistry.dev, articles/mirroring: {"prefix": "**", "destination": "/NAME"} puts REPOSITORY at NAME/REPOSITORY.
    (Product::Zot, "nginx", "zot.example.com/docker-hub/library/nginx", "zot"),
    (Product::Zot, "registry.k8s.io/pause:3.10", "zot.example.com/k8s/pause:3.10", "zot"),
    // distribution.github.io/distribution/recipes/mirror: the mirror has the upstream's own paths.
    (Product::Registry, "nginx", "registry.example.com:5001/library/nginx", "distribution"),
    (Product::Registry, "registry.k8s.io/pause:3.10", "registry.example.com:5000/pause:3.10", "distribution"),
];

#[test]
fn every_image_gets_the_path_that_the_product_documents() {
    for (product, image, expected, of) in DOCUMENTED {
        assert_eq!(rewritten(&policy(&layout(product, &[])), image).as_deref(), Some(expected), "{of}");
    }
    let documented: BTreeSet<&str> = DOCUMENTED.iter().map(|(product, ..)| product.as_str()).collect();
    assert_eq!(documented.len(), Product::ALL.len());
}

#[test]
fn every_registry_alone_and_all_together_pass_the_check() {
    let mut pairs = 0;
    for product in Product::ALL {
        let all = policy(&layout(product, &[]));
        for &upstream in product.upstreams() {
            let layout = layout(product, &[upstream]);
            let alone = policy(&layout);
            let to = match product {
                Product::Registry => {
                    let port =
                        5000 + Upstream::ALL.iter().position(|other| *other == upstream).expect("a known registry");
                    format!("registry.example.com:{port}")
                }
                _ => format!("{}/{}", cache(product), upstream.name()),
            };
            for (_, image, path) in IMAGES.iter().filter(|(of, ..)| *of == upstream) {
                let expected = Some(format!("{to}/{path}"));
                assert_eq!(rewritten(&alone, image), expected);
                assert_eq!(rewritten(&all, image), expected);
            }
            pairs += 1;
        }
    }
    assert_eq!(pairs, 6 + 8 + 6 * 9);
}

#[test]
fn what_a_product_cannot_be_or_do_is_said() {
    for (product, cache, fix) in [
        (Product::Ecr, "ecr.example.com", "write ACCOUNT.dkr.ecr.REGION.amazonaws.com"),
        (Product::Ecr, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a-path-that-is-too-long", "shorten the path"),
        (Product::Ecr, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a--b", "a single `/`, `-`, `_` or `.`"),
        (Product::Harbor, "harbor.example.com/proxy", "without a project"),
        (Product::Harbor, "harbor", "the cache's host first"),
        (Product::ArtifactRegistry, "europe-docker.pkg.dev", "LOCATION-docker.pkg.dev/PROJECT"),
        (Product::ArtifactRegistry, "europe-docker.pkg.dev/project/repository", "LOCATION-docker.pkg.dev/PROJECT"),
        (Product::Acr, "acme.azurecr.io", "NAME.azurecr.io"),
        (Product::Artifactory, "acme.jfrog.io/docker", "without a repository"),
        (Product::Nexus, "https://nexus.example.com", "write `nexus.example.com`"),
        (Product::Registry, "registry.example.com/x", "the port of the first instance"),
        (Product::Registry, "registry.example.com:65528", "use a lower one"),
        (Product::Harbor, "docker.io", "without a project"),
    ] {
        let error = Layout::new(product, cache, &[]).expect_err(cache).to_string();
        assert!(error.contains(fix) && error.contains(cache.split('/').next_back().unwrap_or_default()), "{error}");
    }
    for product in [Product::Ecr, Product::Acr] {
        for upstream in Upstream::ALL.into_iter().filter(|upstream| !product.upstreams().contains(upstream)) {
            let error = Layout::new(product, cache(product), &[upstream]).expect_err("not supported");
            assert_eq!(error, Unsuitable::Upstream { product, upstream });
            assert!(
                error.to_string().contains(upstream.host()) && error.to_string().contains("remove it from --upstream")
            );
        }
    }
}

#[test]
fn hosts_with_paths_ports_and_partitions_are_understood() {
    let to = |product, cache| {
        let layout = Layout::new(product, cache, &[Upstream::DockerHub]).unwrap_or_else(|error| panic!("{error}"));
        policy(&layout);
        layout.routes[0].to.clone()
    };
    assert_eq!(to(Product::Registry, "[::1]:6000"), "[::1]:6001");
    assert_eq!(to(Product::Registry, "[::1]"), "[::1]:5001");
    assert_eq!(to(Product::Harbor, "harbor.example.com:8443"), "harbor.example.com:8443/docker-hub");
    assert_eq!(to(Product::Zot, "zot.example.com/a/b"), "zot.example.com/a/b/docker-hub");
    assert_eq!(
        to(Product::ArtifactRegistry, "eu-docker.pkg.dev/example.com/acme"),
        "eu-docker.pkg.dev/example.com/acme/docker-hub"
    );
    let setup = |product, cache| Layout::new(product, cache, &[Upstream::DockerHub]).map(|layout| layout.setup());
    let china = setup(Product::Ecr, "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/mirror").expect("a layout");
    assert!(china.contains("PARTITION=aws-cn\n") && china.contains("\nmirror/docker-hub registry-1.docker.io login\n"));
    let domain = setup(Product::ArtifactRegistry, "eu-docker.pkg.dev/example.com/acme").expect("a layout");
    assert!(domain.contains("PROJECT=example.com:acme\nLOCATION=eu\n"));
    let label = setup(Product::Acr, "acmecache-d3f5a7b9c1e2f4a6.azurecr.io").expect("a layout");
    assert!(label.contains("REGISTRY=acmecache\n"));
}

/// The scripts write valid configurations.
#[test]
fn the_configurations_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |product: Product, variables: &[(&str, &str)]| {
        let output = Command::new("bash")
            .args(["-c", &layout(product, &[]).setup()])
            .current_dir(folder.path())
            .envs(variables.iter().copied())
            .output()
            .expect("bash");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(Product::Zot, &[]);
    let zot = std::fs::read_to_string(folder.path().join("zot.json")).expect("a file");
    let zot: serde_json::Value = serde_json::from_str(&zot).expect("JSON");
    let registries = zot["extensions"]["sync"]["registries"].as_array().expect("a list");
    assert_eq!(registries.len(), Upstream::ALL.len());
    assert_eq!(registries[1]["urls"][0], "https://registry-1.docker.io");
    assert_eq!(registries[1]["content"][0]["destination"], "/docker-hub");

    let path = folder.path().to_str().expect("UTF-8");
    run(
        Product::Registry,
        &[("FOLDER", path), ("CONFIGURE_ONLY", "true"), ("QUAY_USERNAME", "robot"), ("QUAY_TOKEN", "t0ken")],
    );
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    assert!(read("docker-hub.yml").ends_with("proxy:\n  remoteurl: https://registry-1.docker.io\n"));
    assert!(read("quay.yml").ends_with("  remoteurl: https://quay.io\n  username: \"robot\"\n  password: \"t0ken\"\n"));
}

.DEFAULT_GOAL := help
.PHONY: help run demo test test-ecosystem test-caches test-cluster test-failover test-hostile test-scale test-charts test-catalogue test-kubernetes-versions lint bench fuzz deny advisories generate screenshots format image \
	chart sbom archive krew checksums release-check

CACHE ?= cache.example.com/k8s
FUZZ_SECONDS ?= 120
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)
IMAGE ?= ghcr.io/pullthrough/pullthrough:$(VERSION)
BUILDER ?= docker buildx build
# The folder with the files of a release.
DIST ?= dist
# The name of the platform in Go and krew, such as linux-amd64.
PLATFORM ?= $(shell uname -s | tr A-Z a-z)-$(shell uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-26s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Serve on 127.0.0.1:8443 with the built-in Kubernetes rule; prints a curl line to try it (CACHE=registry/path)
	cargo run --locked -- serve --cache $(CACHE)

demo: ## Register the webhook with a real API server, and show Pods before and after
	cargo test --quiet --locked --test demo

test: ## Test a change: units, engine, commands, server, a real API server (needs Rust and Go)
	tests/install.sh
	tests/run.sh

test-ecosystem: ## Test with Helm, kustomize, Kyverno, OLM, CRI-O, Docker, OpenShift, shells and a browser (as root, or after `tests/install.sh ecosystem`)
	tests/install.sh ecosystem
	tests/run.sh ecosystem

test-caches: ## Ask real caches, and pull from them with a real containerd (as root; 3 minutes after the builds)
	tests/install.sh caches
	cargo test --locked --test caches

test-cluster: ## Install the manifests in a real cluster of one node (as root, after `tests/install.sh cluster`)
	cargo test --locked --test cluster

test-failover: ## Break one of two caches in every way, and both, while Pods are created, in the cluster of test-cluster (20 minutes)
	cargo test --locked --test cluster -- faults

test-hostile: ## Attack the release build in a memory cgroup of the chart's limit, and measure (as root; 5 minutes after the build)
	@# A test build has the features of the tests' dependencies, so the release build is measured.
	test -n "$$PULLTHROUGH_BINARY" || { cargo build --release --locked && \
		install -D -t $${CARGO_TARGET_DIR:-target}/released $${CARGO_TARGET_DIR:-target}/release/pullthrough; }
	PULLTHROUGH_BINARY=$$(realpath "$${PULLTHROUGH_BINARY:-$${CARGO_TARGET_DIR:-target}/released/pullthrough}") \
		cargo test --release --locked --test hostile

test-scale: ## Scan a real API server with 50,000 Pods, and measure (release build; some minutes)
	cargo test --release --locked --test scale

test-charts: ## Export values for every chart below CHARTS, and compare with Helm's output
	cargo test --locked --test charts -- $(CHARTS)

test-catalogue: ## Scan every repository in REPOSITORIES, and compare with `grep`
	cargo test --locked --test catalogue -- $(REPOSITORIES)

test-kubernetes-versions: ## Run the tests with a real API server of each supported version
	@for version in 1.33 1.34 1.35 1.36; do \
		echo "== Kubernetes $$version"; \
		KUBERNETES_VERSION=$$version cargo test --locked --test e2e -- --show-output || exit 1; \
		KUBERNETES_VERSION=$$version tests/only.sh ecosystem chart:: the_crds_take_the_mirror_sets || exit 1; \
	done

lint: ## Check format, clippy, dependencies of the engine, unused dependencies, documentation and shell scripts (needs cargo-shear, shellcheck)
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	@# --all-targets does not include tests with `test = false`.
	cargo clippy --locked --test demo --test ecosystem --test caches --test cluster --test hostile --test scale --test charts --test catalogue -- -D warnings
	engine/dependencies.sh
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet
	cargo shear --locked --deny-warnings
	shellcheck .ci/run $(shell git ls-files '*.sh')
	@# A tag can be moved. Workflows of this repository are of the same commit.
	@! grep --line-number 'uses:' .github/workflows/*.yml | grep --invert-match --extended-regexp '@[0-9a-f]{40} # v|uses: \./' || \
		{ echo 'pin these actions by commit, with the tag in a comment' >&2; exit 1; }

bench: ## Measure the engine, the server compared with a null webhook, `rewrite` compared with sed, and `warm` compared with skopeo and crane
	cargo bench --locked

fuzz: ## Fuzz references, responses, rules, facts, lints and manifests for FUZZ_SECONDS each (needs cargo-fuzz)
	for target in reference json answer rules facts; do RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir engine/fuzz $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done
	for target in lint manifest; do RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

deny: ## Check bans, licences and sources of dependencies (needs cargo-deny)
	cargo deny check bans licenses sources

advisories: ## Check dependencies for published vulnerabilities (needs cargo-deny and its database)
	cargo deny check advisories

generate: ## Write the files that are generated from the code and the chart (needs Go, for Helm)
	GENERATED=overwrite TRYCMD=overwrite cargo test --quiet --locked --test cmd
	GENERATED=overwrite cargo test --quiet --locked --test library report::docs
	@# From the chart. The first line has written a part of it.
	GENERATED=overwrite tests/only.sh ecosystem chart::what_is_rendered_is_current

screenshots: ## Write the pictures of docs/images again (needs a browser: tests/install.sh ecosystem)
	cargo test --locked --test ecosystem -- --ignored --exact report::screenshots

format: ## Format the code
	cargo fmt --all

image: ## Build the container image (IMAGE=name BUILDER="buildah bud" BUILD_OPTIONS="--build-arg BUILD_IMAGE=...")
	$(BUILDER) --tag $(IMAGE) --build-arg REVISION=$(shell git rev-parse HEAD) \
		--build-arg SOURCE_DATE_EPOCH=$(shell git log -1 --format=%ct) $(BUILD_OPTIONS) .

chart: ## Package the Helm chart into DIST (needs helm)
	helm package manifests/chart --destination $(DIST)

sbom: ## Write a CycloneDX bill of materials into DIST (needs cargo-cyclonedx)
	mkdir -p $(DIST)
	cargo cyclonedx --format json --spec-version 1.5 --no-build-deps --override-filename sbom
	@# cargo-cyclonedx writes one for the engine too.
	rm -f engine/sbom.json
	mv sbom.json $(DIST)/pullthrough-$(VERSION).cdx.json

archive: ## Build the program for this machine, and pack it with the licence into DIST, for krew
	cargo build --release --locked
	mkdir -p $(DIST)
	tar -czf $(DIST)/pullthrough-$(VERSION)-$(PLATFORM).tar.gz -C $${CARGO_TARGET_DIR:-target}/release pullthrough -C $(CURDIR) LICENSE

krew: ## Write the krew manifest of the kubectl plugin into DIST, from SHA256SUMS
	manifests/krew/fill.sh $(VERSION) $(DIST)/SHA256SUMS >krew.yaml
	mv krew.yaml $(DIST)/pullthrough.yaml

checksums: ## Write SHA256SUMS of the files in DIST
	cd $(DIST) && rm -f SHA256SUMS && sha256sum -- * >SHA256SUMS

release-check: ## Fail unless TAG is `v` and the version in Cargo.toml, the chart and the changelog
	@test "$(TAG)" = "v$(VERSION)" || { echo "TAG is '$(TAG)', but Cargo.toml has version $(VERSION): tag v$(VERSION)" >&2; exit 1; }
	@grep -qx 'version: $(VERSION)' manifests/chart/Chart.yaml || { echo "manifests/chart/Chart.yaml has another version: set $(VERSION)" >&2; exit 1; }
	@grep -qx 'version: $(VERSION)' integrations/helm/plugin.yaml || { echo "integrations/helm/plugin.yaml has another version: set $(VERSION)" >&2; exit 1; }
	@grep -q '^## \[$(VERSION)\]' CHANGELOG.md || { echo "CHANGELOG.md has no section [$(VERSION)]: name it" >&2; exit 1; }

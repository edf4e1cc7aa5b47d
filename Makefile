.DEFAULT_GOAL := help
.PHONY: help run demo test test-cluster test-hostile test-scale test-charts test-catalogue test-kubernetes-versions lint bench fuzz deny advisories generate format image \
	chart sbom archive krew checksums release-check

CACHE ?= cache.example.com/k8s
FUZZ_SECONDS ?= 120
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)
IMAGE ?= ghcr.io/pullthrough/pullthrough:$(VERSION)
BUILDER ?= docker buildx build
# What a release consists of, beside the image.
DIST ?= dist
# As Go and krew name it, such as linux-amd64.
PLATFORM ?= $(shell uname -s | tr A-Z a-z)-$(shell uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-26s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Serve on 127.0.0.1:8443 with the built-in Kubernetes rule; prints a curl line to try it (CACHE=registry/path)
	cargo run --locked -- serve --cache $(CACHE)

demo: ## Register the webhook with a real API server and show what becomes of Pods
	cargo test --quiet --locked --test demo

test: ## Run every test but those below: units, router, binary, a real API server, real tools, a browser
	tests/install.sh
	cargo test --locked

test-cluster: ## Run pullthrough from its manifests in a real cluster of one node (as root, after `tests/install.sh cluster`)
	cargo test --locked --test cluster

test-hostile: ## Attack the release build in a memory cgroup of the chart's limit, and measure (as root, 5 minutes after the build)
	@# Tests build the program with the features of their own dependencies; it is the one that is released which counts.
	test -n "$$PULLTHROUGH_BINARY" || { cargo build --release --locked && \
		install -D -t $${CARGO_TARGET_DIR:-target}/released $${CARGO_TARGET_DIR:-target}/release/pullthrough; }
	PULLTHROUGH_BINARY=$$(realpath "$${PULLTHROUGH_BINARY:-$${CARGO_TARGET_DIR:-target}/released/pullthrough}") \
		cargo test --release --locked --test hostile

test-scale: ## Scan a real API server with 50,000 Pods, and measure (release build, minutes)
	cargo test --release --locked --test scale

test-charts: ## Export the values of every chart below CHARTS, and compare with what Helm renders
	cargo test --locked --test charts -- $(CHARTS)

test-catalogue: ## Scan every repository in REPOSITORIES, and compare with what `grep` finds
	cargo test --locked --test catalogue -- $(REPOSITORIES)

test-kubernetes-versions: ## Run the tests on a real API server of each supported version
	@for version in 1.33 1.34 1.35 1.36; do \
		echo "== Kubernetes $$version"; \
		KUBERNETES_VERSION=$$version cargo test --locked --test e2e -- --show-output || exit 1; \
	done

lint: ## Check formatting, clippy with warnings denied, what the engine links, documentation, unused dependencies and shell scripts (needs cargo-shear)
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	@# Which leaves out what has `test = false`.
	cargo clippy --locked --test demo --test cluster --test hostile --test scale --test charts --test catalogue -- -D warnings
	engine/dependencies.sh
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet
	cargo shear --locked --deny-warnings
	shellcheck .ci/run $(shell git ls-files '*.sh')
	@# A tag can be moved. A workflow of this repository is of the same commit.
	@! grep --line-number 'uses:' .github/workflows/*.yml | grep --invert-match --extended-regexp '@[0-9a-f]{40} # v|uses: \./' || \
		{ echo 'pin these actions by commit, with the tag in a comment' >&2; exit 1; }

bench: ## Measure the engine, the server beside a null webhook, and `rewrite` beside sed
	cargo bench --locked

fuzz: ## Fuzz references, answers, rules, lints and manifests for FUZZ_SECONDS each (needs cargo-fuzz)
	for target in reference answer rules; do RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir engine/fuzz $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done
	for target in lint manifest; do RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

deny: ## Check bans, licences and sources of dependencies (needs cargo-deny)
	cargo deny check bans licenses sources

advisories: ## Check dependencies for published vulnerabilities (needs cargo-deny and its database)
	cargo deny check advisories

generate: ## Write again what is generated from the code and from the chart
	GENERATED=overwrite TRYCMD=overwrite cargo test --quiet --locked --test cmd
	@# From the chart, which the line above has written a part of.
	GENERATED=overwrite cargo test --quiet --locked --test e2e manifests::render

format: ## Format the code
	cargo fmt --all

image: ## Build the container image (IMAGE=name BUILDER="buildah bud" BUILD_OPTIONS="--build-arg BUILD_IMAGE=...")
	$(BUILDER) --tag $(IMAGE) --build-arg REVISION=$(shell git rev-parse HEAD) \
		--build-arg SOURCE_DATE_EPOCH=$(shell git log -1 --format=%ct) $(BUILD_OPTIONS) .

chart: ## Package the Helm chart into DIST (needs helm)
	helm package manifests/chart --destination $(DIST)

sbom: ## Write the bill of materials into DIST, in CycloneDX (needs cargo-cyclonedx)
	mkdir -p $(DIST)
	cargo cyclonedx --format json --spec-version 1.5 --no-build-deps --override-filename sbom
	@# One of the engine alone is written too.
	rm -f engine/sbom.json
	mv sbom.json $(DIST)/pullthrough-$(VERSION).cdx.json

archive: ## Build the program for this machine, and pack it with the licence into DIST, as krew installs it
	cargo build --release --locked
	mkdir -p $(DIST)
	tar -czf $(DIST)/pullthrough-$(VERSION)-$(PLATFORM).tar.gz -C $${CARGO_TARGET_DIR:-target}/release pullthrough -C $(CURDIR) LICENSE

krew: ## Write the manifest of kubectl's plugin into DIST, from its SHA256SUMS
	manifests/krew/fill.sh $(VERSION) $(DIST)/SHA256SUMS >krew.yaml
	mv krew.yaml $(DIST)/pullthrough.yaml

checksums: ## Write SHA256SUMS of what is in DIST
	cd $(DIST) && rm -f SHA256SUMS && sha256sum -- * >SHA256SUMS

release-check: ## Fail unless TAG is v and the version that Cargo.toml, the chart and the changelog have
	@test "$(TAG)" = "v$(VERSION)" || { echo "TAG is '$(TAG)', but Cargo.toml has $(VERSION)" >&2; exit 1; }
	@grep -qx 'version: $(VERSION)' manifests/chart/Chart.yaml || { echo "the chart is not of $(VERSION)" >&2; exit 1; }
	@grep -qx 'version: $(VERSION)' integrations/helm/plugin.yaml || { echo "Helm's plugin is not of $(VERSION)" >&2; exit 1; }
	@grep -q '^## \[$(VERSION)\]' CHANGELOG.md || { echo "CHANGELOG.md has no section [$(VERSION)]" >&2; exit 1; }

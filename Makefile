.DEFAULT_GOAL := help
.PHONY: help run demo test test-cluster test-kubernetes-versions lint bench fuzz deny advisories generate format

CACHE ?= cache.example.com/k8s
FUZZ_SECONDS ?= 120

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-26s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Serve on 127.0.0.1:8443 with the built-in Kubernetes rule; prints a curl line to try it (CACHE=registry/path)
	cargo run --locked -- serve --cache $(CACHE)

demo: ## Register the webhook with a real API server and show what becomes of Pods
	cargo test --quiet --locked --test demo

test: ## Run every test but those of `make test-cluster`: units, router, binary, and a real API server
	cargo test --locked

test-cluster: ## Run pullthrough from its manifests in a real cluster of one node (as root; see tests/cluster/install.sh)
	cargo test --locked --test cluster

test-kubernetes-versions: ## Run the tests on a real API server of each supported version
	@for version in 1.33 1.34 1.35 1.36; do \
		echo "== Kubernetes $$version"; \
		KUBERNETES_VERSION=$$version cargo test --locked --test e2e -- --show-output || exit 1; \
	done

lint: ## Check formatting, clippy with warnings denied, documentation, and shell scripts
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	@# Which leaves out what has `test = false`.
	cargo clippy --locked --test demo --test cluster -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet
	shellcheck .ci/run $(shell git ls-files '*.sh')

bench: ## Measure the engine, and the server beside a null webhook
	cargo bench --locked

fuzz: ## Fuzz references and answers for FUZZ_SECONDS each (needs cargo-fuzz)
	for target in reference answer; do RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

deny: ## Check bans, licences and sources of dependencies (needs cargo-deny)
	cargo deny check bans licenses sources

advisories: ## Check dependencies for published vulnerabilities (needs cargo-deny and its database)
	cargo deny check advisories

generate: ## Write again what is generated from the code
	GENERATED=overwrite TRYCMD=overwrite cargo test --quiet --locked --test cmd

format: ## Format the code
	cargo fmt

//! pullthrough sends every image pull of a Kubernetes cluster through the organisation's pull-through cache, by
//! rewriting image references when Pods are admitted.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`engine`] | the meaning: references, rules, decisions, and the answer to an AdmissionReview; pure and synchronous, and a crate of its own |
//! | [`config`] | the engine's part for the rules file: text in, checked rules or errors with their place out |
//! | [`certificate`] | how certificates are made, whether one is trusted, and by which time |
//! | [`server`] | the HTTPS server around the engine: TLS, limits, reloading, metrics, shutdown |
//! | [`cluster`] | what talks to the Kubernetes API: certificates that look after themselves, the doctor, and the scan |
//! | [`files`] | finding files with manifests, and reading them |
//! | [`manifest`] | YAML and JSON text in, the same text out with nothing but images changed |
//! | [`kustomize`] | what kustomize would build of the files of a run, so that rewriting changes names in step |
//! | [`scan`] | what a cluster or a tree of manifests pulls, and from where |
//! | [`golden`] | what rules should make of images, as a file of cases says it |
//! | [`init`] | rules for a product that caches images, and the commands that create its caches |
//! | [`lint`] | what is valid in a rules file, but hardly meant |
//! | [`registries`] | what is known of public registries, and of the registries that caches are |
//! | [`export`] | the same rules for other parts of the platform |
//! | [`cli`] | one file per command |
//!
//! Arrows point one way: `cli → server, scan, cluster, export, init, golden → kustomize → lint, manifest, files → engine,
//! certificate, registries`.

// `cli::output` prints: standard output is data. And serving never fails a Pod.
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod certificate;
pub mod cli;
pub mod cluster;
pub mod export;
pub mod files;
pub mod golden;
pub mod init;
pub mod kustomize;
pub mod lint;
pub mod manifest;
pub mod registries;
pub mod scan;
pub mod server;

pub use pullthrough_engine as engine;
pub use pullthrough_engine::config;

/// Where the API server posts its AdmissionReviews.
pub const ADMISSION_PATH: &str = "/mutate";

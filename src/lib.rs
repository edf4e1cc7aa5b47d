//! pullthrough sends a Kubernetes cluster's image pulls through the organisation's pull-through cache. It rewrites image
//! references when Pods are admitted.
//!
//! | Module | What is in it |
//! | --- | --- |
//! | [`engine`] | references, rules, decisions, and the answer to an AdmissionReview; a crate of its own without I/O |
//! | [`config`] | the engine's reader of the rules file, with errors that name their place |
//! | [`certificate`] | certificates: how to issue them, and whether a client trusts one |
//! | [`server`] | the HTTPS server: connections, TLS, limits, metrics, shutdown |
//! | [`serve`] | `serve`, which connects server, rules, certificates and cluster: reloads and renewals |
//! | [`cluster`] | clients of the Kubernetes API: managed certificates, doctor and scan |
//! | [`files`] | finding, reading and writing files with manifests |
//! | [`manifest`] | YAML and JSON text in, the same text with other images out |
//! | [`kustomize`] | what kustomize would build from the files of a run, so that names change in step |
//! | [`rewrite`] | rewriting manifests in their text |
//! | [`scan`] | the images of a cluster or of a tree of manifests, and their reports |
//! | [`golden`] | test cases for rules |
//! | [`init`] | rules for a cache product, and the commands that create its caches |
//! | [`lint`] | likely mistakes in a valid rules file |
//! | [`proxy`] | the proxy for a server, from the environment |
//! | [`registries`] | public registries, and cache products |
//! | [`products`] | the model of each cache product: what fills it, what its answers mean, what it serves without its upstream |
//! | [`diagnosis`] | why a cache does not serve an image |
//! | [`drill`] | what would start if the upstreams vanished |
//! | [`verify`] | whether caches serve the rewritten images of a scan |
//! | [`warm`] | having caches fetch images: the requests, their pace, and what is done |
//! | [`registry`] | the client of registries, with the credentials of a workstation or a node |
//! | [`export`] | the rules in other formats |
//! | [`words`] | times, counts and lists in messages |
//! | [`cli`] | one file for each command |
//!
//! Dependencies point one way: `cli → serve, drill → cluster, rewrite, verify, warm → server, scan, export, init, golden → kustomize → lint,
//! manifest, files, diagnosis → engine, certificate, registries, products, registry → proxy, words`.

// Only `cli::output` prints, since standard output is data. Serving never fails a Pod, so nothing panics on purpose.
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod certificate;
pub mod cli;
pub mod cluster;
pub mod diagnosis;
pub mod drill;
pub mod export;
pub mod files;
pub mod golden;
pub mod init;
pub mod kustomize;
pub mod lint;
pub mod manifest;
pub mod products;
pub mod proxy;
pub mod registries;
pub mod registry;
pub mod rewrite;
pub mod scan;
pub mod serve;
pub mod server;
pub mod verify;
pub mod warm;
pub mod words;

pub use pullthrough_engine as engine;
pub use pullthrough_engine::config;

/// The path to which the API server sends AdmissionReviews.
pub const ADMISSION_PATH: &str = "/mutate";

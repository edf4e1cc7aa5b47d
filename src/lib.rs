//! pullthrough sends every image pull of a Kubernetes cluster through the organisation's pull-through cache, by
//! rewriting image references when Pods are admitted.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`engine`] | the meaning: references, rules, decisions, and the answer to an AdmissionReview; pure and synchronous |
//! | [`config`] | the rules file: text in, checked rules or errors with their place out |
//! | [`certificate`] | how certificates are made, whether one is trusted, and by which time |
//! | [`server`] | the HTTPS server around the engine: TLS, limits, reloading, metrics, shutdown |
//! | [`cluster`] | what talks to the Kubernetes API: certificates that look after themselves, and the doctor |
//! | [`export`] | the same rules for other parts of the platform |
//! | [`cli`] | one file per command |
//!
//! Arrows point one way: `cli → server, cluster, export → engine, config, certificate`.

// `cli::output` prints: standard output is data. And serving never fails a Pod.
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod certificate;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod engine;
pub mod export;
pub mod server;

/// Where the API server posts its AdmissionReviews.
pub const ADMISSION_PATH: &str = "/mutate";

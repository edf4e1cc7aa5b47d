//! pullthrough sends every image pull of a Kubernetes cluster through the organisation's pull-through cache, by
//! rewriting image references when Pods are admitted.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod config;
pub mod engine;

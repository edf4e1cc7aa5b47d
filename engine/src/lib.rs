//! The decisions of pullthrough: image references, the rules file, which rule matches, and the answer to an
//! AdmissionReview. Pure and synchronous: no clock, file, environment, socket, process, thread or log.
//!
//! `clippy.toml` lists the parts of the standard library that are not allowed, and `dependencies.txt` the allowed crates.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types)]
// Serving never fails a Pod.
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answer;
mod bounds;
mod cache;
mod chunk;
pub mod config;
mod context;
mod custom_owner;
mod decision;
pub mod declared;
mod duration;
mod facts;
mod hashing;
mod health;
mod host;
mod image;
mod json;
mod list;
mod memory;
mod operators;
mod origin;
mod outline;
mod owner;
mod patch;
mod pattern;
mod percent;
mod pod;
mod pod_kind;
mod pod_template;
mod policy;
mod prefix;
mod prefixes;
mod reason;
mod response;
mod review;
mod rollout;
mod rule;
mod siblings;
mod split;
mod start;
mod template;

pub use answer::{Answer, Outcome, Summary, answer};
pub use bounds::{MAX_IMAGES, MAX_PATCH_BYTES, MAX_REFERENCE_BYTES, MAX_UID_BYTES, STORED_BYTES};
pub use cache::{Cache, HealthCheck, Product};
pub use context::{AnswerOptions, Context, Results, is_placeholder};
pub use custom_owner::CustomOwner;
pub use decision::{Decision, ImageDecision};
pub use duration::{duration_text, parse_duration};
pub use facts::{CacheState, Facts};
pub use health::{Health, Probe, Probed, Transition, Verdict};
pub use host::{ALIASES, DOCKER_HUB, aliases_of, fold_host};
pub use image::{ImageRef, InvalidReference, has_host};
pub use json::InvalidJson;
pub use list::{Change, Entries, Kustomize, List};
pub use memory::{memory_bytes, most_memory_bytes};
pub use operators::{Creator, OnRecreateLoop, Operator, Operators, Setting, SkippedOperator, SourceFile, User};
pub use origin::Origin;
pub use owner::Owner;
pub use pattern::{InvalidPattern, Pattern};
pub use percent::{InvalidPercent, Percent};
pub use pod::{MIRROR_ANNOTATION, ORIGINALS_ANNOTATION, Place, Pod, REWRITE_DISABLED, REWRITE_LABEL, Site};
pub use pod_kind::PodKind;
pub use policy::{PodState, Policy, Previous, Question, Settings, Tried, WhenNotUnderstood};
pub use prefix::{InvalidPrefix, Prefix, boundaries, prefix_of_start};
pub use prefixes::Prefixes;
pub use reason::{Dependence, Reason};
pub use review::{Operation, Resource, Unreadable};
pub use rollout::{InvalidWorkload, Workload};
pub use rule::{CheckExists, Fit, Glob, InvalidGlob, Matcher, Mode, Namespaces, Rule, WhenCacheDown};
pub use start::Start;
pub use template::{InvalidTemplate, Template};

//! `pullthrough export`: what it prints, omits and rejects. `tests/ecosystem/export.rs` has the programs that read it.

mod admission_policy;
mod containerd;
mod failover;
mod places;
mod renovate;
mod settings;
mod templates;

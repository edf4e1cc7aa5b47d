//! The same rules for other parts of the platform: one file each.
//!
//! Nothing is approximated: what an export can't express is left out of it, and told as [`Inexpressible`].

pub mod admission_policy;
pub mod cel;
pub mod conditions;
pub mod containerd;
pub mod containers_image;
pub mod crio;
pub mod docker;
pub mod helm_values;
pub mod kustomize;
pub mod kyverno;
pub mod mirrors;
pub mod openshift;
pub mod regions;
pub mod webhook;

use std::fmt;

/// A part of the rules that an export leaves out, and why it can't be expressed there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inexpressible {
    /// ``rule `gitlab` ``, or a field of the rules file.
    pub what: String,
    pub why: String,
}

impl Inexpressible {
    pub fn rule(name: &str, why: impl Into<String>) -> Self {
        Self { what: format!("rule `{name}`"), why: why.into() }
    }

    pub fn field(name: &str, why: impl Into<String>) -> Self {
        Self { what: format!("`{name}`"), why: why.into() }
    }
}

impl fmt::Display for Inexpressible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why } = self;
        write!(f, "{what}: {why}")
    }
}

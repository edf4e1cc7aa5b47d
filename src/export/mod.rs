//! The same rules for other parts of the platform: one file each.
//!
//! Every export takes [`Rule`](crate::engine::Rule) and [`Settings`](crate::engine::Settings) apart without `..`, so that none
//! can overlook a field that is new.
//!
//! Nothing is approximated: an [`Export`] lists each part of the rules that its format does not support as an [`Omission`].

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

/// What every export gives.
#[derive(Debug, Clone)]
pub struct Export<T> {
    /// What is printed or written.
    pub what: T,
    /// What to know about it, although nothing is missing from it.
    pub notes: Vec<String>,
    /// Parts of the rules that the format does not support.
    pub omissions: Vec<Omission>,
}

impl<T> Export<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Export<U> {
        let Self { what, notes, omissions } = self;
        Export { what: f(what), notes, omissions }
    }
}

/// A part of the rules that an export omits, and why its format does not support it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Omission {
    /// ``rule `gitlab` ``, or a field of the rules file.
    pub what: String,
    pub why: String,
}

impl Omission {
    pub fn rule(name: &str, why: impl Into<String>) -> Self {
        Self { what: format!("rule `{name}`"), why: why.into() }
    }

    pub fn field(name: &str, why: impl Into<String>) -> Self {
        Self { what: format!("`{name}`"), why: why.into() }
    }
}

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why } = self;
        write!(f, "{what}: {why}")
    }
}

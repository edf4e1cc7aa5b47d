//! Exports of the rules to other formats, one file each.
//!
//! Every export destructures [`Rule`](crate::engine::Rule) and [`Settings`](crate::engine::Settings) without `..`, so that a new
//! field does not compile until each export handles it.
//!
//! Exports never approximate: an [`Export`] lists each part of the rules that its format does not support as an [`Omission`].

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
pub mod renovate;
pub mod webhook;

use std::fmt;

/// The result of an export.
#[derive(Debug, Clone)]
pub struct Export<T> {
    /// The text, objects or files.
    pub what: T,
    /// Facts that users need although nothing is omitted.
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

/// A part of the rules that an export omits, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Omission {
    /// The part: ``rule `gitlab` ``, a field of the rules file, or a place in a file.
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

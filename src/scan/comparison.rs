//! What is known of the operator of an image.

use std::sync::Arc;

use crate::engine::Operator;

/// What is known of the operator that creates a Pod with an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// It compares the images of its Pods.
    Known(&'static Operator),
    /// It is not known. The Pod's owner is of this kind, `KIND.GROUP`.
    Possible(Arc<str>),
}

impl Comparison {
    /// Returns the operator of a custom resource in a manifest.
    pub fn of_resource(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Operator::of_resource(group, kind).map(Self::Known)
    }
}

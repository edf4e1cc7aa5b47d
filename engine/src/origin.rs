//! Who has a Pod created.

use std::borrow::Cow;

use super::custom_owner::CustomOwner;
use super::operators::Operator;
use super::pod::Pod;

/// Who has a Pod created, as its owner and its labels say.
#[derive(Debug, Default)]
pub struct Origin<'a> {
    /// A known operator that compares images.
    pub operator: Option<&'static Operator>,
    /// The controller owner, if its kind is not built in.
    pub owner: Option<CustomOwner<'a>>,
}

impl<'a> Pod<'a> {
    /// Returns who has a Pod of a namespace created.
    pub fn origin(&self, namespace: Cow<'a, str>) -> Origin<'a> {
        let Some(metadata) = &self.metadata else { return Origin::default() };
        let Some(owner) = metadata.controller() else { return Origin::default() };
        let operator = Operator::of(owner.group(), &owner.kind, |key| metadata.label(key));
        Origin { operator, owner: CustomOwner::of(&owner, namespace) }
    }
}

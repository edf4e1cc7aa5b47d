//! What to do about a cause: the fix of the product where one is known, else the general one.

use serde::Serialize;

use super::{Cause, Diagnosis};
use crate::products::{Model, Remedy};

/// A cause in words, with its fix. The keys are those of `-o json`, and all are present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Advice {
    pub cause: &'static str,
    pub text: &'static str,
    pub fix: &'static str,
    /// Where the fix of the product is from; `None` if the fix is the general one.
    pub source: Option<&'static str>,
}

impl Cause {
    pub fn advice(self, model: &Model) -> Advice {
        let is_of = |remedy: &&Remedy| Self::from(remedy.cause) == self;
        let (fix, source) = match model.remedies().find(is_of) {
            Some(Remedy { text, source, .. }) => (*text, Some(source.address())),
            None => (self.fix(), None),
        };
        Advice { cause: self.as_str(), text: self.what(), fix, source }
    }
}

impl Diagnosis {
    /// Returns the causes in words, in their order.
    pub fn advice(&self, model: &'static Model) -> impl Iterator<Item = Advice> {
        self.causes.iter().map(|cause| cause.advice(model))
    }
}

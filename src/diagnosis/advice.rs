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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Product;

    #[test]
    fn a_cause_has_the_fix_of_the_product_or_the_general_one() {
        for model in Product::ALL.iter().map(|product| Model::of(*product)) {
            let of_product = |cause: Cause| model.remedies().find(|remedy| Cause::from(remedy.cause) == cause);
            for &cause in Cause::ALL {
                let Advice { fix, source, .. } = cause.advice(model);
                match of_product(cause) {
                    Some(remedy) => assert_eq!((fix, source), (remedy.text, Some(remedy.source.address()))),
                    None => assert_eq!((fix, source), (cause.fix(), None)),
                }
            }
            let known = Cause::ALL.iter().filter(|cause| cause.advice(model).source.is_some()).count();
            assert_eq!(known, model.remedies().count(), "{:?}", model.product);
        }
    }
}

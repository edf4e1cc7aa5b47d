//! Declarations by kind. There are too many to try them one by one.

use std::collections::BTreeMap;

use super::objects::Header;
use crate::config::{self, RulesError};
use crate::engine::declared::{Declaration, Subject};

const NAME: &str = "the catalogue";
const TEXT: &str = include_str!("catalogue.yaml");

/// The built-in catalogue. Its source is `catalogue.yaml`.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    of_kinds: BTreeMap<String, Vec<Declaration>>,
    /// Declarations for any kind, and for documents that are no objects.
    others: Vec<Declaration>,
}

impl FromIterator<Declaration> for Catalogue {
    fn from_iter<I: IntoIterator<Item = Declaration>>(declarations: I) -> Self {
        let mut catalogue = Self::default();
        for declaration in declarations {
            match &declaration.subject {
                Subject::Kind { kind, .. } => catalogue.of_kinds.entry(kind.clone()).or_default().push(declaration),
                _ => catalogue.others.push(declaration),
            }
        }
        catalogue
    }
}

impl Catalogue {
    /// Returns the built-in catalogue.
    ///
    /// # Errors
    ///
    /// Fails if the program was built with an invalid catalogue.
    pub fn built_in() -> Result<Self, RulesError> {
        config::declarations(NAME, TEXT, "catalogue").map(Self::from_iter)
    }

    /// Returns the declarations without those for names of files.
    #[must_use]
    pub fn without_files(mut self) -> Self {
        self.others.retain(|declaration| !matches!(declaration.subject, Subject::Files(_)));
        self
    }

    pub(super) fn of(&self, header: &Header) -> impl Iterator<Item = &Declaration> {
        let of_kind = self.of_kinds.get(&header.kind).into_iter().flatten();
        of_kind.filter(|declaration| declaration.is_of(header.group(), &header.kind))
    }

    pub(super) fn others(&self) -> &[Declaration] {
        &self.others
    }
}

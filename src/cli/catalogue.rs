//! Whether a command goes by the built-in catalogue.

use crate::engine::declared::Declaration;
use crate::manifest::{Catalogue, Known};

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct CatalogueArgs {
    /// Find images in the kinds that Kubernetes defines and the rules file declares alone, not in those of the built-in
    /// catalogue (Argo, Tekton, Flux, Knative and others).
    #[arg(long)]
    no_catalogue: bool,
}

impl CatalogueArgs {
    /// Where images are found.
    pub fn for_reading(self, declared: Vec<Declaration>) -> anyhow::Result<Known> {
        let catalogue = if self.no_catalogue { Catalogue::default() } else { Catalogue::built_in()? };
        Ok(Known { declared, catalogue, ..Known::default() })
    }

    /// Where images are changed: not in values of charts, which are other people's defaults.
    pub fn for_writing(self, declared: Vec<Declaration>) -> anyhow::Result<Known> {
        let known = self.for_reading(declared)?;
        Ok(Known { catalogue: known.catalogue.without_files(), ..known })
    }
}

//! `--no-catalogue`.

use crate::manifest::Catalogue;

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct CatalogueArgs {
    /// Don't use the built-in catalogue of kinds with images (Argo, Tekton, Flux, Knative and others). Images are then found in
    /// kinds of Kubernetes and in those that the rules file declares.
    #[arg(long)]
    no_catalogue: bool,
}

impl CatalogueArgs {
    /// Returns the catalogue for reading images.
    pub fn for_reading(self) -> anyhow::Result<Catalogue> {
        Ok(if self.no_catalogue { Catalogue::default() } else { Catalogue::built_in()? })
    }

    /// Returns the catalogue for changing images. Values of charts are not in it, since they are defaults of their authors.
    pub fn for_writing(self) -> anyhow::Result<Catalogue> {
        Ok(self.for_reading()?.without_files())
    }
}

//! Which rules a command goes by.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::config::{self, Config};

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct RulesArgs {
    /// The rules file (YAML; `pullthrough schema` describes it).
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_RULES")]
    pub rules: Option<PathBuf>,

    /// Instead of a rules file: send the registry of the Kubernetes project (registry.k8s.io, k8s.gcr.io and its older
    /// names) to this registry host, or host and path.
    #[arg(long, value_name = "PREFIX", env = "PULLTHROUGH_CACHE")]
    pub cache: Option<String>,
}

impl RulesArgs {
    pub fn load(&self) -> anyhow::Result<Config> {
        Ok(self.read()?.0)
    }

    /// What headings call the rules.
    pub fn name(&self) -> String {
        match (&self.rules, &self.cache) {
            (Some(file), _) => file.display().to_string(),
            (None, prefix) => format!("--cache {}", prefix.as_deref().unwrap_or_default()),
        }
    }

    /// The rules, and the bytes that say which they are.
    pub fn read(&self) -> anyhow::Result<(Config, Vec<u8>)> {
        match (&self.rules, &self.cache) {
            (Some(file), _) => {
                let content = read_file(file)?;
                Ok((parse(file, &content)?, content))
            }
            (None, prefix) => {
                let prefix = prefix.as_deref().unwrap_or_default();
                let config =
                    Config::for_cache(prefix).map_err(|error| anyhow!("invalid --cache `{prefix}`: {error}"))?;
                Ok((config, prefix.as_bytes().to_owned()))
            }
        }
    }
}

pub fn read_file(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("can't read the rules file {}", file.display()))
}

pub fn parse(file: &Path, content: &[u8]) -> anyhow::Result<Config> {
    Ok(config::parse(&file.display().to_string(), text(file, content)?)?)
}

pub fn text<'c>(file: &Path, content: &'c [u8]) -> anyhow::Result<&'c str> {
    std::str::from_utf8(content)
        .map_err(|error| anyhow!("{}: not UTF-8 after byte {}; save it as UTF-8", file.display(), error.valid_up_to()))
}

//! The rules of a command.

use std::path::PathBuf;

use anyhow::anyhow;

use crate::config::Config;
use crate::files::rules;

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct RulesArgs {
    /// The rules file (YAML).
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_RULES", conflicts_with = "cache")]
    pub rules: Option<PathBuf>,

    /// One rule, instead of a rules file. It rewrites images of the Kubernetes project (registry.k8s.io and older names) to
    /// this registry, with or without a path.
    #[arg(long, value_name = "PREFIX", env = "PULLTHROUGH_CACHE")]
    pub cache: Option<String>,
}

impl RulesArgs {
    pub fn load(&self) -> anyhow::Result<Config> {
        Ok(self.read()?.0)
    }

    /// Returns the name of the rules for headings.
    pub fn name(&self) -> String {
        match (&self.rules, &self.cache) {
            (Some(file), _) => file.display().to_string(),
            (None, prefix) => format!("--cache {}", prefix.as_deref().unwrap_or_default()),
        }
    }

    /// Returns the rules, and the bytes from which their fingerprint is made.
    pub fn read(&self) -> anyhow::Result<(Config, Vec<u8>)> {
        match (&self.rules, &self.cache) {
            (Some(file), _) => {
                let content = rules::read(file)?;
                Ok((rules::parse(file, &content)?, content))
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

//! Reads and parses a rules file.

use std::fs;
use std::path::Path;

use anyhow::anyhow;

use super::Problem;
use crate::config::{self, Config, RulesError};

pub fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).map_err(|error| anyhow!("can't read the rules file {}", Problem::new(file, &error)))
}

pub fn parse(file: &Path, content: &[u8]) -> anyhow::Result<Config> {
    Ok(config::parse(&file.display().to_string(), text(file, content)?)?)
}

/// Returns an error in one line, for logs and programs. One of a rules file begins with `file:line:column`.
pub fn line(error: &anyhow::Error) -> String {
    error.downcast_ref::<RulesError>().map_or_else(|| format!("{error:#}"), |error| error.line().to_owned())
}

pub fn text<'c>(file: &Path, content: &'c [u8]) -> anyhow::Result<&'c str> {
    std::str::from_utf8(content)
        .map_err(|error| anyhow!("{}: not UTF-8 after byte {}; save it as UTF-8", file.display(), error.valid_up_to()))
}

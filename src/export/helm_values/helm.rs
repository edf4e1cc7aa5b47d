//! Runs Helm to render a chart.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use super::Rendered;
use crate::manifest::Known;

/// The parameters of `helm template`.
pub struct Helm<'a> {
    pub binary: &'a Path,
    /// The chart, and then files with values.
    pub paths: &'a [PathBuf],
    pub namespace: &'a str,
    pub known: &'a Known,
}

impl Helm<'_> {
    /// Renders the chart without overrides.
    ///
    /// # Errors
    ///
    /// If Helm is missing, or can't render the chart. The error is the reason.
    pub fn plain(&self) -> Result<Rendered, String> {
        self.render(None).map_err(|error| {
            let cause = error.downcast_ref::<io::Error>();
            let is_absent = cause.is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
            if is_absent {
                "Helm not found (install it, or name it with --helm PATH)".to_owned()
            } else {
                format!("{error:#}")
            }
        })
    }

    /// Renders the chart with `overrides` after its values.
    pub fn render(&self, overrides: Option<&Value>) -> anyhow::Result<Rendered> {
        let mut command = Command::new(self.binary);
        let (chart, files) = self.paths.split_first().context("a chart")?;
        command.args(["template", "release", "--namespace", self.namespace]);
        for file in files {
            command.arg("--values").arg(file);
        }
        let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
        if let Some(overrides) = overrides {
            serde_json::to_writer(&file, overrides)?;
            command.arg("--values").arg(file.path());
        }
        let output = command.arg("--").arg(chart).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = error.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            bail!("helm template: {}", lines.join(" "));
        }
        Ok(Rendered::read("what Helm rendered", &String::from_utf8(output.stdout)?, self.known)?)
    }
}

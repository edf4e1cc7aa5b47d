//! Reads charts from their folders.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};
use walkdir::WalkDir;

use super::{Chart, Templates, Whose, of_template};
use crate::engine::Policy;
use crate::export::Omission;
use crate::manifest;

/// Reads charts from their folders, and the images that no values change.
pub struct Reader<'p> {
    policy: &'p Policy,
    namespace: &'p str,
    /// Images that no values change, and parts of charts that are not read.
    pub omissions: Vec<Omission>,
    pub templates: Templates,
}

/// The fields of Chart.yaml, and of requirements.yaml in charts for Helm 2, that are read here.
#[derive(Default, Deserialize)]
struct Declared {
    #[serde(default)]
    name: String,
    dependencies: Option<Vec<Dependency>>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    alias: Option<String>,
    #[serde(rename = "import-values")]
    import_values: Option<Vec<Value>>,
}

impl<'p> Reader<'p> {
    pub fn new(policy: &'p Policy, namespace: &'p str) -> Self {
        Self { policy, namespace, omissions: Vec::new(), templates: Templates::default() }
    }

    /// Reads the chart in a folder, with its unpacked subcharts.
    ///
    /// # Errors
    ///
    /// If the folder is not a chart, or a file is unreadable.
    pub fn chart(&mut self, folder: &Path) -> anyhow::Result<Chart> {
        Ok(self.named_chart(folder, Whose::Chart)?.1)
    }

    /// Returns a chart and its name.
    fn named_chart(&mut self, folder: &Path, whose: Whose) -> anyhow::Result<(String, Chart)> {
        let file = folder.join("Chart.yaml");
        ensure!(file.is_file(), "{} has no Chart.yaml: name the folder of a chart", folder.display());
        let Declared { name, dependencies } = declared(&file)?;
        let mut dependencies = dependencies.unwrap_or_default();
        let requirements = folder.join("requirements.yaml");
        if requirements.is_file() {
            dependencies.extend(declared(&requirements)?.dependencies.unwrap_or_default());
        }
        let mut chart = Chart::default();
        let own = folder.join("values.yaml");
        if own.is_file() {
            chart.add_values(read_values(&own)?);
        }
        self.templates(&folder.join("templates"), whose)?;
        for path in self.unpacked(&folder.join("charts"))? {
            let (name, subchart) = self.named_chart(&path, Whose::Subchart)?;
            let aliases = dependencies.iter().filter(|dependency| dependency.name == name);
            let mut keys: Vec<String> =
                aliases.map(|dependency| dependency.alias.as_ref().unwrap_or(&name).clone()).collect();
            if keys.is_empty() {
                keys.push(name);
            }
            for key in keys {
                chart.add_subchart(&key, subchart.clone());
            }
        }
        for Dependency { name, alias, import_values } in dependencies {
            let key = alias.unwrap_or(name);
            if import_values.is_some_and(|values| !values.is_empty()) {
                let why = "values that `import-values` copies are read only where they are copied from";
                self.omit(&file, &key, why);
            }
            if !chart.subcharts.0.contains_key(&key) {
                self.omit(&file, &key, "it is not a folder in charts/: run `helm dependency update`, and unpack it");
            }
        }
        Ok((name, chart))
    }

    fn omit(&mut self, file: &Path, dependency: &str, why: &str) {
        let what = format!("{}: dependency `{dependency}`", file.display());
        self.omissions.push(Omission { what, why: why.to_owned() });
    }

    /// Returns the folders of subcharts, sorted by name.
    fn unpacked(&mut self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in WalkDir::new(folder).min_depth(1).max_depth(1).follow_links(true).sort_by_file_name() {
            let Ok(entry) = entry else { continue };
            let is_packed = entry.path().extension().is_some_and(|extension| extension == "tgz");
            if is_packed {
                let why = "it is packed: unpack it there with `tar xzf`".to_owned();
                self.omissions.push(Omission { what: entry.path().display().to_string(), why });
            } else if entry.path().join("Chart.yaml").is_file() {
                folders.push(entry.into_path());
            }
        }
        Ok(folders)
    }

    fn templates(&mut self, folder: &Path, whose: Whose) -> anyhow::Result<()> {
        for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok) {
            let is_template =
                |extension: &std::ffi::OsStr| extension == "yaml" || extension == "yml" || extension == "tpl";
            if entry.file_type().is_file() && entry.path().extension().is_some_and(is_template) {
                let (name, text) = (entry.path().display().to_string(), read(entry.path())?);
                self.templates.add(whose, &name, &text);
                self.omissions.extend(of_template(self.policy, self.namespace, &name, &text));
            }
        }
        Ok(())
    }
}

/// Returns the text of a file, which must not be packed.
pub fn read(file: &Path) -> anyhow::Result<String> {
    let packed = file.extension().is_some_and(|extension| extension == "tgz");
    ensure!(!packed, "{} is packed: unpack it with `tar xzf`, and name the folder", file.display());
    fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))
}

fn parse(file: &Path) -> anyhow::Result<Value> {
    Ok(manifest::value(&file.display().to_string(), &read(file)?)?)
}

fn declared(file: &Path) -> anyhow::Result<Declared> {
    match parse(file)? {
        Value::Null => Ok(Declared::default()),
        value => serde_json::from_value(value).with_context(|| format!("can't read {}", file.display())),
    }
}

/// Reads a values file. An empty file has no values.
pub fn read_values(file: &Path) -> anyhow::Result<Map<String, Value>> {
    match parse(file)? {
        Value::Object(values) => Ok(values),
        Value::Null => Ok(Map::new()),
        _ => bail!("{} is not a values file: values are a mapping", file.display()),
    }
}

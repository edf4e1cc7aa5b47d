use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};
use walkdir::WalkDir;

use super::StrictArgs;
use crate::cli::rules::RulesArgs;
use crate::cli::{output, parse_namespace};
use crate::config;
use crate::engine::Policy;
use crate::export::Inexpressible;
use crate::export::helm_values::{self, Chart, Overrides};

/// Print the values with which a chart renders the images that the rules want
///
/// It reads values, not what templates make of them: mappings with `repository`, perhaps with `registry`, and strings `image`,
/// also of unpacked subcharts. Tags and digests stay. Render the chart with them and ask `rewrite --check` for what is missing.
///
/// Exit codes: 0 done; 1 with --strict: something was left out; 2 wrong usage, invalid rules, or a chart or values that can't
/// be read.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough export helm-values --rules rules.yaml charts/web prod.yaml > cached.yaml
  $ pullthrough export helm-values --rules rules.yaml charts/web > cached.yaml \\
      && helm template charts/web -f cached.yaml | pullthrough rewrite --check --rules rules.yaml")]
pub struct Args {
    /// The folder of a chart, and files with values, of which a later one counts more, as with `helm --values`.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: RulesArgs,

    /// The namespace of the release.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default", value_parser = parse_namespace)]
    namespace: String,

    #[command(flatten)]
    strict: StrictArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { paths, rules, namespace, strict } = args;
    let policy = Policy::from(rules.load()?);
    let mut reader = Reader { policy: &policy, namespace: &namespace, left_out: Vec::new() };
    let mut chart = Chart::default();
    for (index, path) in paths.iter().enumerate() {
        match path.is_dir() {
            true if index > 0 => bail!("{}: name the chart first, and one alone", path.display()),
            true => chart = reader.chart(path)?.1,
            false => chart.add_values(values(path)?),
        }
    }
    let Overrides { values, left_out, found_image } = helm_values::overrides(&policy, &namespace, &chart);
    if !found_image && left_out.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        output::talk(format_args!("note: no image found in the values of {}: nothing is overridden", names.join(", ")));
    }
    let left_out = [left_out, reader.left_out].concat();
    strict.verdict(output::data(serde_saphyr::to_string(&values)?), &left_out)
}

/// Reads charts, and what no values change in them.
struct Reader<'p> {
    policy: &'p Policy,
    namespace: &'p str,
    left_out: Vec<Inexpressible>,
}

/// Chart.yaml, and requirements.yaml of charts for Helm 2, as far as they matter here.
#[derive(Default, Deserialize)]
struct Declared {
    #[serde(default)]
    name: String,
    #[serde(default)]
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    alias: Option<String>,
    #[serde(rename = "import-values", default)]
    import_values: Vec<Value>,
}

impl Reader<'_> {
    /// A chart, and its name.
    fn chart(&mut self, folder: &Path) -> anyhow::Result<(String, Chart)> {
        let file = folder.join("Chart.yaml");
        ensure!(file.is_file(), "{} has no Chart.yaml: name the folder of a chart", folder.display());
        let Declared { name, mut dependencies } = parse(&file)?;
        let requirements = folder.join("requirements.yaml");
        if requirements.is_file() {
            dependencies.extend(parse::<Declared>(&requirements)?.dependencies);
        }
        let mut chart = Chart::default();
        let own = folder.join("values.yaml");
        if own.is_file() {
            chart.add_values(values(&own)?);
        }
        self.templates(&folder.join("templates"))?;
        for path in self.unpacked(&folder.join("charts"))? {
            let (name, subchart) = self.chart(&path)?;
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
            if !import_values.is_empty() {
                let why = "what `import-values` copies from it is looked at where it comes from alone";
                self.leave_out(&file, &key, why);
            }
            if !chart.subcharts.0.contains_key(&key) {
                self.leave_out(&file, &key, "it is not in charts/ as a folder: helm dependency update, and unpack it");
            }
        }
        Ok((name, chart))
    }

    fn leave_out(&mut self, file: &Path, dependency: &str, why: &str) {
        let what = format!("{}: dependency `{dependency}`", file.display());
        self.left_out.push(Inexpressible { what, why: why.to_owned() });
    }

    /// The folders of subcharts, by name.
    fn unpacked(&mut self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in WalkDir::new(folder).min_depth(1).max_depth(1).follow_links(true).sort_by_file_name() {
            let Ok(entry) = entry else { continue };
            let is_packed = entry.path().extension().is_some_and(|extension| extension == "tgz");
            if is_packed {
                let why = "it is packed: `tar xzf` it there".to_owned();
                self.left_out.push(Inexpressible { what: entry.path().display().to_string(), why });
            } else if entry.path().join("Chart.yaml").is_file() {
                folders.push(entry.into_path());
            }
        }
        Ok(folders)
    }

    fn templates(&mut self, folder: &Path) -> anyhow::Result<()> {
        for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok) {
            let is_template =
                |extension: &std::ffi::OsStr| extension == "yaml" || extension == "yml" || extension == "tpl";
            if entry.file_type().is_file() && entry.path().extension().is_some_and(is_template) {
                let (name, text) = (entry.path().display().to_string(), read(entry.path())?);
                self.left_out.extend(helm_values::of_template(self.policy, self.namespace, &name, &text));
            }
        }
        Ok(())
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let packed = file.extension().is_some_and(|extension| extension == "tgz");
    ensure!(!packed, "{} is packed: unpack it with `tar xzf`, and name the folder", file.display());
    fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))
}

fn parse<T: serde::de::DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    Ok(config::read(&file.display().to_string(), &read(file)?, "content")?)
}

/// An empty file has none.
fn values(file: &Path) -> anyhow::Result<Map<String, Value>> {
    match parse(file)? {
        Value::Object(values) => Ok(values),
        Value::Null => Ok(Map::new()),
        _ => bail!("{} has no values: they are a mapping", file.display()),
    }
}

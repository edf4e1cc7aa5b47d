use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{fs, io};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};
use walkdir::WalkDir;

use super::{StrictArgs, note};
use crate::cli::catalogue::CatalogueArgs;
use crate::cli::rules::RulesArgs;
use crate::cli::{output, parse_namespace};
use crate::engine::Policy;
use crate::export::helm_values::{self, Chart, Rendered, Sight, Templates, Whose};
use crate::export::{Export, Omission};
use crate::manifest::{self, Known};

/// Print the values with which a chart renders the images that the rules want
///
/// It looks for mappings with `repository`, perhaps with `registry`, and for strings `image`, also in unpacked subcharts. Tags
/// and digests stay. With Helm at hand, the chart is rendered with and without each override: only those are printed that change
/// images as the rules want and nothing else, and every image is named that stays. Without Helm, an image that names no registry
/// is left out as soon as a value or a template has a registry that may be put in front of it.
///
/// Exit codes: 0 done; 1 with --strict: something was left out; 2 wrong usage, invalid rules, or a chart or values that can't
/// be read. With --strict, 2 also if no image was found.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough export helm-values --rules rules.yaml charts/web prod.yaml > cached.yaml
  $ pullthrough export helm-values --rules rules.yaml charts/web > cached.yaml \\
      && helm template charts/web -f cached.yaml \\
      | pullthrough rewrite --check --rewrite-short-names --rules rules.yaml")]
pub struct Args {
    /// The folder of a chart, and files with values, of which a later one counts more, as with `helm --values`.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: RulesArgs,

    /// The namespace of the release.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default", value_parser = parse_namespace)]
    namespace: String,

    /// The `helm` to render with.
    #[arg(long, value_name = "PATH", env = "PULLTHROUGH_HELM", default_value = "helm", conflicts_with = "rendered")]
    helm: PathBuf,

    /// Go by the values and templates alone.
    #[arg(long, conflicts_with_all = ["helm", "rendered"])]
    no_helm: bool,

    /// What `helm template` printed for the same chart, values and namespace, where Helm is not at hand.
    #[arg(long, value_name = "FILE")]
    rendered: Option<PathBuf>,

    #[command(flatten)]
    catalogue: CatalogueArgs,

    #[command(flatten)]
    strict: StrictArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { paths, rules, namespace, helm, no_helm, rendered, catalogue, strict } = args;
    let config = rules.load()?;
    let known = catalogue.for_writing(config.manifests.clone())?;
    let policy = Policy::from(config);
    let mut reader =
        Reader { policy: &policy, namespace: &namespace, left_out: Vec::new(), templates: Templates::default() };
    let mut chart = Chart::default();
    for (index, path) in paths.iter().enumerate() {
        match path.is_dir() {
            true if index > 0 => bail!("{}: name the chart first, and one alone", path.display()),
            true => chart = reader.chart(path, Whose::Chart)?.1,
            false => chart.add_values(values(path)?),
        }
    }
    let helm = Helm { binary: &helm, paths: &paths, namespace: &namespace, known: &known };
    let is_given = rendered.is_some();
    let plain = match rendered {
        Some(file) => Some(Rendered::read(&file.display().to_string(), &read(&file)?, &known)?),
        None if no_helm || !paths[0].is_dir() => None,
        None => helm.plain(),
    };
    let sight = match &plain {
        Some(plain) => Sight::Rendered(plain),
        None => Sight::Templates(&reader.templates),
    };
    let found = helm_values::overrides(&policy, &namespace, &chart, sight);
    let found_image = found.found_image;
    let Export { what: images, notes, mut omissions } = match &plain {
        Some(plain) if is_given => helm_values::believe(found, plain, &policy, &namespace),
        Some(plain) => helm_values::prove(found, plain, &policy, &namespace, |values| helm.render(Some(values)))?,
        None => found.unproven(),
    };
    omissions.extend(helm_values::beside_images(&policy, &images));
    omissions.sort();
    if plain.is_none() {
        omissions.extend(reader.left_out);
    }
    if !found_image && omissions.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        if strict.strict {
            bail!("nothing was inspected: no image found in the values of {}; check the path", names.join(", "));
        }
        output::talk(format_args!("note: no image found in the values of {}: nothing is overridden", names.join(", ")));
    }
    note(&notes);
    let values = helm_values::values(&images);
    strict.verdict(output::data(serde_saphyr::to_string(&values)?), &omissions)
}

/// How the chart is rendered.
struct Helm<'a> {
    binary: &'a Path,
    /// The chart, and files with values.
    paths: &'a [PathBuf],
    namespace: &'a str,
    known: &'a Known,
}

impl Helm<'_> {
    /// The chart as it is. None where there is no Helm, or the chart can't be rendered, which is told.
    fn plain(&self) -> Option<Rendered> {
        let error = match self.render(None) {
            Ok(rendered) => return Some(rendered),
            Err(error) => error,
        };
        let is_absent = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
        let why = if is_absent { "Helm was not found (--helm PATH)".to_owned() } else { format!("{error:#}") };
        output::talk(format_args!("note: {why}: the overrides are not proven"));
        None
    }

    fn render(&self, overrides: Option<&Value>) -> anyhow::Result<Rendered> {
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

/// Reads charts, and what no values change in them.
struct Reader<'p> {
    policy: &'p Policy,
    namespace: &'p str,
    left_out: Vec<Omission>,
    templates: Templates,
}

/// Chart.yaml, and requirements.yaml of charts for Helm 2, as far as they matter here.
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

impl Reader<'_> {
    /// A chart, and its name.
    fn chart(&mut self, folder: &Path, whose: Whose) -> anyhow::Result<(String, Chart)> {
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
            chart.add_values(values(&own)?);
        }
        self.templates(&folder.join("templates"), whose)?;
        for path in self.unpacked(&folder.join("charts"))? {
            let (name, subchart) = self.chart(&path, Whose::Subchart)?;
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
        self.left_out.push(Omission { what, why: why.to_owned() });
    }

    /// The folders of subcharts, by name.
    fn unpacked(&mut self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in WalkDir::new(folder).min_depth(1).max_depth(1).follow_links(true).sort_by_file_name() {
            let Ok(entry) = entry else { continue };
            let is_packed = entry.path().extension().is_some_and(|extension| extension == "tgz");
            if is_packed {
                let why = "it is packed: `tar xzf` it there".to_owned();
                self.left_out.push(Omission { what: entry.path().display().to_string(), why });
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

fn parse(file: &Path) -> anyhow::Result<Value> {
    Ok(manifest::value(&file.display().to_string(), &read(file)?)?)
}

fn declared(file: &Path) -> anyhow::Result<Declared> {
    match parse(file)? {
        Value::Null => Ok(Declared::default()),
        value => serde_json::from_value(value).with_context(|| format!("can't read {}", file.display())),
    }
}

/// An empty file has none.
fn values(file: &Path) -> anyhow::Result<Map<String, Value>> {
    match parse(file)? {
        Value::Object(values) => Ok(values),
        Value::Null => Ok(Map::new()),
        _ => bail!("{} has no values: they are a mapping", file.display()),
    }
}

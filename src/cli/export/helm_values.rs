use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;

use super::{StrictArgs, note};
use crate::cli::catalogue::CatalogueArgs;
use crate::cli::rules::RulesArgs;
use crate::cli::{output, parse_namespace};
use crate::engine::Policy;
use crate::export::Export;
use crate::export::helm_values::{self, Chart, Helm, Reader, Rendered, Sight, read, read_values};
use crate::manifest::Known;

/// Print Helm values with which a chart renders rewritten images
///
/// It reads mappings with `repository` (and `registry`) and strings `image`, also in unpacked subcharts. Tags and digests
/// do not change. If Helm is installed, the chart is rendered with and without each override. Overrides are printed that
/// rewrite images as the rules do and change nothing else; other images are listed. Without Helm, an image without a
/// registry is omitted if its prefix may be in a value or a template.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  1  with --strict: something was omitted
  2  wrong usage, or invalid or unreadable rules, charts or values. With
     --strict, 2 also if no image was found

Examples:
  $ pullthrough export helm-values --rules rules.yaml charts/web prod.yaml \\
      > cached.yaml
  $ pullthrough export helm-values --rules rules.yaml charts/web > cached.yaml \\
      && helm template charts/web -f cached.yaml \\
      | pullthrough rewrite --check --rewrite-short-names --rules rules.yaml")]
pub struct Args {
    /// The folder of a chart, then files with values. Later files take precedence, as with `helm --values`.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: RulesArgs,

    /// The namespace of the release.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default", value_parser = parse_namespace)]
    namespace: String,

    /// The `helm` executable.
    #[arg(long, value_name = "PATH", env = "PULLTHROUGH_HELM", default_value = "helm", conflicts_with = "rendered")]
    helm: PathBuf,

    /// Don't run Helm; read values and templates only.
    #[arg(long, conflicts_with_all = ["helm", "rendered"])]
    no_helm: bool,

    /// The output of `helm template` for the same chart, values and namespace, if Helm is not installed.
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
    let known = Known { declared: config.manifests.clone(), catalogue: catalogue.for_writing()?, ..Known::default() };
    let policy = Policy::from(config);
    let mut reader = Reader::new(&policy, &namespace);
    let mut chart = Chart::default();
    for (index, path) in paths.iter().enumerate() {
        if !path.is_dir() {
            chart.add_values(read_values(path)?);
        } else if index == 0 {
            chart = reader.chart(path)?;
        } else {
            bail!("{}: name one chart only, before the files with values", path.display());
        }
    }
    let helm = Helm { binary: &helm, paths: &paths, namespace: &namespace, known: &known };
    let is_given = rendered.is_some();
    let plain = match rendered {
        Some(file) => Some(Rendered::read(&file.display().to_string(), &read(&file)?, &known)?),
        None if no_helm || !paths[0].is_dir() => None,
        None => {
            helm.plain().inspect_err(|why| output::note(format_args!("note: {why}; the overrides are not proven"))).ok()
        }
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
        omissions.extend(reader.omissions);
    }
    if !found_image && omissions.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        if strict.strict {
            bail!("nothing was inspected: no image in the values of {}; check the path", names.join(", "));
        }
        output::note(format_args!("note: no image in the values of {}; no override printed", names.join(", ")));
    }
    note(&notes);
    let values = helm_values::values(&images);
    strict.verdict(output::data(serde_saphyr::to_string(&values)?), &omissions)
}

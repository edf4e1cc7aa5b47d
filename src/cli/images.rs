//! The images of a command that asks registries for them: of a cluster, of manifests, or of a list.

mod pull_secrets;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

pub use self::pull_secrets::Asked;
use super::catalogue::CatalogueArgs;
use super::duration::DurationArg;
use super::kubeconfig::KubeconfigArgs;
use super::scan::cluster::{Cluster, Sink};
use super::scan::output::tell_skipped;
use super::scan::progress::Progress;
use super::wait::wait_for;
use super::{output, unknown};
use crate::cluster::api::Api;
use crate::cluster::scan::{Event, ScanOptions, Seen};
use crate::engine::declared::Declaration;
use crate::engine::{Policy, Question};
use crate::export::webhook::CONFIGURATION_NAME;
use crate::files::{self, Source};
use crate::manifest::Known;
use crate::registry::Platform;
use crate::scan::files::{FileEvent, FileScan};
use crate::scan::{FoundImage, Location, Skipped, Unknowns, Use, Verdict, Weight, report};
use crate::verify::Targets;
use crate::words::count;

/// The namespace of manifests without one, and of a list.
const DEFAULT_NAMESPACE: &str = "default";

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("kubeconfig", |arg| arg.conflicts_with_all(["paths", "images"])),
    mut_arg("context", |arg| arg.conflicts_with_all(["paths", "images"])),
    mut_arg("no_catalogue", |arg| arg.requires("paths")),
)]
pub struct ImagesArgs {
    /// Files, and folders with manifests; `-` is standard input, such as the output of `helm template`.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Instead of PATH or a cluster: a file with one image a line, such as the output of `scan -o names`; `-` is standard
    /// input.
    #[arg(long, value_name = "FILE", conflicts_with = "paths")]
    images: Option<PathBuf>,

    /// Read only this namespace, and no nodes; repeat it for several. With PATH or --images: the namespace of images without
    /// one.
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = super::parse_namespace)]
    namespaces: Vec<String>,

    #[command(flatten)]
    catalogue: CatalogueArgs,

    /// With PATH: also read texts that are YAML or JSON, such as data of ConfigMaps and Secrets, annotations and scripts.
    #[arg(long, requires = "paths")]
    deep: bool,

    #[command(flatten)]
    kubeconfig: KubeconfigArgs,

    /// The MutatingWebhookConfiguration, whose selectors show what the webhook does not cover.
    #[arg(
        long,
        value_name = "NAME",
        default_value = CONFIGURATION_NAME,
        value_parser = super::parse_object_name,
        conflicts_with_all = ["paths", "images"]
    )]
    configuration: String,
}

/// What gets the images.
pub trait Collect: Default {
    /// Whether it needs the objects of a cluster.
    const NEEDS_OBJECTS: bool = false;
    /// Whether it needs the names of the pull Secrets of a cluster.
    const NEEDS_PULL_ACCESS: bool = false;

    fn add(&mut self, finding: FoundImage);

    /// Gets an object of a cluster, if it needs them.
    fn object(&mut self, _kind: &str, _json: &str) {}

    /// Reads more of a cluster, when it has all images.
    fn finish(&mut self, _api: &Api, _progress: &Progress) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

impl Collect for Targets {
    fn add(&mut self, finding: FoundImage) {
        self.add(finding);
    }
}

/// The images that were found, and what was skipped.
#[derive(Debug, Default)]
pub struct Images<C = Targets> {
    /// The cluster, the paths or the list, for headings.
    pub subject: String,
    pub targets: C,
    /// The platforms of the cluster's nodes, if they were read.
    pub platforms: BTreeSet<Platform>,
    skipped: Vec<Skipped>,
    weight: Option<Weight>,
    unknowns: Unknowns,
    /// The number of objects that can have images, or of lines of a list.
    inspected: usize,
    looked_at: usize,
}

impl ImagesArgs {
    /// Returns whether standard input has the images.
    pub fn reads_stdin(&self) -> bool {
        self.paths.iter().chain(&self.images).any(|path| path == std::path::Path::new("-"))
    }

    /// Finds the images, and prints what is skipped or not understood.
    pub fn find(self, policy: Policy, declared: Vec<Declaration>, timeout: DurationArg) -> anyhow::Result<Images> {
        self.collect(policy, declared, timeout)
    }

    /// Returns whether the images are those of a cluster.
    fn is_of_cluster(&self) -> bool {
        self.paths.is_empty() && self.images.is_none()
    }

    /// As [`Self::find`], for another receiver of images.
    pub fn collect<C: Collect>(
        self,
        policy: Policy,
        declared: Vec<Declaration>,
        timeout: DurationArg,
    ) -> anyhow::Result<Images<C>> {
        let is_cluster = self.is_of_cluster();
        let Self { paths, images, namespaces, catalogue, deep, kubeconfig, configuration } = self;
        let mut gathering = Gathering { images: Images::<C>::default(), progress: Progress::new(false) };
        let namespace = match &*namespaces {
            _ if is_cluster => "",
            [] => DEFAULT_NAMESPACE,
            [namespace] => namespace,
            [_, other, ..] => {
                bail!(
                    "with PATH or --images, only one --namespace is allowed, for images without one; remove `{other}`"
                )
            }
        };
        match images {
            Some(file) => gathering.list(&file, namespace, &policy)?,
            None if is_cluster => {
                let known = Known { declared, ..Known::default() };
                let options = ScanOptions {
                    namespaces,
                    configuration,
                    policy: Some(policy),
                    known,
                    keeps_json: C::NEEDS_OBJECTS,
                    keeps_pull_access: C::NEEDS_PULL_ACCESS,
                };
                wait_for(async {
                    let cluster = Cluster::connect(kubeconfig, timeout.get()).await?;
                    cluster.scan(options, &mut gathering).await?;
                    let Gathering { images, progress } = &mut gathering;
                    images.targets.finish(&cluster.api, progress).await;
                    anyhow::Ok(())
                })??;
            }
            None => {
                let known = Known { declared, catalogue: catalogue.for_reading()?, deep, ..Known::default() };
                gathering.images.subject = crate::scan::files::subject(&paths);
                let scan = FileScan { namespace, policy: Some(&policy), known: &known };
                scan.run(&paths, &mut |event| gathering.file_event(event))?;
            }
        }
        let Gathering { images, progress } = gathering;
        progress.end();
        images.tell_skipped();
        Ok(images)
    }
}

impl<C> Images<C> {
    fn without_targets(self) -> Images<()> {
        let Self { subject, targets: _, platforms, skipped, weight, unknowns, inspected, looked_at } = self;
        Images { subject, targets: (), platforms, skipped, weight, unknowns, inspected, looked_at }
    }

    fn tell_skipped(&self) {
        for (names, skipped) in report::skipped(&self.skipped) {
            tell_skipped(&names, &skipped.why, &skipped.fix);
        }
        unknown::tell(&self.unknowns);
    }

    /// Returns what was skipped.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Returns fields that look like images in objects of unknown kinds.
    pub fn unknowns(&self) -> &Unknowns {
        &self.unknowns
    }

    /// Returns why a gate fails that needs all images, if it does.
    pub fn gap(&self, allow_unknown: bool) -> Option<String> {
        let is_part = self.weight >= Some(Weight::Part);
        let is_skipped = self.weight >= Some(if allow_unknown { Weight::Part } else { Weight::Unknown });
        match () {
            () if is_part || (is_skipped && self.inspected > 0) => {
                Some("skipped input may have images that rules rewrite; fix what is listed as skipped".to_owned())
            }
            () if self.inspected == 0 => Some(format!(
                "nothing was inspected: no image and no Kubernetes object in {}; check the paths, --namespace and --context",
                self.subject
            )),
            () if !allow_unknown && !self.unknowns.is_empty() => Some(unknown::error("that rules rewrite")),
            () => None,
        }
    }

    /// Returns the exit code of a command with `--fail-on`: `failing` images have one of `words`. `own_gap` is a gap of the command.
    pub fn end(
        &self,
        printed: anyhow::Result<()>,
        words: &[&str],
        failing: usize,
        allow_unknown: bool,
        own_gap: impl FnOnce() -> Option<String>,
    ) -> anyhow::Result<ExitCode> {
        if failing > 0 {
            output::talk(format_args!("--fail-on: {} {}", count(failing, "image"), words.join(" or ")));
            return output::verdict(printed, 1);
        }
        let gap = if words.is_empty() { None } else { self.gap(allow_unknown).or_else(own_gap) };
        if let Some(gap) = &gap {
            output::talk(format_args!("error: {gap}"));
        }
        output::verdict(printed, if gap.is_some() || self.has_failed() { 2 } else { 0 })
    }

    /// Returns whether an input is unreadable that the user named, or nothing was readable.
    fn has_failed(&self) -> bool {
        self.weight == Some(Weight::Named) || (self.weight == Some(Weight::Part) && self.looked_at == 0)
    }
}

struct Gathering<C> {
    images: Images<C>,
    progress: Progress,
}

impl<C: Collect> Gathering<C> {
    fn list(&mut self, file: &std::path::Path, namespace: &str, policy: &Policy) -> anyhow::Result<()> {
        let is_stdin = file == std::path::Path::new("-");
        let source = if is_stdin {
            Source::standard_input()
        } else {
            let path = std::fs::canonicalize(file).map_err(|error| files::Problem::new(file, &error))?;
            Source { name: file.display().to_string(), path: Some(path), is_named: true }
        };
        let text = source.read().context("the list of images is unreadable")?;
        self.images.subject = if is_stdin { "standard input".to_owned() } else { source.name.clone() };
        self.images.looked_at = 1;
        for (index, image) in text.split('\n').enumerate().filter(|(_, image)| !image.is_empty()) {
            let question = Question { image, namespace, pull_never: false, previous: None, included_from: None };
            let verdict = Verdict::from(&policy.decide(question));
            let place = Location::File {
                file: source.name.clone(),
                line: index + 1,
                column: 1,
                api_version: String::new(),
                kind: String::new(),
                namespace: None,
                name: String::new(),
                place: String::new(),
            };
            self.images.inspected += 1;
            let finding = FoundImage::new(image.to_owned(), place, Use::Manifest, Some(verdict), None);
            self.images.targets.add(finding);
        }
        Ok(())
    }

    fn file_event(&mut self, event: FileEvent) -> anyhow::Result<()> {
        let images = &mut self.images;
        match event {
            FileEvent::Found(found) => found.into_iter().for_each(|finding| images.targets.add(finding)),
            FileEvent::Lookalikes(file, lookalikes) => images.unknowns.add(file, &lookalikes),
            FileEvent::Read(contents) => {
                images.looked_at += 1;
                images.inspected += contents.objects;
            }
            FileEvent::Skipped(skipped, weight) => images.skip(skipped, weight),
            FileEvent::Progress { done, remaining } => self.progress.show("files", done, Some(remaining)),
        }
        Ok(())
    }
}

impl<C> Images<C> {
    fn skip(&mut self, skipped: Skipped, weight: Weight) {
        self.weight = self.weight.max(Some(weight));
        self.skipped.push(skipped);
    }
}

impl<C: Collect> Sink for Gathering<C> {
    fn subject(&mut self, subject: String) {
        self.images.subject = subject;
    }

    fn progress(&mut self, what: &str, done: usize, remaining: Option<usize>) {
        self.progress.show(what, done, remaining);
    }

    fn event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Page(Seen { what: _, objects, inspected, remaining: _, found, json: (kind, json) }) => {
                self.images.inspected += inspected;
                self.images.looked_at += objects;
                found.into_iter().for_each(|finding| self.images.targets.add(finding));
                json.iter().for_each(|object| self.images.targets.object(&kind, object));
            }
            Event::Skipped(skipped) => self.images.skip(skipped, Weight::Part),
            Event::Platforms(platforms, unknown) => {
                self.images.platforms = platforms;
                if unknown > 0 {
                    let (nodes, have) = (count(unknown, "node"), if unknown == 1 { "has" } else { "have" });
                    let note = format!("note: {nodes} {have} not reported a platform; set --platform to require it");
                    self.progress.pause(|| output::note(note));
                }
            }
            Event::Note(note) => self.progress.pause(|| output::note(format_args!("note: {note}"))),
        }
        Ok(())
    }
}

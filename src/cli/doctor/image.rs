//! `pullthrough doctor --image`.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use serde_json::Value;

use super::{Args, given};
use crate::cli::duration::DurationArg;
use crate::cli::kubeconfig::{KubeconfigArgs, request_failed};
use crate::cli::registries::RegistriesArgs;
use crate::cli::wait::wait_for;
use crate::cli::{output, parse_namespace, serve};
use crate::cluster::doctor::image::hosts::{self, DEFAULT_FOLDER, Mirrors};
use crate::cluster::doctor::image::pull_secrets::PullSecret;
use crate::cluster::doctor::image::{Cluster, CredentialFacts, Document, Facts, Workloads, report, summary};
use crate::cluster::doctor::report::Report;
use crate::cluster::doctor::{DoctorOptions, Given};
use crate::cluster::pull_secrets::Content;
use crate::engine::{Cache, Decision, ImageRef, Policy, Question, Reason};
use crate::registry::{Answer, Client, Keyring, Platform, Reference, Repository, Retries};
use crate::scan::Location;
use crate::verify::{Options, Target, Verification, Verified, effects};

/// As long as containerd 2.3 and later wait for the first header.
const TIMEOUT: DurationArg = DurationArg::from_secs(30);
const DEFAULT_NAMESPACE: &str = "default";

#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "One image",
    mut_arg("docker_config", |arg| arg.requires("image")),
    mut_arg("pull_secrets", |arg| arg.requires("image")),
    mut_arg("providers", |arg| arg.requires("image")),
    mut_arg("anonymous", |arg| arg.requires("image")),
    mut_arg("token_servers", |arg| arg.requires("image")),
    mut_arg("plain_http", |arg| arg.requires("image")),
)]
pub struct ImageArgs {
    /// Diagnose why this image is not pulled. Write it as the Pod's template has it.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,

    /// The namespace of the Pod. Default: default.
    #[arg(long, value_name = "NAMESPACE", value_parser = parse_namespace, requires = "image")]
    image_namespace: Option<String>,

    /// Read no cluster. Needs --rules.
    #[arg(
        long,
        requires_all = ["image", "rules"],
        conflicts_with_all = ["kubeconfig", "context", "read_pull_secrets"]
    )]
    no_cluster: bool,

    /// Read the pull Secrets of Pods with the image from the cluster, and use them. If there is no such Pod: those of the
    /// service account `default` and of the rule.
    #[arg(long, requires = "image", conflicts_with_all = ["docker_config", "anonymous"])]
    read_pull_secrets: bool,

    /// The `config_path` of a node's containerd, or a copy of it. Default: /etc/containerd/certs.d, if this machine has it.
    #[arg(long, value_name = "FOLDER", requires = "image")]
    containerd_hosts: Option<PathBuf>,

    /// Require these platforms of the image, such as linux/arm64. Default: those of the cluster's nodes.
    #[arg(
        long = "platform",
        value_name = "PLATFORM",
        value_delimiter = ',',
        value_parser = Platform::parse,
        requires = "image"
    )]
    platforms: Vec<Platform>,

    /// Don't ask the upstream. A 404 of the cache then has the status `unknown`.
    #[arg(long, requires = "image")]
    no_upstream: bool,

    #[command(flatten)]
    registries: RegistriesArgs,
}

impl ImageArgs {
    pub fn is_set(&self) -> bool {
        self.image.is_some()
    }
}

/// The heading of the text, and the key `image` of JSON.
pub struct Image {
    pub heading: String,
    pub document: Value,
}

pub fn examine(args: Args) -> anyhow::Result<(Report, Option<Image>)> {
    let (report, image) = wait_for(run(args))??;
    Ok((report, Some(image)))
}

async fn run(args: Args) -> anyhow::Result<(Report, Image)> {
    let Args { kubeconfig, namespace, configuration, rules, probe_namespace: _, timeout, output: _, image: args } =
        args;
    let timeout = timeout.unwrap_or(TIMEOUT).get();
    let rules = rules.map(given).transpose()?;
    let options = DoctorOptions {
        namespace,
        configuration,
        rules,
        probe_namespace: None,
        read_serve: serve::deployed::read,
        timeout,
    };
    let cluster = if args.no_cluster { None } else { Some(connect(kubeconfig, &options).await?) };
    let of_file = options.rules.as_ref().map(of_file).transpose()?;
    let (place, policy) = match (&options.rules, &of_file, &cluster) {
        (Some(given), Some(policy), _) => (given.name.as_str(), policy),
        (_, _, Some(cluster)) => {
            cluster.rules().map_err(|why| anyhow!("the rules of the cluster are unavailable: {why}"))?
        }
        _ => bail!("--no-cluster needs --rules; set it"),
    };
    let are_of_cluster = of_file.is_none();
    Chain { policy, place, are_of_cluster, cluster: cluster.as_ref(), timeout }.examine(args).await
}

async fn connect(kubeconfig: KubeconfigArgs, options: &DoctorOptions) -> anyhow::Result<Cluster> {
    let config = kubeconfig.read(options.timeout).await?;
    let server = config.cluster_url.clone();
    Cluster::connect(config, options).await.map_err(|failure| {
        request_failed(&server, &failure)
            .context("--image reads the cluster; without one, set --no-cluster and --rules")
    })
}

/// Returns the rules of a file.
fn of_file(Given { name, content }: &Given) -> anyhow::Result<Policy> {
    Ok(Policy::from(crate::files::rules::parse(name.as_ref(), content)?))
}

/// What the questions about an image share.
struct Chain<'c> {
    policy: &'c Policy,
    place: &'c str,
    are_of_cluster: bool,
    cluster: Option<&'c Cluster>,
    timeout: std::time::Duration,
}

impl Chain<'_> {
    async fn examine(self, args: ImageArgs) -> anyhow::Result<(Report, Image)> {
        let Self { policy, place, are_of_cluster, cluster, timeout } = self;
        let ImageArgs {
            image,
            image_namespace,
            no_cluster: _,
            read_pull_secrets,
            containerd_hosts,
            platforms,
            no_upstream,
            registries,
        } = args;
        let image = image.unwrap_or_default();
        let namespace = image_namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        let question =
            Question { image: &image, namespace: &namespace, pull_never: false, previous: None, included_from: None };
        let decision = policy.decide(question);
        let target = target(&image, &namespace, &decision);
        let name = target.as_ref().map_or(image.as_str(), |target| &target.image);

        let workloads = match cluster {
            Some(cluster) => Some(cluster.workloads(&namespace, &[&image, name]).await),
            None => None,
        };
        let (sources, are_of_node) = registries.sources(read_pull_secrets);
        let secrets = match (cluster, &workloads) {
            (Some(cluster), Some(workloads)) if read_pull_secrets => {
                let rule = decision.rule().map(|rule| (rule.name.as_str(), rule.image_pull_secrets.as_slice()));
                Some(cluster.pull_secrets(&namespace, workloads, rule).await)
            }
            _ => None,
        };
        let mut pull = registries.read_pull_secrets()?;
        pull.extend(secrets.iter().flatten().flatten().filter_map(|secret| keyring(&namespace, secret)));
        let canonical = ImageRef::parse(name).map(|name| name.canonical().to_owned()).unwrap_or_default();
        let matches = pull.iter().map(|(source, keyring)| {
            (source.clone(), keyring.lookup(&canonical).into_iter().map(|(key, _)| key).collect())
        });
        let credentials = CredentialFacts { sources, are_of_node, matches: matches.collect(), secrets };

        let (caches, cache_notes) = usable(policy.settings().caches.clone(), are_of_cluster);
        let pull = (read_pull_secrets || !pull.is_empty()).then_some(pull);
        let client = registries.client_with(pull, &caches, timeout, Retries::default())?;
        let platforms = match &workloads {
            Some(Workloads { nodes: Ok(nodes), .. }) if platforms.is_empty() => {
                nodes.platforms.iter().cloned().collect()
            }
            _ => platforms,
        };
        let asked = Asked { client: &client, caches, platforms, asks_upstream: !no_upstream };
        let (verified, upstream) = asked.ask(&image, target).await?;

        let mirrors = mirrors(containerd_hosts, &canonical);
        let facts = Facts {
            image: &image,
            namespace: &namespace,
            rules: place,
            decision,
            verified: verified.as_ref(),
            upstream: upstream.as_ref(),
            credentials,
            cache_notes,
            mirrors,
            cluster: cluster.zip(workloads),
        };
        let report = report(&facts);
        let of_cluster = cluster.map(|cluster| format!(", cluster {}", cluster.server)).unwrap_or_default();
        let heading = format!("image {image}, namespace {namespace}{of_cluster}\n{}", summary(&facts));
        Ok((report, Image { heading, document: serde_json::to_value(Document::new(&facts))? }))
    }
}

/// Returns what to ask a cache for; `None` if no rule sends the image to one.
fn target(image: &str, namespace: &str, decision: &Decision) -> Option<Target> {
    let (name, upstream) = match decision {
        Decision::Rewrite { result, .. } => (result.as_str(), Some(image)),
        Decision::NotRewritten { would_be: Some(name), .. } => (name.as_str(), Some(image)),
        Decision::NotRewritten { reason: Reason::AlreadyCached, .. } => (image, None),
        Decision::Restore { .. } | Decision::NotRewritten { .. } => return None,
    };
    ImageRef::parse(name).ok()?.registry()?;
    let place = Location::Cluster {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: Some(namespace.to_owned()),
        name: String::new(),
        place: String::new(),
    };
    let rule = decision.rule().map(|rule| rule.name.clone());
    Some(Target {
        image: name.to_owned(),
        upstream: upstream.map(str::to_owned),
        rule,
        places: place.into(),
        pull: None,
    })
}

fn keyring(namespace: &str, secret: &PullSecret) -> Option<(String, Keyring)> {
    match &secret.content {
        Content::Credentials(keyring) => Some((format!("Secret {namespace}/{}", secret.name), keyring.clone())),
        Content::Missing | Content::Unusable(_) | Content::Invalid(_) | Content::Unreadable(_) => None,
    }
}

/// Returns the caches without CAs that only the Pods of the cluster have, with notes on these.
fn usable(mut caches: Vec<Cache>, is_of_cluster: bool) -> (Vec<Cache>, Vec<String>) {
    let mut notes = Vec::new();
    for cache in caches.iter_mut().filter(|_| is_of_cluster) {
        let Some(file) = cache.ca_file.take_if(|file| !std::path::Path::new(file).exists()) else { continue };
        notes.push(format!(
            "`caFile` of the cache `{}` is a path in the cluster, {file}; to use it, set --rules to a file with a path on this machine",
            cache.prefix.written()
        ));
    }
    (caches, notes)
}

/// Reads the configuration of a node for the host of a name.
fn mirrors(folder: Option<PathBuf>, name: &str) -> Option<(PathBuf, Mirrors)> {
    let default = || Some(PathBuf::from(DEFAULT_FOLDER)).filter(|folder| folder.is_dir());
    let folder = folder.or_else(default)?;
    let host = name.split('/').next().unwrap_or_default();
    let mirrors = hosts::read(&folder, host);
    Some((folder, mirrors))
}

/// What is asked of registries.
struct Asked<'c> {
    client: &'c Client,
    caches: Vec<Cache>,
    platforms: Vec<Platform>,
    asks_upstream: bool,
}

impl Asked<'_> {
    /// Asks the cache as a node does, and the upstream.
    async fn ask(self, image: &str, target: Option<Target>) -> anyhow::Result<(Option<Verified>, Option<Answer<()>>)> {
        let Self { client, caches, platforms, asks_upstream } = self;
        let is_direct = target.is_none();
        let has_upstream = is_direct || target.as_ref().is_some_and(|target| target.upstream.is_some());
        for line in effects(&target, &caches) {
            output::note(format_args!("note: {line}"));
        }
        let options =
            Options { platforms, proves_digests: asks_upstream, asks_upstreams: asks_upstream, concurrency: 1 };
        let targets = target.into_iter().map(|target| (target, client.clone())).collect();
        let verified = Verification { caches, options }.run(targets, |_| ()).await?.pop();
        let upstream = match verified.as_ref().and_then(|verified| verified.seen.upstream.clone()) {
            Some(answer) => Some(answer),
            None if asks_upstream && has_upstream => head(client, image).await,
            None => None,
        };
        Ok((verified, upstream))
    }
}

async fn head(client: &Client, image: &str) -> Option<Answer<()>> {
    let image = ImageRef::parse(image).ok()?;
    Some(client.head(&Repository::of(&image)?, &Reference::of(&image)).await.map(drop))
}

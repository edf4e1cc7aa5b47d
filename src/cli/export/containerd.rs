use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::webhook::certificates;
use super::{StrictArgs, note, parse_image, write_marked};
use crate::cli::rules::RulesArgs;
use crate::cli::{output, parse_namespace};
use crate::engine::{Policy, Prefix};
use crate::export::Export;
use crate::export::containerd::{self, Configuration, ContainerdOptions, DaemonSet, HOSTS, MARKER};
use crate::files::{marked, rules};

/// The folder of the DaemonSet with the files that were read here.
const MOUNTED: &str = "/etc/pullthrough";
const RULES: &str = "rules.yaml";
const RELEASED_IMAGE: &str = concat!("ghcr.io/pullthrough/pullthrough:", env!("CARGO_PKG_VERSION"));

/// Write registry mirrors and the sandbox image for nodes with containerd
///
/// The directory gets `certs.d`, with a `hosts.toml` for each host that the rules rewrite as a whole. It also gets a part
/// of containerd's configuration, for 1.x and for 2.x. Files of an earlier run that the rules no longer need are removed.
/// Other files are never changed.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  1  with --strict: something was omitted
  2  wrong usage, unreadable rules or CA, or a file of another origin that
     would be overwritten

Examples:
  $ pullthrough export containerd --cache registry.k8s.io --directory containerd
  $ pullthrough export containerd --rules rules.yaml --ca-file ca.crt \\
      --directory containerd
  $ pullthrough export containerd --rules rules.yaml --daemon-set \\
      --image cache.example.com/pullthrough:0.1.0 | kubectl apply -f -")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    #[command(flatten)]
    target: TargetArgs,

    /// The path of the directory, or of its copy, on the node.
    #[arg(long, value_name = "PATH", default_value = "/etc/containerd", value_parser = parse_path)]
    node_directory: String,

    /// The sandbox image of Pods, to which the rules are applied.
    #[arg(long, value_name = "IMAGE", default_value = "registry.k8s.io/pause:3.10.1", value_parser = parse_image)]
    sandbox_image: String,

    /// Never pull from a mirrored registry itself. Without it, nodes do if the cache fails.
    #[arg(long)]
    no_fallback: bool,

    /// A cache or registry without TLS, as the rules name it; repeat it for several.
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    plain_http: Vec<String>,

    /// The CA of the caches' certificates (PEM), which is copied to nodes.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// The client certificate for the caches, as a path on the node.
    #[arg(long, value_name = "PATH", requires = "client_key", value_parser = parse_path)]
    client_certificate: Option<String>,

    /// The key of the client certificate, as a path on the node.
    #[arg(long, value_name = "PATH", requires = "client_certificate", value_parser = parse_path)]
    client_key: Option<String>,

    /// The namespace of the DaemonSet.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system", conflicts_with = "directory", value_parser = parse_namespace)]
    namespace: String,

    /// The image of pullthrough in the DaemonSet. Default: the release of this version.
    #[arg(long, value_name = "IMAGE", conflicts_with = "directory", value_parser = parse_image)]
    image: Option<String>,

    #[command(flatten)]
    strict: StrictArgs,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct TargetArgs {
    /// The directory to write to.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,

    /// Print a DaemonSet that writes the same to --node-directory on every node.
    #[arg(long)]
    daemon_set: bool,
}

fn parse_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("write an absolute path on the node".to_owned())
    }
}

fn parse_host(text: &str) -> Result<String, String> {
    match Prefix::parse(text) {
        Ok(prefix) if prefix.canonical() == prefix.host() => Ok(prefix.host().to_owned()),
        Ok(prefix) => Err(format!("write a host without a path, such as `{}`", prefix.host())),
        Err(error) => Err(error.to_string()),
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (config, content) = args.rules.read()?;
    let policy = Policy::from(config);
    for host in &args.plain_http {
        anyhow::ensure!(names(&policy, host), "--plain-http {host}: the rules don't name this host; remove it");
    }
    let options = ContainerdOptions {
        node_directory: args.node_directory.clone(),
        sandbox_image: args.sandbox_image.clone(),
        fallback: !args.no_fallback,
        plain_http: args.plain_http.clone(),
        ca: args.ca_file.as_deref().map(certificates).transpose()?,
        client: args.client_certificate.clone().zip(args.client_key.clone()),
    };
    let Export { what: configuration, notes, omissions } = containerd::configuration(&policy, &options);
    let done = match &args.target.directory {
        Some(directory) => write(directory, &configuration),
        None => {
            let rules = args.rules.rules.as_deref().map(|file| rules::text(file, &content)).transpose()?;
            output::data(daemon_set(&args, &configuration, rules, options.ca.as_deref())?)
        }
    };
    note(&notes);
    args.strict.verdict(done, &omissions)
}

fn names(policy: &Policy, host: &str) -> bool {
    containerd::caches(policy).contains(host)
        || policy
            .rules()
            .iter()
            .filter_map(|rule| rule.matcher.sources())
            .any(|from| from.iter().any(|from| from.host() == host))
}

fn write(directory: &Path, configuration: &Configuration) -> anyhow::Result<()> {
    let files = &configuration.files;
    let shadowed = files.keys().filter_map(|name| containerd::shadowed(name)).map(|name| directory.join(name));
    let problems = shadowed.filter(|path| path.exists()).map(|path| marked::foreign(&path)).collect();
    write_marked(directory, HOSTS, MARKER, files, problems)
}

/// Returns the YAML of a DaemonSet that runs this command with the same arguments.
fn daemon_set(
    args: &Args,
    configuration: &Configuration,
    rules: Option<&str>,
    ca: Option<&str>,
) -> anyhow::Result<String> {
    let ca_name = containerd::CERTIFICATES;
    let files: BTreeMap<&str, &str> =
        [(RULES, rules), (ca_name, ca)].into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
    let file = |name: &str| format!("{MOUNTED}/{name}");
    let option = |name: &str, value: Option<String>| value.map(|value| format!("--{name}={value}"));
    let mut arguments: Vec<String> = ["export", "containerd"].map(str::to_owned).into();
    arguments.extend(option("rules", rules.map(|_| file(RULES))));
    arguments.extend(option("cache", args.rules.cache.clone()));
    arguments.extend(option("directory", Some(args.node_directory.clone())));
    arguments.extend(option("node-directory", Some(args.node_directory.clone())));
    arguments.extend(option("sandbox-image", Some(args.sandbox_image.clone())));
    arguments.extend(args.no_fallback.then(|| "--no-fallback".to_owned()));
    arguments.extend(args.plain_http.iter().filter_map(|host| option("plain-http", Some(host.clone()))));
    arguments.extend(option("ca-file", ca.map(|_| file(ca_name))));
    arguments.extend(option("client-certificate", args.client_certificate.clone()));
    arguments.extend(option("client-key", args.client_key.clone()));
    let objects = containerd::daemon_set(&DaemonSet {
        namespace: &args.namespace,
        image: args.image.as_deref().unwrap_or(RELEASED_IMAGE),
        idle_image: configuration.sandbox_image.as_deref().unwrap_or(&args.sandbox_image),
        arguments: &arguments,
        files: &files,
        mounted: MOUNTED,
        node_directory: &args.node_directory,
    });
    let objects: Vec<String> = objects.iter().map(serde_saphyr::to_string).collect::<Result<_, _>>()?;
    Ok(containerd::DAEMON_SET_HEAD.to_owned() + &objects.join("---\n"))
}

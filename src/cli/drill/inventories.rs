//! The inventories of a drill, and what asks for them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};

use crate::cli::output;
use crate::cli::registries::{RegistriesArgs, canonical_host};
use crate::drill::{Api, Ecr, Expiry, Holdings, Inventories, Listing, Storage};
use crate::engine::{Cache, ImageRef, Product};
use crate::products::Model;
use crate::registry::Retries;

#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("asked").args(["inventory", "keys"]).multiple(true)),
    mut_arg("docker_config", |arg| arg.requires("asked")),
    mut_arg("pull_secrets", |arg| arg.requires("asked")),
    mut_arg("providers", |arg| arg.requires("asked")),
    mut_arg("anonymous", |arg| arg.requires("asked")),
    mut_arg("token_servers", |arg| arg.requires("asked")),
    mut_arg("plain_http", |arg| arg.requires("asked")),
)]
pub struct InventoriesArgs {
    /// Ask the API of this cache what it holds, of the product `harbor` or `zot`; repeat it for several caches. Only requests are
    /// sent that the cache answers without its upstream.
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    inventory: Vec<String>,

    /// The storage of a cache of the product `distribution`: the `rootdirectory` of its filesystem driver; repeat it for several
    /// caches.
    #[arg(long, value_name = "HOST=FOLDER", value_parser = parse_path)]
    storage: Vec<(String, PathBuf)>,

    /// Don't read the layers of --storage. A damaged layer of the right size is then `yes`.
    #[arg(long, requires = "storage")]
    trust_sizes: bool,

    /// A listing of all objects in the storage of a cache of the product `distribution`, such as the output of `aws s3 ls
    /// --recursive`; `-` is standard input; repeat it for several caches. The cache is asked for the manifests in it.
    #[arg(long, value_name = "HOST=FILE", value_parser = parse_path)]
    keys: Vec<(String, PathBuf)>,

    /// `scheduler-state.json` in the storage of --keys, which has when the cache removes images. If the cache has `ttl: 0`, a file
    /// with `{}`.
    #[arg(long, value_name = "HOST=FILE", value_parser = parse_path, requires = "keys")]
    scheduler_state: Vec<(String, PathBuf)>,

    /// Outputs of `aws ecr batch-get-image`, `aws ecr batch-check-layer-availability` and `aws ecr describe-images` for a repository
    /// of a cache of the product `ecr`, as JSON, one after the other in a file; repeat it for several repositories.
    #[arg(long, value_name = "HOST/REPOSITORY=FILE", value_parser = parse_ecr)]
    ecr: Vec<(String, String, PathBuf)>,

    #[command(flatten)]
    registries: RegistriesArgs,
}

impl InventoriesArgs {
    /// Returns whether standard input is a listing.
    pub fn reads_stdin(&self) -> bool {
        self.keys.iter().any(|(_, file)| is_stdin(file))
    }

    /// Opens the inventories. `timeout` is that of each request to a cache.
    ///
    /// # Errors
    ///
    /// Returns the inventory that is unreadable, or not of the product of its cache.
    pub fn open(self, caches: &[Cache], timeout: Duration) -> anyhow::Result<Inventories> {
        let Self { inventory, storage, trust_sizes, keys, scheduler_state, ecr, registries } = self;
        let mut inventories = Inventories::new();
        let mut insert = |host: String, holdings: Box<dyn Holdings>| {
            let known = inventories.insert(host.clone(), holdings);
            ensure!(known.is_none(), "{host} has several inventories; remove all but one");
            Ok(())
        };
        for (host, folder) in storage {
            check_product(caches, "--storage", &host, &host, Product::Distribution)?;
            let opened = Storage::open(&folder, trust_sizes).map_err(|why| anyhow!("--storage {host}: {why}"))?;
            insert(host.clone(), Box::new(opened))?;
            note_start(&host);
        }
        for (host, registry) in outputs(ecr, caches)? {
            insert(host, Box::new(registry))?;
        }
        if inventory.is_empty() && keys.is_empty() {
            return Ok(inventories);
        }
        let client = registries.client(caches, timeout, Retries::default())?;
        for host in inventory {
            let of_host = || caches.iter().filter(|cache| cache.prefix.host() == host).map(|cache| cache.product);
            let product = of_host().find(|product| Api::is_supported(*product));
            let Some(api) = product.and_then(|product| Api::new(&host, product, client.clone())) else {
                let declared = of_host().next().unwrap_or_else(|| Cache::product_of(caches, &host));
                bail!(
                    "--inventory {host}: the product of this cache is {}, whose API is not supported; set `product: harbor` or \
                     `product: zot` in `caches` of the rules file if it is one of them, or remove --inventory",
                    declared.as_str()
                );
            };
            output::note(format_args!("note: {}", api.effect()));
            insert(host, Box::new(api))?;
        }
        let mut states = BTreeMap::new();
        for (host, file) in scheduler_state {
            let text = read("--scheduler-state", &host, &file)?;
            let expiry =
                Expiry::parse(&text).map_err(|why| anyhow!("--scheduler-state {host}: {why}; copy it anew"))?;
            ensure!(
                keys.iter().any(|(of_keys, _)| *of_keys == host),
                "--scheduler-state {host} needs --keys {host}; add it"
            );
            states.insert(host, expiry);
        }
        for (host, file) in keys {
            check_product(caches, "--keys", &host, &host, Product::Distribution)?;
            let listing = Listing::parse(&read("--keys", &host, &file)?);
            let listing =
                listing.map_err(|why| anyhow!("--keys {host}: {} is not a listing: {why}", file.display()))?;
            if let Some(note) = listing.note() {
                output::note(format_args!("note: --keys {host}: {note}"));
            }
            let api = Api::with_keys(&host, client.clone(), listing, states.remove(&host));
            output::note(format_args!("note: {}", api.effect()));
            insert(host.clone(), Box::new(api))?;
            note_start(&host);
        }
        Ok(inventories)
    }
}

/// Returns the outputs of the AWS CLI by the host of their registry.
fn outputs(ecr: Vec<(String, String, PathBuf)>, caches: &[Cache]) -> anyhow::Result<BTreeMap<String, Ecr>> {
    let mut registries: BTreeMap<String, Ecr> = BTreeMap::new();
    for (host, repository, file) in ecr {
        let name = format!("{host}/{repository}");
        check_product(caches, "--ecr", &host, &name, Product::Ecr)?;
        let text = read("--ecr", &name, &file)?;
        let added = registries.entry(host).or_default().add(&repository, &text);
        added.map_err(|why| anyhow!("--ecr {name}: {} is not an output of the AWS CLI: {why}", file.display()))?;
    }
    Ok(registries)
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// Reads a file of a flag; `-` is standard input for --keys.
fn read(flag: &str, name: &str, file: &Path) -> anyhow::Result<String> {
    if flag == "--keys" && is_stdin(file) {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .with_context(|| format!("{flag} {name}: standard input is unreadable"))?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
        .with_context(|| format!("{flag} {name}: {} is unreadable; fix the path", file.display()))
}

fn note_start(host: &str) {
    if Model::of(Product::Distribution).offline.value.starts == Some(false) {
        output::note(format_args!(
            "note: {host} does not start while its upstream is unreachable; `yes` needs that it keeps running"
        ));
    }
}

/// Returns a host in canonical form.
fn parse_host(host: &str) -> Result<String, String> {
    canonical_host(host).ok_or_else(|| "write HOST or HOST:PORT, such as harbor.example.com".to_owned())
}

fn parse_path(text: &str) -> Result<(String, PathBuf), String> {
    let form = || "write HOST=PATH, such as cache.example.com=/var/lib/registry".to_owned();
    let (host, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(form)?;
    Ok((parse_host(host).map_err(|_| form())?, PathBuf::from(path)))
}

fn parse_ecr(text: &str) -> Result<(String, String, PathBuf), String> {
    let form = || "write HOST/REPOSITORY=FILE".to_owned();
    let (name, file) = text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or_else(form)?;
    let image = ImageRef::parse(name).ok().filter(ImageRef::host_is_written).filter(|image| image.tag().is_none());
    let (host, repository) =
        image.as_ref().and_then(|image| Some((image.registry()?, image.repository()))).ok_or_else(form)?;
    Ok((host.to_owned(), repository.to_owned(), PathBuf::from(file)))
}

/// An inventory means nothing for a cache of another product.
fn check_product(caches: &[Cache], flag: &str, host: &str, name: &str, needed: Product) -> anyhow::Result<()> {
    let mut of_host = caches.iter().filter(|cache| cache.prefix.host() == host).map(|cache| cache.product);
    let declared = Cache::product_of(caches, name);
    if declared == needed || (name == host && of_host.any(|product| product == needed)) {
        return Ok(());
    }
    bail!(
        "{flag} {name}: the product of this cache is {}; set `product: {}` in `caches` of the rules file, or remove {flag}",
        declared.as_str(),
        needed.as_str()
    )
}
